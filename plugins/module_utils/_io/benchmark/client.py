# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vLLM's own client in a container of the engine's image: beside the engine for the engine itself, on the host's network for the gateway.

The container has the engine's files, to read, and none of its cards. A key reaches it by a pipe or by the engine's own file of secrets, and
stands in no command line and no description of a container.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.benchmark.client import RESULT, Engine
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.diagnosis import diagnose
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.compose import (
    ENGINE_SOCKET,
    LABEL,
    SECRETS_FILE,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.text import harmless

# What the client's own Python takes is about 2 GiB; a model's tokenizer some hundred MiB more.
MEMORY = "8g"
_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_MODULES_CACHE": "/tmp/modules",
}
# vLLM's client knows no Unix sockets: beside it, what comes to a port of the engine's own loopback goes on to its socket.
FORWARD = """
import asyncio, sys

async def copy(reader, writer):
    try:
        while part := await reader.read(65536):
            writer.write(part)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()

async def forward(reader, writer):
    there, back = await asyncio.open_unix_connection(sys.argv[1])
    await asyncio.gather(copy(reader, back), copy(there, writer))

async def main():
    server = await asyncio.start_server(forward, "127.0.0.1", int(sys.argv[2]), backlog=1024)
    await server.serve_forever()

asyncio.run(main())
"""
REFUSED = "Error response from daemon: "
_ASK = f'"$@" >&2 && cat {RESULT}'
_ENGINE = f'[ ! -f {SECRETS_FILE} ] || . {SECRETS_FILE}; export OPENAI_API_KEY="${{VLLM_API_KEY:-}}"; {_ASK}'
_GATEWAY = f"IFS= read -r OPENAI_API_KEY; export OPENAI_API_KEY; {_ASK}"


class ClientError(Exception):
    """The client did not measure; the text says why, in its own last words."""


def command(docker: str, engine: Engine, name: str, arguments: Sequence[str], through_gateway: bool) -> list[str]:
    """Return the command that starts a client."""
    asks = _GATEWAY if through_gateway else _ENGINE
    if engine.socket and not through_gateway:
        asks = f"python3 -c {shlex.quote(FORWARD)} {ENGINE_SOCKET} {engine.port} & {asks}"
    network = "host" if through_gateway or engine.host_network else f"container:{engine.container}"
    return [
        *(docker, "run", "--rm", "--interactive", "--name", name, "--label", f"{LABEL}.benchmark={engine.name}"),
        *("--network", network, "--volumes-from", f"{engine.container}:ro"),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges:true", "--pids-limit", "2048", "--memory", MEMORY),
        *(part for name, value in _OFFLINE.items() for part in ("--env", f"{name}={value}")),
        *("--entrypoint", "/bin/sh", engine.image, "-c", asks, "sh", *arguments),
    ]


def measure(docker: str, engine: Engine, arguments: Sequence[str], key: str | None, timeout_s: float) -> str:
    """Run a client and return the text of its result; with a key, even an empty one, it asks the gateway."""
    name = f"gpuserve-benchmark-{engine.name}"
    asked = command(docker, engine, name, arguments, through_gateway=key is not None)
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            asked,
            input=f"{key or ''}\n",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        # The command is gone and its container is not: that one is Docker's child.
        removal = [docker, "rm", "--force", name]
        subprocess.run(removal, capture_output=True, check=False, timeout=60)  # pylint: disable=ansible-bad-function
        raise ClientError(f"it did not end within {timeout_s:g} s") from None
    except OSError as error:
        raise ClientError(f"{docker} could not be run ({error.strerror})") from error
    if done.returncode != 0:
        raise ClientError(harmless(_without(_reason(done.stderr) or f"it ended with {done.returncode}", key)))
    return done.stdout


def _reason(said: str) -> str:
    """Return why nothing was measured: what Docker refuses, and else the client's own last words."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    refused = [line for line in lines if REFUSED in line]
    if not refused:
        return lines[-1] if lines else ""
    cause = diagnose(refused)
    # The name is the model's: only another run of ours has it, one whose ansible-playbook was interrupted for instance.
    return "another benchmark asks it now, which has to end first" if cause.id == "name_taken" else cause.text


def _without(text: str, key: str | None) -> str:
    return text.replace(key, "********") if key else text
