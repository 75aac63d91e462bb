# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An edge in front of the gateways of two boxes: real nginx at all three, stubs of engines behind the boxes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from ansible_collections.gpuserve.fleet.tests.support.gateway.client import KEY, Gateway
from ansible_collections.gpuserve.fleet.tests.support.gateway.container import Container

from .test_streams import CHAT, events, open_stream


class Fleet:
    """An edge and its boxes."""

    def __init__(self, edge: Container, one: Container, other: Container) -> None:
        self.edge, self.one, self.other = edge, one, other

    def asked(self, model: str = "qwen") -> tuple[int, int]:
        """How many chats the engines of both boxes have had."""
        return self.one.chats(model), self.other.chats(model)

    @contextmanager
    def under_load(self) -> Iterator[list[int]]:
        """Ask all the while, four at a time; what was answered is in the list, by status."""
        statuses: list[int] = []
        done = threading.Event()

        def ask() -> None:
            while not done.is_set():
                statuses.append(self.edge.ask("POST", CHAT, {"model": "qwen", "stub_delay_ms": 20}).status)

        senders = [threading.Thread(target=ask) for _at in range(4)]
        for sender in senders:
            sender.start()
        try:
            self.edge.wait_for(lambda: len(statuses) > 10)
            yield statuses
            seen = len(statuses)
            self.edge.wait_for(lambda: len(statuses) > seen + 40)
        finally:
            done.set()
            for sender in senders:
                sender.join(60)

    def drain(self, box: Container, on: bool) -> None:
        """Keep new requests away from a box as a rollout does, and wait until the edge knows."""
        file = self.edge.folder / "draining" / f"{box.host}:{box.port}"
        if on:
            file.touch()
        else:
            file.unlink()
        time.sleep(1.2)


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """Make it; the second box lacks the model yi."""
    with ExitStack() as stack:
        made = {
            "gateway_check_interval_s": 1,
            "gateway_slow_start_s": 0,
            "gateway_keys": [{"name": "edge", "key": f"{KEY}-of-the-edge"}],
        }
        models = [
            {"name": name, "endpoints": [f"127.0.0.1:{port}"], "max_num_seqs": 8}
            for name, port in (("qwen", 8001), ("twin", 8003))
        ]
        yi = {"name": "yi", "endpoints": ["127.0.0.1:8002"], "api_key": "engine-secret-of-yi"}
        one = stack.enter_context(Container({**made, "gateway_models": [*models, yi]}, ("qwen", "twin", "yi")))
        other = stack.enter_context(Container({**made, "gateway_models": models}, ("qwen", "twin")))
        at = [f"{box.host}:{box.port}" for box in (one, other)]
        key = {"api_key": f"{KEY}-of-the-edge"}
        edge = Container(
            {
                **made,
                "gateway_keys": [{"name": "all", "key": f"{KEY}-at-the-edge"}],
                "gateway_auth": False,
                "gateway_boxes": [{"endpoint": box} for box in at],
                "gateway_models": [
                    {"name": "qwen", "endpoints": at, **key},
                    {"name": "twin", "endpoints": at, **key},
                    {"name": "yi", "endpoints": at[:1], **key},
                ],
            },
            (),
        )
        stack.enter_context(edge)
        edge.wait_for(lambda: "not ready" not in edge.ask("GET", "/health").json["status"])
        yield Fleet(edge, one, other)


def test_both_boxes_have_their_share_and_the_edge_counts(fleet: Fleet) -> None:
    before = fleet.asked()
    assert [fleet.edge.ask("POST", CHAT, {"model": "qwen"}).status for _at in range(40)] == [200] * 40
    shares = [after - was for after, was in zip(fleet.asked(), before, strict=True)]
    assert sum(shares) == 40 and min(shares) > 8
    assert (
        sum(value for name, value in fleet.edge.metrics().items() if name.startswith("gpuserve_gateway_requests_total"))
        >= 40
    )
    # The model that one box lacks goes to the other.
    assert [fleet.edge.ask("POST", CHAT, {"model": "yi"}).status for _at in range(5)] == [200] * 5


def test_a_box_that_drains_ends_its_stream_and_gets_nothing_new_unless_it_is_the_only_one(fleet: Fleet) -> None:
    streams = [open_stream(fleet.edge, model="twin", max_tokens=80, stub_gap_ms=50)[1] for _at in range(2)]
    fleet.drain(fleet.one, True)
    try:
        before = fleet.asked()
        assert [fleet.edge.ask("POST", CHAT, {"model": "qwen"}).status for _at in range(20)] == [200] * 20
        assert fleet.asked() == (before[0], before[1] + 20)
        assert fleet.edge.ask("POST", CHAT, {"model": "yi"}).status == 200
        assert [len(events(stream)) for stream in streams] == [80, 80]
    finally:
        fleet.drain(fleet.one, False)
    before = fleet.asked()
    assert [fleet.edge.ask("POST", CHAT, {"model": "qwen"}).status for _at in range(20)] == [200] * 20
    assert fleet.asked()[0] > before[0]


def test_an_engine_of_a_box_that_dies_costs_nothing_at_the_edge(fleet: Fleet) -> None:
    with fleet.under_load() as statuses:
        fleet.one.tell_stub("qwen", healthy=False, full=True)
        fleet.edge.wait_for(lambda: up(fleet, fleet.one, "qwen") == 0)
        # The box serves its other models on.
        assert up(fleet, fleet.one, "twin") == 1
        fleet.one.tell_stub("qwen", healthy=True, full=False)
        fleet.edge.wait_for(lambda: up(fleet, fleet.one, "qwen") == 1)
    assert set(statuses) == {200}


def test_a_box_with_a_full_queue_is_passed_over(fleet: Fleet) -> None:
    fleet.one.tell_stub("twin", full=True)
    try:
        assert {fleet.edge.ask("POST", CHAT, {"model": "twin"}).status for _at in range(20)} == {200}
        fleet.other.tell_stub("twin", full=True)
        answer = fleet.edge.ask("POST", CHAT, {"model": "twin"})
        assert (answer.status, answer.code) == (429, "rate_limit_exceeded")
    finally:
        fleet.one.tell_stub("twin", full=False)
        fleet.other.tell_stub("twin", full=False)


def test_an_edge_that_is_reloaded_loses_nothing(fleet: Fleet) -> None:
    with fleet.under_load() as statuses:
        for _at in range(3):
            fleet.edge.reload()
            time.sleep(0.3)
    assert set(statuses) == {200}


def test_a_box_that_dies_loses_what_it_was_at_and_nothing_else(fleet: Fleet) -> None:
    with fleet.under_load() as statuses:
        fleet.one.docker("kill", "CONTAINER")
        fleet.edge.wait_for(lambda: up(fleet, fleet.one, "qwen") == 0)
        known = len(statuses)
        fleet.edge.wait_for(lambda: len(statuses) > known + 40)
        fleet.one.docker("start", "CONTAINER")
        fleet.edge.wait_for(lambda: up(fleet, fleet.one, "qwen") == 1)
    lost = [status for status in statuses if status != 200]
    # Four were under way at most.
    assert len(lost) <= 4 and set(lost) <= {502}
    assert set(statuses[known:]) == {200}


def up(fleet: Fleet, box: Gateway, model: str) -> float:
    """Return whether the edge holds a model of a box for up."""
    name = f'gpuserve_gateway_endpoint_up{{model="{model}",endpoint="{box.host}:{box.port}/{model}"}}'
    return fleet.edge.metrics()[name]
