# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gateway that molecule's scenario has made in a box."""

from __future__ import annotations

import subprocess

from ansible_collections.gpuserve.fleet.tests.support.gateway.client import STUBS, Gateway


class Box(Gateway):
    """A gateway that the role made; its stubs are units of systemd."""

    def __init__(self, host: str, box: str) -> None:
        super().__init__(host, "127.0.0.1")
        self.box = box

    def _run(self, *command: str) -> str:
        done = subprocess.run(["docker", "exec", self.box, *command], check=True, capture_output=True, text=True)
        # nginx logs to standard output and complains on the other one.
        return done.stdout + (done.stderr if "logs" in command else "")

    def docker(self, *command: str) -> str:
        """Run Docker's client in the box."""
        return self._run("docker", *("gpuserve-gateway" if part == "CONTAINER" else part for part in command))

    def _unit(self, name: str) -> str:
        return "stub-twin-a" if name == "twin" else f"stub-{name}"

    def start(self, name: str) -> None:
        """Start a stub."""
        self._run("systemctl", "start", self._unit(name))

    def stop(self, name: str) -> None:
        """Stop a stub."""
        self._run("systemctl", "stop", self._unit(name))

    def mark_drained(self, name: str, on: bool) -> None:
        """Make or remove the file that keeps new requests away from a stub."""
        self._run(*(["touch"] if on else ["rm", "-f"]), f"/run/gpuserve/draining/127.0.0.1:{STUBS[name]}")

    def metrics_text(self) -> str:
        """Read the gateway's figures as they are."""
        return self._run("curl", "-sf", f"http://127.0.0.1:{self.metrics_port}/metrics")
