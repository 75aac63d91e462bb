# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose memory and whose ports, at their bounds: one byte less, as much, one more; two cards, and two at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.gates import Fit, Gates
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import (
    FOREIGN,
    Container,
    Observation,
    Seen,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import Limits, Service, Step, Track

ONE, TWO = "GPU-1", "GPU-2"
GIB = 1024**3
# Half a GiB stays free on each card.
ROOM = 512 * 1024**2
A = Service("a", "d", 8001, (ONE,), 10 * GIB, exact_kv=True)
B = Service("b", "d", 8002, (ONE,), 4 * GIB, exact_kv=True)
C = Service("c", "d", 8003, (ONE,), 2 * GIB, exact_kv=True)
LIMITS = Limits(min_headroom_bytes=ROOM)


def gates(
    free: int | None,
    tracks: dict[str, Track] | None = None,
    seen: dict[str, Seen] | None = None,
    services: tuple[Service, ...] = (A, B, C),
    surges: dict[str, Seen] | None = None,
    listeners: dict[int, str] | None = None,
) -> Gates:
    cards = {} if free is None else {ONE: free, TWO: 90 * GIB}
    observation = Observation(
        seen or {},
        cards,
        {ONE: 60.0, TWO: 60.0},
        {ONE: 60.0, TWO: 60.0},
        surges=surges or {},
        listeners=listeners or {},
    )
    return Gates(
        {one.name: one for one in services},
        {**{one.name: Track() for one in services}, **(tracks or {})},
        observation,
        LIMITS,
    )


def running(size: int, uuid: str = ONE, **more: object) -> Seen:
    return replace(Seen(Container.RUNNING, used_bytes={uuid: size}), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("track", "kept"),
    [
        (Track(Step.STARTING), 7 * GIB),
        (Track(Step.DRAINING), 7 * GIB),
        # A surge instance has 8 of its 10 to take.
        (Track(Step.SURGING), 15 * GIB),
        (Track(Step.WAITING), 0),
        (Track(Step.WAITING, committed=0.0), 7 * GIB),
        (Track(Step.STOPPING, committed=5.0), 7 * GIB),
        (Track(Step.STOPPING), 0),
        (Track(Step.RETIRING), 0),
        (Track(Step.READY), 0),
        (Track(Step.FAILED, committed=5.0), 0),
    ],
)
def test_what_is_kept_for_one_by_its_step(track: Track, kept: int) -> None:
    found = gates(30 * GIB, {"a": track}, {"a": running(3 * GIB)}, surges={"a": running(2 * GIB)})
    assert found.reserved("a", ONE) == kept
    assert found.reserved("a", TWO) == 0
    assert found.free(ONE) == 30 * GIB - kept
    assert found.free(ONE, "a") == 30 * GIB


@pytest.mark.parametrize(
    ("track", "kept"),
    [
        (Track(Step.STARTING), 10 * GIB),
        (Track(Step.SURGING), 10 * GIB),
        # These are proved, or serve: what is planned for them they hold.
        (Track(Step.DRAINING), 0),
        (Track(Step.READY), 0),
    ],
)
def test_what_is_planned_for_a_start_is_kept_for_it_until_it_is_proved_where_nobody_can_tell(
    track: Track, kept: int
) -> None:
    found = gates(30 * GIB, {"a": track}, {"a": running(10 * GIB)}, surges={"a": running(10 * GIB)})
    assert found.reserved("a", ONE) == 0, "it has taken all of it, as far as can be read"
    found.observation = replace(found.observation, tells_apart=False)
    assert found.reserved("a", ONE) == kept


def test_one_that_holds_more_than_its_plan_keeps_nothing_from_others() -> None:
    assert gates(30 * GIB, {"a": Track(Step.STARTING)}, {"a": running(11 * GIB)}).reserved("a", ONE) == 0


@pytest.mark.parametrize(("more", "all_fit"), [(-1, False), (0, True), (1, True)])
def test_all_that_wait_have_room_once_what_they_replace_is_gone(more: int, all_fit: bool) -> None:
    seen = {"a": running(10 * GIB), "b": running(4 * GIB), "c": running(2 * GIB)}
    # 16 GiB come free and 16 are needed: what is free now is the headroom.
    assert gates(ROOM + more, seen=seen).could_all_start(A) is all_fit


@pytest.mark.parametrize(
    ("tracks", "free", "all_fit"),
    [
        # One that serves gives nothing back, and needs nothing.
        ({"b": Track(Step.READY)}, ROOM + 2 * GIB, True),
        ({"b": Track(Step.READY)}, ROOM + 2 * GIB - 1, False),
        # One that leaves gives back all that it holds, and its place is nobody's.
        ({"b": Track(Step.LEAVING)}, ROOM - 2 * GIB, True),
        ({"b": Track(Step.LEAVING)}, ROOM - 2 * GIB - 1, False),
        # What a surge instance holds comes free with its service's own start.
        ({"b": Track(surged=True)}, ROOM + GIB, True),
        ({"b": Track(surged=True)}, ROOM + GIB - 1, False),
        # What was committed is kept already, and not asked for once more.
        ({"b": Track(committed=5.0)}, ROOM - 2 * GIB, True),
        ({"b": Track(committed=5.0)}, ROOM - 2 * GIB - 1, False),
    ],
)
def test_who_gives_back_and_who_needs(tracks: dict[str, Track], free: int, all_fit: bool) -> None:
    seen = {"a": running(8 * GIB), "b": running(4 * GIB)}
    found = gates(free, tracks, seen, (A, B), surges={"b": running(GIB)})
    assert found.could_all_start(A) is all_fit


def test_models_of_other_cards_count_on_neither() -> None:
    other = replace(B, gpus=(TWO,))
    assert gates(ROOM, seen={"a": running(10 * GIB)}, services=(A, other)).could_all_start(A)
    assert not gates(None, services=(A, other)).could_all_start(A)


@pytest.mark.parametrize(("free", "short"), [(ROOM + 6 * GIB - 1, True), (ROOM + 6 * GIB, False)])
def test_a_card_is_short_by_a_byte(free: int, short: bool) -> None:
    found = gates(free, seen={"a": running(4 * GIB), "b": running(3 * GIB)}, services=(A, B))
    assert found.is_short(A, ONE) is short
    assert list(found.blockers(A)) == (["b"] if short else [])


def test_a_card_that_can_t_be_read_is_not_short() -> None:
    assert not gates(None).is_short(A, ONE)


@pytest.mark.parametrize(
    ("track", "seen", "listener", "blocks"),
    [
        (Track(), running(GIB, TWO), "b", True),
        (Track(), running(GIB, TWO), "c", False),
        (Track(), running(GIB, TWO), FOREIGN, False),
        (Track(Step.READY), running(GIB, TWO), "b", False),
        (Track(), replace(running(GIB, TWO), container=Container.EXITED), "b", False),
    ],
)
def test_who_has_the_port_blocks_as_long_as_it_waits_and_runs(
    track: Track, seen: Seen, listener: str, blocks: bool
) -> None:
    found = gates(60 * GIB, {"b": track}, {"b": seen}, (A, B), listeners={8001: listener})
    assert list(found.blockers(A)) == (["b"] if blocks else [])


def test_none_blocks_itself() -> None:
    assert list(gates(0, seen={"a": running(GIB)}, services=(A,), listeners={8001: "a"}).blockers(A)) == []


def test_what_retires_and_what_is_stopped_for_good_gives_back() -> None:
    leaver = replace(B, leaves=True)
    tracks = {"a": Track(Step.RETIRING), "b": Track(Step.STOPPING), "c": Track(Step.STOPPING)}
    seen = {"b": running(4 * GIB), "c": running(2 * GIB)}
    found = gates(0, tracks, seen, (A, leaver, C), surges={"a": running(9 * GIB)})
    assert (found.given_back(ONE), found.given_back(TWO)) == (13 * GIB, 0)
    tracks["b"] = Track(Step.LEAVING)
    found = gates(0, tracks, seen, (A, leaver, C), surges={"a": running(9 * GIB)})
    assert (found.given_back(ONE), found.leavers_on(ONE), found.leavers_on(TWO)) == (9 * GIB, ["b"], [])


@pytest.mark.parametrize(
    ("one", "two", "first"),
    [
        (1.0, 2.0, True),
        (2.0, 1.0, False),
        (0.0, 1.0, True),
        # At one moment, and where only one was: by their order.
        (2.0, 2.0, True),
        (None, 1.0, False),
        (1.0, None, False),
    ],
)
def test_who_was_committed_first(one: float | None, two: float | None, first: bool) -> None:
    found = gates(0, {"a": Track(committed=one), "b": Track(committed=two)})
    assert found.was_committed_before("a", "b") is first
    if one == two:
        assert not found.was_committed_before("b", "a")


# Old and new together


@pytest.mark.parametrize(
    ("free", "old", "fit"),
    [
        # Beside the old one that holds as much: 10 GiB and the headroom.
        (10 * GIB + ROOM, 10 * GIB, Fit.NOW),
        (10 * GIB + ROOM - 1, 10 * GIB, Fit.NEVER),
        # An old one that is smaller does not leave room for the new one and its surge instance.
        (17 * GIB + ROOM, 3 * GIB, Fit.NOW),
        (17 * GIB + ROOM - 1, 3 * GIB, Fit.NEVER),
        # One that holds nothing on this card gives nothing back there.
        (20 * GIB + ROOM, 0, Fit.NOW),
        (20 * GIB + ROOM - 1, 0, Fit.NEVER),
    ],
)
def test_a_surge_instance_has_room_beside_the_old_and_beside_the_new(free: int, old: int, fit: Fit) -> None:
    seen = running(old) if old else running(GIB, TWO)
    assert gates(free, services=(A,)).fit(A, seen) is fit


@pytest.mark.parametrize(("leaves", "fit"), [(GIB, Fit.LATER), (GIB - 1, Fit.NEVER)])
def test_room_that_leavers_will_give_is_waited_for(leaves: int, fit: Fit) -> None:
    leaver = replace(B, leaves=True)
    found = gates(9 * GIB + ROOM, {"b": Track(Step.LEAVING)}, {"b": running(leaves)}, (A, leaver))
    assert found.fit(A, running(10 * GIB)) is fit


def test_one_that_sizes_its_own_cache_has_no_surge_instance_and_neither_has_one_on_an_unreadable_card() -> None:
    assert gates(90 * GIB).fit(replace(A, exact_kv=False), running(GIB)) is Fit.NEVER
    assert gates(None).fit(A, running(GIB)) is Fit.NEVER


# A surge instance whose service waits for a port


@pytest.mark.parametrize(
    ("free", "opens"),
    [
        # b could be replaced where it is (4 GiB and headroom) beside a twice (20 GiB), less what a and b hold.
        (4 * GIB + ROOM + 20 * GIB - 10 * GIB - 3 * GIB, True),
        (4 * GIB + ROOM + 20 * GIB - 10 * GIB - 3 * GIB - 1, False),
    ],
)
def test_a_surge_instance_waits_for_whoever_has_its_port_unless_that_one_can_follow(free: int, opens: bool) -> None:
    seen = {"a": running(10 * GIB), "b": running(3 * GIB)}
    found = gates(free, seen=seen, services=(A, B), listeners={8001: "b"})
    closed = found.closed_behind_surge(A)
    assert (closed is None) is opens
    if closed is not None:
        assert closed.reason == "port 8001 is still that of b: bring b up first, or stop it."


def test_a_card_of_its_own_lets_the_owner_of_a_port_follow() -> None:
    other = replace(B, gpus=(TWO,))
    seen = {"a": running(10 * GIB), "b": running(3 * GIB, TWO)}
    assert gates(0, seen=seen, services=(A, other), listeners={8001: "b"}).closed_behind_surge(A) is None


@pytest.mark.parametrize(
    ("track", "leaves", "opens"),
    [
        (Track(Step.STARTING), False, True),
        (Track(Step.SURGING), False, True),
        (Track(Step.READY), False, False),
        (Track(Step.KEPT), False, False),
        (Track(Step.FAILED), False, False),
        (Track(Step.LEAVING), True, True),
        (Track(Step.FAILED), True, False),
    ],
)
def test_whose_port_comes_free(track: Track, leaves: bool, opens: bool) -> None:
    found = gates(0, {"b": track}, services=(A, replace(B, leaves=leaves)), listeners={8001: "b"})
    assert (found.closed_behind_surge(A) is None) is opens


def test_a_ring_of_ports_goes_round_and_a_foreign_one_ends_it() -> None:
    seen = {name: running(2 * GIB) for name in "abc"}
    ring = {8001: "b", 8002: "c", 8003: "a"}
    assert gates(90 * GIB, seen=seen, listeners=ring).closed_behind_surge(A) is None
    closed = gates(90 * GIB, seen=seen, listeners={**ring, 8003: FOREIGN}).closed_behind_surge(A)
    assert closed is not None
    assert closed.reason == "port 8003 is in use by a process that is not ours: end it, or give c another port."


# Unrest


@pytest.mark.parametrize(
    ("step", "seen", "words"),
    [
        (Step.KEPT, replace(running(GIB), sleeping=True), "b sleeps on card GPU-1 and will take its memory back"),
        (Step.READY, replace(running(GIB), container=Container.RESTARTING), "b crashes over and over on card GPU-1"),
        (Step.WAITING, replace(running(GIB), sleeping=True), ""),
        (Step.KEPT, running(GIB), ""),
    ],
)
def test_a_neighbour_that_is_not_at_rest(step: Step, seen: Seen, words: str) -> None:
    found = gates(60 * GIB, {"b": Track(step)}, {"b": seen}, (A, B)).closed(A)
    assert (found.reason if found else "").startswith(words)
    assert (found is None) is (words == "")
    elsewhere = replace(B, gpus=(TWO,))
    assert gates(60 * GIB, {"b": Track(step)}, {"b": seen}, (A, elsewhere)).closed(A) is None


def test_its_own_sleep_keeps_nobody_from_being_replaced() -> None:
    found = gates(60 * GIB, {"a": Track(Step.KEPT)}, {"a": replace(running(GIB), sleeping=True)}, (A,))
    assert found.closed(A) is None


@pytest.mark.parametrize(
    ("foreign_s", "still_s", "opens"), [(2.0, 1.0, True), (1.9, 60.0, False), (60.0, 0.2, False), (60.0, 0.25, True)]
)
def test_for_how_long_a_card_is_still(foreign_s: float, still_s: float, opens: bool) -> None:
    found = gates(60 * GIB, services=(A,))
    calm = replace(found.observation, still_s={ONE: still_s}, foreign_still_s={ONE: foreign_s})
    found = Gates(found.services, found.tracks, calm, Limits(settle_s=2.0))
    assert (found.closed(A) is None) is opens


@pytest.mark.parametrize(
    ("used", "free", "too_much"),
    [(11 * GIB, GIB, ""), (11 * GIB + 1, GIB, "it holds"), (0, ROOM // 2, ""), (1, ROOM // 2 - 1, "it leaves")],
)
def test_what_an_engine_holds_once_it_serves(used: int, free: int, too_much: str) -> None:
    found = gates(free, services=(A,))
    found = Gates(found.services, found.tracks, found.observation, replace(LIMITS, tolerance_bytes=GIB))
    assert (found.holds_too_much(A, running(used)) or "").startswith(too_much)
    assert (found.holds_too_much(A, running(used)) is None) is (too_much == "")
