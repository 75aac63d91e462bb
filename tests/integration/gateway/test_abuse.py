# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one sender can do to all others: bodies that are large, many, unfinished, hard to read; processes that end."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.tests.support.gateway.client import KEY, Gateway
from ansible_collections.gpuserve.fleet.tests.support.gateway.container import Container
from ansible_collections.gpuserve.fleet.tests.support.gateway.hostile import SIZE, WORST, WORST_FORM, Held

CHAT = "/v1/chat/completions"


@pytest.fixture
def here(gateway: Gateway) -> Container:
    """The gateway, where its processes can be looked at and ended."""
    if not isinstance(gateway, Container):
        pytest.skip("looks at processes: make test-gateway runs these")
    return gateway


def test_a_key_at_its_limit_holds_no_more_bodies_than_it_may(here: Container) -> None:
    before = here.memory_mib()
    held = Held(here.host, here.port, 40, "key-that-is-narrow")
    try:
        assert held.refused() == 38
        assert here.memory_mib() - before < 128
        # Nobody else waits for it.
        assert here.ask("POST", CHAT, {"model": "qwen"}).status == 200
        assert here.ask("POST", CHAT, {"model": "qwen"}, key="key-that-is-narrow").status == 429
    finally:
        held.drop()
    here.wait_for(lambda: here.ask("POST", CHAT, {"model": "qwen"}, key="key-that-is-narrow").status == 200)
    here.wait_for(lambda: here.memory_mib() - before < 16)


def test_bodies_under_way_hold_no_more_bytes_than_they_may(here: Container) -> None:
    """Without any limit of its own: 128 MiB a key, 256 MiB together."""
    before = here.memory_mib()
    first, second, third = (Held(here.host, here.port, 10, key) for key in (KEY, "key-that-lasts", "key-that-is-slow"))
    try:
        assert first.refused() == 10 - (128 << 20) // SIZE
        assert second.refused() == 10 - (128 << 20) // SIZE
        assert third.refused() == 10
        assert here.memory_mib() - before < 300
    finally:
        for held in (first, second, third):
            held.drop()
    here.wait_for(lambda: here.ask("POST", CHAT, WORST["string"]).status == 200)


def test_a_body_that_is_packed_counts_as_the_largest_until_it_is_here(here: Container) -> None:
    """16 KiB can be 16 MiB: a hundred of them filled the memory that bodies lie in, and counted for nothing."""
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Encoding: gzip\r\n"
    packed = gzip.compress(b'{"model": "qwen"}')
    held = []
    for _at in range(5):
        connection = socket.create_connection((here.host, here.port), timeout=5)
        connection.sendall(f"{head}Content-Length: {len(packed)}\r\n\r\n".encode() + packed[:5])
        held.append(connection)
    assert held[4].recv(64).startswith(b"HTTP/1.1 429")
    held[0].sendall(packed[5:])
    assert held[0].recv(64).startswith(b"HTTP/1.1 200")
    for connection in held:
        connection.close()
    here.wait_for(lambda: here.ask("POST", CHAT, {"model": "qwen"}).status == 200)


def test_a_body_that_is_changed_lies_there_once(here: Container) -> None:
    """Its first form stayed in memory until its stream had ended."""
    here.wait_for(lambda: here.in_flight() == 0)
    before = here.memory_mib()
    body = {
        "model": "Qwen/Qwen2.5-3B-Instruct",
        "stream": True,
        "max_tokens": 200,
        "stub_gap_ms": 50,
        "x": "x" * 30_000_000,
    }
    connection = http.client.HTTPConnection(here.host, here.port, timeout=60)
    connection.request("POST", CHAT, json.dumps(body), {"Authorization": f"Bearer {KEY}"})
    connection.getresponse().readline()
    assert here.memory_mib() - before < 45
    connection.close()
    here.wait_for(lambda: here.in_flight() == 0)


def test_a_body_without_a_length_counts_as_the_largest_until_it_is_here(here: Container) -> None:
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nTransfer-Encoding: chunked\r\n\r\n"
    held = []
    for _at in range(5):
        connection = socket.create_connection((here.host, here.port), timeout=5)
        connection.sendall(head.encode() + b"5\r\n     \r\n")
        held.append(connection)
    held[4].settimeout(5)
    assert held[4].recv(64).startswith(b"HTTP/1.1 429")
    body = b'{"model": "qwen"}'
    held[0].sendall(f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")
    held[0].settimeout(5)
    assert held[0].recv(64).startswith(b"HTTP/1.1 200")
    for connection in held:
        connection.close()
    here.wait_for(lambda: here.ask("POST", CHAT, {"model": "qwen"}).status == 200)


@pytest.fixture
def stream(here: Container) -> Iterator[list[float]]:
    """Streams that run meanwhile; the worst that any of their tokens was late by, in seconds."""
    late: list[float] = []
    ended = threading.Event()

    def follow() -> None:
        connection = http.client.HTTPConnection(here.host, here.port, timeout=60)
        # Of another engine: what reading the body takes its stub is not what is asked here.
        body = {"model": "twin", "stream": True, "max_tokens": 100_000, "stub_gap_ms": 20}
        connection.request("POST", CHAT, json.dumps(body), {"Authorization": f"Bearer {KEY}"})
        reply = connection.getresponse()
        while not ended.is_set():
            line = reply.readline()
            if line.startswith(b"data: {"):
                late.append((time.monotonic_ns() - json.loads(line[6:])["stub_sent_ns"]) / 1e9)
        connection.close()

    # Some for each of nginx's processes.
    threads = [threading.Thread(target=follow) for _at in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    late.clear()
    yield late
    ended.set()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("name", WORST)
def test_no_body_stops_a_stream(here: Container, stream: list[float], name: str) -> None:
    """The aim is 50 ms (make bench-gateway says it). It was 3.6 to 7.2 s, at every try.

    The best of three: what else a test machine does holds up this or that one.
    """
    worst = []
    for _at in range(3):
        stream.clear()
        assert here.ask("POST", CHAT, WORST[name]).status == 200
        assert len(stream) > 20
        worst.append(max(stream))
        if worst[-1] < 0.3:
            break
    assert min(worst) < 0.3


@pytest.mark.parametrize("kind", ["form", "gzip"])
def test_no_other_body_stops_a_stream(here: Container, stream: list[float], kind: str) -> None:
    """A form of 990 heads that are long to read stopped all others of its process for 11 s."""
    packed = gzip.compress(WORST["lists"], 1)
    worst = []
    for _at in range(3):
        stream.clear()
        if kind == "form":
            path = "/v1/audio/transcriptions"
            answer = here.ask("POST", path, WORST_FORM, Content_Type="multipart/form-data; boundary=b")
        else:
            answer = here.ask("POST", CHAT, packed, Content_Encoding="gzip")
        assert (answer.status, answer.headers.get("x-stub-model")) == (200, "qwen")
        time.sleep(0.3)
        worst.append(max(stream))
        if worst[-1] < 0.3:
            break
    assert min(worst) < 0.3


def test_no_body_stays_in_memory(here: Container) -> None:
    here.ask("POST", CHAT, WORST["lists"])
    before = here.memory_mib()
    for _at in range(4):
        for name in ("lists", "objects", "members"):
            assert here.ask("POST", CHAT, WORST[name]).status == 200
    here.wait_for(lambda: here.memory_mib() - before < 32)


def open_streams(gateway: Gateway, number: int, model: str, **more: Any) -> list[http.client.HTTPConnection]:
    opened = []
    for _at in range(number):
        connection = http.client.HTTPConnection(gateway.host, gateway.port, timeout=60)
        body = {"model": model, "stream": True, "max_tokens": 2000, "stub_gap_ms": 50, **more}
        connection.request("POST", CHAT, json.dumps(body), {"Authorization": f"Bearer {more.get('key', KEY)}"})
        reply = connection.getresponse()
        assert reply.status == 200
        reply.readline()
        opened.append(connection)
    return opened


def test_what_a_killed_process_counted_is_counted_no_more(here: Container) -> None:
    """As the kernel does it when memory is short: no process of nginx has a last word."""
    here.wait_for(lambda: here.in_flight() == 0)
    streams = open_streams(here, 3, "yi") + open_streams(here, 2, "twin", key="key-that-is-narrow")
    assert here.in_flight() == 5
    assert here.ask("POST", CHAT, {"model": "yi"}).status == 429
    assert here.ask("POST", CHAT, {"model": "qwen"}, key="key-that-is-narrow").status == 429
    for worker in here.workers():
        os.kill(worker, signal.SIGKILL)
    for connection in streams:
        connection.close()
    here.wait_for(lambda: here.ask("POST", CHAT, {"model": "yi"}).status == 200, 5)
    here.wait_for(lambda: here.ask("POST", CHAT, {"model": "qwen"}, key="key-that-is-narrow").status == 200, 5)
    here.wait_for(lambda: here.in_flight() == 0)
    here.reload()
    here.wait_for(lambda: here.in_flight() == 0)
    assert [here.ask("POST", CHAT, {"model": "yi"}).status for _at in range(3)] == [200] * 3


def test_a_stream_that_outlives_a_reload_stays_counted_until_it_ends(here: Container) -> None:
    streams = open_streams(here, 3, "yi")
    here.reload()
    here.wait_for(lambda: here.ask("POST", CHAT, {"model": "qwen"}).status == 200)
    time.sleep(1.5)
    assert here.ask("POST", CHAT, {"model": "yi"}).status == 429
    for connection in streams:
        connection.close()
    here.wait_for(lambda: here.ask("POST", CHAT, {"model": "yi"}).status == 200, 5)
    here.wait_for(lambda: here.in_flight() == 0)
    assert all(value >= 0 for value in here.metrics().values())


def test_requests_that_are_dropped_anywhere_leave_nothing_counted(here: Container) -> None:
    """Clients that leave in the head, in the body, before the answer, within it."""
    body = json.dumps({"model": "qwen", "stream": True, "max_tokens": 50, "stub_delay_ms": 300}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key-that-is-narrow\r\nContent-Length: {len(body)}\r\n\r\n"
    whole = head.encode() + body
    for cut in (5, len(head) - 1, len(head) + 3, len(whole), len(whole)):
        for wait_s in (0.0, 0.05, 0.2):
            with socket.create_connection((here.host, here.port), timeout=5) as connection:
                connection.sendall(whole[:cut])
                time.sleep(wait_s)
    here.wait_for(lambda: here.in_flight() == 0)
    threads: list[threading.Thread] = []
    statuses: list[int] = []

    def ask() -> None:
        body = {"model": "qwen", "stub_delay_ms": 500}
        statuses.append(here.ask("POST", CHAT, body, key="key-that-is-narrow").status)

    for _at in range(2):
        threads.append(threading.Thread(target=ask))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200, 200]
