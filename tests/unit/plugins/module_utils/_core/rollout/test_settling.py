# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For how long memory has been still: all of it, and what others hold."""

from __future__ import annotations

import json

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.settling import History, Sample
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB, MIB

CARD, OURS, OTHER = "GPU-1", 10, 20


def history(*rows: tuple[float, int, dict[int, int] | None]) -> History:
    """Samples of one card: when, free bytes, used bytes by process."""
    made = History()
    for at, free, used in rows:
        made.add(Sample(at, {CARD: free}, None if used is None else {CARD: used}))
    return made


def test_memory_is_still_since_its_last_move() -> None:
    moved = history((0, 30 * GIB, None), (1, 20 * GIB, None), (2, 20 * GIB, None), (3, 20 * GIB + 10 * MIB, None))
    assert moved.still_s(CARD, 3.5) == 2.5
    assert moved.still_s("GPU-2", 3.5) == 0.0


def test_a_slow_leak_is_a_move_too() -> None:
    leak = history(*((float(at), 30 * GIB - at * 20 * MIB, None) for at in range(12)))
    assert leak.still_s(CARD, 11.0) == 3.0


def test_what_one_of_ours_takes_is_nobodys_move() -> None:
    loads = history(*((float(at), (30 - at) * GIB, {OURS: at * GIB, OTHER: GIB}) for at in range(6)))
    assert loads.foreign_still_s(CARD, 5.0, {OURS}) == 5.0
    assert loads.foreign_still_s(CARD, 5.0, set()) == 0.0
    assert loads.still_s(CARD, 5.0) == 0.0


def test_what_one_of_ours_gives_back_at_its_end_is_nobodys_move() -> None:
    ends = history((0, 20 * GIB, {OURS: 10 * GIB}), (1, 20 * GIB, {OURS: 10 * GIB}), (2, 30 * GIB, {}))
    assert ends.foreign_still_s(CARD, 2.0, {OURS}) == 2.0


def test_a_foreign_process_that_comes_while_one_of_ours_loads_is_seen() -> None:
    steals = history(
        (0, 30 * GIB, {OURS: 0}),
        (1, 24 * GIB, {OURS: 2 * GIB, OTHER: 4 * GIB}),
        (2, 24 * GIB, {OURS: 2 * GIB, OTHER: 4 * GIB}),
    )
    assert steals.foreign_still_s(CARD, 2.0, {OURS}) == 1.0


def test_nobody_can_tell_where_the_driver_does_not_say_who_holds_what() -> None:
    assert history((0, 30 * GIB, None), (1, 30 * GIB, None)).foreign_still_s(CARD, 1.0, {OURS}) is None


def test_a_time_that_nobody_looked_counts_for_nothing() -> None:
    assert history((0, GIB, None), (5, GIB, None), (6, GIB, None)).still_s(CARD, 6.0) == 1.0
    assert history((0, GIB, None)).still_s(CARD, 10.0) == 0.0


def test_a_sample_outlives_the_process_that_took_it() -> None:
    for used in ({CARD: {OURS: GIB}}, None):
        sample = Sample(7.0, {CARD: GIB}, used)
        assert Sample.of_data(json.loads(json.dumps(sample.as_data()))) == sample


def test_the_bounds_of_stillness() -> None:
    for moved, still in ((64 * MIB, 2.0), (64 * MIB + 1, 0.0), (-64 * MIB, 2.0), (-64 * MIB - 1, 0.0)):
        assert (
            history((0, 10 * GIB, None), (1, 10 * GIB, None), (2, 10 * GIB + moved, None)).still_s(CARD, 2.0) == still
        )
    for gap, still in ((1.5, 3.0), (1.6, 0.0)):
        assert history((0, GIB, None), (1.5, GIB, None), (1.5 + gap, GIB, None)).still_s(CARD, 1.5 + gap) == (
            still if gap > 1.5 else 3.0
        )


def test_what_was_known_before_memory_could_not_be_read_counts_no_more() -> None:
    found = history((0, GIB, None), (1, GIB, None))
    found.clear()
    assert found.still_s(CARD, 1.0) == 0.0
    found.add(Sample(1.5, {CARD: GIB}, None))
    assert found.still_s(CARD, 2.0) == 0.5


def test_no_more_is_kept_than_half_a_minute() -> None:
    found = history(*((float(at), GIB, None) for at in range(41)))
    assert found.still_s(CARD, 40.0) == 30.0
