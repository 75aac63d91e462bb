# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each part of an engine's memory, by hand for a model of round sizes: what it grows with, and where its law changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.encoders import Encoders
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.experts import Experts
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan import estimate, overheads
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.constants import MEASURED
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.load import Load
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB, MIB

SHAPE = ModelShape.from_config(
    {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "head_dim": 128,
        "vocab_size": 32000,
        "max_position_embeddings": 4096,
        "torch_dtype": "bfloat16",
    }
)
LOAD = Load(16, 2048, enforce_eager=False, max_model_len=2048, compute_capability="9.0")
FP8 = replace(SHAPE, quantization="fp8", weight_bits=8)


def sizes(shape: ModelShape = SHAPE, **change: Any) -> dict[str, int]:
    return {part.name: part.size_bytes for part in estimate.parts(shape, replace(LOAD, **change))}


def test_the_parts_of_a_plain_model_in_their_order() -> None:
    found = sizes()
    assert list(found) == [
        *("context", "weights", "persistent_buffers", "sampler", "activations", "cuda_graphs", "allocator"),
    ]
    assert found["context"] == 753 * MIB
    assert found["persistent_buffers"] == 38 * MIB
    # 12 graphs of 4 layers, 68 MiB, and what the allocator keeps of the largest that is captured whole: 16 tokens.
    assert found["cuda_graphs"] == int(68 * MIB + 48 * 0.099 * MIB + 29.2 * 16 * 2 * (1024 + 4096))
    assert found["allocator"] == int(32 * MIB + 3.09 * 2048 * 2 * 1024)
    assert "cuda_graphs" not in sizes(enforce_eager=True)


def test_what_two_cards_take_more() -> None:
    found = sizes(tensor_parallel=2)
    assert found["tensor_parallel"] == int(805 * MIB + 2.4 * 2048 * 2 * 1024)
    assert "tensor_parallel" not in sizes(tensor_parallel=1)


@pytest.mark.parametrize(
    ("shape", "load", "units"),
    [
        ({}, {}, 3 * (1024 + 4096)),
        ({}, {"enforce_eager": True}, 3 * (1024 + 4096)),
        ({"dense_size": 4096}, {"tensor_parallel": 2}, 3 * (1024 + 2048)),
        # Attention is wider than the hidden size: compiled, its output stays.
        ({"heads": 16}, {}, 3 * (1024 + 4096) + 1024),
        ({"heads": 16}, {"enforce_eager": True}, 3 * (1024 + 4096)),
        ({"heads": 32}, {"tensor_parallel": 2}, 3 * (1024 + 2048) + 1024),
        # A narrow MLP: queries, keys, values and their product are more.
        ({"dense_size": 256}, {}, 2 * 1024 + 2 * (8 + 2) * 128),
        ({"state_units": 40000}, {}, 40000),
        # Without a gate: the MLP's input beside what goes in and out, or compiled, in its place.
        ({"architecture": "ArceeForCausalLM"}, {"enforce_eager": True}, 1024 + 2 * 4096),
        ({"architecture": "ArceeForCausalLM"}, {}, 4096 + 4 * 1024),
        ({"architecture": "PhiForCausalLM"}, {"enforce_eager": True}, 2 * 1024 + 2 * 4096),
        ({"architecture": "PhiForCausalLM"}, {}, 4096 + 2 * 1024 + 2 * (8 + 2) * 128),
        ({"architecture": "CohereForCausalLM"}, {}, 3 * (1024 + 4096) + 1024),
        ({"state_units": 40000}, {"tensor_parallel": 2}, 20000),
    ],
)
def test_tensors_that_are_alive_at_once(shape: dict[str, Any], load: dict[str, Any], units: int) -> None:
    assert estimate.tensors_alive(replace(SHAPE, **shape), replace(LOAD, **load)) == 2048 * 2 * units


def test_a_batch_is_no_larger_than_its_cache() -> None:
    assert estimate.tensors_alive(SHAPE, replace(LOAD, cached_tokens=100)) == 100 * 2 * 3 * 5120
    assert estimate.tensors_alive(SHAPE, replace(LOAD, cached_tokens=5000)) == 2048 * 2 * 3 * 5120


def test_fp8_layers_take_their_inputs_in_a_byte_each() -> None:
    wide, narrow = 2048 * 2 * 3 * 5120, 2048 * 5120
    assert estimate.tensors_alive(FP8, LOAD) == narrow + 2 * 2048 * 2 * 5120
    assert estimate.tensors_alive(FP8, replace(LOAD, enforce_eager=True)) == narrow + wide
    assert estimate.tensors_alive(FP8, replace(LOAD, online_fp8=True)) == narrow + wide
    assert estimate.tensors_alive(replace(FP8, weight_bits=4), LOAD) == wide
    assert sizes(FP8)["allocator"] == 135 * MIB
    # Neither the larger buffers of graphs nor the allocator's share of them.
    assert sizes(FP8)["cuda_graphs"] == int(1 * MIB + 48 * 0.099 * MIB)


def test_what_the_allocator_keeps_beyond() -> None:
    plain = sizes()["allocator"]
    assert sizes(replace(SHAPE, quantization="awq", weight_bits=4))["allocator"] == plain + 46 * MIB
    wider = sizes(replace(SHAPE, heads=16))["allocator"]
    assert wider == int(32 * MIB + 3.09 * 2048 * 2 * 1024 + 5.65 * 2048 * 2 * 1024)


@pytest.mark.parametrize(
    ("shape", "load", "tokens_and_units"),
    [
        ({}, {}, 2048 * 2 * (2 * 1024 + 3 * 4096)),
        ({}, {"tensor_parallel": 2}, 2048 * 1 * (2 * 1024 * 2 + 3 * 4096)),
        ({"heads": 64}, {}, 2048 * 2 * (2 * 1024 + 2 * 66 * 128)),
        ({"heads": 64}, {"tensor_parallel": 2}, 2048 * 1 * (2 * 1024 * 2 + 2 * 66 * 128)),
    ],
)
def test_what_an_engine_s_own_profile_sees(shape: dict[str, Any], load: dict[str, Any], tokens_and_units: int) -> None:
    found = estimate.profiled_bytes(replace(SHAPE, **shape), replace(LOAD, **load))
    assert found == int(1.2 * tokens_and_units) + 225 * MIB


@pytest.mark.parametrize(
    ("load", "graphs"),
    [
        ({}, 7 + 5),
        ({"lora_slots": 2}, 2 * (7 + 5)),
        ({"enforce_eager": True}, 0),
        ({"samples": False}, 7),
        ({"drafts": 1}, 11 + 7),
        ({"capture_sizes": (1, 8, 99)}, 3 + 2),
        ({"max_num_batched_tokens": 4}, 3 + 3),
        ({"max_num_seqs": 1000, "max_num_batched_tokens": 4096}, 51 + 51),
        ({"max_num_seqs": 1}, 2 + 1),
    ],
)
def test_graphs_that_are_captured(load: dict[str, Any], graphs: int) -> None:
    assert estimate.graph_count(replace(LOAD, **load)) == graphs


def test_sizes_that_an_engine_captures_by_itself() -> None:
    assert estimate.default_capture_sizes(0) == ()
    assert estimate.default_capture_sizes(16) == (1, 2, 4, 8, 16)
    assert [len(estimate.default_capture_sizes(most)) for most in (255, 256, 271, 272, 511, 512, 600)] == [
        *(34, 35, 35, 36, 50, 51, 51),
    ]


@pytest.mark.parametrize(
    ("load", "floats"),
    [
        ({}, 1.75 * 16),
        ({"max_num_seqs": 256}, 1.75 * 256),
        ({"max_num_seqs": 300}, 1.75 * 256 + 1.25 * 44),
        ({"samples": False}, 0),
    ],
)
def test_what_the_sampler_takes(load: dict[str, Any], floats: float) -> None:
    assert sizes(**load)["sampler"] == int(floats * 4 * 32000)


@pytest.mark.parametrize(
    ("words", "spilled"),
    [
        (40959, 0),
        (40960, 0),
        (40961, 112 * MIB),
        (41022, 0),
        (41023, 112 * MIB),
        (41025, 377 * MIB),
        (47103, 377 * MIB),
        (47105, 0),
        (151937, 377 * MIB),
    ],
)
def test_registers_that_the_sampler_spills(words: int, spilled: int) -> None:
    shape = replace(SHAPE, vocab_size=words)
    assert sizes(shape).get("spilled_registers", 0) == spilled
    assert overheads.spilled_bytes(shape, replace(LOAD, samples=False)) == 0


@pytest.mark.parametrize(
    ("quantization", "linear", "kept"),
    [
        ("awq", 10000, 800),
        ("awq_marlin", 10000, 800),
        ("awq", 10 * GIB, 256 * MIB),
        ("gptq", 10000, 800),
        ("compressed-tensors", 10000, 0),
        (None, 10000, 0),
    ],
)
def test_what_stays_of_weights_put_into_another_order(quantization: str | None, linear: int, kept: int) -> None:
    shape = replace(SHAPE, quantization=quantization, weight_bits=4, linear_bytes=linear)
    assert overheads.kept_while_loading(shape, LOAD) == kept
    assert sizes(shape).get("loading", 0) == kept
    assert overheads.kept_while_loading(shape, replace(LOAD, tensor_parallel=2)) == kept // 2


def test_a_cache_in_fp8_has_a_workspace_where_flash_attention_has_no_kernel() -> None:
    assert sizes(fp8_cache=True, compute_capability="12.0")["attention_workspace"] == 394 * MIB
    assert "attention_workspace" not in sizes(fp8_cache=True)
    assert "attention_workspace" not in sizes(compute_capability="12.0")


def test_adapters_by_their_number_and_rank() -> None:
    # Of a layer: queries and outputs, keys and values, and the three of the MLP, each with what goes in and comes out.
    a_layer = 2 * (1024 + 1024) + 2 * (1024 + 256) + 3 * (1024 + 4096)
    assert sizes(lora_slots=2, lora_rank=8)["lora"] == 2 * 8 * 4 * a_layer * 2
    assert sizes(lora_slots=2, lora_rank=8, tensor_parallel=2)["lora"] == 2 * 8 * 4 * a_layer
    assert "lora" not in sizes(lora_slots=0)


def test_what_only_traffic_takes() -> None:
    alive = 2048 * 2 * 3 * 5120
    assert estimate.traffic_bytes(SHAPE, LOAD) == int(1.11 * alive)
    assert estimate.traffic_bytes(SHAPE, replace(LOAD, enforce_eager=True)) == 0
    assert estimate.traffic_bytes(SHAPE, replace(LOAD, on_cpu=True)) == 0


def test_what_is_kept_elsewhere_or_split_is_not_on_a_card() -> None:
    whole = estimate.weights_bytes(SHAPE, LOAD)
    assert whole == SHAPE.weights_bytes()
    assert estimate.weights_bytes(SHAPE, replace(LOAD, tensor_parallel=2)) == whole // 2
    assert estimate.weights_bytes(SHAPE, replace(LOAD, offloaded_bytes=1000)) == whole - 1000
    assert estimate.weights_bytes(SHAPE, replace(LOAD, offloaded_bytes=2 * whole)) == 0
    assert estimate.weights_bytes(SHAPE, replace(LOAD, ahead=True)) == whole
    two = replace(SHAPE, ahead_layers=2)
    ahead = estimate.weights_bytes(two, replace(LOAD, ahead=True)) - whole
    assert ahead == 2 * (SHAPE.linear_bytes // 4 + 2 * 1024 * 1024 * 2)
    assert estimate.weights_bytes(replace(two, ahead_bytes=1000), replace(LOAD, ahead=True)) == whole + 1000
    given = replace(two, given_weights_bytes=5000)
    assert estimate.weights_bytes(given, replace(LOAD, ahead=True)) == estimate.weights_bytes(given, LOAD)


def test_a_draft_that_reads_hidden_states() -> None:
    assert sizes(reads_hidden=True, drafts=1)["draft"] == 106 * MIB + 9 * 2048 * 1024
    assert "draft" not in sizes(drafts=1)


def test_on_a_cpu_there_is_no_card_s_share() -> None:
    shape = replace(SHAPE, tied_embeddings=True, linear_bytes=100 * MIB)
    found = sizes(shape, on_cpu=True)
    assert list(found) == ["context", "weights", "loading", "sampler", "activations"]
    assert found["context"] == 1256 * MIB + 3584 * 32000
    assert found["loading"] == 32000 * 1024 * 2 + 75 * MIB
    assert overheads.packed_on_cpu(replace(shape, tied_embeddings=False), LOAD).size_bytes == 75 * MIB
    assert overheads.packed_on_cpu(shape, replace(LOAD, samples=False)).size_bytes == 75 * MIB
    large = replace(shape, tied_embeddings=False, linear_bytes=1000 * MIB)
    assert overheads.packed_on_cpu(large, LOAD).size_bytes == 192 * MIB


EXPERTS = Experts(count=8, per_token=2, intermediate_size=512, shared_intermediate_size=0, layers=4)


def test_what_experts_put_into_another_order_keep() -> None:
    # Three matrices of each expert of a layer, in half a byte.
    layer = 3 * 8 * 1024 * 512 // 2
    shape = replace(SHAPE, experts=EXPERTS, quantization="mxfp4", weight_bits=4, linear_bytes=10 * layer)
    assert overheads.kept_while_loading(shape, LOAD) == 3 * layer + 290 * MIB
    assert overheads.kept_while_loading(shape, replace(LOAD, tensor_parallel=2)) == 3 * layer // 2 + 290 * MIB
    # Of AWQ only what is no expert is repacked.
    awq = replace(shape, quantization="awq")
    assert overheads.kept_while_loading(awq, LOAD) == int(0.08 * 6 * layer)
    assert overheads.kept_while_loading(replace(awq, linear_bytes=layer), LOAD) == 0


def test_rows_of_experts_before_and_after_their_activation() -> None:
    shape = replace(SHAPE, experts=EXPERTS)
    assert estimate.expert_workspace(shape, LOAD) == 2048 * 2 * 2 * (1024 + 1024)
    wide = replace(shape, experts=replace(EXPERTS, intermediate_size=4096))
    assert estimate.expert_workspace(wide, LOAD) == 2048 * 2 * 2 * (4096 + 8192)
    assert estimate.expert_workspace(wide, replace(LOAD, tensor_parallel=4)) == 2048 * 2 * 2 * (1024 + 2048)
    assert estimate.expert_workspace(SHAPE, LOAD) == 0


def test_a_layer_of_latent_attention_has_a_quarter_of_a_row_for_each_expert() -> None:
    assert estimate.latent_layer(SHAPE, LOAD) == 2048 * 2 * 3 * (1024 + 4096)
    assert estimate.latent_layer(replace(SHAPE, experts=EXPERTS), LOAD) == 2048 * 2 * (3 * 5120 + 2 * 1024 // 4)
    assert estimate.latent_layer(SHAPE, replace(LOAD, tensor_parallel=2)) == 2048 * 2 * 3 * (1024 + 2048)


@pytest.mark.parametrize(
    ("shape", "load", "older"),
    [
        ({}, {}, False),
        ({}, {"drafts": 1}, True),
        ({}, {"drafts": 1, "reads_hidden": True}, False),
        ({"experts": EXPERTS}, {}, True),
    ],
)
def test_the_older_runner_keeps_nothing_of_what_was_captured(
    shape: dict[str, Any], load: dict[str, Any], older: bool
) -> None:
    made, run = replace(SHAPE, **shape), replace(LOAD, **load)
    without = replace(MEASURED, allocator_captured=0.0)
    grows = estimate._graphs(made, run, MEASURED).size_bytes > estimate._graphs(made, run, without).size_bytes
    assert grows is not older


def test_a_picture_wider_than_a_batch_leaves_holes() -> None:
    picture = Encoders(
        hidden_size=1280, intermediate_size=5120, kinds=("picture",), patches=4096, tokens=1024, pixels=588
    )
    shape = replace(SHAPE, encoders=picture)
    running = 4096 * 2 * (3 * (1280 + 5120) + 3 * 588)
    waiting = 2048 * 2 * 1024
    holes = int(3.09 * 2 * (4096 * 1280 - 2048 * 1024))
    measured = MEASURED
    assert overheads.encoder(shape, LOAD, 0, measured).size_bytes == running + waiting + holes
    # A batch that takes more than the picture leaves no holes, and what a batch works in is there for the picture too.
    assert overheads.encoder(shape, replace(LOAD, max_num_batched_tokens=8192), running + 1, measured).size_bytes == (
        8192 * 2 * 1024
    )
    many = replace(shape, encoders=replace(picture, tokens=9000))
    assert overheads.encoder(many, LOAD, running, measured).size_bytes == 9000 * 2 * 1024 + holes
