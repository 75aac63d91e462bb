# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines that a person reads while engines start."""

from __future__ import annotations

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.log import Phase
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import Observation, Seen
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.progress import (
    PHASES,
    Narrator,
    clock,
    describe,
    shown,
    watched,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import Service, Step, Track, begin
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB

NOW = 1e6


@pytest.mark.parametrize(("seconds", "text"), [(0.0, "0:00"), (59.9, "0:59"), (60.0, "1:00"), (3661.0, "61:01")])
def test_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("track", "seen", "line"),
    [
        (Track(Step.WAITING, "why"), Seen(), ""),
        (Track(Step.WAITING, "why", retried="once more"), Seen(), "again: once more"),
        (Track(Step.SURGING, "why"), Seen(), "starts as a surge instance: why"),
        (Track(Step.STARTING, "why"), Seen(), "starts: why"),
        (Track(Step.STARTING, "why"), Seen(phase=Phase.LOADING, percent=25), "weights 25 %"),
        (Track(Step.STARTING, "why"), Seen(phase=Phase.LOADING), "weights"),
        (Track(Step.STARTING, "why"), Seen(phase=Phase.LOADED, percent=25), "weights loaded, compiling and measuring"),
        (Track(Step.DRAINING), Seen(), "ends its requests"),
        (Track(Step.DRAINING, surged=True), Seen(), "its surge instance serves, the old one ends its requests"),
        (Track(Step.RETIRING), Seen(), "ready, its surge instance ends its requests"),
        (Track(Step.READY, started=NOW - 20, ended=NOW - 8), Seen(), "ready: first token 12 s after its start"),
        (
            Track(Step.READY, started=NOW - 20, ended=NOW - 8),
            Seen(used_bytes={"a": GIB, "b": 2 * GIB}),
            "ready: first token 12 s after its start, 3.00 GiB",
        ),
        (Track(Step.READY, started=NOW - 20), Seen(), "ready: first token 20 s after its start"),
        (Track(Step.FAILED, "why"), Seen(), "failed: why"),
        (Track(Step.FAILED), Seen(), "failed: its container ended"),
        (Track(Step.GONE), Seen(), "stopped: it left the inventory"),
        (Track(Step.KEPT), Seen(), ""),
        (Track(Step.LEAVING), Seen(), ""),
        (Track(Step.STOPPING), Seen(), ""),
    ],
)
def test_a_change_as_a_person_would_say_it(track: Track, seen: Seen, line: str) -> None:
    assert describe(track, seen, NOW) == line


@pytest.mark.parametrize(
    ("track", "seen", "text"),
    [
        (Track(Step.WAITING), Seen(), "waits"),
        (Track(Step.DRAINING), Seen(requests=3), "ends 3 requests"),
        (Track(Step.DRAINING), Seen(requests=0), "ends 0 requests"),
        (Track(Step.DRAINING), Seen(), "ends its requests"),
        (Track(Step.RETIRING), Seen(), "retiring"),
        (Track(Step.STARTING, started=NOW - 7), Seen(), "container started, 7 s"),
        (Track(Step.STARTING, started=NOW - 7), Seen(phase=Phase.CREATED), "engine created, 7 s"),
        (Track(Step.SURGING, started=NOW - 7), Seen(phase=Phase.LOADING, percent=0), "weights 0 %, 7 s"),
        (Track(Step.STARTING), Seen(phase=Phase.GRAPHS), "graphs captured, 0 s"),
    ],
)
def test_where_one_is_in_a_summary(track: Track, seen: Seen, text: str) -> None:
    assert Narrator(NOW).where("yi", track, seen, NOW) == text


def test_a_summary_says_how_long_it_took_last_time() -> None:
    narrator = Narrator(NOW, {"yi": 41.4})
    assert (
        narrator.where("yi", Track(Step.STARTING, started=NOW - 7), Seen(), NOW) == "container started, 7 of about 41 s"
    )


def test_a_line_is_said_once_and_a_summary_every_five_seconds() -> None:
    yi = Service("yi", "d", 8001, ("GPU-1",), GIB, exact_kv=True)
    gone = Service("/vllm-gone", "", 8002, ("GPU-1",), 0, exact_kv=True, leaves=True)
    state = begin([yi, gone], "listed", NOW)
    narrator = Narrator(NOW)
    seen = Observation({}, {})
    assert narrator.lines(state, seen, NOW + 4.9) == []
    assert narrator.lines(state, seen, NOW + 5) == [" 0:05  yi waits"]
    assert narrator.lines(state, seen, NOW + 9.9) == []
    tracks = {"yi": Track(Step.STARTING, "why", started=NOW), gone.name: Track(Step.GONE)}
    state = type(state)(state.order, state.services, tracks, leavers=state.leavers)
    assert narrator.lines(state, seen, NOW + 10) == [
        " 0:10  yi    starts: why",
        " 0:10  gone  stopped: it left the inventory",
    ]
    assert narrator.lines(state, seen, NOW + 11) == []
    loading = Observation({"yi": Seen(phase=Phase.LOADING, percent=5)}, {})
    assert narrator.lines(state, loading, NOW + 12) == [" 0:12  yi    weights 5 %"]
    assert narrator.lines(state, loading, NOW + 17) == [" 0:17  yi weights 5 %, 17 s"]


def test_what_is_told_is_of_the_container_that_a_step_is_about() -> None:
    seen = Observation({"yi": Seen(phase=Phase.GRAPHS)}, {}, surges={"yi": Seen(phase=Phase.LOADING)})
    for step in Step:
        wanted = Phase.LOADING if step in (Step.SURGING, Step.RETIRING, Step.YIELDING) else Phase.GRAPHS
        assert watched(Track(step), seen, "yi").phase is wanted
    assert watched(Track(Step.SURGING), Observation({}, {}), "yi") == Seen()


@pytest.mark.parametrize(("name", "text"), [("yi", "yi"), ("/vllm-yi", "yi"), ("/other", "other")])
def test_one_that_left_is_called_by_its_model(name: str, text: str) -> None:
    assert shown(name) == text


def test_every_phase_of_a_log_means_something_to_a_person() -> None:
    assert set(PHASES) == set(Phase)
