# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the client's container is started, and whether it has a way to an engine on a socket."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.benchmark.client import Engine
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.benchmark import client

ON_A_PORT = Engine("qwen", "vllm-qwen", "vllm@sha256:0", "Qwen/Qwen2.5-3B-Instruct", ())
ON_A_SOCKET = replace(ON_A_PORT, socket=True)


def started(engine: Engine, through_gateway: bool = False) -> list[str]:
    return client.command("docker", engine, "benchmark", ["vllm", "bench"], through_gateway)


def test_only_a_client_that_asks_an_engine_on_its_socket_has_a_way_to_it() -> None:
    shell = started(ON_A_SOCKET)[started(ON_A_SOCKET).index("-c") + 1]
    assert shell.startswith("python3 -c ") and "/run/gpuserve/engine/http 8000 & [ ! -f" in shell
    assert "container:vllm-qwen" in started(ON_A_SOCKET)
    for other in (started(ON_A_PORT), started(ON_A_SOCKET, through_gateway=True)):
        assert "asyncio" not in " ".join(other)


TAKEN = (
    'docker: Error response from daemon: Conflict. The container name "/gpuserve-benchmark-qwen" is already in use by container'
    ' "0a1b2c". You have to remove (or rename) that container to be able to reuse that name.'
)
HELP = "Run 'docker run --help' for more information"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (f"{TAKEN}\n\n{HELP}\n", "another benchmark asks it now, which has to end first"),
        (f"docker: Error response from daemon: no such device\n\n{HELP}\n", "Docker refuses it: no such device"),
        ("INFO one\nValueError: the tokenizer is gone\n", "ValueError: the tokenizer is gone"),
        ("", "it ended with 125"),
    ],
)
def test_why_nothing_was_measured_is_what_docker_refuses_and_no_help(
    said: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda argv, **_: subprocess.CompletedProcess(argv, 125, "", said))
    with pytest.raises(client.ClientError) as error:
        client.measure("docker", ON_A_PORT, [], None, 1)
    assert str(error.value) == reason
