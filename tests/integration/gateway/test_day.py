# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A day's life in two minutes: keys come and go, the configuration is loaded anew, an engine and a process of nginx are killed.

No stream is lost that was not cut on purpose, and nothing stays counted.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import resource
import signal
from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.tests.support.gateway.client import KEY, Gateway
from ansible_collections.gpuserve.fleet.tests.support.gateway.container import Container

CHAT = "/v1/chat/completions"
STREAMS, AT_ONCE = 1000, 64
NEW = "key-that-comes-and-goes-0123456789"


class Stream:
    """One client that reads a stream to its end."""

    def __init__(self, gateway: Container, model: str, tokens: int, gap_ms: int, key: str = KEY) -> None:
        body = {"model": model, "stream": True, "max_tokens": tokens, "stub_gap_ms": gap_ms}
        raw = json.dumps(body).encode()
        head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(raw)}\r\n\r\n"
        self.where, self.data, self.tokens = (gateway.host, gateway.port), head.encode() + raw, tokens
        self.seen, self.whole, self.port = 0, False, 0
        self.begun = asyncio.Event()

    async def run(self, opening: asyncio.Semaphore) -> None:
        """Open it, and read on until it ends in whatever way."""
        try:
            async with opening:
                reader, writer = await asyncio.open_connection(*self.where)
                self.port = writer.get_extra_info("sockname")[1]
                writer.write(self.data)
                await reader.readuntil(b"data: {")
            self.seen = 1
            self.begun.set()
            while line := await reader.readline():
                self.seen += line.startswith(b"data: {")
                if line.startswith(b"data: [DONE]"):
                    self.whole = self.seen == self.tokens
                    break
            writer.close()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self.begun.set()


def ports_of(pid: int) -> set[int]:
    """The ports that the other ends of a process's connections have."""
    held = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        target = os.readlink(link)
        if target.startswith("socket:["):
            held.add(target[8:-1])
    found = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[9] in held:
            found.add(int(fields[2].split(":")[1], 16))
    return found


async def load_again(gateway: Container, **changes: object) -> None:
    await asyncio.to_thread(gateway.render, **changes)
    await asyncio.to_thread(gateway.reload)
    await asyncio.to_thread(gateway.wait_until_it_serves)


async def life(gateway: Container) -> None:
    keys = gateway.variables["gateway_keys"]
    new = {"name": "new", "sha256": hashlib.sha256(NEW.encode()).hexdigest(), "max_concurrent": 100}
    opening = asyncio.Semaphore(AT_ONCE)
    streams = [Stream(gateway, "swap", 50, 1000) for _at in range(STREAMS)]
    running = [asyncio.create_task(stream.run(opening)) for stream in streams]
    await asyncio.gather(*(stream.begun.wait() for stream in streams))
    # Keys come and go; whoever's stream runs keeps it.
    await load_again(gateway, gateway_keys=[*keys, new])
    of_new = [Stream(gateway, "swap", 40, 500, NEW) for _at in range(20)]
    running += [asyncio.create_task(stream.run(opening)) for stream in of_new]
    await asyncio.gather(*(stream.begun.wait() for stream in of_new))
    await load_again(gateway, gateway_keys=keys)
    assert (await asyncio.to_thread(gateway.ask, "GET", "/v1/models", None, NEW)).status == 401
    for _at in range(3):
        await asyncio.to_thread(gateway.reload)
        await asyncio.sleep(1)
    # An engine is killed in the middle of its streams; the other one of the model has the next.
    twins = [Stream(gateway, "twin", 100, 200) for _at in range(40)]
    running += [asyncio.create_task(stream.run(opening)) for stream in twins]
    await asyncio.gather(*(stream.begun.wait() for stream in twins))
    cut = await asyncio.to_thread(lambda: int(gateway.stub("twin-b")["running"]))
    await asyncio.to_thread(gateway.stop, "twin-b")
    answers = await asyncio.gather(
        *(asyncio.to_thread(gateway.ask, "POST", CHAT, {"model": "twin"}) for _at in range(20))
    )
    assert [answer.status for answer in answers] == [200] * 20
    await asyncio.to_thread(gateway.start, "twin-b")
    await asyncio.gather(*running)
    assert [stream.whole for stream in (*streams, *of_new)] == [True] * (STREAMS + 20)
    assert 0 < cut < 40
    assert sum(not stream.whole for stream in twins) == cut
    # A process of nginx is killed: its streams end, those of the others don't, and room is made for new ones.
    streams = [Stream(gateway, "swap", 60, 200) for _at in range(200)]
    running = [asyncio.create_task(stream.run(opening)) for stream in streams]
    await asyncio.gather(*(stream.begun.wait() for stream in streams))
    victim = gateway.workers()[0]
    lost = ports_of(victim)
    os.kill(victim, signal.SIGKILL)
    await asyncio.gather(*running)
    assert 0 < sum(stream.port in lost for stream in streams) < len(streams)
    assert {stream.port for stream in streams if not stream.whole} == {
        stream.port for stream in streams if stream.port in lost
    }


def test_a_day_in_two_minutes(gateway: Gateway) -> None:
    if not isinstance(gateway, Container):
        pytest.skip("kills processes: make test-gateway runs this")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        gateway.wait_for(lambda: gateway.up("twin", "twin") == 1 and gateway.up("twin-b", "twin") == 1)
        asyncio.run(asyncio.wait_for(life(gateway), 240))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    gateway.wait_for(lambda: gateway.in_flight() == 0)
    assert all(value >= 0 for value in gateway.metrics().values())
    for model in ("swap", "twin", "qwen", "yi"):
        assert gateway.ask("POST", CHAT, {"model": model}).status == 200
    for line in gateway.lines(300):
        assert isinstance(line["status"], int)
