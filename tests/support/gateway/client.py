# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tests do with a gateway, wherever it runs: ask it, ask its stubs, look at its figures."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

KEY = "key-for-everything"
STUBS = {"qwen": 8001, "yi": 8002, "twin": 8003, "twin-b": 8004, "swap": 8005, "swap-b": 8006}
# A standby endpoint is not there most of the time: tests start it.
ABSENT = ("swap-b",)


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
        """The code of an error in OpenAI's shape, or the type of one in Anthropic's; every member of its shape has to be there."""
        error = self.json["error"]
        if self.json.get("type") == "error":
            assert set(error) == {"message", "type"}
            return str(error["type"])
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        return str(error["code"])


class Gateway:
    """A gateway under test; a subclass knows where it runs."""

    port = 8000
    metrics_port = 9401

    def __init__(self, host: str, engines: str) -> None:
        """Take the address that tests reach everything at, and the one that the gateway reaches its engines at."""
        self.host, self.engines = host, engines
        self.url = f"http://{host}:{self.port}"

    def docker(self, *command: str) -> str:
        """Run Docker's client where the gateway's container is; CONTAINER stands for its name."""
        raise NotImplementedError

    def start(self, name: str) -> None:
        """Start a stub."""
        raise NotImplementedError

    def stop(self, name: str) -> None:
        """Stop a stub."""
        raise NotImplementedError

    def mark_drained(self, name: str, on: bool) -> None:
        """Make or remove the file that keeps new requests away from a stub."""
        raise NotImplementedError

    def metrics_text(self) -> str:
        """Read the gateway's figures as they are."""
        raise NotImplementedError

    def workers(self) -> list[int]:
        """Read the process ids of nginx's workers, as this machine numbers them."""
        lines = self.docker("top", "CONTAINER", "-o", "pid,args").splitlines()
        return [int(line.split()[0]) for line in lines if "nginx: worker process" in line]

    def reload(self) -> None:
        """Let nginx read its configuration again."""
        self.docker("kill", "--signal", "HUP", "CONTAINER")

    def log(self, seconds: int = 0) -> str:
        """Read what nginx's container has said, all of it or the last seconds'."""
        return self.docker("logs", *(["--since", f"{seconds}s"] if seconds else []), "CONTAINER")

    def lines(self, seconds: int = 60) -> list[dict[str, Any]]:
        """Read the log's lines of requests; each has to be JSON."""
        return [json.loads(line) for line in self.log(seconds).splitlines() if line.startswith("{")]

    def endpoint(self, name: str) -> str:
        """Return a stub's address as the gateway knows it."""
        return f"{self.engines}:{STUBS[name]}"

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

    def metrics(self) -> dict[str, float]:
        """The gateway's figures."""
        lines = [line.rsplit(" ", 1) for line in self.metrics_text().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in lines}

    def up(self, name: str, model: str) -> float | None:
        """Whether the gateway holds a stub for up; nothing where it says nothing of it."""
        return self.metrics().get(f'gpuserve_gateway_endpoint_up{{model="{model}",endpoint="{self.endpoint(name)}"}}')

    def in_flight(self) -> float:
        """How many requests the gateway counts as under way."""
        return sum(value for name, value in self.metrics().items() if name.startswith("gpuserve_gateway_in_flight"))

    def chats(self, name: str) -> int:
        """How many chat requests a stub has seen."""
        return int(self.stub(name)["chats"])

    def drain(self, name: str, on: bool = True) -> None:
        """Keep new requests away from a stub, or end that, and wait until the gateway knows."""
        self.mark_drained(name, on)
        # It looks twice a second; nothing outside tells when it has.
        time.sleep(1.2)

    def wait_for(self, what: Callable[[], Any], seconds: float = 90) -> None:
        """Wait until something is true; a busy machine is slow."""
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, "it did not come about"
            time.sleep(0.2)
