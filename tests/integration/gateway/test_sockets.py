# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engines on Unix sockets: found, taken out and followed from a port to a socket, as those on ports are."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import sockets
from ansible_collections.gpuserve.fleet.tests.support.gateway.client import KEY, Answer
from ansible_collections.gpuserve.fleet.tests.support.gateway.container import Container, scenario_variables

from .test_streams import CHAT, events, open_stream

NOBODY = 65534
HERE, SURGE = sockets.endpoint("swap"), sockets.endpoint("swap-surge")


@pytest.fixture
def gateway() -> Iterator[Container]:
    """A gateway that knows a model's port and, on standby, the sockets that its engine may move to."""
    variables = scenario_variables()
    variables["gateway_models"] = [{"name": "swap", "endpoints": ["127.0.0.1:8005"], "standby": [HERE, SURGE]}]
    variables["gateway_keys"] = [one for one in variables["gateway_keys"] if not one.get("models")]
    with Container(variables) as made:
        yield made


@pytest.fixture
def own() -> Iterator[Container]:
    """A gateway in which a model has an address of its own."""
    variables = scenario_variables()
    variables["gateway_models"] = [
        {"name": "qwen", "endpoints": ["127.0.0.1:8001"], "address": "127.0.0.1:8101"},
        {"name": "yi", "endpoints": ["127.0.0.1:8002"], "api_key": "engine-secret-of-yi"},
        {"name": "gone", "endpoints": ["127.0.0.1:8009"], "listener_uid": 0, "api_key": "a-key-of-the-engine"},
    ]
    with Container(variables) as made:
        yield made


def at_own_address(gateway: Container, method: str, path: str, body: Any = None, key: str | None = KEY) -> Answer:
    shared = gateway.port
    try:
        gateway.port = 8101
        return gateway.ask(method, path, body, key)
    finally:
        gateway.port = shared


def test_a_models_own_address_takes_the_gateways_keys_and_knows_that_model_alone(own: Container) -> None:
    own.wait_for(lambda: at_own_address(own, "POST", CHAT, {"model": "qwen"}).status == 200)
    assert own.ask("POST", CHAT, {"model": "yi"}).status == 200
    assert at_own_address(own, "POST", CHAT, {"model": "yi"}).code == "model_not_found"
    assert at_own_address(own, "POST", CHAT, {"model": "qwen"}, None).code == "invalid_api_key"
    # A key of another model alone opens nothing here.
    assert at_own_address(own, "POST", CHAT, {"model": "qwen"}, "key-for-yi-only").code == "model_not_found"
    assert at_own_address(own, "POST", CHAT, {"model": "yi"}, "key-for-yi-only").code == "model_not_found"
    assert own.ask("POST", CHAT, {"model": "yi"}, "key-for-yi-only").status == 200
    listed = at_own_address(own, "GET", "/v1/models").json["data"]
    assert [one["id"] for one in listed] == ["qwen"]
    # It is well where its own model is, whatever others are.
    assert own.ask("GET", "/health", key=None).status == 503
    assert at_own_address(own, "GET", "/health", key=None).status == 200


@pytest.fixture
def squatter(own: Container) -> Iterator[list[str]]:
    """An ordinary account's process at the port of an engine that is not there; what was sent to it."""
    heard: list[str] = []
    # A socket is whose who made it.
    os.seteuid(NOBODY)
    try:
        listening = socket.create_server((own.engines, 8009))
    finally:
        os.seteuid(0)
    with listening:
        listening.settimeout(0.2)
        over = threading.Event()

        def answer() -> None:
            while not over.is_set():
                with contextlib.suppress(OSError):
                    connection, _address = listening.accept()
                    heard.append(connection.recv(65536).decode())
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                    connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        yield heard
        over.set()
        thread.join()


def test_an_ordinary_account_that_listens_in_an_engines_place_gets_nothing(own: Container, squatter: list[str]) -> None:
    own.wait_for(lambda: "another account listens at" in own.log(), 20)
    heard = len(squatter)
    answer = own.ask("POST", CHAT, {"model": "gone"})
    assert (answer.status, answer.code) == (503, "model_unavailable")
    assert own.ask("GET", "/v1/models/gone").json["status"] == "down"
    assert len(squatter) == heard and "a-key-of-the-engine" not in "".join(squatter)


def up(gateway: Container, endpoint: str) -> float | None:
    return gateway.metrics().get(f'gpuserve_gateway_endpoint_up{{model="swap",endpoint="{endpoint}"}}')


def test_a_model_moves_from_a_port_to_a_socket_and_no_request_is_lost(gateway: Container) -> None:
    def says() -> int:
        return gateway.ask("POST", CHAT, {"model": "swap"}, KEY).status

    gateway.wait_for(lambda: gateway.up("swap", "swap") == 1)
    assert up(gateway, HERE) is None
    gateway.start_on_socket("swap-surge", "swap")
    gateway.wait_for(lambda: up(gateway, SURGE) == 1)
    _connection, reply = open_stream(gateway, model="swap", max_tokens=60, stub_gap_ms=50)
    gateway.drain("swap")
    before = gateway.chats("swap")
    assert [says() for _at in range(10)] == [200] * 10
    assert gateway.chats("swap") == before
    assert len(events(reply)) == 60
    gateway.stop("swap")
    gateway.start_on_socket("swap", "swap")
    gateway.wait_for(lambda: up(gateway, HERE) == 1)
    gateway.stop("swap-surge")
    assert [says() for _at in range(10)] == [200] * 10
    gateway.variables["gateway_models"] = [{"name": "swap", "endpoints": [HERE], "standby": [SURGE]}]
    gateway.render()
    gateway.reload()
    gateway.wait_until_it_serves()
    assert [says() for _at in range(10)] == [200] * 10
    # Taken out by a file, as an endpoint on a port is; slashes can't be in its name.
    file = gateway.folder / "draining" / sockets.drain_name(HERE)
    file.touch()
    gateway.wait_for(lambda: says() == 503)
    file.unlink()
    gateway.wait_for(lambda: says() == 200)
