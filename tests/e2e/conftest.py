# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One box for the whole end-to-end run: bare at first, then served by the real playbook, gone at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
LAB = CHECKOUT / "tests" / "support" / "lab" / "lab"
# A demonstration that a user has running stays as it is: this is another box, on another port.
ENVIRONMENT = {
    **os.environ,
    "GPUSERVE_DEMO": "e2e",
    "DEMO_PORT": "18000",
    "ANSIBLE_NOCOLOR": "1",
    "NO_COLOR": "1",
    "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
}


@dataclass(frozen=True)
class Run:
    """A command that has ended."""

    code: int
    text: str
    seconds: float

    def recap(self) -> dict[str, int]:
        """Return the counts of ansible's last lines for our host."""
        line = next(
            line for line in reversed(self.text.splitlines()) if line.startswith("demo ") and "changed=" in line
        )
        return {
            name: int(count) for name, _sign, count in (part.partition("=") for part in line.split(":", 1)[1].split())
        }


def command(*argv: str | Path, timeout_s: float = 1500, settings: dict[str, str] | None = None) -> Run:
    """Run a command from the checkout and show what it said."""
    started = time.monotonic()
    done = subprocess.run(
        [str(part) for part in argv],
        cwd=CHECKOUT,
        env={**ENVIRONMENT, **(settings or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    print(done.stdout)
    return Run(done.returncode, done.stdout, time.monotonic() - started)


def play(*arguments: str, variables: dict[str, Any] | None = None, **settings: str) -> Run:
    """Run site.yml against the box, as a user would."""
    extra = ["-e", json.dumps(variables)] if variables else []
    return command("ansible-playbook", "-i", "inventories/demo", "site.yml", *arguments, *extra, settings=settings)


@dataclass(frozen=True)
class Box:
    """The box under test."""

    container: str
    url: str
    key_file: Path

    @property
    def key(self) -> str:
        """Return the key that the play wrote down for its clients."""
        return self.key_file.read_text().strip()

    def run(self, *argv: str) -> str:
        """Run a command in the box and return what it printed."""
        done = subprocess.run(["docker", "exec", self.container, *argv], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def started(self) -> dict[str, str]:
        """Return when each container of the box started."""
        ids = self.run("docker", "ps", "-aq").split()
        form = "{{.Name}} {{.State.StartedAt}}"
        rows = self.run("docker", "inspect", "--format", form, *ids).splitlines() if ids else []
        return dict(row.lstrip("/").split(" ", 1) for row in rows)

    def fingerprint(self) -> str:
        """Return what must not differ where nothing was changed: packages, our folders, units, Docker's state."""
        script = (
            "dpkg-query -W | sha256sum; ls -d /opt/gpuserve /var/lib/gpuserve /etc/docker/daemon.json 2>&1;"
            " ls /etc/apt/sources.list.d /etc/systemd/system; command -v docker; docker ps -aq 2>/dev/null; true"
        )
        return self.run("sh", "-c", script)


@pytest.fixture(scope="session")
def box() -> Iterator[Box]:
    """Make a bare box with images and models at hand, and take it away in the end."""
    command(LAB, "demo", "down")
    made = subprocess.run(
        [LAB, "demo", "prepare"], cwd=CHECKOUT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, check=False
    )
    assert made.returncode == 0, "the box could not be made; what the lab said stands above"
    hostvars = json.loads(made.stdout)
    key_file = Path(hostvars["gateway_key_dir"]) / "demo"
    yield Box(hostvars["gpuserve_demo_box"], hostvars["gpuserve_demo_url"], key_file)
    if os.environ.get("GPUSERVE_KEEP") != "1":
        command(LAB, "demo", "down")
