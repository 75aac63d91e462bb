# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner as a whole: what fits, what it costs, what it says when it doesn't."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.calibration import Calibration
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engines import vllm
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import parse_gpus
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.hub_catalogue import CONFIGS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.model import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.planner import candidate, make_plan
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import parse_models
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB

RTX_5090 = ({"name": "NVIDIA GeForce RTX 5090"},)
GUIDE = [
    {
        "name": "tinyllama",
        "model": "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        "max_model_len": 1024,
        "max_num_seqs": 32,
        "max_num_batched_tokens": 2048,
    },
    {
        "name": "qwen",
        "model": "Qwen/Qwen2.5-3B-Instruct",
        "max_model_len": 1536,
        "max_num_seqs": 24,
        "max_num_batched_tokens": 3072,
    },
    {
        "name": "yi",
        "model": "01-ai/Yi-6B-Chat",
        "max_model_len": 2048,
        "max_num_seqs": 16,
        "max_num_batched_tokens": 4096,
    },
]


def plan(
    models: list[dict[str, Any]],
    gpus: Sequence[dict[str, Any]] = RTX_5090,
    preset: str = "balanced",
    version: str = "0.33.0",
) -> dict[str, Any]:
    cards, profile = parse_gpus(gpus), vllm.profile(version)
    found = [
        candidate(
            index, spec, ModelShape.from_config(CONFIGS[spec.model], spec.dtype), profile, cards[0], Calibration()
        )
        for index, spec in enumerate(parse_models(models))
    ]
    return make_plan(found, cards, preset, profile)


def models_of(result: dict[str, Any]) -> dict[str, Any]:
    return {model["name"]: model for gpu in result["gpus"] for model in gpu["models"]}


def test_the_guides_three_models_fit_a_5090_in_every_preset_but_conservative() -> None:
    for preset in ("balanced", "aggressive", "auto"):
        result = plan(GUIDE, preset=preset)
        assert result["feasible"], result["reasons"]
        card = result["gpus"][0]
        assert card["used_bytes"] <= card["budget_bytes"]
        assert card["used_bytes"] == sum(model["total_bytes"] for model in card["models"])


def test_what_does_not_fit_says_by_how_much_and_what_would() -> None:
    result = plan(GUIDE, preset="conservative")
    assert not result["feasible"]
    assert "GiB more than preset conservative allows" in result["reasons"][0]
    assert "vllm_stack_preset: balanced" in result["reasons"][0]


def test_a_model_too_large_for_every_preset_is_named() -> None:
    result = plan(
        [{"name": "big", "model": "meta-llama/Llama-3.1-8B-Instruct", "max_model_len": 8192}],
        [{"name": "NVIDIA A10"}] * 1,
        "conservative",
    )
    assert not result["feasible"]
    assert "max_model_len" in result["reasons"][0] or "vllm_stack_preset" in result["reasons"][0]


def test_exact_bytes_carry_a_small_share_and_old_engines_a_share_with_blocks() -> None:
    new = models_of(plan(GUIDE))["qwen"]
    assert new["exact_kv"]
    assert new["engine_args"][new["engine_args"].index("--kv-cache-memory-bytes") + 1] == str(new["kv_cache_bytes"])
    assert "--gpu-memory-utilization" in new["engine_args"]
    old = models_of(plan(GUIDE, version="0.10.1"))["qwen"]
    assert not old["exact_kv"]
    assert "--kv-cache-memory-bytes" not in old["engine_args"]
    assert "--num-gpu-blocks-override" in old["engine_args"]


def test_the_guides_shares_give_the_measured_caches() -> None:
    # Measured with 0.15/0.25/0.45 on an imitated 31.36 GiB card, eager, one after the other.
    shares: dict[str, tuple[float, int]] = {"tinyllama": (0.15, 110144), "qwen": (0.25, 46352), "yi": (0.45, 36368)}
    pinned = [
        {**model, "gpu_memory_utilization": shares[str(model["name"])][0], "enforce_eager": True, "dtype": "float16"}
        for model in GUIDE
    ]
    for name, model in models_of(plan(pinned, preset="aggressive")).items():
        assert model["kv_cache_tokens"] == pytest.approx(shares[name][1], rel=0.03), name


def test_priorities_are_served_first() -> None:
    models = [{**model, "priority": 5 if model["name"] == "yi" else 1} for model in GUIDE]
    served = models_of(plan([{**model, "max_num_seqs": 64} for model in models]))
    assert served["yi"]["max_concurrency"] > served["qwen"]["max_concurrency"]


def test_two_cards_share_the_models() -> None:
    result = plan(
        GUIDE, [{"name": "NVIDIA L4", "uuid": "a", "index": 0}, {"name": "NVIDIA L4", "uuid": "b", "index": 1}]
    )
    assert result["feasible"], result["reasons"]
    assert all(gpu["models"] for gpu in result["gpus"])


def test_a_card_that_is_not_there_is_refused() -> None:
    with pytest.raises(FleetError, match=r"vllm_stack_models\[0\]\.gpus: the host has no GPU 7"):
        plan([{**GUIDE[0], "gpus": [7]}])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_model_len": 4096}, "max_model_len: 4096 is more than"),
        ({"kv_cache_memory_bytes": "1MiB"}, "kv_cache_memory_bytes: 0.00 GiB is less than one request"),
        ({"extra_args": ["--swap-space", "4"]}, "--swap-space stops the engine"),
        ({"extra_args": ["--max-num-seqs=4"]}, "--max-num-seqs is decided by the plan"),
        ({"tensor_parallel_size": 3}, "tensor_parallel_size: 3 does not divide"),
    ],
)
def test_what_can_not_be_is_refused_with_its_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FleetError) as caught:
        plan([{**GUIDE[0], **change}])
    assert message in str(caught.value)
    assert str(caught.value).startswith("vllm_stack_models[0].")


@settings(max_examples=60, deadline=None)
@given(
    total=st.integers(4, 80),
    more=st.integers(1, 40),
    seqs=st.integers(1, 300),
    length=st.integers(64, 2048),
    preset=st.sampled_from(["conservative", "balanced", "aggressive", "auto"]),
)
def test_more_memory_never_yields_fewer_tokens_and_no_budget_is_exceeded(
    total: int, more: int, seqs: int, length: int, preset: str
) -> None:
    models = [
        {**model, "max_num_seqs": seqs, "max_num_batched_tokens": max(2048, seqs), "max_model_len": min(length, 1024)}
        for model in GUIDE
    ]
    small, large = (
        plan(models, [{"name": "card", "memory_total_bytes": size * GIB}], preset) for size in (total, total + more)
    )
    if small["feasible"]:
        assert large["feasible"]
        for name, model in models_of(small).items():
            assert models_of(large)[name]["kv_cache_tokens"] >= model["kv_cache_tokens"]
    for result in (small, large):
        if result["feasible"]:
            assert result["gpus"][0]["used_bytes"] <= result["gpus"][0]["budget_bytes"]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_the_order_of_models_does_not_matter(seed: int) -> None:
    shuffled = random.Random(seed).sample(GUIDE, len(GUIDE))
    ports = {model["name"]: 8001 + index for index, model in enumerate(GUIDE)}
    one, other = (models_of(plan([{**m, "port": ports[m["name"]]} for m in order])) for order in (GUIDE, shuffled))
    assert one == other
