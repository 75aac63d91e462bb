# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP to an engine: over its socket, and over a port only where the one who listens there can be ours."""

from __future__ import annotations

import http.client
import io
import json
import os
import socket
import socketserver
import threading
import time
import wave
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout import engine_http
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.engine_http import Engine, has_foreign_listener

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
ORDINARY = 4242


class Handler(BaseHTTPRequestHandler):
    """Says whether the key came."""

    keys: ClassVar[list[str | None]] = []

    def address_string(self) -> str:
        return "local"

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.keys.append(self.headers.get("Authorization"))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"data": [{"id": "yi"}]}')


class Server(socketserver.UnixStreamServer):
    """Hands a name on where a socket has none."""

    def get_request(self) -> tuple[Any, Any]:
        return self.socket.accept()[0], ("local", 0)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Path]:
    Handler.keys.clear()
    server = Server(str(tmp_path / "http"), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield tmp_path / "http"
    server.shutdown()
    server.server_close()


def test_an_engine_answers_on_its_socket(served: Path) -> None:
    engine = Engine(str(served), "yi", "a-key-of-ours")
    assert engine.health() == 200 and engine.names_model()
    assert Handler.keys == ["Bearer a-key-of-ours"] * 2


def test_a_glance_sends_no_key(served: Path, tmp_path: Path) -> None:
    assert Engine(str(served), "yi", "a-key-of-ours").answers()
    assert Handler.keys == [None]
    assert not Engine(str(tmp_path / "none"), "yi").answers()


def test_a_glance_believes_no_foreign_process_and_looks_for_one_only_where_somebody_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[int] = []

    def strange(port: int) -> bool:
        looked.append(port)
        return True

    monkeypatch.setattr(engine_http, "has_foreign_listener", strange)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert not Engine(server.server_port, "yi", "a-key-of-ours").answers()
        assert looked == [server.server_port]
        server.shutdown()
    # As Docker's proxy does while the engine behind it does not listen yet.
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def take_and_end() -> None:
            proxy.accept()[0].close()

        threading.Thread(target=take_and_end, daemon=True).start()
        assert not Engine(proxy.getsockname()[1], "yi").answers()
        assert len(looked) == 1


def test_a_link_that_an_engine_lays_there_is_not_followed(served: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(served)
    assert Engine(str(tmp_path / "link"), "yi", "a-key-of-ours").health() is None
    assert Engine(str(tmp_path / "none"), "yi").health() is None
    assert Handler.keys == []


def row(address: str, port: int, uid: int, state: str = "0A") -> str:
    return f"   0: {address}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 {uid:5d}        0 1 1 0\n"


@pytest.mark.parametrize(
    ("tables", "strange"),
    [
        ({"tcp": row("0100007F", 8001, ORDINARY)}, True),
        ({"tcp": row("00000000", 8001, ORDINARY)}, True),
        ({"tcp6": row("0" * 32, 8001, ORDINARY)}, True),
        ({"tcp": row("0100007F", 8001, 0)}, False),
        # Whose port is another, who listens elsewhere, and who is connected only, are in nobody's way.
        ({"tcp": row("0100007F", 8002, ORDINARY)}, False),
        ({"tcp": row("0A00000A", 8001, ORDINARY)}, False),
        ({"tcp": row("0100007F", 8001, ORDINARY, "01")}, False),
        ({}, False),
        # Who has it at every address gets nothing while root has it at this one, and keeps nobody out.
        ({"tcp": row("0100007F", 8001, 0), "tcp6": row("0" * 32, 8001, ORDINARY)}, False),
        ({"tcp6": row("0000000000000000FFFF00000100007F", 8001, ORDINARY)}, True),
        ({"tcp": row("0200007F", 8001, ORDINARY)}, False),
    ],
)
def test_an_ordinary_accounts_listener_is_told_by_its_owner(
    tmp_path: Path, tables: dict[str, str], strange: bool
) -> None:
    (tmp_path / "proc/net").mkdir(parents=True)
    for name, rows in tables.items():
        (tmp_path / "proc/net" / name).write_text(HEADER + rows)
    assert has_foreign_listener(8001, HostFiles(str(tmp_path))) is strange
    assert os.geteuid() != ORDINARY


def test_nothing_is_sent_to_a_port_that_a_foreign_process_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def sent(*_any: Any, **_more: Any) -> None:
        raise AssertionError("it was asked")

    monkeypatch.setattr(engine_http, "has_foreign_listener", lambda _port: True)
    monkeypatch.setattr(http.client, "HTTPConnection", sent)
    assert Engine(8001, "yi", "a-key-of-ours").health() is None


class Dripping(Handler):
    """An engine that goes on answering for ever, a byte at a time."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        while not self.server.over.wait(0.05):  # type: ignore[attr-defined]
            self.wfile.write(b" ")
            self.wfile.flush()

    do_POST = do_GET


def test_an_answer_that_drips_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = tmp_path / "http"
    with Server(str(where), Dripping) as server:
        server.over = threading.Event()  # type: ignore[attr-defined]
        threading.Thread(target=server.handle_request, daemon=True).start()
        began = time.monotonic()
        try:
            assert Engine(str(where), "yi").proves("generate", 0.3) == (False, "")
        finally:
            server.over.set()  # type: ignore[attr-defined]
        assert time.monotonic() - began < 5


def test_an_answer_nested_without_end_is_none() -> None:
    assert engine_http._json(b"[" * 200_000) is None


class Doing(BaseHTTPRequestHandler):
    """An engine that answers on these paths, with this each, and refuses all others."""

    served: ClassVar[dict[str, dict[str, Any]]] = {}
    asked: ClassVar[list[tuple[str, str, bytes]]] = []

    def address_string(self) -> str:
        return "local"

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append((self.path, self.headers["Content-Type"], body))
        found = self.served.get(self.path)
        self.send_response(404 if found is None else 200)
        self.end_headers()
        self.wfile.write(json.dumps(found or {"error": {"message": f"no {self.path}"}}).encode())


@pytest.fixture
def doing(tmp_path: Path) -> Iterator[Engine]:
    Doing.asked.clear()
    server = Server(str(tmp_path / "http"), Doing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Engine(str(tmp_path / "http"), "m")
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("task", "path", "answer"),
    [
        ("generate", "/v1/completions", {"choices": [{"text": "a"}]}),
        ("embed", "/v1/embeddings", {"data": [{"embedding": [0.1]}]}),
        ("score", "/v1/score", {"data": [{"score": 0.5}]}),
        # A reward model neither scores nor classifies.
        ("score", "/pooling", {"data": [{"data": [0.5]}]}),
        ("classify", "/classify", {"data": [{"probs": [1.0]}]}),
        # Nobody speaks in a second of silence.
        ("transcribe", "/v1/audio/transcriptions", {"text": ""}),
    ],
)
def test_each_task_is_proved_by_what_it_is_for(doing: Engine, task: str, path: str, answer: dict[str, Any]) -> None:
    Doing.served = {path: answer}
    assert doing.proves(task, 5) == (True, "")
    assert Doing.asked[-1][0] == path
    Doing.served = {}
    proved, refusal = doing.proves(task, 5)
    assert not proved and refusal.startswith("404 no /")
    Doing.served = {path: {"nothing": 1}}
    assert doing.proves(task, 5)[0] is False


def test_a_second_of_sound_is_a_wave_file(doing: Engine) -> None:
    Doing.served = {"/v1/audio/transcriptions": {"text": ""}}
    doing.proves("transcribe", 5)
    _path, kind, body = Doing.asked[0]
    assert kind.startswith("multipart/form-data; boundary=")
    sound = body[body.index(b"RIFF") :]
    with wave.open(io.BytesIO(sound[: 44 + 32000])) as found:
        assert found.getnframes() / found.getframerate() == 1
        assert (found.getnchannels(), found.getsampwidth()) == (1, 2)
    assert b'name="model"\r\n\r\nm\r\n' in body
