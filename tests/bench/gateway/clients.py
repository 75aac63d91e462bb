# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What clients do in the bench: requests at a steady rate, single streams, many streams at once."""

from __future__ import annotations

import asyncio
import gc
import json
import time

KEY = "key-for-everything"
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def request(body: dict[str, object]) -> bytes:
    """Return a chat request as it goes over the wire."""
    raw = json.dumps(
        {"messages": [{"role": "user", "content": "Say who you are, in one short sentence."}], **body}
    ).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw


async def steady(port: int, rate: float, seconds: float) -> list[float]:
    """Send requests at a rate for a time, on 32 connections, and return how long each took."""
    data = request({"model": "qwen"})
    pool: asyncio.Queue[Connection] = asyncio.Queue()
    for _at in range(32):
        pool.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    took: list[float] = []

    async def one() -> None:
        reader, writer = await pool.get()
        begun = time.perf_counter()
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise RuntimeError(f"port {port} answered {head[:80]!r}")
        await reader.readexactly(int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]))
        took.append(time.perf_counter() - begun)
        pool.put_nowait((reader, writer))

    # The client's own pauses are nobody's latency.
    gc.disable()
    begun = time.perf_counter()
    waiting = []
    for number in range(int(rate * seconds)):
        wait = begun + number / rate - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        waiting.append(asyncio.create_task(one()))
    await asyncio.gather(*waiting)
    gc.enable()
    while not pool.empty():
        pool.get_nowait()[1].close()
    return took


async def first_tokens(port: int, number: int) -> list[float]:
    """Open streams one after the other and return how long each had its first token under way."""
    data = request({"model": "slow", "stream": True, "max_tokens": 2, "stub_gap_ms": 1})
    took = []
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _at in range(number):
        begun = time.perf_counter()
        writer.write(data)
        await reader.readuntil(b"data: {")
        took.append(time.perf_counter() - begun)
        await reader.readuntil(b"data: [DONE]\n\n")
        # The end of a chunked answer.
        await reader.readuntil(b"0\r\n\r\n")
    writer.close()
    return took


async def one_stream(port: int, tokens: int, gap_ms: int, opened: asyncio.Semaphore) -> bool:
    """Read a stream to its end; tell whether every token came."""
    data = request({"model": "slow", "stream": True, "max_tokens": tokens, "stub_gap_ms": gap_ms})
    try:
        async with opened:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data)
            await reader.readuntil(b"data: {")
        seen = 1
        while line := await reader.readline():
            seen += line.startswith(b"data: {")
            if line.startswith(b"data: [DONE]"):
                writer.close()
                return seen == tokens
    except (OSError, asyncio.IncompleteReadError):
        pass
    return False


async def streams(port: int, number: int, seconds: int) -> int:
    """Hold many streams open, a token a second each, and return how many were lost."""
    # Not all of them at the very same moment: that would measure the backlog of a socket.
    opened = asyncio.Semaphore(64)
    ended = await asyncio.gather(*(one_stream(port, seconds, 1000, opened) for _at in range(number)))
    return number - sum(ended)
