# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stage of a pipeline: the layers that vLLM gives it, and of the weights and the cache what goes with them."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.stages import split, stage_of

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 10,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
    "torch_dtype": "bfloat16",
}
END = 32000 * 1024 * 2


def shape(**change: Any) -> ModelShape:
    return ModelShape.from_config({**LLAMA, **change})


# What get_pp_indices of vLLM 0.26 and 0.33 returns.
@pytest.mark.parametrize(
    ("layers", "count", "sizes"),
    [
        (32, 2, (16, 16)),
        (61, 2, (31, 30)),
        (10, 4, (2, 3, 3, 2)),
        (11, 4, (3, 3, 3, 2)),
        (9, 4, (2, 2, 3, 2)),
        (126, 4, (31, 32, 32, 31)),
        (3, 3, (1, 1, 1)),
    ],
)
def test_layers_are_split_as_the_engine_splits_them(layers: int, count: int, sizes: tuple[int, ...]) -> None:
    assert split(layers, count) == sizes
    assert sum(sizes) == layers


@pytest.mark.parametrize("count", [2, 3, 5])
def test_stages_are_the_whole_model_and_tables_once_more_on_each(count: int) -> None:
    whole = shape()
    stages = [stage_of(whole, rank, count, "x") for rank in range(count)]
    together = sum(part.weights_bytes() for part, _stage in stages)
    assert 0 <= together - whole.weights_bytes() - (count - 1) * whole.tables_bytes < count
    assert [part.layers for part, _stage in stages] == list(split(10, count))
    # Parameters are shared out as bytes are, each stage's rounded down.
    for name in ("linear_parameters", "linear_bytes"):
        parts = [getattr(part, name) for part, _stage in stages]
        assert parts == [getattr(whole, name) * layers // 10 for layers in split(10, count)]
    pools = [part.kv_pool(2).block_bytes for part, _stage in stages]
    assert sum(pools) == whole.kv_pool(2).block_bytes


def test_the_ends_of_the_vocabulary_lie_on_the_ends_of_the_pipeline() -> None:
    whole = shape(num_hidden_layers=9)
    first, middle, last = (stage_of(whole, rank, 3, "x")[0].weights_bytes() for rank in range(3))
    assert first - middle == last - middle == END


def test_a_tied_embedding_lies_on_both_ends() -> None:
    whole = shape(num_hidden_layers=9, tie_word_embeddings=True)
    stages = [stage_of(whole, rank, 3, "x")[0].weights_bytes() for rank in range(3)]
    assert stages[0] - stages[1] == stages[2] - stages[1] == END
    assert abs(sum(stages) - whole.weights_bytes() - 2 * whole.tables_bytes - END) < 3


def test_what_was_written_of_the_weights_is_split() -> None:
    given = ModelShape.from_config(LLAMA, weights_bytes=10 * END)
    assert sum(stage_of(given, rank, 2, "x")[0].weights_bytes() for rank in range(2)) == 10 * END
    with pytest.raises(FleetError) as refused:
        stage_of(ModelShape.from_config(LLAMA, weights_bytes=END), 0, 2, "x")
    assert "less than the ends of the vocabulary take" in str(refused.value)


def test_people_are_told_which_layers() -> None:
    assert stage_of(shape(), 0, 2, "x")[1].told == "stage 1 of 2: layers 0 to 4 of 0 to 9, with the embedding"
    assert stage_of(shape(), 1, 3, "x")[1].told == "stage 2 of 3: layers 3 to 6 of 0 to 9"
    assert stage_of(shape(), 2, 3, "x")[1].told == "stage 3 of 3: layers 7 to 9 of 0 to 9, with the head"


@pytest.mark.parametrize(
    "change",
    [
        {
            "architectures": ["Qwen3MoeForCausalLM"],
            "num_experts": 8,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 256,
            "mlp_only_layers": [0],
            "decoder_sparse_step": 1,
        },
        {
            "architectures": ["Gemma3ForCausalLM"],
            "head_dim": 64,
            "sliding_window": 512,
            "layer_types": ["sliding_attention"] * 5 + ["full_attention"] * 5,
        },
    ],
)
def test_layers_that_differ_are_not_guessed_at(change: dict[str, Any]) -> None:
    with pytest.raises(FleetError) as refused:
        stage_of(shape(**change), 0, 2, "vllm_stack_models[0].distributed")
    assert str(refused.value).startswith("vllm_stack_models[0].distributed: which stage takes how much is counted only")


def test_experts_in_every_layer_are_alike() -> None:
    whole = shape(
        architectures=["Qwen3MoeForCausalLM"],
        num_experts=8,
        num_experts_per_tok=2,
        moe_intermediate_size=256,
        decoder_sparse_step=1,
        mlp_only_layers=[],
    )
    part, _stage = stage_of(whole, 0, 2, "x")
    assert part.experts is not None and part.experts.layers == 5


def test_a_model_for_embeddings_is_refused() -> None:
    with pytest.raises(FleetError):
        stage_of(ModelShape.from_config(LLAMA, task="embed"), 0, 2, "x")


def test_each_host_has_a_layer() -> None:
    with pytest.raises(FleetError) as refused:
        stage_of(shape(), 0, 11, "x")
    assert "the model has 10 layers" in str(refused.value)
