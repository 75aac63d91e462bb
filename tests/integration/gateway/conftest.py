# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real gateway in a box, in front of stubs of engines; molecule's scenario `gateway` makes both and says where they are."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import Any

import pytest

KEY = "key-for-everything"
STUBS = {"qwen": 8001, "yi": 8002, "twin": 8003, "twin-b": 8004, "swap": 8005, "swap-b": 8006}


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error in OpenAI's shape; every member of that shape has to be there."""
        error = self.json["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        return str(error["code"])


class Gateway:
    """The gateway, and the box around it."""

    def __init__(self, host: str, box: str) -> None:
        self.host, self.port, self.box = host, 8000, box
        self.url = f"http://{host}:8000"

    def ask(self, method: str, path: str, body: Any = None, key: str | None = KEY, **headers: str) -> Answer:
        """Send a request and read the whole answer."""
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {
            "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, path, raw, sent)
            reply = connection.getresponse()
            return Answer(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())
        finally:
            connection.close()

    def raw(self, data: bytes, seconds: float = 10) -> bytes:
        """Send bytes as they are and read until the gateway hangs up or is silent."""
        with socket.create_connection((self.host, self.port), timeout=seconds) as connection:
            connection.sendall(data)
            connection.settimeout(1.5)
            received = b""
            try:
                while piece := connection.recv(65536):
                    received += piece
            except (TimeoutError, ConnectionResetError):
                pass
            return received

    def stub(self, name: str) -> dict[str, Any]:
        """What a stub has seen."""
        connection = http.client.HTTPConnection(self.host, STUBS[name], timeout=10)
        connection.request("GET", "/_seen", headers={"Connection": "close"})
        found: dict[str, Any] = json.load(connection.getresponse())
        return found

    def tell_stub(self, name: str, **values: Any) -> None:
        """Change what a stub is."""
        connection = http.client.HTTPConnection(self.host, STUBS[name], timeout=10)
        connection.request("POST", "/_set", json.dumps(values), {"Connection": "close"})
        assert connection.getresponse().status == 200

    def in_box(self, *command: str) -> str:
        """Run a command as root in the box."""
        return subprocess.run(["docker", "exec", self.box, *command], check=True, capture_output=True, text=True).stdout

    def metrics(self) -> dict[str, float]:
        """The gateway's figures."""
        text = self.in_box("curl", "-sf", "http://127.0.0.1:9401/metrics")
        lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in lines}

    def chats(self, name: str) -> int:
        """How many chat requests a stub has seen."""
        return sum(seen["path"] == "/v1/chat/completions" for seen in self.stub(name)["seen"])

    def drain(self, name: str, on: bool = True) -> None:
        """Keep new requests away from a stub, or end that, and wait until the gateway knows."""
        self.in_box(*(["touch"] if on else ["rm", "-f"]), f"/run/gpuserve/draining/127.0.0.1:{STUBS[name]}")
        # It looks twice a second; nothing outside tells when it has.
        time.sleep(1.2)

    def wait_for(self, what: Any, seconds: float = 15) -> None:
        """Wait until something is true."""
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, "it did not come about"
            time.sleep(0.2)


@pytest.fixture(scope="session")
def gateway() -> Gateway:
    """The gateway of the scenario."""
    if "GPUSERVE_GATEWAY_HOST" not in os.environ:
        pytest.skip("molecule's scenario `gateway` runs these: molecule test -s gateway")
    return Gateway(os.environ["GPUSERVE_GATEWAY_HOST"], os.environ["GPUSERVE_GATEWAY_BOX"])
