# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An ordinary account on a box that serves: what it reads, writes and reaches. Needs the standard library alone, on the box.

intruder.py watch FILE      look at all that can be read until FILE is there, then print where a planted secret stood
intruder.py try             try each way in once, and print what came of it, as JSON
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PLANTED = b"planted-"
OURS = ("/opt/gpuserve", "/var/lib/gpuserve", "/run/gpuserve")
# What changes while a run goes on, and then the rest of where something could be left.
MOVING = (*OURS, "/tmp", "/var/tmp", "/dev/shm", "/run/lock")
EVERYWHERE = (*MOVING, "/etc", "/run", "/var/log", "/root", "/var/lib/docker")
# A package's own files are no place of ours, and many.
SKIPPED = ("/opt/gpuserve/venv", "/run/udev", "/etc/ssl", "/home/mallory")
MOST_BYTES = 1 << 20


def files(roots: tuple[str, ...]) -> Iterator[str]:
    """Return every file that this account can see."""
    for root in roots:
        for folder, names, found in os.walk(root):
            names[:] = [name for name in names if os.path.join(folder, name) not in SKIPPED]
            yield from (os.path.join(folder, name) for name in found)


def holds(path: str) -> bool:
    """Tell whether this account reads a planted secret there."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return False
        with open(path, "rb") as file:
            return PLANTED in file.read(MOST_BYTES)
    except OSError:
        return False


def processes() -> Iterator[str]:
    """Return whose command line or environment shows a planted secret."""
    for pid in os.listdir("/proc"):
        if pid.isdigit() and int(pid) != os.getpid():
            for name in ("cmdline", "environ"):
                try:
                    text = Path("/proc", pid, name).read_bytes()
                except OSError:
                    continue
                if PLANTED in text:
                    yield f"{name} of {text[:80].decode(errors='replace')!r}"


def watch(until: str) -> dict[str, Any]:
    """Look again and again."""
    seen: set[str] = set()
    rounds, began = 0, time.monotonic()
    while not os.path.exists(until) and time.monotonic() - began < 900:
        seen.update(path for path in files(OURS) if holds(path))
        seen.update(processes())
        rounds += 1
        if rounds % 20 == 0:
            seen.update(path for path in files(MOVING) if holds(path))
    return {"rounds": rounds, "seen": sorted(seen)}


def outcome(what: Callable[[], object]) -> str:
    """Return what came of an attempt: the name of the error, or that it went through."""
    try:
        what()
    except OSError as error:
        return type(error).__name__
    return "went through"


def writable() -> list[str]:
    """Return what of ours this account could change."""
    found = []
    for root in OURS:
        for folder, names, entries in os.walk(root):
            for path in (folder, *(os.path.join(folder, name) for name in (*names, *entries))):
                if not os.path.islink(path) and os.access(path, os.W_OK):
                    found.append(path)
    return sorted(set(found))


def ask(port: int, path: str) -> int:
    """Ask a port of this host for something without a key."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    line.request("GET", path)
    return line.getresponse().status


def docker() -> None:
    """Speak to Docker."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect("/var/run/docker.sock")


def attempts() -> dict[str, Any]:
    """Try each way in once."""
    lock = "/run/gpuserve/locks"
    return {
        "secrets": sorted(path for path in files(EVERYWHERE) if holds(path)),
        "processes": sorted(processes()),
        "writable": writable(),
        "docker": outcome(docker),
        "lock": outcome(lambda: os.symlink("/root/precious", f"{lock}/GPU.lock")),
        "locks": outcome(lambda: os.listdir(lock)),
        "drain": outcome(lambda: Path("/run/gpuserve/draining/x").touch()),
        "gateway": {path: ask(8000, path) for path in ("/health", "/v1/models")},
        "engine": ask(8001, "/v1/models"),
    }


def main() -> None:
    """Do what is asked for."""
    print(json.dumps(watch(sys.argv[2]) if sys.argv[1] == "watch" else attempts()))


if __name__ == "__main__":
    main()
