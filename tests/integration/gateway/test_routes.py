# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every way that clients come: forms, gzip, HTTP/2, websockets, browsers, lists of one model, ids of requests."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import socket
import subprocess
from typing import Any

import openai
import pytest

from ansible_collections.gpuserve.fleet.tests.support.gateway.client import KEY, Gateway
from ansible_collections.gpuserve.fleet.tests.support.gateway.container import Container

CHAT = "/v1/chat/completions"
SPEECH = "/v1/audio/transcriptions"
ALIAS = "Qwen/Qwen2.5-3B-Instruct"


def form(*parts: tuple[str, bytes], boundary: str = "b0undary") -> tuple[bytes, str]:
    """A form and its type; a part whose name holds a dot is a file."""
    text = b""
    for name, value in parts:
        file = f'; filename="{name}"' if "." in name else ""
        field = "file" if file else name
        text += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"{file}\r\n\r\n'.encode() + value + b"\r\n"
        )
    return text + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


NOISE = random.Random(18).randbytes(9_000_000)


@pytest.mark.parametrize(
    ("parts", "reached"),
    [
        ([("model", b"qwen"), ("a.wav", b"RIFF")], "qwen"),
        ([("a.wav", NOISE), ("model", b"yi")], "yi"),
        (
            [("a.wav", b'--b0undar\r\nContent-Disposition: form-data; name="model"\r\n\r\nyi\r\n'), ("model", b"qwen")],
            "qwen",
        ),
        ([("model", b"yi"), ("model", b"qwen")], "qwen"),
        ([("language", b"model"), ("model", b"qwen"), ("response_format", b"json")], "qwen"),
    ],
)
def test_a_form_goes_to_the_model_that_it_names(gateway: Gateway, parts: list[tuple[str, bytes]], reached: str) -> None:
    body, kind = form(*parts)
    answer = gateway.ask("POST", SPEECH, body, Content_Type=kind)
    assert (answer.status, answer.headers["x-stub-model"]) == (200, reached)
    assert gateway.stub(reached)["seen"][-1]["sha256"] == hashlib.sha256(body).hexdigest()


def test_a_form_s_alias_becomes_the_engine_s_name(gateway: Gateway) -> None:
    body, kind = form(("a.wav", NOISE), ("model", ALIAS.encode()))
    assert gateway.ask("POST", SPEECH, body, Content_Type=kind).headers["x-stub-model"] == "qwen"
    sent = gateway.stub("qwen")["seen"][-1]
    assert sent["sha256"] == hashlib.sha256(body.replace(ALIAS.encode(), b"qwen")).hexdigest()


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (*form(("a.wav", b"x")), 400, "missing_model"),
        (*form(("model", b"nope")), 404, "model_not_found"),
        (*form(("model", b"q" * 5000)), 404, "model_not_found"),
        (form(("model", b"qwen"))[0], "multipart/form-data", 400, "missing_model"),
        (form(("model", b"qwen"))[0], "multipart/form-data; boundary=other", 400, "missing_model"),
        (b"", "multipart/form-data; boundary=b", 400, "missing_model"),
        (b"--b\r\n" * 5000, "multipart/form-data; boundary=b", 400, "missing_model"),
    ],
)
def test_forms_that_name_no_model(gateway: Gateway, body: bytes, kind: str, status: int, code: str) -> None:
    answer = gateway.ask("POST", SPEECH, body, Content_Type=kind)
    assert (answer.status, answer.code) == (status, code)


def test_a_form_is_for_audio_only(gateway: Gateway) -> None:
    body, kind = form(("model", b"qwen"))
    for path in (CHAT, "/m/qwen/v1/chat/completions"):
        answer = gateway.ask("POST", path, body, Content_Type=kind)
        assert (answer.status, answer.code) == (415, "unsupported_media_type")
    assert gateway.ask("POST", f"/m/qwen{SPEECH}", body, Content_Type=kind).headers["x-stub-saw"] == SPEECH


def test_a_key_opens_only_its_models_by_a_form(gateway: Gateway) -> None:
    body, kind = form(("model", b"qwen"))
    assert gateway.ask("POST", SPEECH, body, key="key-for-yi-only", Content_Type=kind).status == 404


@pytest.mark.parametrize("size", [10, 100_000, 9_000_000])
def test_gzip(gateway: Gateway, size: int) -> None:
    body = json.dumps({"model": ALIAS, "messages": [], "x": "y" * size}).encode()
    answer = gateway.ask("POST", CHAT, gzip.compress(body), Content_Encoding="gzip")
    assert answer.headers["x-stub-model"] == "qwen"
    seen = gateway.stub("qwen")["seen"][-1]
    assert seen["sha256"] == hashlib.sha256(body.replace(ALIAS.encode(), b"qwen")).hexdigest()
    assert "content-encoding" not in seen["headers"]


@pytest.mark.parametrize(
    ("body", "coding", "status"),
    [
        (gzip.compress(b'{"model":"qwen","x":"' + b"x" * (200 << 20) + b'"}'), "gzip", 413),
        (gzip.compress(b'{"model":"qwen"}')[:-9], "gzip", 400),
        (gzip.compress(b'{"model":"qwen"}') + b"more", "gzip", 400),
        (b'{"model":"qwen"}', "gzip", 400),
        (b"", "gzip", 400),
        (b'{"model":"qwen"}', "br", 415),
    ],
    ids=["bomb", "cut", "trailing", "plain", "empty", "br"],
)
def test_what_only_says_that_it_is_gzip(gateway: Gateway, body: bytes, coding: str, status: int) -> None:
    before = gateway.stub("qwen")["number"]
    answer = gateway.ask("POST", CHAT, body, Content_Encoding=coding)
    assert (answer.status, bool(answer.code)) == (status, True)
    assert gateway.stub("qwen")["number"] == before


def test_http_2(gateway: Gateway) -> None:
    curl = ["curl", "-sS", "--http2-prior-knowledge", "-H", f"Authorization: Bearer {KEY}", f"{gateway.url}{CHAT}"]
    more = ["-w", " %{http_version} %{http_code}", "-d", '{"model": "qwen", "stream": true}']
    done = subprocess.run([*curl, *more], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.count("data: {") == 5
    assert done.stdout.endswith(" 2 200")


def test_a_websocket(gateway: Gateway) -> None:
    ask = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    ways = {
        f"/v1/realtime?model={ALIAS}": f"Authorization: Bearer {KEY}\r\n",
        "/m/qwen/v1/realtime": f"Authorization: Bearer {KEY}\r\n",
        "/v1/realtime?model=qwen": f"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{KEY}\r\n",
    }
    for path, key in ways.items():
        with socket.create_connection((gateway.host, gateway.port), timeout=5) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{key}{ask}\r\n".encode())
            head = connection.recv(4096)
            assert head.startswith(b"HTTP/1.1 101 "), head
            assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
            for _at in range(3):
                connection.sendall(b"\x81\x02hi")
                assert connection.recv(64) == b"\x81\x02hi"
            assert gateway.in_flight() == 1
        gateway.wait_for(lambda: gateway.in_flight() == 0)
    assert gateway.stub("qwen")["seen"][-1]["path"] == "/v1/realtime"


def test_websockets_that_open_nothing(gateway: Gateway) -> None:
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade"}
    assert gateway.ask("GET", "/v1/realtime?model=qwen", key=None, **upgrade).status == 401
    assert gateway.ask("GET", "/v1/realtime?model=nope", **upgrade).status == 404
    assert gateway.ask("GET", "/v1/realtime", **upgrade).status == 404
    assert gateway.ask("GET", "/v1/realtime?model=qwen", key="key-for-yi-only", **upgrade).status == 404
    assert gateway.ask("GET", "/v1/realtime?model=qwen").status == 400
    assert gateway.ask("POST", "/v1/realtime", {"model": "qwen"}).status == 405


def test_a_model_s_own_address_lists_that_model(gateway: Gateway) -> None:
    for base in ("/m/qwen/v1", "/v1/qwen", f"/v1/{ALIAS}", f"/m/{ALIAS}/v1"):
        answer = gateway.ask("GET", f"{base}/models")
        assert (answer.status, answer.json["object"]) == (200, "list")
        assert [model["id"] for model in answer.json["data"]] == ["qwen", ALIAS]
    client = openai.OpenAI(base_url=f"{gateway.url}/m/yi/v1", api_key=KEY, max_retries=0)
    assert [model.id for model in client.models.list()] == ["yi"]
    assert gateway.ask("GET", "/m/qwen/v1/models", key="key-for-yi-only").status == 404
    assert gateway.ask("GET", "/m/qwen/v1/models", key=None).status == 401


def test_rerank_by_each_of_its_paths(gateway: Gateway) -> None:
    for path in ("/rerank", "/v1/rerank", "/v2/rerank"):
        assert gateway.ask("POST", path, {"model": "qwen"}).headers["x-stub-saw"] == path


def test_created_is_when_it_came_up(gateway: Gateway) -> None:
    found = {model["id"]: model["created"] for model in gateway.ask("GET", "/v1/models").json["data"]}
    assert all(1_700_000_000 < created < 4_000_000_000 for created in found.values())


def test_an_id_of_a_request_comes_back(gateway: Gateway) -> None:
    body = {"model": "qwen"}
    answer = gateway.ask("POST", CHAT, body, X_Request_Id="trace-7:a_b.c")
    assert answer.headers["x-request-id"] == "trace-7:a_b.c"
    first = gateway.stub("qwen")["seen"][-1]["headers"]["x-request-id"]
    gateway.ask("POST", CHAT, body, X_Request_Id="trace-7:a_b.c")
    second = gateway.stub("qwen")["seen"][-1]["headers"]["x-request-id"]
    # An engine is never told the same id twice, whatever clients choose.
    assert first != second
    assert all(seen.startswith("trace-7:a_b.c.") for seen in (first, second))
    gateway.wait_for(lambda: [line for line in gateway.lines() if line["id"] == "trace-7:a_b.c"])
    for odd in ("", "a b", "x" * 129, "ü", 'a"b', "$gw_key", "a;b"):
        own = gateway.ask("POST", CHAT, body, X_Request_Id=odd.encode().decode("latin-1")).headers["x-request-id"]
        assert own
        assert own != odd
    assert gateway.ask("GET", "/nothing", X_Request_Id="mine").headers["x-request-id"] == "mine"


def test_bearer_and_nothing_beside_the_other_header(gateway: Gateway) -> None:
    for nothing in ("Bearer", "bearer", "Bearer "):
        assert gateway.ask("GET", "/v1/models", key=None, Authorization=nothing, x_api_key=KEY).status == 200
        assert gateway.ask("GET", "/v1/models", key=None, Authorization=nothing).status == 401


def test_errors_of_anthropic_s_paths_have_its_shape(gateway: Gateway) -> None:
    cases: list[tuple[str, Any, str | None, int, str]] = [
        ("/v1/messages", {"model": "nope"}, KEY, 404, "not_found_error"),
        ("/v1/messages", {"model": "qwen"}, None, 401, "authentication_error"),
        ("/v1/messages", b"{", KEY, 400, "invalid_request_error"),
        ("/v1/messages/count_tokens", {}, KEY, 400, "invalid_request_error"),
        ("/m/gone/v1/messages", {"model": "gone"}, KEY, 502, "api_error"),
        ("/v1/messages", b'{"model": "qwen", "x": "' + b"x" * (33 << 20) + b'"}', KEY, 413, "request_too_large"),
    ]
    for path, body, key, status, sort in cases:
        try:
            answer = gateway.ask("POST", path, body, key=key)
        except (BrokenPipeError, ConnectionResetError):
            assert status == 413  # refused before it had all been sent
            continue
        assert (answer.status, answer.json["type"], answer.json["error"]["type"]) == (status, "error", sort)
        assert answer.json["error"]["message"]


@pytest.fixture
def browsers(gateway: Gateway) -> Container:
    """A gateway that pages of two origins may ask."""
    if not isinstance(gateway, Container):
        pytest.skip("changes the configuration: make test-gateway runs these")
    gateway.render(gateway_cors_origins=["https://chat.example.org", "http://127.0.0.1:3000"])
    gateway.reload()
    gateway.wait_until_it_serves()
    return gateway


def test_browsers(browsers: Container) -> None:
    origin = "https://chat.example.org"
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,x-mine",
    }
    for path in (CHAT, "/v1/models", "/m/qwen/v1/chat/completions"):
        answer = browsers.ask("OPTIONS", path, key=None, **asked)
        assert (answer.status, answer.body) == (204, b"")
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["access-control-allow-headers"] == "authorization,x-mine"
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert "Origin" in answer.headers["vary"]
    other = browsers.ask("OPTIONS", CHAT, key=None, **{**asked, "Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers
    # On answers too, of engines, errors and lists; an engine's own word on it counts for nothing.
    said = {"stub_headers": {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "true"}}
    for answer in (
        browsers.ask("POST", CHAT, {"model": "qwen", **said}, Origin=origin),
        browsers.ask("POST", CHAT, {"model": "nope"}, Origin=origin),
        browsers.ask("GET", "/v1/models", key=None, Origin=origin),
        browsers.ask("POST", CHAT, {"model": "gone"}, Origin=origin),
    ):
        assert answer.headers["access-control-allow-origin"] == origin
        assert "access-control-allow-credentials" not in answer.headers
    foreign = browsers.ask("POST", CHAT, {"model": "qwen", **said}, Origin="https://evil.example")
    assert "access-control-allow-origin" not in foreign.headers
    # Who asks nothing beforehand is no browser.
    assert browsers.ask("OPTIONS", CHAT, key=None).status == 405


def test_a_model_is_asked_for_what_it_is_for(gateway: Gateway) -> None:
    if not isinstance(gateway, Container):
        pytest.skip("changes the configuration: make test-gateway runs these")
    before = gateway.variables["gateway_models"]
    tasks = {"qwen": "generate", "yi": "embed"}
    given = [{**model, **({"task": tasks[model["name"]]} if model["name"] in tasks else {})} for model in before]
    gateway.render(gateway_models=given)
    gateway.reload()
    gateway.wait_until_it_serves()
    try:
        # An edge knows by the list what it can be proved by.
        listed = {entry["root"]: entry.get("task") for entry in gateway.ask("GET", "/v1/models").json["data"]}
        assert {name: task for name, task in listed.items() if task} == tasks
        seen = len(gateway.stub("yi")["seen"])
        answer = gateway.ask("POST", CHAT, {"model": "yi", "messages": []})
        assert (answer.status, answer.code) == (400, "unsupported_task")
        assert "`yi` is for embed" in answer.json["error"]["message"]
        assert len(gateway.stub("yi")["seen"]) == seen
        assert gateway.ask("POST", "/v1/embeddings", {"model": "yi", "input": "x"}).status == 200
        assert gateway.ask("POST", "/rerank", {"model": "yi"}).status == 200
        assert gateway.ask("POST", "/v1/embeddings", {"model": "qwen", "input": "x"}).status == 400
        assert gateway.ask("POST", CHAT, {"model": "qwen", "messages": []}).status == 200
    finally:
        gateway.render(gateway_models=before)
        gateway.reload()
        gateway.wait_until_it_serves()
