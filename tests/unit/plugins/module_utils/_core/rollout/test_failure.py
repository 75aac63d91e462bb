# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a start that failed: the first true cause, what to do, and what serves."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout import failure
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import Step, Track
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB, MIB

OOM = ["INFO loading", "torch.OutOfMemoryError: CUDA out of memory."]


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (
            {},
            {7: ("GPU-1", 256 * MIB)},
            "a process that is not ours (python3, pid 7) took 0.25 GiB on card GPU-1 meanwhile",
        ),
        ({}, {7: ("GPU-1", 256 * MIB - 1)}, ""),
        ({7: ("GPU-1", 4 * GIB)}, {7: ("GPU-1", 4 * GIB + 200 * MIB)}, ""),
        (
            {7: ("GPU-1", 4 * GIB)},
            {7: ("GPU-1", 6 * GIB)},
            "a process that is not ours (python3, pid 7) took 2.00 GiB on card GPU-1 meanwhile",
        ),
        ({}, {8: ("GPU-1", GIB)}, "a process that is not ours (?, pid 8) took 1.00 GiB on card GPU-1 meanwhile"),
        ({}, {}, ""),
    ],
)
def test_who_took_memory_meanwhile(before: dict[int, Any], now: dict[int, Any], said: str) -> None:
    assert failure.foreign_growth(before, now, {7: "python3"}) == said


def test_one_that_never_started_is_told_with_its_reason() -> None:
    track = Track(Step.FAILED, "something odd that nobody knows")
    assert failure.refused("yi", track, "") == {
        "name": "yi",
        "cause": "something odd that nobody knows",
        "remedy": "",
        "log": [],
        "id": "refused",
        "after_s": None,
        "noticed_s": None,
    }
    foreign_process = failure.refused("yi", track, "python3 took 8 GiB")
    assert foreign_process["cause"] == "python3 took 8 GiB; something odd that nobody knows"
    assert foreign_process["remedy"] == "End that process, or lower vllm_stack_preset."


def test_one_that_ended_is_told_by_its_log() -> None:
    track = Track(Step.FAILED, "", started=1e6, ended=1e6 + 12.34)
    found = failure.ended("yi", track, OOM, 1, 0.4, "")
    assert found["cause"].startswith("the card's memory ran out")
    assert (found["after_s"], found["noticed_s"], found["log"]) == (12.3, 0.4, OOM)
    assert found["id"] not in ("unknown", "timeout")
    stolen = failure.ended("yi", track, OOM, 1, 0.4, "python3 took 8 GiB")
    assert stolen["cause"].startswith("python3 took 8 GiB; the card's memory ran out")
    assert stolen["remedy"] == "End that process, or lower vllm_stack_preset."


def test_a_foreign_process_is_named_only_where_memory_was_the_reason() -> None:
    argument = ["vllm: error: unrecognized arguments: --nope"]
    assert "took" not in failure.ended("yi", Track(), argument, 2, None, "python3 took 8 GiB")["cause"]
    full = Track(Step.FAILED, "it leaves 0.10 GiB free on card GPU-1", memory=True)
    assert failure.ended("yi", full, [], None, None, "python3 took 8 GiB")["cause"].startswith(
        "python3 took 8 GiB; it leaves"
    )


def test_one_that_was_given_up_is_told_by_the_bound() -> None:
    track = Track(Step.FAILED, "no token after 100 s (vllm_stack_timeout_s).")
    found = failure.ended("yi", track, ["INFO loading"], None, None, "")
    assert (found["cause"], found["id"]) == ("no token after 100 s (vllm_stack_timeout_s).", "timeout")
    assert found["after_s"] == 0.0


def test_only_the_end_of_a_log_is_shown() -> None:
    log = [f"INFO {line}" for line in range(30)]
    assert failure.ended("yi", Track(), log, 1, None, "")["log"] == log[10:]


YI = {"name": "yi", "cause": "the card's memory ran out.", "remedy": "Lower the preset."}
QWEN = {"name": "qwen", "cause": "it ended", "remedy": ""}


@pytest.mark.parametrize(
    ("failures", "restored", "serving", "missing", "said"),
    [
        ([YI], [], [], [], "yi did not start: the card's memory ran out. Lower the preset. Serving now: no model."),
        ([QWEN], [], ["yi"], [], "qwen did not start: it ended. Serving now: yi."),
        (
            [QWEN],
            ["a", "b"],
            ["a", "b"],
            [],
            "qwen did not start: it ended. The set before is back and proved. Serving now: a, b.",
        ),
        (
            [QWEN],
            ["a"],
            ["a"],
            [YI],
            "qwen did not start: it ended. Of the set before yi did not come back: yi did not start: the card's memory ran out. Lower the "
            "preset. Serving now: a.",
        ),
        (
            [QWEN, YI],
            [],
            ["a"],
            [],
            "qwen did not start: it ended. yi did not start: the card's memory ran out. Lower the preset. Serving now: a.",
        ),
    ],
)
def test_what_a_person_reads(
    failures: list[Any], restored: list[str], serving: list[str], missing: list[Any], said: str
) -> None:
    assert failure.message(failures, restored, serving, missing) == said


def test_a_reason_and_its_cause_are_one_sentence() -> None:
    track = Track(Step.FAILED, "it ended 10 s after it was ready.")
    found = failure.ended("yi", track, OOM, 1, None, "")
    assert found["cause"].startswith("it ended 10 s after it was ready: the card's memory ran out")
    assert ". the" not in failure.sentence(found)
