# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replacing what serves, trying again, going on from an interruption, and the gates around all of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.log import Phase
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.machine import TRANSITIONS, advance
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import (
    Container,
    Observation,
    Seen,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.progress import Narrator
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    PHASE_LIMITS_S,
    Limits,
    Step,
    Track,
    begin,
    phase_limits,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.turn import stepped
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB
from ansible_collections.gpuserve.fleet.tests.support.worlds.hand import BEGAN, CARD, LARGE, SERVES, SMALL, World

OLD = replace(SERVES, digest="old", used_bytes={CARD: 4 * GIB})
NEW = replace(SERVES, used_bytes={CARD: 4 * GIB})


def kinds(world: World) -> list[str]:
    return [action.kind.value for action in world.done]


def test_a_surge_instance_serves_while_the_old_one_is_replaced() -> None:
    world = World(replace(SMALL, surge=True), limits=Limits(settle_s=0, switch_s=5))
    world.step(small=OLD)
    assert (kinds(world), world.steps()["small"]) == (["start_surge"], Step.SURGING)
    world.surges["small"] = NEW
    world.step()
    # The gateway has to have seen the surge instance before the old one gets nothing new.
    assert (kinds(world), world.steps()["small"]) == (["start_surge"], Step.DRAINING)
    world.until(lambda: "drain" in kinds(world))
    assert world.past >= 7
    world.until(lambda: "stop" in kinds(world))
    world.until(lambda: "start" in kinds(world))
    world.step(small=NEW)
    assert world.steps()["small"] == Step.RETIRING
    world.surges["small"] = replace(NEW, requests=2)
    world.step(10)
    assert "remove_surge" not in kinds(world)
    world.surges["small"] = NEW
    world.until(lambda: world.state.done)
    assert kinds(world) == ["start_surge", "drain", "stop", "start", "undrain", "remove_surge"]
    assert world.steps()["small"] == Step.READY


def test_a_surge_instance_that_fails_costs_nothing() -> None:
    world = World(replace(SMALL, surge=True), limits=Limits(settle_s=0))
    world.step(small=OLD)
    world.surges["small"] = Seen(Container.EXITED, exit_code=1)
    world.step()
    assert world.steps()["small"] == Step.FAILED
    assert world.state.tracks["small"].surge_failed
    assert not world.state.done, "its surge instance is there until its log has been read"
    world.step()
    assert world.state.done
    assert kinds(world) == ["start_surge", "remove_surge"], "the old one is not touched"


def test_without_room_for_both_the_old_one_goes_first() -> None:
    world = World(replace(SMALL, surge=True), limits=Limits(settle_s=0), free=4 * GIB)
    world.step(small=OLD)
    assert kinds(world) == ["drain"]


def test_requests_are_ended_within_a_bound() -> None:
    world = World(SMALL, limits=Limits(settle_s=0, drain_s=30))
    busy = replace(OLD, requests=3)
    world.step(small=busy)
    world.until(lambda: "stop" in kinds(world), bound=40)
    assert 30 <= world.past <= 33
    early = World(SMALL, limits=Limits(settle_s=0, drain_s=30))
    early.step(small=busy)
    early.step(small=OLD)
    assert kinds(early) == ["drain", "stop"]


def test_one_that_crashes_over_and_over_is_stopped_before_its_turn() -> None:
    world = World(LARGE, SMALL, limits=Limits(settle_s=0))
    world.step(large=Seen(Container.RESTARTING, digest="old"))
    assert ("stop", "large") in [(action.kind.value, action.name) for action in world.done]
    assert "large" not in world.started


def test_out_of_memory_beside_others_is_tried_once_more_alone() -> None:
    world = World(LARGE, SMALL, limits=Limits(parallel=4, settle_s=0))
    world.until(lambda: len(world.started) == 2)
    world.step(large=Seen(Container.EXITED, exit_code=1, memory_failure=True))
    assert world.steps()["large"] == Step.WAITING
    assert "large ran out of memory" in world.state.alone
    world.step(3)
    assert world.steps()["small"] == Step.STARTING
    assert world.steps()["large"] == Step.WAITING, "its turn comes when the other is done"
    world.step(small=replace(SERVES, digest="d1"))
    world.until(lambda: world.steps()["large"] == Step.STARTING)
    world.step(large=Seen(Container.EXITED, exit_code=1, memory_failure=True))
    assert world.steps()["large"] == Step.FAILED, "once, not for ever"


def test_out_of_memory_beside_engines_that_were_left_alone_is_no_race() -> None:
    """What a start that fails takes is a minute, and the reason that is told would be wrong."""
    world = World(LARGE, SMALL, limits=Limits(parallel=4, settle_s=0))
    world.step(small=replace(SERVES, digest="d1"))
    world.until(lambda: bool(world.started))
    assert set(world.started) == {"large"}
    world.step(large=Seen(Container.EXITED, exit_code=1, memory_failure=True))
    assert (world.steps()["small"], world.steps()["large"]) == (Step.KEPT, Step.FAILED)
    assert world.state.alone == ""


def test_out_of_memory_after_the_others_have_started_is_no_race() -> None:
    world = World(LARGE, SMALL, limits=Limits(parallel=1, settle_s=0))
    world.until(lambda: bool(world.started))
    assert set(world.started) == {"small"}
    world.step(small=replace(SERVES, digest="d1"))
    world.until(lambda: len(world.started) == 2)
    world.step(large=Seen(Container.EXITED, exit_code=1, memory_failure=True))
    assert world.steps()["large"] is Step.FAILED


def test_a_start_that_docker_ended_is_begun_again_once() -> None:
    world = World(SMALL, limits=Limits(settle_s=0))
    world.until(lambda: bool(world.started))
    world.docker_restarted = world.now
    world.step(small=Seen(Container.EXITED, exit_code=0))
    assert kinds(world) == ["start", "start"]
    world.step(small=NEW)
    assert world.steps()["small"] == Step.READY
    assert "Docker was restarted" in world.state.tracks["small"].retried


def test_a_start_that_was_begun_before_is_gone_on_with() -> None:
    world = World(SMALL)
    world.now = BEGAN + 100.0
    world.step(small=Seen(Container.RUNNING, digest="d1", age_s=20.0))
    track = world.state.tracks["small"]
    assert (track.step, track.started) == (Step.STARTING, BEGAN + 81.0)
    assert world.done == []
    world.step(small=NEW)
    assert world.steps()["small"] == Step.READY


def test_one_that_is_healthy_and_makes_no_token_is_asked_again_and_then_started_anew() -> None:
    world = World(SMALL, limits=Limits(settle_s=0))
    world.step(small=Seen(Container.RUNNING, "d1", age_s=20.0, healthy=True))
    assert kinds(world) == [], "one missed answer is asked for again"
    world.until(lambda: "stop" in kinds(world))
    assert 65 <= world.past <= 70, "it may be at something that it does not tell of"
    assert kinds(world) == ["drain", "stop"]


def test_starts_at_once_count_what_each_has_still_to_take() -> None:
    world = World(LARGE, SMALL, limits=Limits(parallel=4, settle_s=0, gate_timeout_s=20), free=13 * GIB)
    world.step()
    assert list(world.started) == ["small"], "4 and 10 GiB do not fit into 13 with something to spare"
    world.step(60)
    assert world.steps()["large"] == Step.WAITING, "what we take ourselves is waited for without a bound of its own"
    world.free = 9 * GIB
    world.step(small=NEW)
    world.until(lambda: world.state.done, bound=60)
    assert world.steps() == {"small": Step.READY, "large": Step.FAILED}
    assert "has 9.00 GiB free and large needs 10.00 GiB" in world.state.tracks["large"].reason


def test_more_than_planned_is_a_failure_where_nvml_shows_it() -> None:
    limits = Limits(settle_s=0, tolerance_bytes=GIB // 2)
    world = World(SMALL, limits=limits)
    world.until(lambda: bool(world.started))
    world.step(small=replace(NEW, used_bytes={CARD: 5 * GIB}))
    assert world.steps()["small"] == Step.STARTING, "one reading can be off"
    world.step(5)
    assert world.steps()["small"] == Step.FAILED
    assert "holds 5.00 GiB on card GPU-1, more than the 4.00 GiB planned" in world.state.tracks["small"].reason


def test_a_card_that_is_left_too_full_is_a_failure() -> None:
    world = World(SMALL, limits=Limits(settle_s=0, tolerance_bytes=GIB // 2))
    world.until(lambda: bool(world.started))
    world.free = 100 << 20
    world.step(small=NEW)
    world.step(5)
    assert "leaves 0.10 GiB free" in world.state.tracks["small"].reason


def test_memory_that_can_not_be_read_is_asked_for_again_and_then_said() -> None:
    state, done = begin([SMALL], "listed", BEGAN), []
    broken = Observation({}, {}, memory_error="Driver/library version mismatch")
    for second in range(1, 9):
        state, actions = advance(state, broken, BEGAN + second, Limits())
        done += actions
        assert bool(state.failed) == (second > 6), "five seconds, not two minutes"
    assert "Driver/library version mismatch" in state.tracks["small"].reason
    assert done == []


def test_a_sleeping_neighbour_is_left_alone_and_named() -> None:
    sleeping = Seen(Container.RUNNING, digest="d2", healthy=True, sleeping=True)
    state, now = begin([LARGE, SMALL], "listed", 0.0), 0.0
    for _turn in range(200):
        now += 1
        seen = Observation({"large": sleeping}, {CARD: 30 * GIB}, {CARD: now})
        state, actions = advance(state, seen, now, Limits(gate_timeout_s=100))
        assert [action.kind.value for action in actions if action.kind.value != "create"] == []
    assert state.tracks["large"].step == Step.KEPT
    assert state.tracks["small"].reason.startswith("large sleeps on card GPU-1 and will take its memory back")


def test_a_phase_has_its_own_bound() -> None:
    world = World(SMALL, limits=Limits(settle_s=0, phase_limits_s={Phase.LOADING: 40}))
    world.until(lambda: bool(world.started))
    for place in range(100):
        world.step(small=Seen(Container.RUNNING, digest="d1", phase=Phase.LOADING, progress=place))
        if world.state.done:
            break
    assert "40 s at loading are too long" in world.state.tracks["small"].reason


def test_what_is_told() -> None:
    """A line for each change, a summary when nothing changes, never the same twice."""
    world = World(LARGE, SMALL, limits=Limits(parallel=2, settle_s=0))
    narrator = Narrator(BEGAN, {"large": 41.0})
    told: list[str] = []

    def step(**seen: Seen) -> None:
        world.seen.update(seen)
        world.step()
        told.extend(narrator.lines(world.state, Observation(world.seen, {CARD: world.free}), world.now))

    step()
    for place in range(12):
        step(
            large=Seen(Container.RUNNING, digest="d2", phase=Phase.LOADING, percent=5 * place, progress=place),
            small=Seen(Container.RUNNING, digest="d1", phase=Phase.GRAPHS),
        )
    step(small=NEW, large=replace(SERVES, digest="d2"))
    assert told[0] == " 0:01  small  starts: it is new"
    assert " 0:02  large  weights 0 %" in told
    summaries = [line for line in told if ";" in line]
    assert len(summaries) == 2
    assert "large weights 25 %, 6 of about 41 s" in summaries[0]
    assert told[-1].startswith(" 0:14  large  ready: first token 13 s after its start")
    assert len(told) == len(set(told))


def test_one_that_ends_after_it_was_ready_is_a_failure_while_others_start() -> None:
    world = World(LARGE, SMALL, limits=Limits(parallel=2, settle_s=0))
    world.step()
    world.step(small=NEW)
    assert world.steps()["small"] == Step.READY
    world.step(8, small=Seen(Container.EXITED, digest="d1", exit_code=1))
    assert world.steps()["small"] == Step.FAILED
    assert world.state.tracks["small"].reason.startswith("it ended 8 s after")


def test_measuring_that_somebody_disturbed_is_tried_once_more_even_where_starts_are_serial() -> None:
    world = World(SMALL, limits=Limits(settle_s=0))
    world.until(lambda: bool(world.started))
    spoiled = Seen(Container.EXITED, digest="d1", exit_code=1, memory_failure=True, disturbed=True)
    world.step(small=spoiled)
    world.until(lambda: kinds(world).count("start") == 2)
    world.step(small=spoiled)
    assert world.steps()["small"] == Step.FAILED


def test_a_phase_that_no_log_has_is_refused() -> None:
    assert phase_limits({"loading": 40, "": 50}) == {**PHASE_LIMITS_S, Phase.LOADING: 40.0, None: 50.0}
    with pytest.raises(
        FleetError, match=r"vllm_stack_phase_limits_s: there is no phase 'weights'\. Take one of created, loading"
    ):
        phase_limits({"weights": 40})


def test_a_refusal_moves_along_the_table_too() -> None:
    track = Track(Step.READY)
    with pytest.raises(AssertionError, match="small can't go from ready to draining"):
        stepped("small", track, Step.DRAINING, 1.0, TRANSITIONS)
    again = stepped("small", replace(track, started=3.0, ended=4.0, doubted=4.0), Step.WAITING, 5.0, TRANSITIONS)
    assert (again.step, again.since, again.started, again.ended, again.doubted) == (Step.WAITING, 5.0, None, None, None)
