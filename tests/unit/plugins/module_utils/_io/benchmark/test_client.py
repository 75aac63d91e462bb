# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the client's container is started, and how it gets to an engine on a socket."""

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
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.benchmark.client import Engine
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.benchmark import client

ON_A_PORT = Engine("qwen", "vllm-qwen", "vllm@sha256:0", "Qwen/Qwen2.5-3B-Instruct", ())
ON_A_SOCKET = replace(ON_A_PORT, socket=True)
PATIENCE_S = 30


def started(engine: Engine, through_gateway: bool = False) -> list[str]:
    return client.command("docker", engine, "benchmark", ["vllm", "bench"], through_gateway)


def test_only_a_client_that_asks_an_engine_on_its_socket_has_a_way_to_it() -> None:
    shell = started(ON_A_SOCKET)[started(ON_A_SOCKET).index("-c") + 1]
    assert shell.startswith("python3 -c ") and "/run/gpuserve/engine/http 8000 & [ ! -f" in shell
    assert "container:vllm-qwen" in started(ON_A_SOCKET)
    for other in (started(ON_A_PORT), started(ON_A_SOCKET, through_gateway=True)):
        assert "asyncio" not in " ".join(other)


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
