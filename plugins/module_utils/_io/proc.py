# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's memory and processes: what is there, what a new process can have, what a process holds and is called."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.text import harmless


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


def process_tree(pid: int, proc: str = "/proc") -> list[int]:
    """A process and everything that it has started, as this namespace numbers them."""
    found, open_pids = [], [pid]
    while open_pids:
        parent = open_pids.pop()
        found.append(parent)
        tasks = f"{proc}/{parent}/task"
        # An engine has hundreds of threads, and is looked at every second: pathlib's glob takes five times as long.
        for thread in _names(tasks):
            try:
                with open(f"{tasks}/{thread}/children", encoding="ascii") as children:
                    open_pids += [int(child) for child in children.read().split()]
            except OSError:
                continue
    return found


def read_bytes(pids: Iterable[int], proc: str = "/proc") -> int:
    """What these processes have read since their start, from files and pipes, cached or not."""
    total = 0
    for pid in pids:
        try:
            text = Path(proc, str(pid), "io").read_text(encoding="ascii")
        except OSError:
            continue
        match = re.search(r"^rchar: (\d+)", text, re.MULTILINE)
        total += int(match.group(1)) if match else 0
    return total


def received_bytes(pid: int, proc: str = "/proc") -> int:
    """What the network of a process has received, but for loopback."""
    try:
        text = Path(proc, str(pid), "net/dev").read_text(encoding="ascii")
    except OSError:
        return 0
    rows = re.findall(r"^\s*(\S+):\s*(\d+)", text, re.MULTILINE)
    return sum(int(size) for name, size in rows if name != "lo")


def command_of(pid: int) -> str:
    """The name of a process, as ps shows it."""
    try:
        return harmless(Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip())
    except OSError:
        return "ended by now"


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
