# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read listeners, memory and clock of a host from procfs and systemd."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.text import harmless
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.listeners import read

Run = Callable[[list[str]], tuple[int, str, str]]

_SOCKET = re.compile(r"^socket:\[(\d+)\]$")


def listeners(files: HostFiles, ports: Sequence[int], containers: Sequence[str] = ()) -> dict[int, str]:
    """Name who listens on the wanted ports, "ours" for processes in containers of ours."""
    inodes = {one.inode: one.port for one in read(files) if one.port in ports}
    found = dict.fromkeys(inodes.values(), "a process we can't see")
    if not inodes:
        return found
    for pid in files.names("/proc"):
        if not pid.isdigit():
            continue
        for number in files.names(f"/proc/{pid}/fd"):
            match = _SOCKET.match(files.link(f"/proc/{pid}/fd/{number}") or "")
            if match and match.group(1) in inodes:
                name = harmless((files.read(f"/proc/{pid}/comm") or "").strip())
                groups = files.read(f"/proc/{pid}/cgroup") or ""
                mine = any(container in groups for container in containers)
                found[inodes[match.group(1)]] = "ours" if mine else f"{name} (pid {pid})"
    return found


def resolves(name: str) -> bool:
    """Ask the resolver."""
    try:
        socket.getaddrinfo(name, 443)
    except OSError:
        return False
    return True


def interface_of(address: str, run: Run) -> str:
    """Name the interface that has an address; empty where none has."""
    status, out, _err = run(["ip", "-o", "addr", "show", "to", address])
    words = out.split()
    return words[1].partition("@")[0] if status == 0 and len(words) > 1 else ""


def ram_bytes(files: HostFiles) -> int:
    """Read how much memory the host has."""
    match = re.search(r"^MemTotal:\s+(\d+) kB", files.read("/proc/meminfo") or "", re.MULTILINE)
    return int(match.group(1)) * 1024 if match else 0


def time_synchronised(files: HostFiles, run: Run) -> bool | None:
    """Ask systemd whether the clock is kept; None where nobody can say."""
    if files.exists("/run/systemd/timesync/synchronized"):
        return True
    status, out, _err = run(["timedatectl", "show", "-p", "NTPSynchronized", "--value"])
    answers = {"yes": True, "no": False}
    return answers.get(out.strip()) if status == 0 else None
