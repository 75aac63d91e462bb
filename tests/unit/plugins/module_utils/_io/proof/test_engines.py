# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines and their gateway asked for tokens, against a server that answers as one does; and who is sent no key."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.proof import engines
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.proof.during import Clients, hold_until


class Server(http.server.ThreadingHTTPServer):
    """What was asked of it, and how it answers."""

    asked: list[tuple[str, str, dict[str, Any]]]
    status: int


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with as many tokens as were asked for."""

    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers.get("Authorization", ""), body))
        content: dict[str, Any] = {"usage": {"completion_tokens": body["max_tokens"]}}
        if self.path == engines.CHAT:
            content = {"choices": [{"message": {"content": " Paris. "}}]}
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"data: {}\n\n" if body.get("stream") else json.dumps(content).encode())

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.asked, server.status = [], 200
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def way(server: Server, scheme: str = "") -> engines.Way:
    return engines.Way(f"{scheme}127.0.0.1:{server.server_address[1]}", "the-key")


def engine(server: Server) -> engines.Engine:
    return engines.Engine("qwen", way(server), max_model_len=1536, max_num_seqs=4, max_num_batched_tokens=3072)


def test_a_rate_counts_the_tokens_of_all_requests_but_the_first(server: Server) -> None:
    found = engine(server).rate()
    assert (found["at_once"], found["requests"], found["failed"]) == (4, 64, 0)
    assert found["tokens_per_s"] > 0
    assert len(server.asked) == 65
    assert {(path, key) for path, key, _body in server.asked} == {(engines.PATH, "Bearer the-key")}
    prompts = [tuple(body["prompt"]) for _path, _key, body in server.asked]
    assert len(set(prompts)) == len(prompts), "of equal prompts the prefix cache would leave nothing to compute"


def test_what_is_refused_is_counted(server: Server) -> None:
    server.status = 503
    assert engine(server).rate()["failed"] == 64
    assert engine(server).first_tokens(None) == {
        **{"engine_p50_ms": None, "gateway_p50_ms": None, "added_p50_ms": None, "failed": engines.FIRST_TOKENS}
    }


def test_the_most_that_it_takes_fills_its_batch_twice_and_each_of_its_sequences(server: Server) -> None:
    assert engine(server).saturate() == {"requests": 8, "failed": 0}
    lengths = [len(body["prompt"]) for _path, _key, body in server.asked]
    assert sorted(lengths, reverse=True)[:4] == [1496] * 4


def test_first_tokens_are_asked_in_turns_on_both_ways(server: Server) -> None:
    found = engine(server).first_tokens(way(server, "http://"))
    assert found["failed"] == 0
    assert found["added_p50_ms"] == pytest.approx(found["gateway_p50_ms"] - found["engine_p50_ms"], abs=0.002)
    assert len(server.asked) == 2 + 2 * engines.FIRST_TOKENS


def test_an_answer_is_what_the_model_said(server: Server) -> None:
    assert engines.answer(way(server, "http://"), "smollm2", "Where?") == "Paris."
    server.status = 500
    assert engines.answer(way(server, "http://"), "smollm2", "Where?") == ""


def test_a_port_where_another_account_listens_is_sent_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "has_foreign_listener", lambda _port: True)
    assert way(server).ask(engines.PATH, {"max_tokens": 1}) == (0, None)
    assert way(server).first_token_s("qwen") is None
    assert server.asked == []


def test_where_nobody_is_there_is_no_answer(tmp_path: Path) -> None:
    gone = engines.Way(f"unix:{tmp_path}/none")
    assert gone.ask("/health") == (0, None)
    assert gone.first_token_s("qwen") is None


def test_clients_ask_until_it_is_over_and_count_what_is_lost(server: Server) -> None:
    over = threading.Event()

    def stopped() -> bool:
        if len(server.asked) > 20:
            server.status = 503
        if len(server.asked) > 40:
            over.set()
        return over.is_set()

    found = Clients(way(server, "http://"), "qwen").ask_until(stopped)
    assert found["requests"] == len(server.asked) > 40
    assert 0 < found["lost"] < found["requests"]
    assert found["lost_for"] == ["status 503"]


def test_a_process_that_it_is_not_time_for_is_never_started(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert hold_until(lambda: ["never"], lambda: False, lambda: True, log) == {"began_s": None, "held": False}
    assert not log.exists()


def test_a_process_is_told_what_is_true_once_it_is_time(tmp_path: Path) -> None:
    time, said = iter([False, True]), tmp_path / "log"
    free = {"bytes": 0}

    def is_time() -> bool:
        free["bytes"] += 7
        return next(time)

    found = hold_until(
        lambda: ["sh", "-c", f"echo {free['bytes']}; exec sleep 60"],
        is_time,
        lambda: said.exists() and bool(said.read_text()),
        said,
    )
    assert found["held"] is True
    assert said.read_text() == "14\n"
