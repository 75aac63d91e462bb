# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Standby endpoints, and endpoints that get nothing new while a file says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from .test_streams import CHAT, events, open_stream


@pytest.fixture
def standby(gateway: Any) -> Iterator[None]:
    """The standby endpoint of the model `swap` answers."""
    gateway.start("swap-b")
    try:
        gateway.wait_for(lambda: gateway.up("swap-b", "swap") == 1)
        yield
    finally:
        gateway.stop("swap-b")
        gateway.wait_for(lambda: gateway.up("swap-b", "swap") is None)


def say(gateway: Any, model: str = "swap", **headers: str) -> Any:
    return gateway.ask("POST", CHAT, {"model": model}, **headers)


def test_a_standby_that_is_absent_counts_for_nothing(gateway: Any) -> None:
    gateway.wait_for(lambda: gateway.ask("GET", "/v1/models/swap").json["status"] == "ready")
    assert gateway.up("swap", "swap") == 1
    assert gateway.up("swap-b", "swap") is None
    assert "swap" not in gateway.ask("GET", "/health").json["status"]
    assert say(gateway).status == 200


def test_an_endpoint_has_the_requests_although_the_standby_answers(gateway: Any, standby: None) -> None:
    before = gateway.chats("swap")
    assert [say(gateway).status for _at in range(10)] == [200] * 10
    assert (gateway.chats("swap") - before, gateway.chats("swap-b")) == (10, 0)


def test_a_drained_endpoint_ends_its_stream_while_the_standby_gets_what_is_new(gateway: Any, standby: None) -> None:
    lengths: list[int] = []
    _connection, reply = open_stream(gateway, model="swap", max_tokens=100, stub_gap_ms=50)
    reader = threading.Thread(target=lambda: lengths.append(len(events(reply))))
    reader.start()
    gateway.drain("swap")
    try:
        before = gateway.chats("swap")
        assert [say(gateway).status for _at in range(10)] == [200] * 10
        assert (gateway.chats("swap") - before, gateway.chats("swap-b")) == (0, 10)
        assert gateway.stub("swap")["running"] == 1
        assert gateway.ask("GET", "/v1/models/swap").json["status"] == "ready"
        reader.join(60)
        assert lengths == [100]
    finally:
        gateway.drain("swap", False)
    assert say(gateway).status == 200
    assert (gateway.chats("swap") - before, gateway.chats("swap-b")) == (1, 10)


def test_with_nothing_else_a_drained_model_asks_to_come_back(gateway: Any) -> None:
    gateway.drain("swap")
    try:
        before = gateway.chats("swap")
        answer = say(gateway)
        assert (answer.status, answer.code) == (503, "model_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert gateway.chats("swap") == before
        assert gateway.ask("GET", "/v1/models/swap").json["status"] == "draining"
        # Nobody else is drained by it.
        assert say(gateway, "qwen").status == 200
    finally:
        gateway.drain("swap", False)
    assert say(gateway).status == 200


def test_a_standby_takes_over_from_an_endpoint_that_dies(gateway: Any, standby: None) -> None:
    gateway.stop("swap")
    try:
        # From the first request on: the one that finds the endpoint gone goes to the standby endpoint.
        assert [say(gateway).status for _at in range(10)] == [200] * 10
        assert gateway.chats("swap-b") == 10
    finally:
        gateway.start("swap")
    gateway.wait_for(lambda: gateway.up("swap", "swap") == 1)
    assert say(gateway).status == 200
    assert gateway.chats("swap-b") == 10


def test_a_drained_replica_gets_nothing_even_where_the_other_one_is_gone(gateway: Any) -> None:
    gateway.drain("twin")
    try:
        before = gateway.chats("twin")
        assert [say(gateway, "twin").status for _at in range(6)] == [200] * 6
        gateway.stop("twin-b")
        answer = say(gateway, "twin")
        assert (answer.status, answer.code) == (502, "model_unavailable")
        assert gateway.chats("twin") == before
    finally:
        gateway.start("twin-b")
        gateway.drain("twin", False)
    gateway.wait_for(lambda: gateway.up("twin-b", "twin") == 1)
