# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands beside a benchmark's client, run as its container runs it: from a port to an engine's socket and back."""

from __future__ import annotations

import contextlib
import http.client
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.benchmark import client

PATIENCE_S = 30


class Answering(BaseHTTPRequestHandler):
    """An engine that answers in two parts."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.send_header("Content-Length", "200000")
        self.end_headers()
        self.wfile.write(b"a" * 100000)
        self.wfile.flush()
        self.wfile.write(b"b" * 100000)

    def address_string(self) -> str:
        """Return who asks: nobody with an address."""
        return "socket"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Return the socket of an engine that answers."""
    path = tmp_path / "http"
    with socketserver.ThreadingUnixStreamServer(str(path), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield path
        server.shutdown()


def connected(port: int) -> http.client.HTTPConnection:
    """Return a connection to a port, once somebody listens there."""
    until = time.monotonic() + PATIENCE_S
    while True:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        with contextlib.suppress(ConnectionRefusedError):
            line.connect()
            return line
        assert time.monotonic() < until, "nobody listens"
        time.sleep(0.05)


def test_what_comes_to_the_port_goes_on_to_the_socket_and_back(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, "-c", client.FORWARD, str(place), str(port)]) as forward:
        try:
            lines = [connected(port) for _ in range(5)]
            for line in lines:
                line.request("GET", "/health")
            assert [line.getresponse().read() for line in lines] == [b"a" * 100000 + b"b" * 100000] * 5
        finally:
            forward.kill()
