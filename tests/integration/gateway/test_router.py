# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who gets in, to what: keys, paths, hostile requests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.tests.support.gateway import hostile
from ansible_collections.gpuserve.fleet.tests.support.gateway.client import Gateway

PATHS = Path(__file__).resolve().parents[2] / "data" / "vllm" / "paths-0.32.0.json"
ALLOWED = {
    "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages", "/v1/messages/count_tokens",
    "/rerank", "/v1/rerank", "/v2/rerank", "/v1/score", "/v1/audio/transcriptions", "/v1/audio/translations",
}  # fmt: skip
OWN = {("GET", "/health"), ("GET", "/v1/models"), ("GET", "/livez")}
CHAT = "/v1/chat/completions"
KEY = "key-for-everything"


def engine_paths() -> list[tuple[str, str]]:
    """Every method and path of a real engine."""
    found = json.loads(PATHS.read_text())["paths"]
    return [
        (method, path.replace("{response_id}", "resp_1"))
        for path in found
        for method in found[path]
        if method != "HEAD"
    ]


def test_there_is_something_to_try() -> None:
    assert len(engine_paths()) > 50
    assert {"/invocations", "/metrics", "/sleep", "/collective_rpc"} <= {path for _method, path in engine_paths()}


def test_only_the_allow_list_passes(gateway: Any) -> None:
    body = {"model": "qwen", "messages": [], "input": "x"}
    before = gateway.stub("qwen")["number"]
    passed = set()
    for method, path in engine_paths():
        without = gateway.ask(method, path, body, key=None)
        assert (without.status in (401, 404, 405)) or (method, path) == ("GET", "/health"), (
            method,
            path,
            without.status,
        )
        answer = gateway.ask(method, path, body)
        if answer.headers.get("x-stub-model"):
            passed.add((method, path))
        elif (method, path) not in OWN:
            assert answer.status in (404, 405, 415), (method, path, answer.status)
            answer.code  # noqa: B018 (it asserts the shape)
    known = {path for _method, path in engine_paths()}
    assert passed == {("POST", path) for path in ALLOWED & known}
    assert gateway.stub("qwen")["number"] <= before + len(passed)


def test_a_key_opens_only_its_models(gateway: Any) -> None:
    assert gateway.ask("POST", CHAT, {"model": "yi"}, key="key-for-yi-only").status == 200
    for path, body in ((CHAT, {"model": "qwen"}), ("/m/qwen/v1/chat/completions", {}), ("/v1/qwen/chat/completions", {}),
                       (CHAT, {"model": "Qwen/Qwen2.5-3B-Instruct"})):  # fmt: skip
        answer = gateway.ask("POST", path, body, key="key-for-yi-only")
        assert (answer.status, answer.code) == (404, "model_not_found")
        assert "there are: yi." in answer.json["error"]["message"]
    # A body that names another model on an address of one's own model is the engine's to refuse: it never leaves that engine.
    assert gateway.ask("POST", "/m/yi/v1/chat/completions", {"model": "qwen"}, key="key-for-yi-only").status == 404
    assert [m["id"] for m in gateway.ask("GET", "/v1/models", key="key-for-yi-only").json["data"]] == ["yi"]


def test_of_two_models_in_one_body_the_last_counts_here_and_there(gateway: Any) -> None:
    answer = gateway.ask("POST", CHAT, b'{"model": "qwen", "model": "yi"}', key="key-for-yi-only")
    assert answer.headers["x-stub-model"] == "yi"
    assert gateway.ask("POST", CHAT, b'{"model": "yi", "model": "qwen"}', key="key-for-yi-only").status == 404


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic key-for-everything"},
        {"Authorization": "Bearer key-for-everything, Bearer x"},
        {"Authorization": "Bearer key-that-expired"},
        {"Authorization": "Bearer key-for-everythin"},
        {"Authorization": "Bearer key-for-everything1"},
        {"Authorization": "Bearer KEY-FOR-EVERYTHING"},
        {"Authorization": "Bearer __proto__"},
        {"Authorization": "Bearer engine-secret-of-yi"},
        {"Authorization": "Bearer 1d5c3b7bd7ad0dcd7aa4cbfd2e86f0c11d5c3b7bd7ad0dcd7aa4cbfd2e86f0c1"},
        {"Authorization": "Bearer " + "k" * 3000},
        {"x-api-key": ""},
        {"x-api-key": "key-of-nobody"},
        {"x-api-key": "key-for-yi-only", "Authorization": "Bearer key-for-everything"},
        {"x-api-key": "key-for-everything", "Authorization": "Basic x"},
        {"api-key": "key-for-everything"},
        {"Cookie": "key=key-for-everything"},
    ],
)
def test_wrong_keys(gateway: Any, headers: dict[str, str]) -> None:
    answer = gateway.ask("POST", CHAT, {"model": "qwen"}, key=None, **headers)
    assert (answer.status, answer.code) == (401, "invalid_api_key")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_key_in_the_address_is_none(gateway: Any) -> None:
    assert gateway.ask("POST", CHAT + "?api_key=key-for-everything", {"model": "qwen"}, key=None).status == 401


def test_what_the_engine_gets_to_see(gateway: Any) -> None:
    body = json.dumps({"model": "yi", "messages": [], "seed": 12345678901234567890}).encode()
    gateway.ask("POST", CHAT + "?x=1", body, Cookie="a=b")
    seen = gateway.stub("yi")["seen"][-1]
    assert seen["path"] == CHAT
    assert seen["headers"]["authorization"] == "Bearer engine-secret-of-yi"
    assert seen["bytes"] == len(body)
    assert not {"x-api-key", "cookie"} & set(seen["headers"])
    gateway.ask("POST", CHAT, {"model": "qwen"})
    assert "authorization" not in gateway.stub("qwen")["seen"][-1]["headers"]


def nested(depth: int) -> bytes:
    return b'{"model": "qwen", "x": ' + b"[" * depth + b"]" * depth + b"}"


BODIES: dict[str, tuple[bytes, int]] = {
    "empty": (b"", 400),
    "blank": (b"  \n ", 400),
    "word": (b"hello", 400),
    "cut": (b'{"model": "qwen"', 400),
    "trailing": (b'{"model": "qwen"} x', 400),
    "two": (b'{"model": "qwen"}{"model": "yi"}', 400),
    "array": (b'[{"model": "qwen"}]', 400),
    "string": (b'"qwen"', 400),
    "number": (b"1", 400),
    "null": (b"null", 400),
    "true": (b"true", 400),
    "nan": (b'{"model": NaN}', 400),
    "comment": (b'{"model": /* */ "qwen"}', 400),
    "single quotes": (b"{'model': 'qwen'}", 400),
    "no model": (b"{}", 400),
    "empty model": (b'{"model": ""}', 400),
    "model null": (b'{"model": null}', 400),
    "model number": (b'{"model": 1}', 400),
    "model bool": (b'{"model": true}', 400),
    "model list": (b'{"model": ["qwen"]}', 400),
    "model object": (b'{"model": {"toString": "qwen"}}', 400),
    "inherited model": (b'{"__proto__": {"model": "qwen"}}', 400),
    "constructor": (b'{"model": "constructor"}', 404),
    "proto": (b'{"model": "__proto__"}', 404),
    "has own": (b'{"model": "hasOwnProperty"}', 404),
    "index": (b'{"model": "0"}', 404),
    "colon": (b'{"model": ":qwen"}', 404),
    "spaces": (b'{"model": " qwen "}', 404),
    "case": (b'{"model": "QWEN"}', 404),
    "newline": (b'{"model": "qwen\\n"}', 404),
    "null byte": (b'{"model": "qwen\\u0000"}', 404),
    "raw null byte": (b'{"model": "qwen\x00"}', 400),
    "only null bytes": (b"\x00" * 64, 400),
    "path": (b'{"model": "../qwen"}', 404),
    "address": (b'{"model": "http://169.254.169.254/latest"}', 404),
    "named location": (b'{"model": "@m0"}', 404),
    "header injection": (b'{"model": "qwen\\r\\nX-Injected: 1"}', 404),
    "variable": (b'{"model": "$gw_key"}', 404),
    "script": (b'{"model": "<script>alert(1)</script>"}', 404),
    "long name": (b'{"model": "' + b"q" * 1_000_000 + b'"}', 404),
    "homoglyph": ('{"model": "qwеn"}'.encode(), 404),
    "unicode": ('{"model": "模型😀"}'.encode(), 404),
    "lone surrogate": (b'{"model": "\\ud800"}', 400),
    "not utf-8": (b'{"model": "\xff\xfe"}', 404),
    "utf-16": ('{"model": "qwen"}'.encode("utf-16"), 400),
    "byte order mark": (b'\xef\xbb\xbf{"model": "qwen"}', 400),
    "deep": (nested(20_000), 400),
    "many members": (b"{" + b",".join(b'"k%d": 1' % n for n in range(20_000)) + b"}", 400),
    "large number": (b'{"model": 1e999}', 400),
    "gzip": (b"\x1f\x8b\x08\x00", 400),
    "form": (b"model=qwen&x=1", 400),
    "too large": (b'{"model": "qwen", "x": "' + b"x" * (33 << 20) + b'"}', 413),
}
GOOD: dict[str, bytes] = {
    "escaped": b'{"\\u006dodel": "q\\u0077en"}',
    "large": b'{"model": "qwen", "x": "' + b"x" * 10_000_000 + b'"}',
    "nested": nested(500),
    "proto beside": b'{"__proto__": {"model": "yi"}, "model": "qwen"}',
    "last of two": b'{"model": "yi", "model": "qwen"}',
    "unicode beside": '{"model": "qwen", "x": "😀\\u0000"}'.encode(),
}


def test_there_are_fifty_hostile_bodies() -> None:
    assert len(BODIES) + len(GOOD) >= 50


@pytest.mark.parametrize("name", BODIES)
def test_hostile_bodies_get_an_error_and_reach_nobody(gateway: Any, name: str) -> None:
    body, status = BODIES[name]
    before = gateway.stub("qwen")["number"], gateway.stub("qwen")["seen"][-1:]
    try:
        answer = gateway.ask("POST", CHAT, body)
    except (BrokenPipeError, ConnectionResetError):
        assert name == "too large"  # refused before it had all been sent
    else:
        assert answer.status == status
        assert answer.code
        assert "x-injected" not in answer.headers
    assert (gateway.stub("qwen")["number"], gateway.stub("qwen")["seen"][-1:]) == before


@pytest.mark.parametrize("name", GOOD)
def test_odd_but_good_bodies_arrive_unchanged(gateway: Any, name: str) -> None:
    assert gateway.ask("POST", CHAT, GOOD[name]).headers["x-stub-model"] == "qwen"
    assert gateway.stub("qwen")["seen"][-1]["bytes"] == len(GOOD[name])


@pytest.mark.parametrize(
    ("start", "key"),
    [
        (f"POST {CHAT}", "key-of-nobody"),
        ("POST /nothing/here", KEY),
        ("DELETE /v1/models", KEY),
        ("POST /m/nothing/v1/chat/completions", KEY),
        ("POST /m/qwen/v1/chat/completions", "key-for-yi-only"),
    ],
)
def test_the_body_of_a_refused_request_is_no_request(gateway: Any, start: str, key: str) -> None:
    hidden = request("GET /v1/models HTTP/1.1", b"")
    head = f"{start} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(hidden)}\r\n\r\n"
    reply = gateway.raw(head.encode() + hidden)
    assert reply.count(b"HTTP/1.1 ") == 1
    assert reply.startswith(b"HTTP/1.1 40")


ALIAS = b"Qwen/Qwen2.5-3B-Instruct"


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "%s", "seed": 12345678901234567890, "stop": [], "x": {}, "y": 1.0}',
        b'{ "x" :{"model":"yi"},"z":["model",{"model": 1}],\n"model"\t: "%s" }',
        b'{"\\u006dodel":"%s","say":"\\"model\\":\\"yi\\""}',
        b'{"model":{"model":"yi"},"model":[1],"model":7,"model":"yi","model":"%s"}',
    ],
)
def test_of_an_alias_s_body_the_name_is_all_that_changes(gateway: Any, body: bytes) -> None:
    assert gateway.ask("POST", CHAT, body % ALIAS).headers["x-stub-model"] == "qwen"
    # Of several the last, which is the one that the engine reads.
    sent = body % b"qwen"
    assert gateway.stub("qwen")["seen"][-1]["sha256"] == hashlib.sha256(sent).hexdigest()


def test_a_large_body_by_a_model_s_own_address(gateway: Any) -> None:
    body = b'{"x": "' + b"x" * 10_000_000 + b'"}'
    assert gateway.ask("POST", "/m/qwen/v1/completions", body).status == 200
    assert gateway.stub("qwen")["seen"][-1]["bytes"] == len(body)
    assert gateway.ask("POST", "/m/qwen/v1/completions", b"x" * (1 << 20), key=None).status == 401


def test_a_key_works_until_its_last_day(gateway: Any) -> None:
    assert gateway.ask("POST", CHAT, {"model": "qwen"}, key="key-that-lasts").status == 200
    assert gateway.ask("POST", CHAT, {"model": "qwen"}, key="key-that-expired").status == 401


@pytest.mark.parametrize(
    "path",
    [
        "//v1/chat/completions", "/v1//chat/completions", "/v1/chat/completions/", "/V1/chat/completions", "/v1/chat/completions%00",
        "/v1/chat%2fcompletions/x", "/v1/chat/completions/../../metrics", "/m/qwen/metrics", "/m/qwen/v1/../metrics",
        "/m//v1/completions", "/m/qwen/v1/completions/../../invocations", "/_u/0/0/v1/completions", "/_a/0/0/v1/completions",
        "/_e/400", "/%5fu/0/0/invocations", "/m/qwen/../../_u/0/0/metrics", "/v1/qwen/metrics", "/v1/models/../../metrics",
        "/v1/..;/metrics", "/.", "/", "/v1", "/v1/", "/m/", "/docs", "/@e400", "/watch", "*",
    ],
)  # fmt: skip
def test_path_tricks(gateway: Any, path: str) -> None:
    before = {name: gateway.stub(name)["number"] for name in ("qwen", "yi")}
    answer = gateway.ask("POST", path, {"model": "qwen"})
    assert answer.status in (400, 404, 405)
    assert {name: gateway.stub(name)["number"] for name in ("qwen", "yi")} == before


def request(line: str, body: bytes, *headers: str) -> bytes:
    head = [line, "Host: x", "Authorization: Bearer key-for-everything", *headers]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


B = b'{"model": "qwen"}'
LENGTH = f"Content-Length: {len(B)}"
START = "POST /v1/chat/completions HTTP/1.1"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("both lengths", request(START, b"0\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n", "Content-Length: 6", "Transfer-Encoding: chunked")),
        ("two lengths", request(START, B, LENGTH, "Content-Length: 3")),
        ("signed length", request(START, B, f"Content-Length: +{len(B)}")),
        ("negative length", request(START, B, "Content-Length: -1")),
        ("list of lengths", request(START, B, f"Content-Length: {len(B)}, {len(B)}")),
        ("odd coding", request(START, B, "Transfer-Encoding: xchunked")),
        ("two codings", request(START, B, "Transfer-Encoding: chunked", "Transfer-Encoding: identity")),
        ("space before colon", request(START, B, f"Content-Length : {len(B)}")),
        ("bad chunk", request(START, b"zz\r\nx\r\n0\r\n\r\n", "Transfer-Encoding: chunked")),
        ("huge chunk", request(START, b"ffffffffffffffffff\r\nx", "Transfer-Encoding: chunked")),
        ("null in header", request(START, B, LENGTH, "X-A: a\x00b")),
        ("two hosts", request(START, B, LENGTH, "Host: y")),
        ("two keys", request(START, B, LENGTH, "Authorization: Bearer key-for-yi-only")),
        ("odd version", request("POST /v1/chat/completions HTTP/9.9", B, LENGTH)),
        ("null in path", request("POST /v1/chat/completions\x00 HTTP/1.1", B, LENGTH)),
        ("connect", request("CONNECT 127.0.0.1:8001 HTTP/1.1", b"")),
        ("trace", request("TRACE /v1/models HTTP/1.1", b"")),
        ("huge header", request(START, B, LENGTH, "X-A: " + "a" * 70_000)),
        ("tls on plain", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64 + b"\r\n\r\n"),
        ("http/0.9", b"POST /v1/chat/completions\r\n\r\n"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_smuggling_shapes(gateway: Any, name: str, data: bytes) -> None:
    before = gateway.stub("qwen")["number"]
    reply = gateway.raw(data)
    assert b" 200 " not in reply.split(b"\r\n", 1)[0], name
    assert gateway.stub("qwen")["number"] == before
    assert gateway.ask("POST", CHAT, {"model": "qwen"}).status == 200


def test_an_absolute_address_goes_nowhere_else(gateway: Any) -> None:
    reply = gateway.raw(
        request("POST http://169.254.169.254/v1/chat/completions HTTP/1.1", B, LENGTH, "Connection: close")
    )
    assert b"I am qwen." in reply
    assert gateway.stub("qwen")["seen"][-1]["headers"]["host"] != "169.254.169.254"


def test_bodies_grown_from_a_grammar(gateway: Gateway) -> None:
    """A fixed seed: the same bodies at every run. What is sent on goes where an engine's parser reads that it should.

    The engine's is Python's; what that can't read at all is the engine's to refuse, where the gateway has not. Never a 5xx.
    """
    sent_on = 0
    for body in hostile.grown(300, 20261126):
        answer = gateway.ask("POST", CHAT, body)
        assert answer.status in (200, 400, 404), (answer.status, body)
        try:
            read = json.loads(body)
        except (ValueError, RecursionError):
            read = None
        name = read.get("model") if isinstance(read, dict) else None
        if reached := answer.headers.get("x-stub-model"):
            sent_on += 1
            assert read is None or name == reached, body
        else:
            assert answer.code in {"invalid_json", "missing_model", "model_not_found", "parameter_not_allowed"}
            assert name not in ("qwen", "yi"), (answer.body, body)
    assert sent_on > 60
