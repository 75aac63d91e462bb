# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a proof: which are due, which fit into the time, and what each asks of the host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.proof import steps
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.proof.steps import STEPS, Models

BY_NAME = {step.name: step for step in STEPS}
NAMES = [step.name for step in STEPS]
MODELS: list[dict[str, Any]] = [
    {"name": "small", "max_num_seqs": 16, "model": "a/b"},
    {"name": "large", "model": "c/d", "extra_args": ["--load-format", "dummy"]},
    {"name": "embed", "model": "e/f", "task": "embed"},
]
STARTED: dict[str, Any] = {
    "models": [
        {"name": "small", "planned_bytes": 1, "ready_s": 40.0},
        {"name": "large", "planned_bytes": 9, "ready_s": 30.0},
        {"name": "gone", "action": "stopped"},
    ]
}


def test_all_that_is_not_done_is_due_in_its_order() -> None:
    assert [step.name for step in steps.due([], [])] == NAMES
    assert [step.name for step in steps.due([], NAMES[:4])] == NAMES[4:]
    assert steps.due([], NAMES) == []


def test_a_host_is_taken_down_again_after_a_step_that_was_tried_again() -> None:
    done = [name for name in NAMES if name != "change"]
    assert [step.name for step in steps.due([], done)] == ["change", "teardown"]


def test_steps_that_are_named_are_done_alone() -> None:
    assert [step.name for step in steps.due(["cold", "plan"], ["plan"])] == ["cold"]
    with pytest.raises(FleetError, match=r"no step 'warm'\. Known are plan, cold"):
        steps.due(["warm"], [])


def test_no_step_begins_that_would_not_end_in_time() -> None:
    first, second = STEPS[:2]
    assert steps.begun_in(STEPS, 0) == STEPS
    assert list(steps.begun_in(STEPS, first.usual_s + second.usual_s)) == [first, second]
    assert list(steps.begun_in(STEPS, first.usual_s + second.usual_s - 1)) == [first]
    assert list(steps.begun_in(STEPS, first.usual_s - 1)) == []


def test_which_models_a_step_asks_for() -> None:
    outcomes = {"cold": STARTED, "parallel": STARTED}
    by_kind = {kind: next(step for step in STEPS if step.models is kind) for kind in Models}
    assert steps.models_for(by_kind[Models.ALL], MODELS, outcomes) == MODELS
    slower = {**STARTED, "models": [{**STARTED["models"][0], "ready_s": 20.0}, *STARTED["models"][1:]]}
    first = steps.models_for(by_kind[Models.SLOWEST_FIRST], MODELS, {"parallel": slower})
    assert [one["name"] for one in first] == ["large", "small", "embed"]
    changed = steps.models_for(by_kind[Models.SMALLEST_CHANGED], MODELS, outcomes)
    assert [one.get("max_num_seqs") for one in changed] == [8, None, None]
    changed = steps.models_for(by_kind[Models.LARGEST_CHANGED], MODELS, outcomes)
    assert [one.get("max_num_seqs") for one in changed] == [16, 4, None]
    assert all(one["enforce_eager"] for one in steps.models_for(by_kind[Models.EAGER], MODELS, outcomes))
    assert MODELS[0] == {"name": "small", "max_num_seqs": 16, "model": "a/b"}


@pytest.mark.parametrize(("given", "becomes"), [(32, 16), (3, 1), (2, 1), (1, 2), (None, 4)])
def test_the_changed_flag_is_another_and_asks_for_no_more(given: int | None, becomes: int) -> None:
    assert steps.changed({"name": "x", **({"max_num_seqs": given} if given else {})})["max_num_seqs"] == becomes


def test_a_step_waits_for_what_it_is_made_of() -> None:
    assert steps.lacking(BY_NAME["cold"], {}) == ""
    assert steps.lacking(BY_NAME["change"], {}) == "cold"
    assert steps.lacking(BY_NAME["change"], {"cold": {"failed": "x"}}) == "cold"
    assert steps.lacking(BY_NAME["serial"], {"cold": STARTED}) == "parallel"
    assert steps.lacking(BY_NAME["eager"], {}) == "cold"
    assert steps.lacking(BY_NAME["serial"], {"parallel": STARTED}) == ""
    assert steps.lacking(BY_NAME["foreign"], {}) == "cold"
    assert steps.lacking(BY_NAME["teardown"], {}) == ""


def test_only_models_that_talk_with_weights_of_their_own_are_asked() -> None:
    assert steps.with_weights(MODELS) == ["small"]


def test_a_proof_ends_with_nothing_left() -> None:
    assert STEPS[-1].playbooks == ("teardown.yml",)
    assert len(set(NAMES)) == len(NAMES)


def test_no_step_overtakes_one_that_there_was_no_time_for() -> None:
    done = {"plan": {}, "cold": STARTED, "again": {"failed": "x"}}
    assert not steps.is_too_early(BY_NAME["benchmark"], NAMES, done)
    assert steps.is_too_early(BY_NAME["change"], NAMES, done)
    assert steps.is_too_early(BY_NAME["teardown"], NAMES, done)
    assert not steps.is_too_early(BY_NAME["teardown"], ["teardown"], done)
    # One that can't be done holds nobody up.
    assert not steps.is_too_early(BY_NAME["teardown"], ["serial", "teardown"], done)


def test_a_fault_is_named_by_what_was_not_there_before_it() -> None:
    found = [{"rule": "foreign_process", "text": "pid 7"}, {"rule": "dns", "text": "x"}]
    assert steps.is_named(BY_NAME["foreign"], found, {"foreign": {"findings": found}})
    assert not steps.is_named(BY_NAME["foreign"], found, {"killed": {"findings": found[:1]}, "plan": {}})
    assert steps.is_named(
        BY_NAME["foreign"], [*found, {"rule": "foreign_process", "text": "pid 8"}], {"killed": {"findings": found}}
    )
    assert not steps.is_named(BY_NAME["killed"], found, {})


def test_the_last_that_was_ready_is_the_slowest() -> None:
    models = [
        {"name": name, "planned_bytes": 1, "ready_s": ready} for name, ready in (("z", 5.0), ("a", 9.0), ("m", None))
    ]
    assert steps.slowest_of({"parallel": {"models": models}}) == "a"
    assert steps.slowest_of({"cold": {"models": models}}) == ""


@pytest.mark.parametrize("probe", list(steps.Probe))
def test_what_is_asked_through_the_gateway(probe: steps.Probe) -> None:
    step = replace(BY_NAME["plan"], probes=(probe,))
    assert steps.asks_gateway(step) is (probe in (steps.Probe.ANSWERS, steps.Probe.FIRST_TOKENS))


def test_each_step_of_starts_says_how_and_what_is_read() -> None:
    assert {name: BY_NAME[name].mode for name in ("cold", "parallel", "serial", "eager")} == {
        **{"cold": "parallel", "parallel": "parallel", "serial": "serial", "eager": "parallel"}
    }
    # The models of this one are given in their order.
    assert [step.models for step in STEPS if step.order == "listed"] == [Models.SLOWEST_FIRST]
    assert {step.name for step in STEPS if "site.yml" in step.playbooks} == {
        *("cold", "again", "change", "parallel", "serial", "eager", "foreign")
    }
    assert steps.Probe.HELD in BY_NAME["cold"].probes


def test_what_is_struck_is_the_largest_and_what_is_changed_or_killed_the_smallest() -> None:
    assert {name: steps.model_of(BY_NAME[name], {"cold": STARTED}) for name in ("change", "killed", "foreign")} == {
        **{"change": "small", "killed": "small", "foreign": "large"}
    }
    assert steps.model_of(BY_NAME["foreign"], {}) == ""


def test_the_whole_of_it_fits_into_25_minutes() -> None:
    """What preparing the machine takes comes on top: a minute and a half there."""
    assert sum(step.usual_s for step in STEPS) <= 23.5 * 60
