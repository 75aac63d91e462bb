# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run of a playbook from this checkout, and what it cost the controller."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAM = Path(sys.executable).with_name("ansible-playbook")


@dataclass(frozen=True)
class Cost:
    """What a run cost its controller: seconds that passed, those of its processors, and the most MiB that one of its processes took."""

    seconds: float
    processor_s: float
    most_mib: float


def playbook(path: Path, inventory: Path, environment: Mapping[str, str], *words: str) -> tuple[Cost, str]:
    """Run a playbook; return what it cost, and what it said."""
    always = {"ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "HF_HUB_OFFLINE": "1", "ANSIBLE_NOCOLOR": "1"}
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(
            [str(PROGRAM), "-i", str(inventory), str(path), *words],
            cwd=CHECKOUT,
            env={**os.environ, **always, **environment},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        # The use of this child alone, and of what it waited for: its own workers.
        _pid, status, used = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - began
        said.seek(0)
        text = said.read()
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{path.name} failed ({child.returncode}):\n{text[-4000:]}")
    return Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024), text


def unchanged(text: str) -> int:
    """Return on how many hosts a run changed nothing, by its recap."""
    return text.rpartition("PLAY RECAP")[2].count("changed=0 ")
