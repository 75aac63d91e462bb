# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds of every plan, whatever the models, the cards and the preset."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.catalogue import CONFIGS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.presets import SHARES
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB, MIB
from ansible_collections.gpuserve.fleet.plugins.modules.memory_plan import plan

pytestmark = pytest.mark.long

# Models that a card of these sizes can hold; the catalogue's largest would only make plans that say no.
HUB_IDS = sorted(name for name, config in CONFIGS.items() if ModelShape.from_config(config).weights_bytes() < 16 * GIB)
PRESETS = [*SHARES, "auto"]
VERSIONS = ["0.10.1", "0.10.2", "0.26.0", "0.33.0"]


def planned(models: list[dict[str, Any]], sizes: list[int], preset: str, version: str = "0.33.0") -> dict[str, Any]:
    gpus = [
        {
            "name": "card",
            "uuid": f"GPU-{index}",
            "index": index,
            "memory_total_bytes": size,
            "compute_capability": "12.0",
        }
        for index, size in enumerate(sizes)
    ]
    asked = {"models": models, "gpus": gpus, "preset": preset, "engine_version": version, "device": "cuda"}
    return plan({**asked, "image": "", "calibration": {}, "proved": {}})


def models_of(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {model["name"]: model for gpu in result["gpus"] for model in gpu["models"]}


@st.composite
def some_models(draw: st.DrawFn, most: int = 4, priorities: tuple[int, ...] = (0, 1, 2, 3)) -> list[dict[str, Any]]:
    found = []
    for index in range(draw(st.integers(1, most))):
        hub_id = draw(st.sampled_from(HUB_IDS))
        model: dict[str, Any] = {
            "name": f"m{index}",
            "model": hub_id,
            "port": 8001 + index,
            "max_model_len": draw(st.integers(16, min(2048, CONFIGS[hub_id]["max_position_embeddings"]))),
            "max_num_seqs": draw(st.integers(1, 300)),
            "priority": draw(st.sampled_from(priorities)),
        }
        for key, values in (("kv_cache_dtype", ["fp8"]), ("enforce_eager", [True]), ("quantization", ["fp8", "awq"])):
            if draw(st.integers(0, 4)) == 0:
                model[key] = draw(st.sampled_from(values))
        if draw(st.integers(0, 5)) == 0:
            model["max_num_batched_tokens"] = draw(
                st.integers(max(model["max_num_seqs"], model["max_model_len"]), 16384)
            )
        found.append(model)
    return found


ANY_SIZE = st.integers(2 * 1024, 96 * 1024).map(lambda size: size * MIB)


@settings(max_examples=150, deadline=None)
@given(models=some_models(), sizes=st.lists(ANY_SIZE, min_size=1, max_size=4), preset=st.sampled_from(PRESETS))
def test_no_card_holds_more_than_its_budget_and_parts_are_the_whole(
    models: list[dict[str, Any]], sizes: list[int], preset: str
) -> None:
    result = planned(models, sizes, preset)
    assert result["feasible"] == (not result["reasons"])
    for gpu in result["gpus"]:
        assert gpu["used_bytes"] == sum(model["total_bytes"] for model in gpu["models"])
        assert gpu["headroom_bytes"] == gpu["usable_bytes"] - gpu["used_bytes"]
        for model in gpu["models"]:
            assert sum(part["bytes"] for part in model["parts"]) == model["total_bytes"]
        if result["feasible"]:
            assert gpu["used_bytes"] <= gpu["budget_bytes"]
            assert all(model["max_concurrency"] >= 1 for model in gpu["models"] if model["kv_cache_bytes"])
    assert set(models_of(result)) == {model["name"] for model in models}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(models=some_models(), size=ANY_SIZE, more=st.integers(1, 40 * 1024), preset=st.sampled_from(sorted(SHARES)))
def test_more_memory_never_yields_fewer_tokens(models: list[dict[str, Any]], size: int, more: int, preset: str) -> None:
    small, large = planned(models, [size], preset), planned(models, [size + more * MIB], preset)
    assume(small["feasible"])
    assert large["feasible"]
    before, after = models_of(small), models_of(large)
    level = {model["priority"] for model in models}
    for name, model in before.items():
        # Where priorities differ the first of them may take what the others had to share: only then a lower one can lose a little.
        if len(level) == 1:
            assert after[name]["kv_cache_tokens"] >= model["kv_cache_tokens"]


@settings(max_examples=100, deadline=None)
@given(
    models=some_models(priorities=(1,)),
    sizes=st.lists(ANY_SIZE, min_size=1, max_size=3),
    preset=st.sampled_from(PRESETS),
    seed=st.integers(0, 1000),
)
def test_the_order_of_models_does_not_matter(
    models: list[dict[str, Any]], sizes: list[int], preset: str, seed: int
) -> None:
    shuffled = random.Random(seed).sample(models, len(models))
    assert models_of(planned(models, sizes, preset)) == models_of(planned(shuffled, sizes, preset))


def feasible_with(setting: str, models: list[dict[str, Any]], sizes: list[int], preset: str) -> bool:
    """Tell whether the models fit with one setting as a reason writes it."""
    if found := re.fullmatch(r"vllm_stack_preset: (\w+)", setting):
        return bool(planned(models, sizes, found[1])["feasible"])
    found = re.fullmatch(r"(\w+) of ([\w ]+) to (\w+)", setting)
    assert found, setting
    names, value = found[2].split(" and "), int(found[3]) if found[3].isdigit() else found[3]
    changed = [{**model, found[1]: value} if model["name"] in names else model for model in models]
    return bool(planned(changed, sizes, preset)["feasible"])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(models=some_models(most=3), size=st.integers(3 * 1024, 40 * 1024), preset=st.sampled_from(PRESETS))
def test_what_is_said_to_fit_does(models: list[dict[str, Any]], size: int, preset: str) -> None:
    sizes = [size * MIB]
    result = planned(models, sizes, preset)
    assume(not result["feasible"])
    (reason,) = result["reasons"]
    if found := re.search(r"Set (.+), where they fit\.$", reason):
        for setting in found[1].split(" or "):
            assert feasible_with(setting, models, sizes, preset), reason
    elif found := re.search(r"Without ([\w, ]+) the others fit", reason):
        assert planned([m for m in models if m["name"] not in found[1].split(", ")], sizes, preset)["feasible"], reason
    else:
        assert reason.endswith("Take a smaller or a quantized model, or a larger card.")
        for model in models:
            assert not planned([model], sizes, preset)["feasible"], reason
    short = float(re.search(r"needs? ([\d.]+) GiB more", reason)[1])  # type: ignore[index]
    # As much more of a budget as it said to be short of is enough.
    share = SHARES.get(preset, 0.9)
    assert planned(models, [int(sizes[0] + (short + 0.006) * GIB / share)], preset)["feasible"]


@settings(max_examples=60, deadline=None)
@given(models=some_models(most=2), size=ANY_SIZE, preset=st.sampled_from(PRESETS), version=st.sampled_from(VERSIONS))
def test_flags_say_each_thing_once_and_only_what_the_version_knows(
    models: list[dict[str, Any]], size: int, preset: str, version: str
) -> None:
    for model in models_of(planned(models, [size], preset, version)).values():
        args = model["engine_args"]
        flags = [arg for arg in args if arg.startswith("-")]
        assert len(flags) == len(set(flags))
        assert all(re.fullmatch(r"--[a-z0-9-]+|[\w./=:-]+", arg) for arg in args)
        assert ("--kv-cache-memory-bytes" in flags) == (version != "0.10.1" and model["kv_cache_bytes"] > 0)
        value = {flag: args[args.index(flag) + 1] for flag in flags if args.index(flag) + 1 < len(args)}
        assert int(value["--max-num-batched-tokens"]) >= int(value["--max-num-seqs"])
        assert 0 < float(value["--gpu-memory-utilization"]) <= 1
