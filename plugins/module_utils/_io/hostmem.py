# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's memory: what is there, what a new process can have, what a process holds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path


def meminfo(proc: str = "/proc") -> dict[str, int]:
    """/proc/meminfo in bytes, by name."""
    text = Path(proc, "meminfo").read_text(encoding="ascii")
    return {name: int(kib) * 1024 for name, kib in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}


def proportional_bytes(pids: Iterable[int], proc: str = "/proc") -> int:
    """What these processes hold, shared pages counted by share (PSS); a process that has ended holds nothing."""
    total = 0
    for pid in pids:
        try:
            text = Path(proc, str(pid), "smaps_rollup").read_text(encoding="ascii")
        except OSError:
            continue
        match = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
        total += int(match.group(1)) * 1024 if match else 0
    return total
