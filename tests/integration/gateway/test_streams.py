# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Streams, limits, replicas, figures and the log."""

from __future__ import annotations

import http.client
import itertools
import json
import statistics
import threading
import time
from typing import Any

CHAT = "/v1/chat/completions"
KEY = "key-for-everything"


def open_stream(gateway: Any, **body: Any) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(gateway.host, gateway.port, timeout=60)
    raw = json.dumps({"model": "qwen", "stream": True, **body})
    connection.request("POST", CHAT, raw, {"Authorization": f"Bearer {KEY}"})
    return connection, connection.getresponse()


def events(reply: http.client.HTTPResponse) -> list[tuple[int, int]]:
    """When each token left the engine and when it arrived; fails unless the stream came to its end."""
    times = []
    while line := reply.readline():
        if line.startswith(b"data: {"):
            times.append((json.loads(line[6:])["stub_sent_ns"], time.monotonic_ns()))
        elif line.startswith(b"data: [DONE]"):
            return times
    raise AssertionError(f"the stream broke off after {len(times)} tokens")


def test_tokens_leave_one_by_one(gateway: Any) -> None:
    """Gaps in are gaps out, within 5 ms for the middle one: box and tests share one clock.

    The middle one, because a busy test machine may hold up any single token for longer than that.
    """
    _connection, reply = open_stream(gateway, max_tokens=20, stub_gap_ms=50)
    assert reply.getheader("content-type", "").startswith("text/event-stream")
    assert reply.getheader("content-encoding") is None
    times = events(reply)
    assert len(times) == 20
    off = [abs((late[1] - early[1]) - (late[0] - early[0])) / 1e6 for early, late in itertools.pairwise(times)]
    assert statistics.median(off) <= 5
    # Nothing was held back: a buffered stream would come all at once.
    assert (times[-1][1] - times[0][1]) / 1e6 > 19 * 50 * 0.8


def test_a_client_that_leaves_stops_the_engine(gateway: Any) -> None:
    aborted = gateway.stub("qwen")["aborted"]
    connection, reply = open_stream(gateway, max_tokens=1000, stub_gap_ms=20)
    reply.readline()
    reply.close()
    connection.close()
    gateway.wait_for(lambda: gateway.stub("qwen")["aborted"] == aborted + 1)
    gateway.wait_for(lambda: gateway.stub("qwen")["running"] == 0)


def test_a_reload_drops_no_stream(gateway: Any) -> None:
    lengths: list[int] = []
    replies = [open_stream(gateway, max_tokens=60, stub_gap_ms=50) for _at in range(20)]
    readers = [threading.Thread(target=lambda r=reply: lengths.append(len(events(r)))) for _c, reply in replies]
    for reader in readers:
        reader.start()
    workers = gateway.workers()
    for _at in range(3):
        gateway.reload()
        time.sleep(0.4)
        assert gateway.ask("POST", CHAT, {"model": "yi"}).status in (200, 429)
    assert gateway.workers() != workers
    for reader in readers:
        reader.join(60)
    assert lengths == [60] * 20


def together(gateway: Any, number: int, key: str, model: str) -> list[Any]:
    """Send requests at once that take a second each."""
    answers: list[Any] = []

    def one() -> None:
        answers.append(gateway.ask("POST", CHAT, {"model": model, "stub_delay_ms": 3000}, key=key))

    threads = [threading.Thread(target=one) for _at in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def refused(answers: list[Any]) -> int:
    too_many = [answer for answer in answers if answer.status == 429]
    for answer in too_many:
        assert answer.code == "rate_limit_exceeded"
        assert int(answer.headers["retry-after"]) >= 1
    assert len(too_many) + sum(answer.status == 200 for answer in answers) == len(answers)
    return len(too_many)


def test_a_model_s_queue_is_as_long_as_its_engine_can_work_off(gateway: Any) -> None:
    # One sequence at a time, and two that wait (gateway_queue_factor).
    assert refused(together(gateway, 8, KEY, "yi")) == 5


def test_a_key_s_requests_under_way(gateway: Any) -> None:
    assert refused(together(gateway, 6, "key-that-is-narrow", "qwen")) == 4
    assert refused(together(gateway, 6, KEY, "qwen")) == 0


def test_a_key_s_requests_a_minute(gateway: Any) -> None:
    # Twelve a minute: one and a sixth of a minute's at once, then one every five seconds.
    answers = [gateway.ask("POST", CHAT, {"model": "qwen"}, key="key-that-is-slow") for _at in range(8)]
    assert refused(answers) == 5
    assert {answer.headers["retry-after"] for answer in answers if answer.status == 429} == {"5"}


def test_an_engine_s_own_refusal_passes_as_it_is(gateway: Any) -> None:
    answer = gateway.ask("POST", CHAT, {"model": "qwen", "stub_status": 429})
    assert (answer.status, answer.json["model"]) == (429, "qwen")


def test_replicas_share_and_take_over_from_each_other(gateway: Any) -> None:
    def counts() -> list[int]:
        return [gateway.chats(name) for name in ("twin", "twin-b")]

    gateway.wait_for(lambda: gateway.ask("GET", "/health").json["models"]["twin"] == "ready")
    before = counts()
    assert refused(together(gateway, 10, KEY, "twin")) == 0
    assert all(after - earlier >= 2 for after, earlier in zip(counts(), before, strict=True))
    # One goes away: not one request is lost, from the first on.
    gateway.stop("twin")
    try:
        assert [gateway.ask("POST", CHAT, {"model": "twin"}).status for _at in range(20)] == [200] * 20
        gateway.wait_for(lambda: gateway.up("twin", "twin") == 0)
        assert gateway.ask("GET", "/v1/models/twin").json["status"] == "ready"
    finally:
        gateway.start("twin")
    gateway.wait_for(lambda: gateway.up("twin", "twin") == 1)


def test_a_session_stays_with_one_replica(gateway: Any) -> None:
    def replica(session: str) -> str:
        before = gateway.chats("twin")
        assert gateway.ask("POST", CHAT, {"model": "twin"}, X_Session=session).status == 200
        return "twin" if gateway.chats("twin") > before else "twin-b"

    gateway.wait_for(lambda: all(gateway.up(name, "twin") == 1 for name in ("twin", "twin-b")))
    first = {f"session {number}": replica(f"session {number}") for number in range(12)}
    assert set(first.values()) == {"twin", "twin-b"}
    assert {session: replica(session) for session in first} == first
    # One that can't stay goes to the other, and comes back.
    session = next(name for name, where in first.items() if where == "twin")
    gateway.drain("twin")
    try:
        assert replica(session) == "twin-b"
    finally:
        gateway.drain("twin", False)
    assert replica(session) == "twin"


def test_a_replica_that_is_back_gets_its_share_little_by_little(gateway: Any) -> None:
    gateway.stop("twin-b")
    gateway.wait_for(lambda: gateway.up("twin-b", "twin") == 0)
    gateway.start("twin-b")
    gateway.wait_for(lambda: gateway.up("twin-b", "twin") == 1)
    # A stub begins to count with its start.
    assert refused(together(gateway, 8, KEY, "twin")) == 0
    assert gateway.chats("twin-b") <= 2
    time.sleep(10)  # gateway_slow_start_s
    before = gateway.chats("twin-b")
    assert refused(together(gateway, 8, KEY, "twin")) == 0
    assert gateway.chats("twin-b") - before >= 3


def test_health_says_which(gateway: Any) -> None:
    gateway.wait_for(lambda: gateway.ask("GET", "/health").json["models"]["gone"] == "down")
    answer = gateway.ask("GET", "/health")
    assert (answer.status, answer.json["status"]) == (503, "not ready: gone")
    gateway.tell_stub("qwen", healthy=False)
    try:
        gateway.wait_for(lambda: gateway.ask("GET", "/health").json["status"] == "not ready: qwen, gone")
    finally:
        gateway.tell_stub("qwen", healthy=True)
    gateway.wait_for(lambda: gateway.ask("GET", "/health").json["models"]["qwen"] == "ready")


def test_figures(gateway: Any) -> None:
    total = 'gpuserve_gateway_requests_total{model="qwen",status="200"}'
    count = 'gpuserve_gateway_request_seconds_count{model="qwen"}'
    inf = 'gpuserve_gateway_request_seconds_bucket{model="qwen",le="+Inf"}'
    first = 'gpuserve_gateway_first_byte_seconds_count{model="qwen"}'
    quick = 'gpuserve_gateway_request_seconds_bucket{model="qwen",le="0.25"}'
    rejected = 'gpuserve_gateway_rejected_total{model="yi",reason="concurrency"}'

    def grown(before: dict[str, float], *names: str) -> list[float]:
        after = gateway.metrics()
        return [after[name] - before.get(name, 0) for name in names]

    # A request is counted right after its answer has left.
    gateway.wait_for(lambda: gateway.in_flight() == 0)
    before = gateway.metrics()
    for _at in range(3):
        gateway.ask("POST", CHAT, {"model": "qwen"})
    gateway.wait_for(lambda: grown(before, total, count, inf, first) == [3, 3, 3, 3])
    # One that takes longer than a bucket reaches stands in none of the smaller ones.
    gateway.ask("POST", CHAT, {"model": "qwen", "stub_delay_ms": 300})
    gateway.wait_for(lambda: grown(before, inf, quick) == [4, 3])
    turned_away = sum(answer.status == 429 for answer in together(gateway, 5, KEY, "yi"))
    assert turned_away > 0
    gateway.wait_for(lambda: grown(before, rejected) == [turned_away])
    gateway.wait_for(lambda: gateway.in_flight() == 0)


def logged(gateway: Any) -> list[dict[str, Any]]:
    """What the log says of requests for an address that only one test uses."""
    return [line for line in gateway.lines() if line["path"] == "/m/yi/v1/completions" and line["status"] == 200]


def test_the_log_has_lines_without_bodies_or_keys(gateway: Any) -> None:
    path = "/m/yi/v1/completions"
    gateway.ask("POST", path + "?token=secret-in-address", {"model": "yi", "prompt": "words-of-a-person"})
    # A line may wait for a second for others to be written with.
    gateway.wait_for(lambda: logged(gateway))
    mine = logged(gateway)[-1]
    assert (mine["key"], mine["model"], mine["method"]) == ("all", "yi", "POST")
    assert float(mine["upstream_s"]) >= 0
    assert float(mine["first_byte_s"]) >= 0
    everything = gateway.log() + gateway.docker("inspect", "CONTAINER")
    for secret in ("secret-in-address", "words-of-a-person", KEY, "key-for-yi-only", "engine-secret-of-yi"):
        assert secret not in everything
