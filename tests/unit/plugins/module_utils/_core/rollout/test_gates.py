# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gates of a start, one by one: several cards, co-tenants, memory that others move, ports, and what Docker refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.gates import Gates
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.machine import advance, next_probe_s, refuse
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import (
    FOREIGN,
    Container,
    Observation,
    Seen,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    Action,
    ActionKind,
    Cause,
    Limits,
    Service,
    Step,
    Track,
    begin,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB

ONE, TWO = "GPU-1", "GPU-2"
WIDE = Service("wide", "d", 8001, (ONE, TWO), 10 * GIB, exact_kv=True)
NARROW = Service("narrow", "d", 8002, (TWO,), 10 * GIB, exact_kv=True)
STILL = {ONE: 60.0, TWO: 60.0}


def gates(observation: Observation, limits: Limits | None = None, **tracks: Track) -> Gates:
    services = {one.name: one for one in (WIDE, NARROW)}
    return Gates(services, {"wide": Track(), "narrow": Track(), **tracks}, observation, limits or Limits())


def world(free: dict[str, int], still: dict[str, float] | None = None, **seen: Seen) -> Observation:
    return Observation(seen, free, STILL if still is None else still, STILL)


def why(found: Gates, service: Service) -> str | None:
    closed = found.closed(service)
    return closed.reason if closed else None


# A model over several cards


def test_every_card_of_a_model_needs_the_memory_of_a_rank() -> None:
    assert why(gates(world({ONE: 30 * GIB, TWO: 30 * GIB})), WIDE) is None
    closed = why(gates(world({ONE: 30 * GIB, TWO: 4 * GIB})), WIDE)
    assert closed is not None and "card GPU-2 has 4.00 GiB free and wide needs 10.00 GiB" in closed


def test_every_card_of_a_model_must_be_still() -> None:
    moving = replace(world({ONE: 30 * GIB, TWO: 30 * GIB}), foreign_still_s={ONE: 60.0, TWO: 0.5})
    closed = why(gates(moving), WIDE)
    assert closed is not None and "the free memory of card GPU-2 keeps moving" in closed


@pytest.mark.parametrize(("exact", "parallel", "has_turn"), [(True, 2, True), (True, 1, False), (False, 2, False)])
def test_as_many_as_allowed_start_on_each_card_and_not_on_all_of_a_models_cards(
    exact: bool, parallel: int, has_turn: bool
) -> None:
    """One that was stopped has not lost its turn since one more began on each of its two cards."""
    others = {"one": replace(NARROW, name="one", gpus=(ONE,)), "two": replace(NARROW, name="two", gpus=(TWO,))}
    services = {"wide": replace(WIDE, exact_kv=exact), **others}
    tracks = {"wide": Track(Step.WAITING, "changed", committed=1.0), **dict.fromkeys(others, Track(Step.SURGING))}
    found = Gates(services, tracks, world({ONE: 30 * GIB, TWO: 30 * GIB}), Limits(parallel=parallel))
    assert found.has_turn(services["wide"], alone=False) is has_turn


def test_a_rank_counts_on_its_own_card_for_what_it_has_still_to_take() -> None:
    seen = world({ONE: 25 * GIB, TWO: 25 * GIB}, wide=Seen(Container.RUNNING, used_bytes={ONE: 9 * GIB, TWO: 2 * GIB}))
    found = gates(seen, wide=Track(Step.STARTING))
    assert (found.free(ONE), found.free(TWO)) == (24 * GIB, 17 * GIB)


def test_a_rank_that_holds_too_much_is_found_whatever_the_others_hold() -> None:
    limits = Limits(tolerance_bytes=GIB)
    seen = world({ONE: 20 * GIB, TWO: 20 * GIB})
    even = Seen(serves=True, used_bytes={ONE: 10 * GIB, TWO: 10 * GIB})
    assert gates(seen, limits).holds_too_much(WIDE, even) is None, (
        "the sum of two ranks is not what one card is to hold"
    )
    found = gates(seen, limits).holds_too_much(WIDE, replace(even, used_bytes={ONE: 10 * GIB, TWO: 12 * GIB}))
    assert found is not None and "it holds 12.00 GiB on card GPU-2" in found


def test_whoever_shares_a_card_waits_and_nobody_else() -> None:
    other = replace(NARROW, name="other", gpus=("GPU-3",))
    found = Gates(
        {"wide": WIDE, "narrow": NARROW, "other": other},
        {"wide": Track(Step.STARTING), "narrow": Track(), "other": Track()},
        world({}),
        Limits(),
    )
    assert not found.has_turn(NARROW, alone=False)
    assert found.has_turn(other, alone=False)


def test_cards_share_the_hosts_memory() -> None:
    other = replace(NARROW, gpus=("GPU-3",))
    found = Gates(
        {"wide": WIDE, "narrow": other}, {"wide": Track(Step.STARTING), "narrow": Track()}, world({}), Limits(at_once=1)
    )
    assert not found.has_turn(other, alone=False)


# Stillness


def test_an_engine_with_exact_bytes_does_not_wait_for_what_the_one_before_moved() -> None:
    seen = Observation({}, {TWO: 30 * GIB}, {TWO: 0.3}, {TWO: 30.0})
    assert why(gates(seen), NARROW) is None
    assert why(gates(seen), replace(NARROW, exact_kv=False)) is not None, "its own measuring would be spoiled"


def test_a_foreign_process_that_moves_closes_the_gate_even_beside_starts_of_ours() -> None:
    seen = Observation({}, {ONE: 60 * GIB, TWO: 60 * GIB}, STILL, {ONE: 60.0, TWO: 0.1})
    assert why(gates(seen, wide=Track(Step.STARTING)), NARROW) is not None
    calm = replace(seen, foreign_still_s=STILL, still_s={ONE: 0.0, TWO: 0.0})
    assert why(gates(calm, wide=Track(Step.STARTING)), NARROW) is None


def test_where_nobody_can_tell_who_moves_all_must_be_still() -> None:
    assert why(gates(Observation({}, {TWO: 30 * GIB}, {TWO: 1.0})), NARROW) is not None
    assert why(gates(Observation({}, {TWO: 30 * GIB}, {TWO: 2.0})), NARROW) is None


# Neighbours and ports


def test_a_co_tenant_that_restarts_or_sleeps_closes_the_gate() -> None:
    for seen, word in (
        (Seen(Container.RESTARTING), "crashes over and over"),
        (Seen(Container.RUNNING, sleeping=True), "sleeps"),
    ):
        found = gates(world({TWO: 30 * GIB}, wide=seen), wide=Track(Step.KEPT))
        closed = why(found, NARROW)
        assert closed is not None and closed.startswith(f"wide {word}")
    assert why(gates(world({TWO: 30 * GIB}, wide=Seen(Container.RUNNING)), wide=Track(Step.KEPT)), NARROW) is None


def test_a_stack_beside_this_one_that_moves_closes_the_gate() -> None:
    seen = replace(world({TWO: 30 * GIB}), restless={TWO: "vllm-x of the stack y is starting"})
    assert why(gates(seen), NARROW) == "vllm-x of the stack y is starting"


def test_a_port_that_was_taken_meanwhile_closes_the_gate() -> None:
    taken = replace(world({TWO: 30 * GIB}), listeners={8002: FOREIGN})
    closed = why(gates(taken), NARROW)
    assert closed is not None and closed.startswith("port 8002 is in use")
    theirs = replace(taken, listeners={8002: "wide"})
    assert why(gates(theirs), NARROW) == "port 8002 is still that of wide: bring wide up first, or stop it."
    assert why(gates(replace(taken, listeners={8002: "narrow"})), NARROW) is None


# Before an old one is touched


def replacing(observation: Observation) -> tuple[list[str], Step]:
    """What is done in ten seconds with an old one that serves, and the step that it is at then."""
    state, done = begin([NARROW], "listed", 0.0), []
    for now in range(1, 11):
        state, actions = advance(state, observation, float(now), Limits(gate_timeout_s=3))
        done += [action.kind.value for action in actions]
    return done, state.tracks["narrow"].step


OLD = Seen(Container.RUNNING, "old", healthy=True, serves=True, requests=0, used_bytes={TWO: 9 * GIB})


def test_an_old_one_serves_on_where_its_successor_could_not_start() -> None:
    assert replacing(world({TWO: 2 * GIB}, narrow=OLD))[0][:2] == ["drain", "stop"]
    assert replacing(world({TWO: GIB}, narrow=OLD)) == ([], Step.FAILED), (
        "10 GiB and what is to stay free do not come free"
    )
    assert replacing(replace(world({TWO: 2 * GIB}, narrow=OLD), restless={TWO: "x is starting"})) == ([], Step.FAILED)
    unreadable = replace(world({}, narrow=OLD), memory_error="the driver is gone")
    assert replacing(unreadable) == ([], Step.FAILED)


def test_a_surge_instance_goes_through_the_gates_too() -> None:
    wide = replace(NARROW, surge=True)
    moving = replace(world({TWO: 60 * GIB}, narrow=OLD), foreign_still_s={TWO: 0.0})
    assert advance(begin([wide], "listed", 0.0), moving, 1.0, Limits())[1] == []
    still = world({TWO: 60 * GIB}, narrow=OLD)
    assert [one.kind.value for one in advance(begin([wide], "listed", 0.0), still, 1.0, Limits())[1]] == ["start_surge"]


# The order


def test_the_order_is_as_asked_for() -> None:
    small = replace(NARROW, name="small", need_bytes=GIB)
    names = {
        order: begin([NARROW, small, WIDE], order, 0.0).order for order in ("smallest_first", "largest_first", "listed")
    }
    assert names["smallest_first"] == ("small", "narrow", "wide")
    assert names["largest_first"] == ("wide", "narrow", "small")
    assert names["listed"] == ("narrow", "small", "wide")


# Made ahead, refused, looked at


def test_containers_are_made_while_they_wait() -> None:
    state = begin([WIDE, NARROW], "listed", 0.0)
    state, actions = advance(state, world({ONE: 60 * GIB, TWO: 60 * GIB}), 1.0, Limits())
    assert [(action.kind.value, action.name) for action in actions] == [
        ("create", "wide"),
        ("start", "wide"),
        ("create", "narrow"),
    ]
    made = world({ONE: 60 * GIB, TWO: 60 * GIB}, wide=Seen(Container.RUNNING, "d"), narrow=Seen(Container.CREATED, "d"))
    assert advance(state, made, 2.0, Limits())[1] == []


def test_one_that_was_made_for_other_settings_is_made_anew() -> None:
    seen = world({TWO: 60 * GIB}, narrow=Seen(Container.CREATED, "old"))
    _state, actions = advance(begin([NARROW], "listed", 0.0), seen, 1.0, Limits())
    assert [action.kind.value for action in actions] == ["create", "start"]


def test_one_that_was_made_and_never_started_is_started() -> None:
    seen = world({TWO: 60 * GIB}, narrow=Seen(Container.CREATED, "d"))
    state, actions = advance(begin([NARROW], "listed", 0.0), seen, 1.0, Limits())
    assert [action.kind.value for action in actions] == ["start"]
    assert state.tracks["narrow"].reason == "it was made and never started"


def test_a_start_that_docker_does_not_make_true_is_found() -> None:
    seen = world({TWO: 60 * GIB}, narrow=Seen(Container.CREATED, "d"))
    state, _actions = advance(begin([NARROW], "listed", 0.0), seen, 1.0, Limits())
    state, _actions = advance(state, seen, 12.5, Limits())
    assert state.tracks["narrow"].reason == "Docker did not start its container."


def test_what_docker_refuses_has_failed_with_its_words() -> None:
    words = "vllm-narrow does not start (no space left on device)"
    state = refuse(begin([NARROW], "listed", 0.0), Action(ActionKind.START, "narrow"), words, 3.0)
    track = state.tracks["narrow"]
    assert (track.step, track.ended, track.reason, track.cause) == (Step.FAILED, 3.0, words, Cause.REFUSED)


def test_looks_are_close_only_while_a_moment_decides() -> None:
    state = begin([NARROW], "listed", 0.0)
    assert next_probe_s(state, 1.0) == 0.25
    assert next_probe_s(state, 60.0) == 1.0, "what waits for long is not worth a core"
    loading = replace(state, tracks={"narrow": Track(Step.STARTING)})
    assert next_probe_s(loading, 1.0) == 1.0
    assert state.tracks["narrow"].step == Step.WAITING


# What others of ours have yet to give back


def moved_away(kept: int, seconds: int = 200) -> Step:
    """`waits` moves to a card that `comes` leaves, but for `kept` bytes: `comes` has its turn once `slow` has started elsewhere."""
    waits = Service("waits", "d", 8001, (ONE,), 6 * GIB, exact_kv=True, surge=True)
    comes = Service("comes", "d", 8002, (TWO,), 8 * GIB, exact_kv=True)
    slow = Service("slow", "d", 8003, (TWO,), 4 * GIB, exact_kv=True)
    before = Seen(Container.RUNNING, "old", healthy=True, requests=0, restart_policy="unless-stopped")
    seen = {
        "waits": replace(before, port=8001, used_bytes={TWO: GIB}),
        "comes": replace(before, port=8002, used_bytes={ONE: 8 * GIB}),
        "slow": Seen(Container.RUNNING, "d", age_s=1.0),
    }
    free = {ONE: 2 * GIB - kept, TWO: 20 * GIB}
    ports = {8001: "waits", 8002: "comes", 8003: "slow"}
    state = begin((slow, waits, comes), "listed", 0.0)
    for second in range(seconds):
        seen["slow"] = replace(seen["slow"], progress=second)
        observation = Observation(seen, free, STILL, STILL, listeners=ports)
        state, actions = advance(state, observation, float(second), Limits())
        assert actions == []
    return state.tracks["waits"].step


def test_what_another_gives_back_once_its_turn_comes_is_waited_for_longer_than_a_gate() -> None:
    assert moved_away(0) is Step.WAITING


def test_what_nobody_gives_back_is_waited_for_as_long_as_a_gate() -> None:
    assert moved_away(4 * GIB, 120) is Step.WAITING
    assert moved_away(4 * GIB, 125) is Step.FAILED
