# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Send chat requests at a steady rate to each port in turn, and print the middle and the 99th of a hundred times.

Turns are short and interleaved, so that whatever else the machine does hits every port alike.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time

BODY = json.dumps(
    {"model": "qwen", "messages": [{"role": "user", "content": "Say who you are, in one short sentence."}]}
).encode()


async def one(
    pool: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]], data: bytes, took: list[float]
) -> None:
    """Send one request on a connection that is free."""
    reader, writer = await pool.get()
    begun = time.perf_counter()
    writer.write(data)
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n", 1)[0], head
    length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
    await reader.readexactly(length)
    took.append(time.perf_counter() - begun)
    pool.put_nowait((reader, writer))


async def turn(port: int, key: str, rate: int, seconds: float) -> list[float]:
    """Send requests at a rate for a time."""
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    data = f"{head}Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    pool: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _at in range(32):
        pool.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    took: list[float] = []
    begun = time.perf_counter()
    waiting = []
    for number in range(int(rate * seconds)):
        wait = begun + number / rate - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        waiting.append(asyncio.create_task(one(pool, data, took)))
    await asyncio.gather(*waiting)
    while not pool.empty():
        pool.get_nowait()[1].close()
    return took


async def main() -> None:
    """Take turns and print what they took, a line of JSON a port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--key", default="key-for-everything")
    parser.add_argument("ports", nargs="+", type=int)
    given = parser.parse_args()
    took: dict[int, list[float]] = {port: [] for port in given.ports}
    for _at in range(given.turns):
        for port in given.ports:
            took[port] += await turn(port, given.key, given.rate, given.seconds)
    for port, times in took.items():
        p50, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
        print(
            json.dumps({"port": port, "rate": given.rate, "p50_ms": round(p50 * 1e3, 3), "p99_ms": round(p99 * 1e3, 3)})
        )


if __name__ == "__main__":
    asyncio.run(main())
