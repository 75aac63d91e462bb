# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An ordinary account on a box that serves: what it reads, writes and reaches. Needs the standard library alone, on the box.

intruder.py watch FILE      look at all that can be read until FILE is there, then print where a planted secret stood; while FILE.squat is
                            there, listen where a surge instance would
intruder.py ask FILE KEYS   be an ordinary client with the key in the file KEYS until FILE is there, then print what was not answered
intruder.py try             try each way in once, and print what came of it, as JSON
intruder.py inside PLACE... be a model's code in its engine's container: print what HOST:PORT are reached, and what of others is seen
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
from functools import partial
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
SURGE_PORT = 9001


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


class Squatter:
    """A listener where a surge instance would be, if engines were on ports; what came is kept."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self._listening: socket.socket | None = None

    def receive(self) -> None:
        """Take what came since."""
        if self._listening is None:
            self._listening = socket.create_server(("127.0.0.1", SURGE_PORT))
            self._listening.setblocking(False)
        try:
            connection = self._listening.accept()[0]
        except BlockingIOError:
            return
        with connection:
            connection.settimeout(1)
            self.heard.append(connection.recv(4096).decode(errors="replace"))


def watch(until: str) -> dict[str, Any]:
    """Look again and again, and listen at a surge instance's port from when a file says so."""
    seen: set[str] = set()
    squatter = Squatter()
    rounds, began = 0, time.monotonic()
    while not os.path.exists(until) and time.monotonic() - began < 1500:
        seen.update(path for path in files(OURS) if holds(path))
        seen.update(processes())
        if os.path.exists(f"{until}.squat"):
            squatter.receive()
        rounds += 1
        # Often enough to meet a moment of some milliseconds, and no more than half a processor.
        time.sleep(0.02)
        if rounds % 20 == 0:
            seen.update(path for path in files(MOVING) if holds(path))
    return {"rounds": rounds, "seen": sorted(seen), "heard": squatter.heard}


def ask_on(until: str, key_file: str) -> dict[str, Any]:
    """Ask for tokens with a key of the gateway until a file is there, as a client does who knows nothing of runs."""
    key = Path(key_file).read_text(encoding="utf-8").strip()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    body = json.dumps({"model": "tinyllama", "prompt": [1], "max_tokens": 1})
    asked, lost, began = 0, [], time.monotonic()
    while not os.path.exists(until) and time.monotonic() - began < 1500:
        asked += 1
        line = http.client.HTTPConnection("127.0.0.1", 8000, timeout=30)
        try:
            line.request("POST", "/v1/completions", body, headers)
            answer = line.getresponse()
            if answer.status != 200:
                lost.append(f"{time.time():.1f} {answer.status} {answer.read(300).decode(errors='replace')}")
        except (OSError, http.client.HTTPException) as error:
            lost.append(f"{time.time():.1f} {error!r}")
        finally:
            line.close()
        time.sleep(0.1)
    return {"asked": asked, "lost": lost}


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


def figures() -> list[str]:
    """Return what of the gateway's figures shows a planted secret."""
    line = http.client.HTTPConnection("127.0.0.1", 9401, timeout=5)
    line.request("GET", "/metrics")
    lines = line.getresponse().read().splitlines()
    return [one.decode() for one in lines if PLANTED in one] if len(lines) > 10 else ["there are none"]


def connect(path: str) -> None:
    """Speak to who listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(path)


def attempts() -> dict[str, Any]:
    """Try each way in once."""
    lock = "/run/gpuserve/locks"
    return {
        "secrets": sorted(path for path in files(EVERYWHERE) if holds(path)),
        "processes": sorted(processes()),
        "writable": writable(),
        "docker": outcome(lambda: connect("/var/run/docker.sock")),
        "socket": outcome(lambda: connect("/run/gpuserve/engines/sockets/tinyllama/http")),
        "place": outcome(lambda: os.mkdir("/run/gpuserve/engines/sockets/tinyllama-surge")),
        "kept": outcome(lambda: os.listdir("/opt/gpuserve/stack/proved")),
        "port": outcome(lambda: socket.create_server(("127.0.0.1", 8001))),
        "lock": outcome(lambda: os.symlink("/root/precious", f"{lock}/GPU.lock")),
        "locks": outcome(lambda: os.listdir(lock)),
        "drain": outcome(lambda: Path("/run/gpuserve/draining/x").touch()),
        "gateway": {path: ask(8000, path) for path in ("/health", "/v1/models")},
        "engine": ask(8001, "/v1/models"),
        "figures": figures(),
    }


def inside(*places: str) -> dict[str, Any]:
    """Try from within an engine's container what a model's code could."""
    return {
        "networks": sorted(os.listdir("/sys/class/net")),
        # A place that refuses is one that was reached.
        "reached": {place: outcome(partial(_reach, place)) for place in places},
        "ours": sorted(name for _folder, names, found in os.walk("/run/gpuserve") for name in (*names, *found)),
        "docker": outcome(lambda: connect("/var/run/docker.sock")),
        "weights": outcome(lambda: Path("/srv/models/sibling/x").touch()),
        # Opened and not written: where that goes through, it is a real kernel's.
        "kernel": outcome(lambda: open("/proc/sys/kernel/core_pattern", "r+b").close()),
    }


def _reach(place: str) -> None:
    host, _, port = place.rpartition(":")
    socket.create_connection((host, int(port)), timeout=3).close()


def main() -> None:
    """Do what is asked for."""
    todo: dict[str, Callable[..., dict[str, Any]]] = {
        "watch": watch,
        "ask": ask_on,
        "try": attempts,
        "inside": inside,
    }
    print(json.dumps(todo[sys.argv[1]](*sys.argv[2:])))


if __name__ == "__main__":
    main()
