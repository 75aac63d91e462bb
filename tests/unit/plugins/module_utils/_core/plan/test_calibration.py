# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a start measured: what it counts for, what it changes, and what can't be read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.calibration import (
    KEPT,
    MOST_LOWERED_BYTES,
    Calibration,
    flags_that_count,
    learn,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.table import render
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB
from ansible_collections.gpuserve.fleet.plugins.modules.memory_plan import plan
from tests.bench.plan import GUIDE

CARD = "NVIDIA GeForce RTX 5090"
IMAGE = "vllm/vllm-openai@sha256:0"


def planned(**change: Any) -> dict[str, Any]:
    asked = {
        "models": GUIDE,
        "gpus": [{"name": CARD, "uuid": "GPU-abc"}],
        "preset": "balanced",
        "engine_version": "0.26.0",
        "device": "cuda",
        "image": IMAGE,
        "calibration": {},
        "proved": {},
    }
    return plan({**asked, **change})


def models(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {model["name"]: model for gpu in found["gpus"] for model in gpu["models"]}


def ready(model: dict[str, Any]) -> int:
    """What NVML shows of an engine that was planned right, before it has been asked for anything."""
    return int(model["total_bytes"] - model["traffic_bytes"])


def measured(found: dict[str, Any], off_by: int) -> dict[str, Any]:
    """A store after one start of each model that used so much more than planned."""
    store: dict[str, Any] = {}
    for model in models(found).values():
        store = learn(store, CARD, IMAGE, model, ready(model) + off_by)
    return json.loads(json.dumps(store))  # type: ignore[no-any-return]


def test_the_next_plan_holds_what_was_measured_and_says_so() -> None:
    first = planned()
    second = planned(calibration=measured(first, 200 * MIB))
    for name, model in models(second).items():
        before = models(first)[name]
        fixed = before["total_bytes"] - before["kv_cache_bytes"]
        assert model["total_bytes"] - model["kv_cache_bytes"] == fixed + 200 * MIB
        assert sum(part["bytes"] for part in model["parts"]) == model["total_bytes"]
        assert any("+200 MiB against what is computed" in note for note in model["notes"])
    assert second["calibration"] == {"starts": len(GUIDE), "most_bytes": 200 * MIB, "least_bytes": 200 * MIB}
    assert f"used +200 to +200 MiB against their plans ({len(GUIDE)} starts)" in render("gpu01", second, {})
    assert second["gpus"][0]["used_bytes"] <= second["gpus"][0]["budget_bytes"]


def test_what_was_measured_before_load_lowers_the_plan_by_little() -> None:
    first = planned()
    second = planned(calibration=measured(first, -500 * MIB))
    for name, model in models(second).items():
        before = models(first)[name]
        lowered = (before["total_bytes"] - before["kv_cache_bytes"]) - (model["total_bytes"] - model["kv_cache_bytes"])
        assert lowered == MOST_LOWERED_BYTES


def test_an_engine_that_is_as_planned_changes_nothing_though_it_has_served_nothing_yet() -> None:
    # On a real card: planned 15,013 MiB, 14,598 when ready, 15,006 under load. The next plan is not to be 14,917.
    first = planned()
    assert all(model["traffic_bytes"] > 50 * MIB for model in models(first).values())
    second = planned(calibration=measured(first, 0))
    assert {n: m["total_bytes"] for n, m in models(second).items()} == {
        n: m["total_bytes"] for n, m in models(first).items()
    }


@pytest.mark.parametrize(
    "change",
    [
        {"image": "vllm/vllm-openai@sha256:1"},
        {"gpus": [{"name": "NVIDIA L40S", "uuid": "GPU-abc"}]},
        {"models": [{**model, "max_num_batched_tokens": 8192} for model in GUIDE]},
    ],
)
def test_another_image_card_or_flag_is_another_start(change: dict[str, Any]) -> None:
    store = measured(planned(), 200 * MIB)
    assert models(planned(**change, calibration=store)) == models(planned(**change))


def test_the_plan_that_serves_stays_whatever_was_measured() -> None:
    first = planned()
    proved = {"inputs_digest": first["inputs_digest"], "plan": first}
    again = planned(calibration=measured(first, 200 * MIB), proved=proved)
    assert models(again) == models(first)
    assert again["calibration"]["most_bytes"] == 200 * MIB
    changed = planned(calibration=measured(first, 200 * MIB), proved=proved, preset="aggressive")
    assert models(changed) != models(first)


def test_what_only_runs_an_engine_is_no_input_of_its_plan() -> None:
    other = [{**model, "env": {"NOTE": "1"}} for model in GUIDE]
    assert planned(models=other)["inputs_digest"] == planned()["inputs_digest"]
    longer = [{**model, "max_model_len": 512} for model in GUIDE]
    assert planned(models=longer)["inputs_digest"] != planned()["inputs_digest"]


@pytest.mark.parametrize(
    "store",
    [
        None,
        [],
        "x",
        {"starts": 3},
        {"starts": {"a": 1}},
        {"starts": {"a": {"gpu": CARD}}},
        {"fixed_bytes": {"qwen": 1}},
    ],
)
def test_a_store_that_is_none_counts_as_nothing_measured(store: Any) -> None:
    assert planned(calibration=store) == planned()


@pytest.mark.long
@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-(2 << 30), 2 << 30), min_size=1, max_size=KEPT + 3))
def test_whatever_was_measured_the_plan_stays_inside_its_budget(offs: list[int]) -> None:
    first = planned()
    store: dict[str, Any] = {}
    for off in offs:
        for model in models(first).values():
            store = learn(store, CARD, IMAGE, model, ready(model) + off)
    assert Calibration.read(store, IMAGE).starts.keys() == store["starts"].keys()
    assert all(len(entry["fixed_bytes"]) <= KEPT for entry in store["starts"].values())
    second = planned(calibration=store)
    assert not second["feasible"] or second["gpus"][0]["used_bytes"] <= second["gpus"][0]["budget_bytes"]


@pytest.mark.long
@settings(max_examples=25, deadline=None)
@given(truth=st.integers(-90, 500), noise=st.lists(st.integers(-16, 16), min_size=4, max_size=12))
def test_plans_from_noisy_starts_err_by_no_more_than_the_noise(truth: int, noise: list[int]) -> None:
    formula = {name: m["total_bytes"] - m["kv_cache_bytes"] for name, m in models(planned()).items()}
    store: dict[str, Any] = {}
    for start, off in enumerate(noise):
        found = planned(calibration=store)
        for name, model in models(found).items():
            used = formula[name] + (truth + off) * MIB
            if start > 0:
                error = model["total_bytes"] - model["kv_cache_bytes"] - used
                # Never planned for less than was seen but for the noise, and never for more than the noise above it.
                assert -32 * MIB <= error <= max(32, -truth - MOST_LOWERED_BYTES // MIB + 32) * MIB
            store = learn(store, CARD, IMAGE, model, model["kv_cache_bytes"] + used - model["traffic_bytes"])


def entry_of(used: int, **change: Any) -> dict[str, Any]:
    """A plan's model of one card that holds 1,000 besides a cache of 500."""
    return {
        "model": "a/b",
        "engine_args": ["--x", "1", "--kv-cache-memory-bytes", "500", "--y"],
        "kv_cache_bytes": 500,
        "total_bytes": 1500,
        **change,
    }


@pytest.mark.parametrize(
    ("change", "used", "fixed", "error"),
    [
        ({}, 1600, 1100, 100),
        ({}, 1400, 900, -100),
        ({"traffic_bytes": 50}, 1600, 1150, 150),
        ({"tensor_parallel_size": 2}, 3200, 1100, 100),
        ({"tensor_parallel_size": 0, "traffic_bytes": None}, 1600, 1100, 100),
    ],
)
def test_what_one_start_teaches(change: dict[str, Any], used: int, fixed: int, error: int) -> None:
    store = learn({}, CARD, IMAGE, entry_of(used, **change), used)
    (entry,) = store["starts"].values()
    assert entry == {
        "gpu": CARD,
        "image": IMAGE,
        "model": "a/b",
        "args": ["--x", "1", "--y"],
        "fixed_bytes": [fixed],
        "errors_bytes": [error],
    }


@pytest.mark.parametrize(("used", "learnt"), [(500, 0), (501, 1)])
def test_an_engine_that_holds_no_more_than_its_cache_teaches_nothing(used: int, learnt: int) -> None:
    assert len(learn({}, CARD, IMAGE, entry_of(used), used)["starts"]) == learnt


def test_the_last_eight_starts_count_and_two_hundred_kinds() -> None:
    store: dict[str, Any] = {}
    for off in range(10):
        store = learn(store, CARD, IMAGE, entry_of(0), 1600 + off)
    (entry,) = store["starts"].values()
    assert entry["fixed_bytes"] == [1102, 1103, 1104, 1105, 1106, 1107, 1108, 1109]
    assert entry["errors_bytes"] == [102, 103, 104, 105, 106, 107, 108, 109]
    for number in range(199):
        store = learn(store, CARD, IMAGE, entry_of(0, model=f"m/{number}"), 1600)
    assert len(store["starts"]) == 200
    # Started again it stands last, and the one that has not been for longest is forgotten.
    store = learn(store, CARD, IMAGE, entry_of(0), 1600)
    store = learn(store, CARD, IMAGE, entry_of(0, model="m/new"), 1600)
    models_ = [entry["model"] for entry in store["starts"].values()]
    assert (len(models_), models_[0], models_[-2:]) == (200, "m/1", ["a/b", "m/new"])


def test_the_most_that_was_measured_counts_and_lowers_by_96_mib_at_most() -> None:
    store = learn(learn({}, CARD, IMAGE, entry_of(0), 1600), CARD, IMAGE, entry_of(0), 1550)
    found = Calibration.read(store, IMAGE)
    args = ["--x", "1", "--gpu-memory-utilization", "0.9", "--y", "--num-gpu-blocks-override", "7"]
    assert found.fixed_bytes(CARD, "a/b", args, 1000) == 1100
    assert found.fixed_bytes(CARD, "a/b", args, 100663296 + 1100) == 1100
    assert found.fixed_bytes(CARD, "a/b", args, 100663296 + 1101) == 1101
    for card, model, more in (("other", "a/b", args), (CARD, "a/c", args), (CARD, "a/b", ["--x", "2", "--y"])):
        assert found.fixed_bytes(card, model, more, 1000) is None
    assert Calibration.read(store, "other").fixed_bytes(CARD, "a/b", args, 1000) is None


def test_errors_are_those_of_this_image_on_these_cards() -> None:
    store = learn({}, CARD, IMAGE, entry_of(0), 1600)
    store = learn(store, CARD, IMAGE, entry_of(0), 1450)
    store = learn(store, CARD, "other", entry_of(0), 9000)
    store = learn(store, "other", IMAGE, entry_of(0), 5000)
    found = Calibration.read(store, IMAGE)
    assert found.error([CARD]) == {"starts": 2, "most_bytes": 100, "least_bytes": -50}
    assert found.error([CARD, "other"]) == {"starts": 3, "most_bytes": 3500, "least_bytes": -50}
    assert found.error(["none"]) is None
    assert Calibration.read(store, "").starts == {}


@pytest.mark.parametrize(
    "change",
    [
        {"gpu": 1},
        {"image": None},
        {"model": []},
        {"fixed_bytes": []},
        {"fixed_bytes": [0]},
        {"fixed_bytes": ["1"]},
        {"fixed_bytes": 1},
        {"errors_bytes": []},
        {"errors_bytes": None},
    ],
)
def test_an_entry_of_another_shape_counts_as_none(change: dict[str, Any]) -> None:
    entry = {"gpu": CARD, "image": IMAGE, "model": "a/b", "fixed_bytes": [1], "errors_bytes": [-1]}
    assert Calibration.read({"starts": {"k": entry}}, IMAGE).starts == {"k": entry}
    assert Calibration.read({"starts": {"k": {**entry, **change}}}, IMAGE).starts == {}


def test_a_start_counts_whatever_the_size_of_its_cache_bounds() -> None:
    args = [
        "--dtype",
        "half",
        "--max-num-queued-reqs",
        "64",
        "--max-num-queued-tokens",
        "98304",
        "--max-num-seqs",
        "24",
    ]
    assert flags_that_count(args) == ["--dtype", "half", "--max-num-seqs", "24"]
