# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One start, probe by probe, at the bound of each wait; the clock begins at a million."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.log import Phase
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.follow import Outcome, follow
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.gates import Gates
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import (
    Container,
    Observation,
    Seen,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import Limits, Service, Step, Track

T = 1e6
GIB = 1024**3
A = Service("a", "d", 8001, ("GPU-1",), 10 * GIB, exact_kv=True)
BEGUN = Track(Step.STARTING, since=T, started=T, progress=0, progressed=T, start_id="s1")
RUNS = Seen(Container.RUNNING, "d", start_id="s1", progress=0)


def probe(now: float, seen: Seen, track: Track = BEGUN, **limits: Any) -> tuple[Track, Outcome]:
    found = Gates({"a": A}, {"a": track}, Observation({"a": seen}, {"GPU-1": 5 * GIB}), Limits(**limits))
    return follow(A, track, seen, T + now, found)


def reason(now: float, seen: Seen, track: Track = BEGUN, **limits: Any) -> str | None:
    followed, outcome = probe(now, seen, track, **limits)
    return followed.reason if outcome is Outcome.FAILED else None


@pytest.mark.parametrize(
    ("container", "words"),
    [
        (Container.ABSENT, "its container is gone: somebody removed it."),
        (Container.CREATED, "Docker did not start its container."),
    ],
)
def test_a_container_that_does_not_come_is_waited_for_ten_seconds(container: Container, words: str) -> None:
    seen = Seen(container)
    assert reason(10.0, seen) is None
    assert reason(10.01, seen) == words


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (replace(RUNS, container=Container.EXITED), ""),
        (replace(RUNS, container=Container.RESTARTING), ""),
        (replace(RUNS, refusal="no such model"), "it refuses to make one token: no such model"),
        (replace(RUNS, dead=True), "its engine died and it says so on /health."),
    ],
)
def test_what_ends_a_start_at_once(seen: Seen, words: str) -> None:
    followed, outcome = probe(3.0, seen)
    assert (followed.reason, outcome, followed.ended, followed.memory) == (words, Outcome.FAILED, T + 3, False)


def test_the_whole_start_has_a_bound() -> None:
    moving = replace(BEGUN, progressed=T + 99)
    assert reason(100.0, RUNS, moving, start_timeout_s=100.0, phase_limits_s={}) is None
    assert reason(100.1, RUNS, moving, start_timeout_s=100.0) == "no token after 100 s (vllm_stack_timeout_s)."


def test_silence_has_a_bound() -> None:
    loading = replace(RUNS, phase=Phase.LOADING)
    track = replace(BEGUN, phases=(("loading", 5.0),), progressed=T + 40)
    assert reason(100.0, loading, track, stall_timeout_s=60.0) is None
    assert reason(100.1, loading, track, stall_timeout_s=60.0) == (
        "no line in its log and no byte read for 60 s, at loading (vllm_stack_stall_timeout_s)."
    )
    silent = "no line in its log and no byte read for 60 s, before its first line (vllm_stack_stall_timeout_s)."
    assert reason(60.1, RUNS, stall_timeout_s=60.0) == silent


def test_a_line_or_a_byte_is_progress() -> None:
    followed, _outcome = probe(50.0, replace(RUNS, progress=7))
    assert (followed.progress, followed.progressed) == (7, T + 50)
    followed, _outcome = probe(55.0, replace(RUNS, progress=7), followed)
    assert followed.progressed == T + 50


@pytest.mark.parametrize(
    ("phases", "phase", "since", "over", "words"),
    [
        # From its beginning, where there is no line yet.
        ((), None, 0.0, 30.0, "30 s before its first line are too long (vllm_stack_phase_limits_s)."),
        # From when the phase was entered.
        ((("loading", 40.0),), Phase.LOADING, 0.0, 60.0, "20 s at loading are too long (vllm_stack_phase_limits_s)."),
        # One that an earlier run began is timed from when it was taken on.
        ((("loading", 40.0),), Phase.LOADING, 70.0, 90.0, "20 s at loading are too long (vllm_stack_phase_limits_s)."),
    ],
)
def test_each_phase_has_a_bound(
    phases: tuple[tuple[str, float], ...], phase: Phase | None, since: float, over: float, words: str
) -> None:
    limits = {"phase_limits_s": {None: 30.0, Phase.LOADING: 20.0}, "start_timeout_s": 900.0, "stall_timeout_s": 1e9}
    track = replace(BEGUN, phases=phases, since=T + since)
    seen = replace(RUNS, phase=phase)
    assert reason(over, seen, track, **limits) is None
    assert reason(over + 0.1, seen, track, **limits) == words


def test_the_phases_of_a_start_are_noted_once_each_from_its_start() -> None:
    track = BEGUN
    for now, phase in ((2.0, None), (3.0, Phase.CREATED), (4.0, Phase.CREATED), (9.0, Phase.LOADING)):
        track, _outcome = probe(now, replace(RUNS, phase=phase), track)
    assert track.phases == (("created", 3.0), ("loading", 9.0))
    track, outcome = probe(12.0, replace(RUNS, phase=Phase.LOADING, serves=True), replace(track, doubted=T))
    assert (track.phases[-1], outcome, track.ended, track.doubted) == (("ready", 12.0), Outcome.PROVED, T + 12, None)


def test_a_start_by_somebody_else_is_a_start_of_its_own() -> None:
    before = replace(BEGUN, phases=(("loading", 40.0),), progress=9, progressed=T, doubted=T + 1)
    seen = replace(RUNS, start_id="s2", age_s=5.0, progress=9, phase=Phase.CREATED)
    followed, outcome = probe(700.0, seen, before, stall_timeout_s=60.0)
    assert outcome is Outcome.GOES_ON
    assert (followed.started, followed.start_id, followed.phases) == (T + 695, "s2", (("created", 5.0),))
    assert (followed.progress, followed.progressed, followed.doubted) == (9, T + 700, None)
    # What Docker does not say yet is from now on.
    followed, _outcome = probe(700.0, replace(seen, age_s=None, phase=None), before)
    assert (followed.started, followed.phases) == (T + 700, ())


def test_a_start_whose_id_is_not_known_yet_goes_on() -> None:
    for known, shown in (("", "s1"), ("s1", "")):
        followed, _outcome = probe(
            3.0, replace(RUNS, start_id=shown), replace(BEGUN, start_id=known, phases=(("created", 1.0),))
        )
        assert (followed.start_id, followed.started, len(followed.phases)) == ("s1", T, 1)


def test_one_that_holds_too_much_is_doubted_before_it_is_given_up() -> None:
    seen = replace(RUNS, serves=True, used_bytes={"GPU-1": 12 * GIB})
    limits: dict[str, Any] = {"tolerance_bytes": GIB, "doubt_s": 5.0}
    track, outcome = probe(50.0, seen, **limits)
    assert (outcome, track.doubted) == (Outcome.GOES_ON, T + 50)
    track, outcome = probe(54.9, seen, track, **limits)
    assert (outcome, track.doubted) == (Outcome.GOES_ON, T + 50)
    ended, outcome = probe(55.0, seen, track, **limits)
    assert (outcome, ended.memory, ended.ended, ended.doubted) == (Outcome.FAILED, True, T + 55, None)
    assert ended.reason.startswith("it holds 12.00 GiB on card GPU-1, more than the 10.00 GiB planned")
    # A reading that was off speaks against it no more.
    well, outcome = probe(56.0, replace(seen, used_bytes={"GPU-1": 11 * GIB}), track, **limits)
    assert (outcome, well.doubted) == (Outcome.PROVED, None)
