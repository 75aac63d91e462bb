# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is told of what happened: broken streams, clients that leave, engines that answer nonsense or want another key."""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
import time
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.tests.support.gateway.client import KEY, Gateway
from ansible_collections.gpuserve.fleet.tests.support.gateway.container import Container

CHAT = "/v1/chat/completions"


def stream(gateway: Gateway, name: str, **body: Any) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(gateway.host, gateway.port, timeout=30)
    raw = json.dumps({"model": "qwen", "stream": True, **body})
    connection.request("POST", CHAT, raw, {"Authorization": f"Bearer {KEY}", "X-Request-Id": name})
    return connection.getresponse()


def told(gateway: Gateway, name: str) -> tuple[int, str]:
    """Status and outcome in the log of a request."""

    def found() -> list[dict[str, Any]]:
        return [line for line in gateway.lines() if line["id"] == name]

    gateway.wait_for(found)
    return found()[-1]["status"], found()[-1]["outcome"]


def grown(gateway: Gateway, before: dict[str, float], status: int) -> float:
    figure = f'gpuserve_gateway_requests_total{{model="qwen",status="{status}"}}'
    return gateway.metrics().get(figure, 0) - before.get(figure, 0)


def test_a_stream_that_breaks_is_no_200(gateway: Gateway) -> None:
    before = gateway.metrics()
    reply = stream(gateway, "breaks", stub_mode="die", max_tokens=50)
    assert reply.status == 200
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        reply.read()
    assert told(gateway, "breaks") == (502, "broken")
    assert (grown(gateway, before, 502), grown(gateway, before, 200)) == (1, 0)


def test_a_client_that_leaves_is_told_apart(gateway: Gateway) -> None:
    before = gateway.metrics()
    reply = stream(gateway, "leaves", max_tokens=500, stub_gap_ms=20)
    reply.readline()
    reply.close()
    assert told(gateway, "leaves") == (499, "left")
    assert (grown(gateway, before, 499), grown(gateway, before, 502), grown(gateway, before, 200)) == (1, 0, 0)


def test_a_stream_that_ends_is_a_200(gateway: Gateway) -> None:
    assert b"[DONE]" in stream(gateway, "ends").read()
    assert told(gateway, "ends") == (200, "ok")


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_what_is_no_http_is_a_502(gateway: Gateway, version: str) -> None:
    name = f"garbage-{version}"
    body = {"model": "qwen", "stub_mode": "garbage"}
    if version == "2":
        headers = [
            part for header in (f"X-Request-Id: {name}", f"Authorization: Bearer {KEY}") for part in ("-H", header)
        ]
        curl = ["curl", "-sS", "--http2-prior-knowledge", "-w", " %{http_code}", *headers, "-d", json.dumps(body)]
        done = subprocess.run([*curl, f"{gateway.url}{CHAT}"], check=True, capture_output=True, text=True, timeout=30)
        assert done.stdout.endswith(" 502")
    else:
        answer = gateway.ask("POST", CHAT, body, X_Request_Id=name)
        assert (answer.status, answer.code) == (502, "model_unavailable")
    # Every line is JSON: reading them asserts it.
    assert told(gateway, name) == (502, "broken")


@pytest.mark.parametrize("path", ["/%ff%fe%00", "/%e4%b8", "/" + "%F0%9F%98%80" * 60, "/a%22b%5c%0a"])
def test_each_line_of_the_log_is_json(gateway: Gateway, path: str) -> None:
    gateway.ask("GET", path, X_Request_Id="odd")
    gateway.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64 + b"\r\n\r\n")
    time.sleep(1.2)
    for line in gateway.log(10).splitlines():
        if line.startswith("{"):
            line.encode()
            json.loads(line)


HOSTILE = {
    "X-Accel-Redirect": "/_u/1/0/v1/chat/completions", "X-Accel-Limit-Rate": "1", "X-Accel-Buffering": "yes", "X-Accel-Expires": "99",
    "X-Accel-Charset": "x", "Location": "http://169.254.169.254/", "Set-Cookie": "a=b", "Refresh": "0; url=http://evil.example/",
    "WWW-Authenticate": "Basic", "Access-Control-Allow-Origin": "*", "Strict-Transport-Security": "max-age=1", "X-Request-Id": "forged",
    "Server": "stub", "Clear-Site-Data": "*", "Link": "<http://evil.example/>; rel=preload", "Alt-Svc": "h3=evil",
}  # fmt: skip


def test_an_engine_s_headers_have_no_power(gateway: Gateway) -> None:
    seen = gateway.stub("yi")["number"]
    answer = gateway.ask("POST", CHAT, {"model": "qwen", "stub_headers": HOSTILE})
    assert (answer.status, answer.headers["x-stub-model"]) == (200, "qwen")
    ours = {"server", "x-request-id"}
    assert not ({name.lower() for name in HOSTILE} - ours) & set(answer.headers)
    assert answer.headers["server"] == "nginx"
    assert answer.headers["x-request-id"] != "forged"
    assert gateway.stub("yi")["number"] == seen


@pytest.mark.parametrize("size", [5_000, 12_000])
def test_a_large_header_of_an_engine_breaks_nothing(gateway: Gateway, size: int) -> None:
    answer = gateway.ask("POST", CHAT, {"model": "qwen", "stub_headers": {"X-Large": "x" * size}})
    assert (answer.status, answer.json["model"]) == (200, "qwen")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_an_engine_sends_nobody_elsewhere(gateway: Gateway, status: int) -> None:
    body = {"model": "qwen", "stub_status": status, "stub_headers": {"Location": "http://evil.example/"}}
    answer = gateway.ask("POST", CHAT, body)
    assert (answer.status, answer.code) == (502, "model_unavailable")
    assert "location" not in answer.headers


@pytest.mark.parametrize("status", [400, 403, 404, 413, 422, 429, 500])
def test_what_an_engine_says_to_the_client_goes_through(gateway: Gateway, status: int) -> None:
    answer = gateway.ask("POST", CHAT, {"model": "qwen", "stub_status": status})
    assert (answer.status, answer.json["model"]) == (status, "qwen")


def test_a_full_engine_asks_to_come_back(gateway: Gateway) -> None:
    answer = gateway.ask("POST", CHAT, {"model": "qwen", "stub_status": 503})
    assert (answer.status, answer.code) == (429, "rate_limit_exceeded")
    assert 1 <= int(answer.headers["retry-after"]) <= 60


def test_another_engine_of_the_model_has_room(gateway: Gateway) -> None:
    body = {"model": "twin", "messages": [{"role": "user", "content": "x" * 200_000}]}
    gateway.wait_for(lambda: gateway.up("twin", "twin") == 1 and gateway.up("twin-b", "twin") == 1)
    gateway.tell_stub("twin", full=True)
    try:
        before = gateway.chats("twin-b")
        assert [gateway.ask("POST", CHAT, body).status for _at in range(10)] == [200] * 10
        assert gateway.chats("twin-b") == before + 10
        gateway.tell_stub("twin-b", full=True)
        answer = gateway.ask("POST", CHAT, body)
        assert (answer.status, answer.code) == (429, "rate_limit_exceeded")
    finally:
        for name in ("twin", "twin-b"):
            gateway.tell_stub(name, full=False)
    gateway.wait_for(lambda: gateway.in_flight() == 0)


def test_when_to_come_back_is_told_from_what_waits(gateway: Gateway) -> None:
    """Of yi's engine, which works on one at a time and took 0.7 s for each: two wait behind one that outlasts the refusals."""
    for _at in range(12):
        assert gateway.ask("POST", CHAT, {"model": "yi", "stub_delay_ms": 700}).status == 200
    waiting = [
        threading.Thread(target=gateway.ask, args=("POST", CHAT, {"model": "yi", "stub_delay_ms": 6000}))
        for _at in range(3)
    ]
    for thread in waiting:
        thread.start()
    gateway.wait_for(lambda: gateway.in_flight() == 3)
    answers = [gateway.ask("POST", CHAT, {"model": "yi"}) for _at in range(6)]
    for thread in waiting:
        thread.join()
    assert {answer.status for answer in answers} == {429}
    # Each of nginx's processes knows what it has seen, slower ones of tests before as well: the one that saw these says more than two
    # seconds for three of them. It said 1 whatever waited.
    assert 2 <= max(int(answer.headers["retry-after"]) for answer in answers) <= 30


def test_a_key_that_the_engine_does_not_take_is_the_operator_s_matter(gateway: Gateway) -> None:
    """The client's key is good. The engine's key is shown to it once and not again, until it has been away."""
    gateway.tell_stub("yi", api_key="engine-has-another-key")
    try:
        before = gateway.stub("yi")["number"]
        for _at in range(5):
            answer = gateway.ask("POST", CHAT, {"model": "yi"})
            assert answer.status in (502, 503)
            assert answer.code == "model_unavailable"
            assert "www-authenticate" not in answer.headers
        assert gateway.stub("yi")["number"] == before + 1
        time.sleep(3)
        assert gateway.ask("POST", CHAT, {"model": "yi"}).status == 503
        assert gateway.stub("yi")["number"] == before + 1
        assert gateway.ask("GET", "/health").json["models"]["yi"] == "down"
        assert "refuses the gateway's key for yi" in gateway.log(60)
        assert "engine-secret-of-yi" not in gateway.log()
    finally:
        gateway.tell_stub("yi", api_key="engine-secret-of-yi")
        # It comes up anew, as one that was given another key does.
        gateway.tell_stub("yi", healthy=False)
        gateway.wait_for(lambda: gateway.up("yi", "yi") == 0)
        gateway.tell_stub("yi", healthy=True)
    gateway.wait_for(lambda: gateway.ask("POST", CHAT, {"model": "yi"}).status == 200)


def test_life_and_health(gateway: Gateway) -> None:
    gateway.wait_for(lambda: gateway.ask("GET", "/health").json["models"]["gone"] == "down")
    alive = gateway.ask("GET", "/livez", key=None)
    assert (alive.status, alive.json) == (200, {"status": "alive"})
    nobody = gateway.ask("GET", "/health", key=None)
    assert (nobody.status, set(nobody.json)) == (503, {"status", "generation"})
    assert nobody.json["status"] == "not ready"
    assert gateway.ask("GET", "/health", key="key-of-nobody").json == nobody.json
    own = gateway.ask("GET", "/health", key="key-for-yi-only").json
    assert own["models"] == {"yi": "ready"}
    assert "gone" not in json.dumps(own)


def test_figures_say_what_they_are(gateway: Gateway) -> None:
    gateway.ask("POST", CHAT, {"model": "qwen"})
    text = gateway.metrics_text()
    kinds = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    helped = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP ") and len(line.split()) > 4}
    assert kinds
    assert kinds == helped
    names = {line.split("{")[0] for line in text.splitlines() if not line.startswith("#")}
    assert all(
        any(name in (kind, f"{kind}_bucket", f"{kind}_sum", f"{kind}_count") for kind in kinds) for name in names
    )


def test_only_figures_are_at_the_figures_address(gateway: Gateway) -> None:
    if not isinstance(gateway, Container):
        pytest.skip("reaches the address itself: make test-gateway runs this")
    connection = http.client.HTTPConnection(gateway.host, gateway.metrics_port, timeout=5)
    for path in ("/", "/status", "/_e/404"):
        connection.request("GET", path)
        reply = connection.getresponse()
        reply.read()
        assert reply.status == 404


def test_who_sends_wrong_keys_waits_and_nobody_else_does(gateway: Gateway) -> None:
    def ask(key: str) -> float:
        begun = time.monotonic()
        status = gateway.ask("GET", "/v1/models", key=key).status
        assert status == (200 if key == KEY else 401)
        return time.monotonic() - begun

    for _at in range(10):
        ask("key-of-nobody")
    assert ask("key-of-nobody") > 0.9
    wrong = [threading.Thread(target=ask, args=(f"guess-{number}",)) for number in range(30)]
    for thread in wrong:
        thread.start()
    good = [ask(KEY) for _at in range(20)]
    for thread in wrong:
        thread.join()
    assert sorted(good)[10] < 0.3
