# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one sender's bodies do to others in the bench: to a stream beside the worst of them, to the gateway's memory."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ansible_collections.gpuserve.fleet.tests.support.gateway.hostile import CHAT, WORST, Held

KEY, NARROW = "key-for-everything", "key-that-is-narrow"
STREAMS, BODIES = 4, 40


def worst_gap_ms(port: int) -> float:
    """Follow streams while each of the worst bodies is read in turn; return the most that a token came late."""
    late: list[float] = []
    ended = threading.Event()

    def follow() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        body = {"model": "slow", "stream": True, "max_tokens": 100_000, "stub_gap_ms": 20}
        connection.request("POST", CHAT, json.dumps(body), {"Authorization": f"Bearer {KEY}"})
        reply = connection.getresponse()
        while not ended.is_set():
            line = reply.readline()
            if line.startswith(b"data: {"):
                late.append((time.monotonic_ns() - json.loads(line[6:])["stub_sent_ns"]) / 1e6)
        connection.close()

    threads = [threading.Thread(target=follow) for _at in range(STREAMS)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    late.clear()
    for body in WORST.values():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", CHAT, body, {"Authorization": f"Bearer {KEY}"})
        if connection.getresponse().status != 200:
            raise RuntimeError("the gateway refused a body that is only large")
        connection.close()
    ended.set()
    for thread in threads:
        thread.join()
    return max(late)


def in_tmp_mib(pid: int) -> float:
    """Return what lies in the container's /tmp, which is memory."""
    held = 0
    for file in Path(f"/proc/{pid}/root/tmp").rglob("*"):
        try:
            held += file.stat().st_blocks * 512
        except OSError:
            continue
    return held / (1 << 20)


def peak_mib(port: int, pid: int, memory_mib: Callable[[int], float]) -> float:
    """Hold unfinished bodies of a key that may send two at once; return the most that the gateway held meanwhile."""
    most = 0.0
    ended = threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.is_set():
            most = max(most, memory_mib(pid) + in_tmp_mib(pid))
            time.sleep(0.05)

    watching = threading.Thread(target=watch)
    watching.start()
    held = Held("127.0.0.1", port, BODIES, NARROW)
    refused = held.refused()
    time.sleep(1)
    ended.set()
    watching.join()
    held.drop()
    if refused != BODIES - 2:
        raise RuntimeError(f"{refused} of {BODIES} bodies were refused, two may stay")
    return most
