# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two edges with one address: containers on a network of their own, each with the real gateway and keepalived as docs/fleet.md has it."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import ipaddress
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.gpuserve.fleet.tests.support.gateway.client import KEY
from ansible_collections.gpuserve.fleet.tests.support.gateway.started import Started
from ansible_collections.gpuserve.fleet.tests.support.lab import bases
from ansible_collections.gpuserve.fleet.tests.support.lab.common import CHECKOUT, docker, labels, run

BASE = bases.Base(
    "edges",
    "trixie",
    ("nginx", "libnginx-mod-http-lua", "lua-cjson", "ca-certificates", "keepalived", "curl", "iproute2", "procps"),
    systemd=False,
)
NGINX = ("nginx", "-c", "/etc/gpuserve/live/nginx.conf")
STUB_PORT = 8001
CONFIGURATION = "/etc/keepalived/keepalived.conf"
START = (
    f"keepalived -t -f {CONFIGURATION} && keepalived -n -l & {' '.join(NGINX)} -g 'daemon off;' & exec sleep infinity"
)


def documented() -> str:
    """Return keepalived's configuration as the documentation has it."""
    (text,) = re.findall(r"```text\n(global_defs.*?)```", (CHECKOUT / "docs/fleet.md").read_text(), re.DOTALL)
    return str(text)


class Edges(Started):
    """Both edges, from entering to leaving."""

    def __init__(self) -> None:
        self.network = f"gpuserve-lab-edges-{os.getpid()}"
        self.names = tuple(f"{self.network}-{at}" for at in (1, 2))
        super().__init__()

    def _start_all(self) -> None:
        image = bases.ensure_base(BASE)
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="gpuserve-edges-")))
        folder.chmod(0o755)
        self._stack.callback(docker, "network", "rm", self.network, check=False)
        docker("network", "create", *labels(), self.network)
        subnet = ipaddress.ip_network(docker("inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", self.network))
        # Docker gives addresses out from the other end.
        self.address, host = str(subnet[-3]), str(subnet[1])
        stub = [sys.executable, str(CHECKOUT / "tests/support/gateway/engine_stub.py"), "--address", host]
        engine = self._stack.enter_context(subprocess.Popen([*stub, f"qwen={STUB_PORT}"]))
        self._stack.callback(engine.kill)
        (folder / "live").mkdir()
        given = {
            "gateway_models": [{"name": "qwen", "endpoints": [f"{host}:{STUB_PORT}"], "max_num_seqs": 64}],
            "gateway_keys": [{"name": "all", "sha256": hashlib.sha256(KEY.encode()).hexdigest()}],
            "gateway_workers": 1,
        }
        render = "ansible_collections.gpuserve.fleet.tests.support.gateway.render"
        run(["python3", "-m", render, folder / "live"], stdin=json.dumps(given), cwd=CHECKOUT)
        text = documented().replace("192.0.2.100/24", f"{self.address}/{subnet.prefixlen}")
        (folder / "keepalived.conf").write_text(text)
        (folder / "keepalived.conf").chmod(0o644)
        for name in self.names:
            self._stack.callback(docker, "rm", "--force", name, check=False)
            mounts = [f"{folder}/live:/etc/gpuserve/live:ro", f"{folder}/keepalived.conf:{CONFIGURATION}:ro"]
            empty = ["/tmp:mode=1777", "/run", "/usage:mode=1777", "/draining", "/engine_keys"]
            given_to = [part for mount in mounts for part in ("--volume", mount)]
            given_to += [part for place in empty for part in ("--tmpfs", place)]
            may = ["--cap-add", "NET_ADMIN", "--cap-add", "NET_RAW", "--cap-add", "NET_BROADCAST"]
            docker(
                "run",
                "--detach",
                "--name",
                name,
                "--network",
                self.network,
                *labels(),
                *may,
                *given_to,
                image,
                "sh",
                "-c",
                START,
            )

    def on(self, edge: str, *command: str) -> str:
        """Run a command at an edge."""
        return docker("exec", edge, *command, check=False)

    def nginx(self, edge: str, signal: str) -> None:
        """Send nginx of an edge a signal."""
        self.on(edge, *NGINX, "-s", signal)

    def start_nginx(self, edge: str) -> None:
        """Start nginx at an edge that has none."""
        docker("exec", "--detach", edge, *NGINX, "-g", "daemon off;")

    def holders(self) -> list[str]:
        """Return which edges have the address."""
        asked = ("ip", "-brief", "address", "show", "eth0")
        return [edge for edge in self.names if f" {self.address}/" in self.on(edge, *asked)]

    def holder(self, other_than: str = "", seconds: float = 60) -> str:
        """Return the one edge that has the address, once there is one."""
        end = time.monotonic() + seconds
        while True:
            found = self.holders()
            if len(found) == 1 and found[0] != other_than:
                return found[0]
            assert time.monotonic() < end, f"{found} have the address"
            time.sleep(0.2)

    def answers(self) -> bool:
        """Tell whether a client is answered at the address."""
        line = http.client.HTTPConnection(self.address, 8000, timeout=2)
        try:
            line.request("POST", "/v1/chat/completions", '{"model": "qwen"}', {"Authorization": f"Bearer {KEY}"})
            return line.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            line.close()

    def wait_for_answers(self, seconds: float = 30) -> None:
        """Wait until a client is answered: the network has to hear where the address is."""
        end = time.monotonic() + seconds
        while not self.answers():
            assert time.monotonic() < end, "nobody answers at the address"

    @contextlib.contextmanager
    def asked(self) -> Iterator[list[bool]]:
        """Ask the address on and on; what is given is whether each request was answered."""
        answered: list[bool] = []
        enough = threading.Event()

        def ask() -> None:
            while not enough.wait(0.05):
                answered.append(self.answers())

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield answered
        finally:
            enough.set()
            thread.join(60)
