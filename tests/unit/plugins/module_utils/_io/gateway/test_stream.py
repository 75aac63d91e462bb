# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One token through the gateway, against a server that answers what a test tells it; and the key is in no answer."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway import stream

KEY = "a-key-that-nobody-may-read"


class Gateway(http.server.ThreadingHTTPServer):
    """Answers in turn, the last one for ever."""

    answers: list[tuple[int, str]]
    asked: list[tuple[str, dict[str, object]]]


class Handler(http.server.BaseHTTPRequestHandler):
    """Hands out the next answer."""

    server: Gateway

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.headers.get("Authorization", ""), body))
        answers = self.server.answers
        status, text = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    monkeypatch.setattr(stream, "PAUSE_S", 0.01)
    server = Gateway(("127.0.0.1", 0), Handler)
    server.answers, server.asked = [(200, "data: {}\n\ndata: [DONE]\n\n")], []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def ask(server: Gateway, key: str = KEY) -> stream.Stream:
    return stream.Stream(f"http://127.0.0.1:{server.server_address[1]}", "qwen", key)


def test_a_model_that_streams_to_its_end_is_proved(gateway: Gateway) -> None:
    assert ask(gateway).proved_within(1)
    authorization, body = gateway.asked[0]
    assert authorization == f"Bearer {KEY}"
    assert (body["model"], body["max_tokens"], body["stream"]) == ("qwen", 1, True)


def test_without_a_key_none_is_sent(gateway: Gateway) -> None:
    assert ask(gateway, "").proved_within(1) and gateway.asked[0][0] == ""


def test_a_model_that_the_gateway_has_yet_to_probe_is_asked_again(gateway: Gateway) -> None:
    gateway.answers.insert(0, (503, "not yet"))
    assert ask(gateway).proved_within(5) and len(gateway.asked) == 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, "data: {}\n\n"), "200: data: {}"),
        ((401, f"no such key: {KEY}"), "401: no such key: (the key)"),
        ((502, "x" * 999), "502: xxx"),
    ],
)
def test_what_came_is_said_short_and_without_the_key(gateway: Gateway, answer: tuple[int, str], words: str) -> None:
    gateway.answers = [answer]
    proof = ask(gateway)
    assert not proof.proved_within(0)
    assert proof.answer.startswith(words) and KEY not in proof.answer and len(proof.answer) <= stream.SHOWN


def test_nobody_there_is_said(gateway: Gateway) -> None:
    proof = stream.Stream("http://127.0.0.1:1", "qwen", KEY)
    assert not proof.proved_within(0) and proof.answer.startswith("ConnectionRefusedError")
