# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Models that exchange ports on a full card: one serves on another port meanwhile, and none waits for another."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout import bridges
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.gates import Closed, Gates
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.machine import refuse
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import (
    FOREIGN,
    Container,
    Observation,
    Seen,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    Cause,
    Limits,
    Service,
    Step,
    Track,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB
from ansible_collections.gpuserve.fleet.tests.support.worlds.hand import CARD, LARGE, SERVES, SMALL, World

LIMITS = Limits(settle_s=0, stop_s=30)
LEFT, RIGHT = replace(SMALL, surge=True), replace(LARGE, surge=True)


def old(service: Service, port: int) -> Seen:
    used = {CARD: service.need_bytes}
    return replace(SERVES, digest="old", used_bytes=used, start_id="old", port=port, restart_policy="unless-stopped")


def surge(start_id: str = "surge") -> Seen:
    return replace(SERVES, used_bytes={CARD: LEFT.need_bytes}, start_id=start_id, port=9001)


def done(world: World) -> list[str]:
    return [f"{action.kind.value} {action.name}" for action in world.done]


def ring() -> World:
    """`small` has the port of `large`, and `large` that of `small`; the card is full but for its headroom."""
    world = World(LEFT, RIGHT, limits=LIMITS, free=GIB)
    world.listeners = {8002: "small", 8001: "large"}
    world.step(small=old(LEFT, 8002), large=old(RIGHT, 8001))
    return world


def bridged() -> World:
    """`small` serves on its surge instance, where its old container was."""
    world = ring()
    world.until(lambda: "stop small" in done(world), bound=5)
    world.listeners = {8001: "large"}
    world.free = 5 * GIB
    world.until(lambda: "start_surge small" in done(world), bound=5)
    assert done(world) == ["drain small", "stop small", "undrain small", "start_surge small"]
    world.surges["small"], world.free = surge(), GIB
    world.step()
    assert world.steps() == {"small": Step.WAITING, "large": Step.DRAINING}
    return world


def freed(free: int = GIB) -> World:
    """The other one has started at its own port, and left that of `small`."""
    world = bridged()
    world.until(lambda: "stop large" in done(world), bound=5)
    world.listeners, world.free = {}, 11 * GIB
    world.until(lambda: "large" in world.started, bound=5)
    world.listeners, world.free = {8002: "large"}, free
    world.step(large=replace(SERVES, digest="d2", used_bytes={CARD: 10 * GIB}, start_id="new", port=8002))
    return world


def test_the_smaller_one_goes_first_and_serves_while_the_other_is_replaced() -> None:
    world = bridged()
    track = world.state.tracks["small"]
    assert (track.surged, track.surge_id, track.committed) == (True, "surge", None)
    assert "drain large" in done(world), "its turn came with the surge instance's first token, and not before"


def test_what_was_kept_for_the_bridge_is_free_for_the_other_one() -> None:
    world = freed()
    assert "start large" in done(world)
    world.until(lambda: world.steps()["large"] is Step.READY, bound=3)


def test_its_port_is_free_and_there_is_room_beside_the_surge_instance() -> None:
    world = freed(5 * GIB)
    world.until(lambda: "start small" in done(world), bound=5)
    assert "remove_surge small" not in done(world)
    world.step(small=replace(SERVES, digest="d1", start_id="new", port=8001))
    assert world.steps()["small"] is Step.RETIRING


def test_its_port_is_free_and_the_surge_instance_makes_room() -> None:
    world = freed()
    world.until(lambda: "remove_surge small" in done(world), bound=10)
    drained = [action for action in world.done if action.kind.value == "drain"][-1]
    assert (drained.name, drained.port) == ("small", 9001), "it ends its requests first"
    assert world.steps()["small"] is Step.YIELDING
    assert "start small" not in done(world)
    world.surges["small"], world.free = Seen(), 5 * GIB
    world.until(lambda: "start small" in done(world), bound=5)
    undrained = [action for action in world.done if action.kind.value == "undrain"][-1]
    assert undrained.port == 9001
    world.step(small=replace(SERVES, digest="d1", start_id="new", port=8001))
    world.until(lambda: world.state.done, bound=5)
    assert world.steps() == {"small": Step.READY, "large": Step.READY}


def test_a_surge_instance_that_does_not_go_keeps_nobody_for_ever() -> None:
    world = freed()
    world.until(lambda: "remove_surge small" in done(world), bound=10)
    for _second in range(30):
        assert world.steps()["small"] is Step.YIELDING
        world.step()
    world.step()
    assert world.steps()["small"] is Step.WAITING
    assert not world.state.tracks["small"].surged


def test_one_whose_bridge_ends_is_in_a_hurry_again() -> None:
    world = bridged()
    world.surges["small"] = Seen(Container.EXITED, exit_code=1)
    world.step()
    track = world.state.tracks["small"]
    assert (track.surged, track.surge_off, track.committed) == (False, True, world.now)
    assert "remove_surge small" in done(world)


def test_one_whose_bridge_is_another_start_or_somebody_elses_is_in_a_hurry_again() -> None:
    for instead, removed in ((surge("another"), True), (Seen(Container.RUNNING, foreign=True), False), (Seen(), False)):
        world = bridged()
        world.surges["small"] = instead
        world.step()
        assert not world.state.tracks["small"].surged
        assert ("remove_surge small" in done(world)) is removed


def test_a_bridge_that_does_not_start_is_the_failure_of_that_model_alone() -> None:
    world = ring()
    world.until(lambda: "stop small" in done(world), bound=5)
    world.listeners, world.free = {8001: "large"}, 5 * GIB
    world.until(lambda: "start_surge small" in done(world), bound=5)
    world.surges["small"] = Seen(Container.EXITED, exit_code=1)
    world.step()
    track = world.state.tracks["small"]
    assert (track.step, track.surge_failed, track.committed) == (Step.FAILED, True, None)
    world.step()
    assert "remove_surge small" in done(world)
    assert world.steps()["large"] is not Step.FAILED


def test_a_ring_without_any_surge_instance_is_opened_by_both() -> None:
    world = World(SMALL, LARGE, limits=LIMITS, free=GIB)
    world.listeners = {8002: "small", 8001: "large"}
    world.step(small=old(SMALL, 8002), large=old(LARGE, 8001))
    assert world.steps() == {"small": Step.DRAINING, "large": Step.DRAINING}


SETTLING = replace(LIMITS, settle_s=2)


def test_a_ring_seen_as_memory_is_given_back_is_not_opened_by_both() -> None:
    """Its figures have to hold for a moment first: else none could be the bridge, and each would wait for all others to end."""
    other = Service("other", "d3", 8003, (CARD,), GIB, exact_kv=True, surge=True)
    world = World(LEFT, RIGHT, other, limits=SETTLING, free=3 * GIB, order="listed")
    world.listeners = {8002: "small", 8001: "large", 8003: "other"}
    world.step(small=old(LEFT, 8002), large=old(RIGHT, 8001), other=old(other, 8003))
    world.until(lambda: "start_surge other" in done(world), bound=5)
    new = replace(SERVES, digest="d3", used_bytes={CARD: GIB}, port=8003)
    world.surges["other"], world.free = replace(new, start_id="surge"), 2 * GIB
    world.until(lambda: "start other" in done(world), bound=10)
    world.step(other=replace(new, start_id="new"))
    world.until(lambda: "remove_surge other" in done(world), bound=5)
    world.surges["other"], world.free = Seen(), 3 * GIB
    world.step()
    assert world.steps() == {"small": Step.WAITING, "large": Step.WAITING, "other": Step.READY}
    world.step()
    assert world.steps() == {"small": Step.DRAINING, "large": Step.WAITING, "other": Step.READY}


def test_a_ring_is_not_opened_for_one_reading() -> None:
    """Without a surge instance as well: what serves is not stopped for memory that was free once."""
    world = World(SMALL, LARGE, limits=SETTLING, free=0)
    world.listeners = {8002: "small", 8001: "large"}
    world.step(small=old(SMALL, 8002), large=old(LARGE, 8001))
    world.step(5)
    world.free = GIB
    world.step()
    assert done(world) == []
    world.step()
    assert world.steps() == {"small": Step.DRAINING, "large": Step.DRAINING}


def test_nobody_goes_before_the_one_that_was_stopped_to_be_the_bridge() -> None:
    world = World(LEFT, RIGHT, limits=SETTLING, free=GIB)
    world.listeners = {8002: "small", 8001: "large"}
    world.step(small=old(LEFT, 8002), large=old(RIGHT, 8001))
    world.until(lambda: "stop small" in done(world), bound=10)
    world.listeners, world.free = {8001: "large"}, 5 * GIB
    world.until(lambda: "start_surge small" in done(world), bound=10)
    world.step(30)
    assert world.steps() == {"small": Step.SURGING, "large": Step.WAITING}
    world.surges["small"], world.free = surge(), GIB
    world.until(lambda: world.steps() == {"small": Step.WAITING, "large": Step.DRAINING}, bound=3)


def test_a_bridge_that_docker_has_no_port_for_keeps_nobody() -> None:
    world = ring()
    world.until(lambda: "stop small" in done(world), bound=5)
    world.listeners, world.free = {8001: "large"}, 5 * GIB
    world.until(lambda: "start_surge small" in done(world), bound=5)
    world.state = refuse(world.state, world.done[-1], "port is already allocated", world.now, Cause.PORT)
    world.step()
    assert world.steps() == {"small": Step.WAITING, "large": Step.DRAINING}


def test_a_name_usurped_while_the_surge_instance_yields_ends_in_a_sentence() -> None:
    world = freed()
    world.until(lambda: world.steps()["small"] is Step.YIELDING, bound=10)
    world.step()
    world.step(small=Seen(Container.RUNNING, foreign=True))
    assert world.steps()["small"] is Step.FAILED
    assert done(world)[-1] == "undrain small", "the surge instance gets requests again"


# Who is chosen, and when


def gates(
    listeners: dict[int, str],
    *services: Service,
    free: int = 5 * GIB,
    surges: dict[str, Seen] | None = None,
    tracks: dict[str, Track] | None = None,
) -> Gates:
    seen = {one.name: old(one, 0) for one in services}
    found = Observation(seen, {CARD: free}, {CARD: 9.0}, listeners=listeners, surges=surges or {})
    waits = Track(Step.WAITING, "changed")
    steps = {one.name: (tracks or {}).get(one.name, waits) for one in services}
    return Gates({one.name: one for one in services}, steps, found, LIMITS)


PORT, MEMORY = Closed(Cause.PORT, "port"), Closed(Cause.MEMORY, "memory")
THIRD = replace(LEFT, name="third", port=8003, need_bytes=6 * GIB)


def test_only_one_of_a_ring_is_a_bridge() -> None:
    closed = {"small": PORT, "large": PORT, "third": PORT}
    three = {8001: "large", 8002: "third", 8003: "small"}
    assert bridges.first(gates(three, LEFT, RIGHT, THIRD), closed) == "small"
    # One that waits for a ring and is in none.
    tail = {8001: "large", 8002: "third", 8003: "large"}
    assert bridges.first(gates(tail, LEFT, RIGHT, THIRD), closed) == "third"
    # A chain with an end.
    assert bridges.first(gates({8001: "large", 8002: "third"}, LEFT, RIGHT, THIRD), closed) is None
    assert bridges.first(gates({8001: FOREIGN, 8002: FOREIGN}, LEFT, RIGHT, THIRD), closed) is None
    assert bridges.first(gates({8001: "small"}, LEFT), {"small": PORT}) is None
    # One that waits for memory as well is none that could start where its old one was.
    assert bridges.first(gates(three, LEFT, RIGHT, THIRD), {**closed, "small": MEMORY}) == "third"


def test_one_that_could_not_start_there_is_no_bridge() -> None:
    two, closed = {8001: "large", 8002: "small"}, {"small": PORT, "large": PORT}
    assert bridges.first(gates(two, LEFT, RIGHT), closed) == "small"
    assert bridges.first(gates(two, replace(LEFT, surge=False), RIGHT), closed) == "large"
    assert (
        bridges.first(gates(two, LEFT, RIGHT, tracks={"small": Track(reason="x", surge_off=True)}), closed) == "large"
    )
    assert bridges.first(gates(two, LEFT, RIGHT, free=GIB // 2 - 1), closed) is None
    assert bridges.first(gates(two, LEFT, RIGHT, free=GIB // 2), closed) == "small"


def test_a_surge_instance_in_an_old_ones_place_is_wanted_while_another_has_the_port() -> None:
    stopped = Track(Step.WAITING, "changed", committed=1.0)

    def wanted(closed: Closed = PORT, listeners: dict[int, str] | None = None, **tracks: Track) -> bool:
        found = gates(listeners or {8001: "large"}, LEFT, RIGHT, tracks={"small": stopped, **tracks})
        return bridges.is_wanted(found, LEFT, closed)

    assert wanted()
    assert not wanted(MEMORY)
    assert not wanted(listeners={8001: FOREIGN})
    assert not wanted(small=replace(stopped, surge_off=True))
    assert not wanted(small=replace(stopped, surged=True))
    assert not wanted(small=replace(stopped, committed=None))
    # It goes in a moment; but one that was stopped to be a bridge is one.
    going = Track(Step.STOPPING, "changed", committed=2.0)
    assert not wanted(large=going)
    assert wanted(large=going, small=replace(stopped, bridges=True))


def test_a_surge_instance_is_in_the_way_only_of_its_own_service() -> None:
    serves = Track(Step.WAITING, "changed", surged=True)

    def in_the_way(free: int, closed: Closed = MEMORY, **tracks: Track) -> bool:
        found = gates({}, LEFT, RIGHT, free=free, surges={"small": surge()}, tracks={"small": serves, **tracks})
        return bridges.is_in_the_way(found, LEFT, closed)

    assert in_the_way(GIB // 2)
    assert not in_the_way(GIB // 2 - 1), "somebody else's memory is missing as well"
    assert not in_the_way(GIB // 2, PORT)
    assert not in_the_way(GIB // 2, small=replace(serves, surged=False))
    assert not in_the_way(GIB // 2, small=replace(serves, committed=1.0)), "it had room, and somebody took it"
    assert not in_the_way(GIB // 2, large=Track(Step.STARTING, "changed", started=1.0)), "more may be given back yet"
