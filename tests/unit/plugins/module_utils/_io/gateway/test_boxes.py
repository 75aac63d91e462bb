# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes asked by an edge, and kept out of its new requests, against a server that answers what a test tells it."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import edge
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway import boxes, drain
from ansible_collections.gpuserve.fleet.plugins.modules import gateway_drain

KEY = "a-key-that-nobody-may-read"
LISTED = {"object": "list", "data": [{"id": "qwen", "root": "qwen"}]}


class Server(http.server.ThreadingHTTPServer):
    """Answers with one text, or with the next of several."""

    status = 200
    texts: list[str]
    asked: list[str]

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    """Hands out the next answer, the last one for ever."""

    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.path} {self.headers.get('Authorization', '')}")
        texts = self.server.texts
        text = texts.pop(0) if len(texts) > 1 else texts[0]
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    made.texts, made.asked = [json.dumps(LISTED)], []
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def ask(server: Server, **box: Any) -> dict[str, Any]:
    named = {"name": "gpu01", "endpoint": server.address, **box}
    return boxes.ask_all([named], KEY, "", 5)["gpu01"]


def test_a_box_tells_what_it_serves(server: Server) -> None:
    assert ask(server) == {"listed": LISTED}
    assert server.asked == [f"/v1/models Bearer {KEY}"]


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (401, "", "it does not take the edge's key"),
        (503, "", "status 503"),
        (200, "<html>", "Expecting value"),
        (200, '{"data": [{"object": "model"}]}', "it answers with no list of models"),
        (200, "[]", "it answers with no list of models"),
    ],
)
def test_an_answer_that_is_no_list_is_told(server: Server, status: int, text: str, said: str) -> None:
    server.status, server.texts = status, [text]
    assert said in ask(server)["error"]


def test_a_box_that_is_away_is_told_without_the_key(server: Server) -> None:
    assert "refused" in ask(server, endpoint="127.0.0.1:1")["error"]
    # Who speaks no TLS can't show a certificate.
    assert KEY not in ask(server, tls_name="gpu01")["error"]


def metrics(at: int, other_up: int = 1) -> str:
    return (
        f'gpuserve_gateway_in_flight{{model="qwen",endpoint="192.0.2.1:8000/qwen"}} {at}\n'
        f'gpuserve_gateway_endpoint_up{{model="qwen",endpoint="192.0.2.1:8000/qwen"}} 1\n'
        f'gpuserve_gateway_endpoint_up{{model="qwen",endpoint="192.0.2.2:8000/qwen"}} {other_up}\n'
    )


def drained(folder: Path, server: Server, **settings: Any) -> drain.Drain:
    kept = {"boxes": [{}], "metrics_address": server.address, "drain_dir": str(folder / "draining"), **settings}
    (folder / "settings.json").write_text(json.dumps(kept))
    return drain.Drain(str(folder), "192.0.2.1:8000")


def test_a_box_is_kept_out_until_what_is_under_way_has_ended(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "SEEN_S", 0)
    monkeypatch.setattr(drain, "POLL_S", 0)
    server.texts = [metrics(2), metrics(1), metrics(0)]
    box = drained(tmp_path, server)
    file = tmp_path / "draining" / "192.0.2.1:8000"
    assert box.keep_out(check_mode=True) and not file.exists()
    assert box.keep_out() and file.read_text() == edge.DRAINED and not box.keep_out()
    assert box.wait(60) == 0 and len(server.asked) == 3
    assert box.give_back(check_mode=True) and file.exists()
    assert box.give_back() and not file.exists() and not box.give_back()


def test_nobody_waits_longer_than_asked_or_for_a_model_that_has_no_other_box(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "SEEN_S", 0)
    server.texts = [metrics(7)]
    assert drained(tmp_path, server).wait(0) == 7
    server.texts = [metrics(7, other_up=0)]
    assert drained(tmp_path, server).wait(60) == 0
    assert drained(tmp_path, server, metrics_address="").wait(60) == 0


def test_what_a_person_drained_stays(tmp_path: Path, server: Server) -> None:
    box = drained(tmp_path, server)
    file = tmp_path / "draining" / "192.0.2.1:8000"
    file.parent.mkdir()
    file.write_text("")
    assert not box.keep_out() and not box.give_back() and file.exists()


def test_boxes_that_a_run_keeps_out_are_told_and_what_a_person_drained_is_not(tmp_path: Path, server: Server) -> None:
    drained(tmp_path, server)
    folder = tmp_path / "draining"
    folder.mkdir()
    for at, text in enumerate((edge.DRAINED, "", edge.DRAINED), 1):
        (folder / f"192.0.2.{at}:8000").write_text(text)
    given = {"state": "read", "endpoints": [f"192.0.2.{at}:8000" for at in (1, 2, 3, 4)], "folder": str(tmp_path)}
    said = {"changed": False, "drained": ["192.0.2.1:8000", "192.0.2.3:8000"]}
    assert gateway_drain.run(given, False) == said
    assert len([*folder.iterdir()]) == 3
    # A host that is no edge yet keeps nobody out.
    assert gateway_drain.run({**given, "folder": str(tmp_path / "bare")}, False) == {"changed": False, "drained": []}


def test_a_host_without_an_edges_gateway_is_left_alone(tmp_path: Path, server: Server) -> None:
    assert not drain.Drain(str(tmp_path), "192.0.2.1:8000").keep_out()
    assert not drained(tmp_path, server, boxes=[]).keep_out() and not (tmp_path / "draining").exists()


@pytest.mark.parametrize("text", ['{"boxes": [', "[" * 100_000, "[]", "\xff"])
def test_settings_of_an_edge_that_are_damaged_are_named_and_nothing_is_drained(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "settings.json").write_text(text, encoding="latin-1")
    given = {"state": "drained", "endpoint": "192.0.2.1:8000", "folder": str(tmp_path)}
    with patch_module_args(given), pytest.raises(SystemExit):
        gateway_drain.main()
    answer = json.loads(capsys.readouterr().out)
    assert answer["failed"] and answer["field"] == f"{tmp_path}/settings.json"
    assert answer["msg"] == (
        f"{tmp_path}/settings.json: the file is damaged: it is not what the gateway's role wrote."
        " Remove it and run playbooks/site.yml, which writes it anew."
    )
