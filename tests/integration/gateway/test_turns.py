# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clients that ask one request after another, as many clients as there may be requests: none of them is told that they are too many.

Each request has a connection of its own, which another of nginx's processes may have.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable

import pytest

from ansible_collections.gpuserve.fleet.tests.support.gateway.client import KEY, Gateway

CHAT = "/v1/chat/completions"
NARROW = "key-that-is-narrow"


def whole(gateway: Gateway, key: str, model: str) -> int:
    """Read an answer to its end."""
    return gateway.ask("POST", CHAT, {"model": model}, key=key).status


def left(gateway: Gateway, key: str, model: str) -> int:
    """Leave a stream at its first token, as whoever stops an answer and asks anew."""
    body = json.dumps({"model": model, "stream": True, "max_tokens": 50, "stub_gap_ms": 5}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((gateway.host, gateway.port), timeout=30) as connection:
        connection.sendall(head.encode() + body)
        with connection.makefile("rb") as lines:
            status = int(lines.readline().split()[1])
            while status == 200 and not lines.readline().startswith(b"data: {"):
                pass
    return status


@pytest.mark.parametrize(
    ("ask", "number", "key", "model", "clients"),
    [
        # As many as the key may have under way.
        (whole, 1000, NARROW, "qwen", 2),
        (left, 200, NARROW, "qwen", 2),
        # As many as the model's engine works on and has waiting.
        (whole, 500, KEY, "yi", 3),
        (left, 200, KEY, "yi", 3),
    ],
)
def test_as_many_clients_as_there_may_be_requests_are_never_too_many(
    gateway: Gateway,
    ask: Callable[[Gateway, str, str], int],
    number: int,
    key: str,
    model: str,
    clients: int,
) -> None:
    """Of every hundred answers that were read whole one or two were 429, of those that were left two dozen."""
    gateway.wait_for(lambda: gateway.in_flight() == 0)
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.extend(ask(gateway, key, model) for _at in range(number)))
        for _client in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(statuses), set(statuses)) == (number * clients, {200})
