# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bring-up's state machine, fed with probes of a made-up world. Nothing here sleeps: time is a number."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.log import Phase
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.machine import advance
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import (
    FOREIGN,
    Container,
    Observation,
    Seen,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    Limits,
    Step,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB, MIB
from ansible_collections.gpuserve.fleet.tests.support.worlds.hand import CARD, LARGE, SERVES, SMALL, World


def test_what_serves_unchanged_is_left_alone() -> None:
    world = World(SMALL)
    assert world.step(small=SERVES) == []
    assert world.state.done
    assert world.steps() == {"small": Step.KEPT}


def test_serial_starts_one_after_the_other_smallest_first() -> None:
    world = World(LARGE, SMALL)
    world.until(lambda: world.state.done, {"small": 20, "large": 30})
    assert [action.name for action in world.done if action.kind.value == "start"] == ["small", "large"]
    assert world.started["large"] - world.started["small"] >= 20
    assert set(world.steps().values()) == {Step.READY}


def test_parallel_starts_exact_engines_at_once() -> None:
    world = World(LARGE, SMALL, limits=Limits(parallel=4))
    world.until(lambda: world.state.done, {"small": 20, "large": 30})
    assert abs(world.started["large"] - world.started["small"]) <= 1


def test_engines_that_size_their_own_cache_never_overlap() -> None:
    world = World(replace(LARGE, exact_kv=False), SMALL, limits=Limits(parallel=4))
    world.until(lambda: world.state.done, {"small": 20, "large": 30})
    assert world.started["large"] - world.started["small"] >= 20


def test_different_cards_never_wait_for_each_other() -> None:
    other = replace(LARGE, gpus=("GPU-2",), exact_kv=False)
    world = World(other, SMALL)
    state, now = world.state, world.now
    started: list[str] = []
    for _step in range(10):
        now += 1
        seen = {name: Seen(Container.RUNNING) for name in started}
        state, actions = advance(state, Observation(seen, {CARD: 30 * GIB, "GPU-2": 30 * GIB}), now, Limits(settle_s=0))
        started += [action.name for action in actions if action.kind.value == "start"]
    assert sorted(started) == ["large", "small"]


def test_a_start_waits_until_memory_is_still() -> None:
    world = World(SMALL, limits=Limits(settle_s=3))
    for _step in range(6):
        world.free -= 200 * MIB
        assert world.step() == []
    world.until(lambda: bool(world.started))
    assert world.past >= 9


def test_too_little_memory_is_waited_for_and_then_named() -> None:
    world = World(SMALL, free=GIB, limits=Limits(gate_timeout_s=30))
    world.until(lambda: world.state.done, bound=60)
    assert world.steps() == {"small": Step.FAILED}
    assert "has 1.00 GiB free and small needs 4.00 GiB" in world.state.tracks["small"].reason
    assert not world.done


def test_memory_that_comes_free_lets_it_go() -> None:
    world = World(SMALL, free=GIB)
    world.step()
    world.free = 30 * GIB
    world.until(lambda: world.state.done, {"small": 5})
    assert world.steps() == {"small": Step.READY}


def test_an_engine_that_exits_is_seen_at_the_next_look() -> None:
    world = World(SMALL, limits=Limits(settle_s=0))
    world.until(lambda: bool(world.started))
    world.step(small=Seen(Container.EXITED, digest="d1", exit_code=2))
    assert world.steps() == {"small": Step.FAILED}


def test_a_hang_is_noticed_by_its_silence() -> None:
    world = World(SMALL, limits=Limits(settle_s=0, stall_timeout_s=60))
    world.until(lambda: bool(world.started))
    world.until(lambda: world.state.done, bound=100)
    assert "no line in its log and no byte read for 60 s" in world.state.tracks["small"].reason


def test_progress_keeps_a_slow_start_alive() -> None:
    world = World(SMALL, limits=Limits(settle_s=0, stall_timeout_s=60))
    world.until(lambda: bool(world.started))
    for place in range(300):
        world.step(small=Seen(Container.RUNNING, digest="d1", progress=place, phase=Phase.LOADING))
    assert world.steps() == {"small": Step.STARTING}


def test_healthy_is_not_ready() -> None:
    world = World(SMALL, limits=Limits(settle_s=0, start_timeout_s=50))
    world.until(lambda: bool(world.started))
    for place in range(60):
        world.step(small=Seen(Container.RUNNING, digest="d1", healthy=True, progress=place))
    assert world.steps() == {"small": Step.FAILED}
    assert "no token after 50 s" in world.state.tracks["small"].reason


def test_a_changed_engine_is_stopped_before_its_successor_starts() -> None:
    world = World(SMALL, limits=Limits(settle_s=0))
    world.step(small=replace(SERVES, digest="old"))
    world.until(lambda: world.state.done, {"small": 3})
    assert [action.kind.value for action in world.done] == ["drain", "stop", "start", "undrain"]
    assert world.done[0].reason == "its settings changed"


def test_what_is_not_ours_is_refused_and_not_touched() -> None:
    foreign = World(SMALL)
    assert foreign.step(small=Seen(Container.RUNNING, foreign=True)) == []
    assert "is not ours" in foreign.state.tracks["small"].reason
    taken = World(SMALL)
    taken.listeners = {8001: FOREIGN}
    assert taken.step() == []
    assert "port 8001 is in use" in taken.state.tracks["small"].reason


def test_one_failure_leaves_the_others_their_turn() -> None:
    world = World(LARGE, SMALL, limits=Limits(settle_s=0))
    world.until(lambda: "small" in world.started)
    world.step(small=Seen(Container.EXITED, digest="d1", exit_code=1))
    world.until(lambda: world.state.done, {"large": 5})
    assert world.steps() == {"small": Step.FAILED, "large": Step.READY}


def test_phases_are_timed_from_the_start() -> None:
    world = World(SMALL, limits=Limits(settle_s=0))
    world.until(lambda: bool(world.started))
    world.step(5, small=Seen(Container.RUNNING, digest="d1", phase=Phase.LOADING, progress=1))
    world.step(7, small=Seen(Container.RUNNING, digest="d1", phase=Phase.CACHE, progress=2))
    world.step(1, small=SERVES)
    assert dict(world.state.tracks["small"].phases) == {"loading": 5, "cache": 12, "ready": 13}


def test_a_refusal_is_an_answer_and_not_waited_out() -> None:
    # Seen on a real card: /health and /v1/models are well, and every completion is a 400.
    world = World(SMALL, limits=Limits(settle_s=0))
    world.until(lambda: bool(world.started))
    world.step(small=Seen(Container.RUNNING, digest="d1", healthy=True, refusal="400 empty prompt"))
    assert world.steps() == {"small": Step.FAILED}
    assert "400 empty prompt" in world.state.tracks["small"].reason
