# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Boxes on a network of their own, each a container with the real gateway before a stub of an engine: they can lose power or hang."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.tests.support.gateway.container import BASE
from ansible_collections.gpuserve.fleet.tests.support.gateway.started import Started
from ansible_collections.gpuserve.fleet.tests.support.lab import bases
from ansible_collections.gpuserve.fleet.tests.support.lab.common import CHECKOUT, docker, labels, run

PORT = 8000
FIRST_STUB_PORT = 8001
RENDER = "ansible_collections.gpuserve.fleet.tests.support.gateway.render"
COMMAND = ("nginx", "-c", "/etc/gpuserve/live/nginx.conf", "-g", "daemon off;")
# Where the role has each part of a gateway; what a box keeps of them nobody reads here.
EMPTY = ("/tmp:mode=1777", "/usage:mode=1777", "/draining", "/engine_keys")


@dataclass(frozen=True)
class DistantBox:
    """A box and the one model that it serves."""

    model: str
    container: str
    network: str
    address: str
    tls: bool

    @property
    def endpoint(self) -> str:
        """Where an edge reaches it."""
        return f"{self.address}:{PORT}"

    def lose_power(self) -> None:
        """Take it off its network: whatever is sent to it vanishes, and nothing comes from it any more."""
        docker("network", "disconnect", "--force", self.network, self.container)

    def pause(self) -> None:
        """Stop all its processes; its kernel goes on acknowledging what comes."""
        docker("pause", self.container)

    def go_on(self) -> None:
        """Let its processes go on."""
        docker("unpause", self.container)


class DistantBoxes(Started):
    """Boxes that serve a model each, from entering to leaving; those named in tls speak TLS, each with a certificate of its own."""

    def __init__(self, models: Iterable[str], tls: Iterable[str] = ()) -> None:
        self.network = f"gpuserve-lab-boxes-{os.getpid()}"
        self._models, self._tls = tuple(models), frozenset(tls)
        super().__init__()
        self.boxes: dict[str, DistantBox] = {}
        self.certificates = ""

    @property
    def edge(self) -> dict[str, Any]:
        """The variables of an edge in front of them."""
        return {
            "gateway_auth": False,
            "gateway_box_certificates": self.certificates,
            "gateway_boxes": [
                {"endpoint": box.endpoint, **({"tls_name": name} if box.tls else {})}
                for name, box in self.boxes.items()
            ],
            "gateway_models": [{"name": name, "endpoints": [box.endpoint]} for name, box in self.boxes.items()],
        }

    def _start_all(self) -> None:
        image = bases.ensure_base(BASE)
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="gpuserve-boxes-")))
        folder.chmod(0o755)
        self._stack.callback(docker, "network", "rm", self.network, check=False)
        docker("network", "create", *labels(), self.network)
        subnet = ipaddress.ip_network(docker("inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", self.network))
        # An engine is a process of this machine: a box without a network has lost it, too.
        ports = {model: FIRST_STUB_PORT + at for at, model in enumerate(self._models)}
        stub = [sys.executable, str(CHECKOUT / "tests/support/gateway/engine_stub.py"), "--address", str(subnet[1])]
        engines = self._stack.enter_context(
            subprocess.Popen([*stub, *(f"{model}={port}" for model, port in ports.items())])
        )
        self._stack.callback(engines.kill)
        for model, port in ports.items():
            live = folder / model
            live.mkdir()
            self._render(live, model, f"{subnet[1]}:{port}")
            name = f"{self.network}-{model}"
            self._stack.callback(docker, "rm", "--force", name, check=False)
            places = [part for place in EMPTY for part in ("--tmpfs", place)]
            given = ["--volume", f"{live}:/etc/gpuserve/live:ro", *places, *labels(), "--network", self.network]
            docker("run", "--detach", "--name", name, *given, image, *COMMAND)
            address = docker(
                "inspect", "--format", f'{{{{(index .NetworkSettings.Networks "{self.network}").IPAddress}}}}', name
            )
            self.boxes[model] = DistantBox(model, name, self.network, address, model in self._tls)

    def _render(self, live: Path, model: str, engine: str) -> None:
        variables = {
            "gateway_models": [{"name": model, "endpoints": [engine], "task": "generate"}],
            "gateway_auth": False,
            "gateway_workers": 1,
            "gateway_tls": "self_signed" if model in self._tls else "off",
        }
        run(["python3", "-m", RENDER, live], stdin=json.dumps(variables), cwd=CHECKOUT)
        if model in self._tls:
            made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
            names = ["-subj", f"/CN={model}", "-addext", f"subjectAltName=DNS:{model}"]
            run(["openssl", "req", "-x509", *made, *names, "-keyout", live / "tls.key", "-out", live / "tls.crt"])
            (live / "tls.key").chmod(0o644)
            self.certificates += (live / "tls.crt").read_text()
