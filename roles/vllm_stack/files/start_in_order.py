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

# So often Docker may start an engine again before that counts as a crash loop, which takes the others' turn.
CRASHES = 2


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


def state_of(container: str) -> tuple[str, int]:
    """What Docker says of a container, and how often Docker itself has started it again; one that is not there has ended."""
    command = ["docker", "inspect", "--format", "{{.State.Status}} {{.RestartCount}}", container]
    status, _space, restarts = (
        subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip().partition(" ")
    )
    return status, int(restarts) if restarts.isdigit() else 0


def start(engine: dict[str, Any], timeout_s: float) -> str:
    """Start one engine and wait for it; why it is not healthy, empty where it is."""
    container = engine["container"]
    if subprocess.run(["docker", "start", container], check=False).returncode != 0:
        return "Docker does not start it"
    why, until = f"not healthy within {timeout_s:.0f} s", time.monotonic() + timeout_s
    before, restarting = state_of(container)[1], 0
    while time.monotonic() < until:
        status, restarts = state_of(container)
        restarting += status == "restarting"
        # One crash may be a device that came late; a start that is only slow never has any.
        if max(restarts - before, restarting) >= CRASHES:
            why = "it crashes over and over"
            break
        if status not in ("running", "restarting"):
            why = "it ended"
            break
        if status == "running" and healthy(engine):
            return ""
        time.sleep(1)
    subprocess.run(["docker", "stop", container], check=False)
    return why


def main(path: str) -> int:
    """Return how many engines did not get healthy."""
    with open(path, encoding="utf-8") as stream:
        wanted = json.load(stream)
    failed = 0
    for engine in wanted["engines"]:
        began = time.monotonic()
        why = start(engine, float(wanted["timeout_s"]))
        state = f"{why}: stopped" if why else "healthy"
        print(f"{engine['container']}: {state} after {time.monotonic() - began:.0f} s", flush=True)
        failed += bool(why)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
