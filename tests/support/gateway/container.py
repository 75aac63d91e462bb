# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A gateway in a container on this machine, in front of stubs that are processes of ours: what the scenario has, in seconds.

nginx and its Lua are Debian's; the configuration is what the role renders. Everything listens on an address of its own in 127.0.0.0/8.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import sockets
from ansible_collections.gpuserve.fleet.tests.support.gateway.client import ABSENT, STUBS, Gateway
from ansible_collections.gpuserve.fleet.tests.support.gateway.started import Started
from ansible_collections.gpuserve.fleet.tests.support.lab import bases
from ansible_collections.gpuserve.fleet.tests.support.lab.common import CHECKOUT, docker, labels, run

BASE = bases.Base(
    "bench", "trixie", ("nginx", "libnginx-mod-http-lua", "lua-cjson", "wrk", "ca-certificates"), systemd=False
)
SCENARIO = CHECKOUT / "molecule" / "gateway" / "molecule.yml"
_MADE = itertools.count()
SECRETS = {"yi": "engine-secret-of-yi"}


def scenario_variables() -> dict[str, Any]:
    """Return the scenario's variables of the role."""
    # The clients' venv has no YAML; the one that Ansible runs in has.
    convert = "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))"
    scenario = json.loads(run(["python3", "-c", convert], stdin=SCENARIO.read_text()).stdout)
    everything = scenario["provisioner"]["inventory"]["group_vars"]["all"]
    return {name: value for name, value in everything.items() if name.startswith("gateway_")}


class Container(Started, Gateway):
    """A gateway of our own, from entering to leaving."""

    def __init__(self, variables: dict[str, Any] | None = None, stubs: Iterable[str] = STUBS) -> None:
        number = os.getpid()
        # One of a test's own may be there beside the session's.
        address = f"127.{64 + number % 64}.{number // 64 % 256}.{1 + (number // 16384 + next(_MADE)) % 254}"
        Started.__init__(self)
        Gateway.__init__(self, address, address)
        self.name = f"gpuserve-lab-gateway-{number}-{id(self)}"
        self.variables = scenario_variables() if variables is None else variables
        self._stubs: dict[str, subprocess.Popen[bytes]] = {}
        self._generation = ""
        self._wanted = tuple(stubs)

    def _start_all(self) -> None:
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="gpuserve-gateway-")))
        self.folder.chmod(0o755)
        for part in ("live", "draining", "engine_keys", "usage", "engines", "acme"):
            (self.folder / part).mkdir()
        (self.folder / "usage").chmod(0o777)
        self.render()
        for name in self._wanted:
            if name not in ABSENT:
                self.start(name)
        self._stack.callback(self._stop_all)
        image = bases.ensure_base(BASE)
        self._stack.callback(docker, "rm", "--force", self.name, check=False)
        may = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true", "--user", "61800:61800"]
        volumes = [
            f"{self.folder}/live:/etc/gpuserve/live:ro",
            f"{self.folder}/draining:/draining:ro",
            f"{self.folder}/engine_keys:/engine_keys:ro",
            f"{self.folder}/usage:/usage",
            f"{self.folder}/acme:/acme:ro",
            f"{self.folder}/engines:{sockets.FOLDER}:ro",
        ]
        more = [part for volume in volumes for part in ("--volume", volume)]
        tmp = ["--tmpfs", "/tmp:mode=1777,size=384m"]
        command = ["nginx", "-c", "/etc/gpuserve/live/nginx.conf", "-g", "daemon off;"]
        docker(
            "run", "--detach", "--name", self.name, "--network", "host", *labels(), *may, *tmp, *more, image, *command
        )
        self.wait_until_it_serves()

    def render(self, **changes: Any) -> None:
        """Render the configuration, with variables changed for good."""
        self.variables |= changes
        there = json.dumps({**self.variables, "gateway_address": self.host}).replace("127.0.0.1:", f"{self.engines}:")
        given = {
            **json.loads(there),
            "gateway_metrics_address": f"{self.host}:{self.metrics_port}",
        }
        # The clients' venv has no Jinja; the one that Ansible runs in has.
        words: list[str | Path] = [
            "python3",
            "-m",
            "ansible_collections.gpuserve.fleet.tests.support.gateway.render",
            self.folder / "live",
        ]
        self._generation = run(words, stdin=json.dumps(given), cwd=CHECKOUT).stdout.strip()

    def wait_until_it_serves(self) -> None:
        """Wait until the configuration that was rendered last is served."""
        self.wait_for(self._serves, 20)

    def _serves(self) -> bool:
        try:
            answer = self.ask("GET", "/health", key=None)
        except OSError:
            assert docker("inspect", "--format", "{{.State.Running}}", self.name) == "true", self.log()
            return False
        return bool(answer.json["generation"] == self._generation)

    def docker(self, *command: str) -> str:
        """Run Docker's client."""
        words = ["docker", *(self.name if part == "CONTAINER" else part for part in command)]
        done = subprocess.run(words, check=True, capture_output=True, text=True, errors="surrogateescape")
        return done.stdout + (done.stderr if "logs" in command else "")

    def start(self, name: str, key: str = "") -> None:
        """Start a stub, with a key that it asks for, and wait until it answers."""
        model = "twin" if name == "twin-b" else "swap" if name == "swap-b" else name
        stub = CHECKOUT / "tests/support/gateway/engine_stub.py"
        key = key or SECRETS.get(name, "")
        secret = ["--api-key", key] if key else []
        argv = [sys.executable, str(stub), "--address", self.engines, *secret, f"{model}={STUBS[name]}"]
        self._stubs[name] = subprocess.Popen(argv)
        end = time.monotonic() + 10
        while True:
            try:
                urllib.request.urlopen(f"http://{self.engines}:{STUBS[name]}/health", timeout=2).close()
                return
            except OSError:
                assert time.monotonic() < end, f"the stub {name} does not answer"
                time.sleep(0.05)

    def start_on_socket(self, instance: str, model: str) -> None:
        """Start a stub on a socket, as an engine that a stack of ours starts."""
        folder = self.folder / "engines" / instance
        folder.mkdir(exist_ok=True)
        socket = folder / "http"
        socket.unlink(missing_ok=True)
        stub = CHECKOUT / "tests/support/gateway/engine_stub.py"
        self._stubs[instance] = subprocess.Popen([sys.executable, str(stub), f"{model}={socket}"])
        self.wait_for(socket.exists)

    def stop(self, name: str) -> None:
        """Stop a stub, as the kernel would."""
        running = self._stubs.pop(name, None)
        if running is not None:
            running.send_signal(signal.SIGKILL)
            running.wait(10)

    def _stop_all(self) -> None:
        for name in list(self._stubs):
            self.stop(name)

    def mark_drained(self, name: str, on: bool) -> None:
        """Make or remove the file that keeps new requests away from a stub."""
        file = self.folder / "draining" / self.endpoint(name)
        if on:
            file.touch()
        else:
            file.unlink(missing_ok=True)

    def memory_mib(self) -> float:
        """Return what nginx's processes hold, and what lies in the container's /tmp, which is memory too."""
        workers = self.workers()
        held = 0
        for worker in workers:
            text = Path(f"/proc/{worker}/smaps_rollup").read_text()
            held += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) * 1024
        for file in Path(f"/proc/{workers[0]}/root/tmp").rglob("*"):
            with contextlib.suppress(OSError):
                held += file.stat().st_blocks * 512
        return held / (1 << 20)

    def metrics_text(self) -> str:
        """Read the gateway's figures as they are."""
        with urllib.request.urlopen(f"http://{self.host}:{self.metrics_port}/metrics", timeout=10) as reply:
            text: str = reply.read().decode()
            return text
