# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a boot: start engines that size their own caches one after the other, each once the one before is healthy.

Started by gpuserve-stack.service with a file {"timeout_s": 1800, "engines": [{"container", "port", "socket"}]}. Only containers that
are there already are started, none is made. One that does not get healthy is stopped, so that it disturbs nobody, and the next has
its turn.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from typing import Any


def healthy(engine: dict[str, Any]) -> bool:
    """Whether /health answers 200, at the engine's port or its socket."""
    connection = http.client.HTTPConnection("127.0.0.1", int(engine["port"]), timeout=5)
    try:
        if "socket" in engine:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(5)
            connection.sock.connect(engine["socket"])
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def running(container: str) -> bool:
    """Whether the container runs; one that is not there does not."""
    command = ["docker", "inspect", "--format", "{{.State.Running}}", container]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() == "true"


def start(engine: dict[str, Any], timeout_s: float) -> bool:
    """Start one engine and wait for it."""
    container = engine["container"]
    if subprocess.run(["docker", "start", container], check=False).returncode != 0:
        return False
    until = time.monotonic() + timeout_s
    while time.monotonic() < until and running(container):
        if healthy(engine):
            return True
        time.sleep(1)
    subprocess.run(["docker", "stop", container], check=False)
    return False


def main(path: str) -> int:
    """Return how many engines did not get healthy."""
    with open(path, encoding="utf-8") as stream:
        wanted = json.load(stream)
    failed = 0
    for engine in wanted["engines"]:
        began = time.monotonic()
        good = start(engine, float(wanted["timeout_s"]))
        state = "healthy" if good else "not healthy, stopped"
        print(f"{engine['container']}: {state} after {time.monotonic() - began:.0f} s", flush=True)
        failed += not good
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
