# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner as a whole: what fits, what it costs, what it says when it doesn't."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import vllm
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import parse_gpus
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.catalogue import CONFIGS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.calibration import Calibration
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.candidate import Choice, candidate
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.planner import make_plan
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


BERT = {
    "architectures": ["BertModel"],
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "vocab_size": 30522,
    "max_position_embeddings": 8192,
}
FP8 = {**CONFIGS["01-ai/Yi-6B-Chat"], "quantization_config": {"quant_method": "fp8"}}


def plan(
    models: list[dict[str, Any]],
    gpus: Sequence[dict[str, Any]] = RTX_5090,
    preset: str = "balanced",
    version: str = "0.33.0",
) -> dict[str, Any]:
    cards, profile = parse_gpus(gpus), vllm.profile(version)
    found = [
        candidate(
            Choice(
                spec, ModelShape.from_config(spec.config or CONFIGS[spec.model], spec.dtype, spec.quantization), index
            ),
            profile,
            cards[0],
            Calibration(),
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
        ({"extra_args": ["-tp", "2"]}, "--tensor-parallel-size is decided by the plan"),
        ({"extra_args": ["--kv-cache-memory=4"]}, "--kv-cache-memory-bytes is decided by the plan"),
        ({"extra_args": ["--max_num_seqs", "4"]}, "--max-num-seqs is decided by the plan"),
        ({"extra_args": ["--no-enforce-eager"]}, "--enforce-eager is decided by the plan"),
        ({"extra_args": ["--block-size", "32"]}, "--block-size stops the engine"),
        ({"quantization": "int3"}, "quantization: 'int3' is not known"),
        (
            {"quantization": "bitsandbytes"},
            "quantization: vLLM 0.33.0 no longer loads bitsandbytes (removed in 0.28.0)",
        ),
        ({"gpu_memory_utilization": 0.05}, "gpu_memory_utilization: 0.05 of NVIDIA GeForce RTX 5090 leaves 0.00 GiB"),
        ({"config": BERT, "max_model_len": 512, "max_num_batched_tokens": 256}, "max_num_batched_tokens: 256 is less"),
        ({"config": BERT, "max_model_len": 512, "kv_cache_memory_bytes": "1GiB"}, "kv_cache_memory_bytes: TinyLlama"),
        ({"config": FP8, "kv_cache_dtype": "fp8_e5m2"}, "kv_cache_dtype: fp8_e5m2 does not go with"),
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


def test_a_remedy_is_named_with_the_share_that_is_enough() -> None:
    with pytest.raises(FleetError) as caught:
        plan([{**GUIDE[2], "gpu_memory_utilization": 0.2}])
    share = re.search(r"Raise it to ([0-9.]+)", str(caught.value))
    assert share
    assert plan([{**GUIDE[2], "gpu_memory_utilization": float(share[1])}])["feasible"]


def test_pinned_shares_count_against_the_budget() -> None:
    pinned = [{**model, "gpu_memory_utilization": 0.6} for model in GUIDE[:2]]
    result = plan(pinned, preset="aggressive")
    assert not result["feasible"]
    assert "more than preset aggressive allows" in result["reasons"][0]


def test_what_is_pinned_stands_in_the_flags_and_in_the_plan() -> None:
    found = models_of(plan([{**GUIDE[1], "kv_cache_memory_bytes": "2GiB", "max_num_seqs": 3}]))["qwen"]
    assert found["kv_cache_bytes"] == 2 * GIB
    assert found["max_num_seqs"] == 3
    assert str(2 * GIB) in found["engine_args"]


def test_fewer_batched_tokens_than_default_sequences_is_a_smaller_batch() -> None:
    found = models_of(plan([{"name": "a", "model": "Qwen/Qwen2.5-3B-Instruct", "max_num_batched_tokens": 8}]))["a"]
    assert (found["max_num_seqs"], found["max_num_batched_tokens"]) == (8, 8)


def test_an_encoder_reads_a_whole_text_in_one_batch_and_gets_no_cache() -> None:
    found = models_of(plan([{"name": "bert", "model": "owner/bert", "config": BERT}]))["bert"]
    assert found["max_model_len"] == found["max_num_batched_tokens"] == 8192
    assert found["kv_cache_bytes"] == found["kv_cache_tokens"] == 0
    assert "--kv-cache-memory-bytes" not in found["engine_args"]


def test_layers_that_are_unpacked_while_they_load_get_no_expandable_segments() -> None:
    """In them every layer of AWQ takes fresh pages: up to the whole card for a moment, and some stay."""
    awq = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}
    config = {**CONFIGS["TinyLlama/TinyLlama-1.1B-Chat-v1.0"], "quantization_config": awq}
    found = models_of(plan([{**GUIDE[0], "config": config}, GUIDE[1]]))
    assert found["tinyllama"]["env"] == {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:False"}
    assert found["qwen"]["env"] == {}


def test_a_checkpoint_that_brings_an_fp8_cache_is_planned_with_it() -> None:
    scheme = {"quant_method": "compressed-tensors", "kv_cache_scheme": {"num_bits": 8, "type": "float"}}
    config = {**CONFIGS["01-ai/Yi-6B-Chat"], "quantization_config": scheme}
    new, old = (models_of(plan([{**GUIDE[2], "config": config}], version=v))["yi"] for v in ("0.33.0", "0.10.2"))
    assert (new["kv_cache_dtype"], old["kv_cache_dtype"]) == ("fp8", "auto")
    assert "--kv-cache-dtype" in new["engine_args"]
    assert any("the checkpoint brings the scales" in note for note in new["notes"])


def test_a_class_that_starts_with_graphs_in_pieces_alone_is_told_so() -> None:
    hears = {"model_type": "voxtral_realtime_encoder", "hidden_size": 64, "intermediate_size": 96, "head_dim": 32}
    hears |= {"num_hidden_layers": 2, "num_attention_heads": 2, "num_mel_bins": 8, "sliding_window": 32}
    text = {"model_type": "voxtral_realtime_text", "hidden_size": 64, "intermediate_size": 96, "head_dim": 32}
    text |= {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 128}
    config = {"architectures": ["VoxtralRealtimeGeneration"], "model_type": "voxtral_realtime"}
    entry = {"name": "ears", "model": "x/y", "config": {**config, "audio_config": hears, "text_config": text}}
    for version, said in (("0.29.0", True), ("0.30.0", False)):
        found = models_of(plan([entry], version=version))["ears"]
        assert ('{"cudagraph_mode":"PIECEWISE"}' in found["engine_args"]) is said
        assert found["task"] == "transcribe"


def test_an_older_image_still_loads_bitsandbytes() -> None:
    plain, small = (
        models_of(plan([{**GUIDE[2], **more}], version="0.27.0"))["yi"]
        for more in ({}, {"quantization": "bitsandbytes"})
    )
    assert small["weights_bytes"] < 0.4 * plain["weights_bytes"]


def test_both_cards_of_one_model_give_it_the_same_cache() -> None:
    pair = [{"name": "NVIDIA L4", "uuid": name, "index": index} for index, name in enumerate("ab")]
    result = plan(
        [{**GUIDE[2], "tensor_parallel_size": 2, "max_num_seqs": 64}, {**GUIDE[1], "max_num_seqs": 256}], pair
    )
    assert result["feasible"], result["reasons"]
    halves = [model for gpu in result["gpus"] for model in gpu["models"] if model["name"] == "yi"]
    assert len(halves) == 2
    assert halves[0] == halves[1]
    assert all(gpu["used_bytes"] <= gpu["budget_bytes"] for gpu in result["gpus"])


def test_heads_that_do_not_split_are_kept_whole_on_each_card() -> None:
    # Qwen2.5-3B has two KV heads: on four cards each holds one of them.
    four = [{"name": "NVIDIA L4", "uuid": name, "index": index} for index, name in enumerate("abcd")]
    shape = ModelShape.from_config(CONFIGS["Qwen/Qwen2.5-3B-Instruct"])
    assert shape.kv_pool(2, 4).block_bytes == shape.kv_pool(2, 2).block_bytes
    assert plan([{**GUIDE[1], "tensor_parallel_size": 4}], four)["feasible"]


def test_models_are_packed_where_spreading_them_does_not_fit() -> None:
    # Spread, the two smaller ones would take a half of each card and leave the large one no place.
    sizes = [
        {"name": "card", "uuid": f"u{n}", "index": n, "memory_total_bytes": size * GIB}
        for n, size in enumerate((20, 16))
    ]
    models = [
        {"name": "a", "model": "Qwen/Qwen2.5-7B-Instruct", "weights_bytes": "12.2GiB", "max_model_len": 256},
        {"name": "b", "model": "Qwen/Qwen2.5-7B-Instruct", "weights_bytes": "7GiB", "max_model_len": 256},
        {"name": "c", "model": "Qwen/Qwen2.5-7B-Instruct", "weights_bytes": "7GiB", "max_model_len": 256},
    ]
    found = [
        candidate(
            Choice(spec, ModelShape.from_config(CONFIGS[spec.model], weights_bytes=spec.weights_bytes), index),
            vllm.profile("0.33.0"),
            parse_gpus(sizes)[0],
            Calibration(),
        )
        for index, spec in enumerate(parse_models(models))
    ]
    result = make_plan(found, parse_gpus(sizes), "aggressive", vllm.profile("0.33.0"))
    assert result["feasible"], result["reasons"]
    assert [[model["name"] for model in gpu["models"]] for gpu in result["gpus"]] == [["b", "c"], ["a"]]


@pytest.mark.parametrize(("key", "value"), [("kv_cache_memory_bytes", "30GiB"), ("gpu_memory_utilization", 0.97)])
def test_a_pinned_cache_that_does_not_fit_is_told_what_would(key: str, value: Any) -> None:
    pinned = {**GUIDE[2], key: value}
    result = plan([pinned, GUIDE[0]])
    assert not result["feasible"]
    found = re.search(rf"Set .*{key} of yi to ([0-9.]+)", result["reasons"][0])
    assert found, result["reasons"]
    lower = float(found[1]) if "." in found[1] else int(found[1])
    assert plan([{**pinned, key: lower}, GUIDE[0]])["feasible"]


def test_a_card_s_cache_is_whole_blocks_and_the_one_that_stays_empty() -> None:
    spec = parse_models([{"name": "a", "model": "Qwen/Qwen2.5-3B-Instruct", "max_model_len": 1000}])[0]
    choice = Choice(spec, ModelShape.from_config(CONFIGS[spec.model]), 0)
    found = candidate(choice, vllm.profile("0.33.0"), parse_gpus(RTX_5090)[0], Calibration())
    # 1,000 tokens are 62.5 blocks of 16.
    assert found.kv_bytes(1) == (63 + 1) * found.pool.block_bytes
    assert found.kv_bytes(2) == (126 + 1) * found.pool.block_bytes
    assert found.floor_bytes == found.kv_bytes(1) and found.need_bytes == found.fixed_bytes + found.kv_bytes(1)
