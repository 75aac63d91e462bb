# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read from a daemon's socket, by a server of a few lines on a real one."""

from __future__ import annotations

import http.server
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import docker_socket

FRAMES = b"\1\0\0\0\0\0\0\6first\n" + b"\2\0\0\0\0\0\0\7second\n" + b"\1\0\0\0\0\0\0\5third"
ANSWERS = {
    "/version": b'{"Version": "29.1.0"}',
    "/broken": b"<html>",
    "/containers/a%2Fb/logs?stdout=1&stderr=1&tail=9": FRAMES,
    "/containers/tty/logs?stdout=1&stderr=1&tail=9": b"plain\nlines",
    "/containers/cut/logs?stdout=1&stderr=1&tail=9": FRAMES[:-3],
}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the table above, 404 for what is not in it."""

    def do_GET(self) -> None:
        body = ANSWERS.get(self.path)
        self.send_response(200 if body is not None else 404)
        self.end_headers()
        self.wfile.write(body or b"")

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_given: object) -> None:
        pass


@pytest.fixture
def path(tmp_path: Path) -> Iterator[str]:
    place = str(tmp_path / "docker.sock")
    with socketserver.ThreadingUnixStreamServer(place, Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield place
        server.shutdown()


def test_an_answer_is_its_data_and_everything_else_is_none(path: str, tmp_path: Path) -> None:
    assert docker_socket.get(path, "/version") == {"Version": "29.1.0"}
    assert docker_socket.get(path, "/broken") is None
    assert docker_socket.get(path, "/nothing") is None
    assert docker_socket.get(str(tmp_path / "no.sock"), "/version") is None


def test_a_log_is_the_lines_of_both_streams(path: str) -> None:
    assert docker_socket.log(path, "a/b", 9) == ["first", "second", "third"]
    assert docker_socket.log(path, "tty", 9) == ["plain", "lines"]
    assert docker_socket.log(path, "cut", 9) == ["first", "second", "th"]
    assert docker_socket.log(path, "gone", 9) == []
