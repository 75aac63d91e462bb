# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine holds of a model beside what is counted, by hand: tables, padding, copies, the user's word, and each layer's cache."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.info import ModelInfo
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.kv_pool import CacheSpec, Kind
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.tensors import TensorGroup
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB

# Two layers of four heads of 32, two of them with keys; a vocabulary of 100 words, padded to 128.
LLAMA: dict[str, Any] = {
    **{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16", "hidden_size": 64},
    **{"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32},
    **{"intermediate_size": 96, "vocab_size": 100, "max_position_embeddings": 512, "tie_word_embeddings": False},
}
LINEAR = 2 * (2 * 64 * 128 + 2 * 64 * 64 + 3 * 64 * 96)
NORMS = 5 * 64
VOCABULARY = 100 * 64
TABLES = 512 * 32 * 2
LATENT = {
    **{"architectures": ["DeepseekV3ForCausalLM"], "model_type": "", "kv_lora_rank": 16, "q_lora_rank": 24},
    **{"qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 12},
}


def shape(**values: Any) -> ModelShape:
    return ModelShape.from_config({**LLAMA, **values})


def test_a_model_is_its_tensors_padding_and_a_table_of_positions() -> None:
    found = shape()
    assert (found.linear_parameters, found.plain_parameters) == (LINEAR, NORMS + 2 * VOCABULARY)
    assert found.parameters() == LINEAR + NORMS + 2 * VOCABULARY
    assert found.counted_bytes == 2 * found.parameters() and found.tables_bytes == TABLES
    assert found.weights_bytes() == 2 * (LINEAR + NORMS + 2 * 128 * 64) + TABLES
    tied = shape(tie_word_embeddings=True)
    assert tied.tied_embeddings and tied.weights_bytes() == 2 * (LINEAR + NORMS + 128 * 64) + TABLES
    assert (found.layers, found.heads, found.kv_heads, found.head_dim, found.intermediate_size) == (2, 4, 2, 32, 96)
    assert (found.dense_size, found.vocab_size, found.hidden_size, found.max_positions) == (96, 100, 64, 512)


@pytest.mark.parametrize(
    ("values", "tables"),
    [
        ({"partial_rotary_factor": 0.25}, TABLES // 4),
        ({"rotary_pct": 0.5}, TABLES // 2),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}, "partial_rotary_factor": 0.25}, TABLES // 2),
        *(({"partial_rotary_factor": wrong}, TABLES) for wrong in (0, 1, 1.5, True, "0.5")),
        ({"max_position_embeddings": 2**21}, 2**20 * 32 * 2),
        # Pictures' positions are of three axes, and count four times.
        ({"rope_scaling": {"rope_type": "default", "mrope_section": [4, 6, 6]}}, 4 * TABLES),
        # Those that stretch have a table as long as they stretch to.
        ({"rope_scaling": {"rope_type": "linear", "factor": 8.0}}, 8 * TABLES),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, 2 * TABLES),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, TABLES),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256}}, 2 * TABLES),
        ({"rope_scaling": {"type": "longrope", "original_max_position_embeddings": 256}}, 3 * TABLES // 2),
        # Layers of two kinds turn by two tables.
        ({"rope_local_base_freq": 10000.0, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}, 9 * TABLES),
        ({"rope_local_base_freq": 10000, "rope_theta": 10000.0}, TABLES),
        ({"model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"]}, 2 * TABLES),
        (
            {
                "rope_parameters": {
                    "full_attention": {"type": "linear", "factor": 8.0},
                    "sliding_attention": {"type": "default"},
                }
            },
            9 * TABLES,
        ),
        ({**LATENT}, 512 * 4 * 2),
        # Learned positions, or none.
        ({"architectures": ["GPT2LMHeadModel"]}, 0),
        ({"architectures": ["BertModel"], "num_key_value_heads": 4}, 0),
        ({"architectures": ["ModernBertModel"], "num_key_value_heads": 4}, TABLES),
        ({"architectures": ["MambaForCausalLM"], "expand": 2, "state_size": 8, "conv_kernel": 4}, 0),
        ({"torch_dtype": "float32"}, TABLES),
    ],
)
def test_a_table_of_positions_is_as_long_as_the_context_and_as_wide_as_what_turns(
    values: dict[str, Any], tables: int
) -> None:
    assert shape(**values).tables_bytes == tables


def test_a_latent_s_second_matrix_is_kept_twice() -> None:
    found = shape(**LATENT)
    assert found.latent is not None and found.has_kv_cache
    assert (found.latent.kv_rank, found.latent.q_rank, found.latent.nope_dim) == (16, 24, 8)
    assert (found.latent.rope_dim, found.latent.value_dim) == (4, 12)
    copies = 2 * 16 * 4 * (8 + 12) * 2
    padded = found.plain_parameters + 2 * 28 * 64
    assert found.weights_bytes() == padded * 2 + found.linear_bytes + found.tables_bytes + copies
    assert (
        shape(**{**LATENT, "q_lora_rank": None}).latent
        == ModelShape.from_config({**LLAMA, **LATENT, "q_lora_rank": 0}).latent
    )


def test_a_checkpoint_far_from_its_count_is_right() -> None:
    counted = shape().counted_bytes
    config = {**LLAMA}

    def of(size: int) -> ModelShape:
        return ModelShape.from_config(config, checkpoint_bytes=size)

    # To two hundredths either way.
    assert of(int(counted * 1.02)).count_is_right and of(int(counted * 0.981)).count_is_right
    assert of(int(counted * 1.02)).weights_bytes() == shape().weights_bytes()
    assert not of(int(counted * 1.021)).count_is_right and not of(int(counted * 0.979)).count_is_right
    assert of(2 * counted).weights_bytes() == 2 * counted + TABLES
    half = ModelShape.from_config({**LLAMA, "torch_dtype": "float32"}, checkpoint_bytes=4 * counted)
    assert half.checkpoint_bytes == 2 * counted and half.dtype_bytes == 2


def test_tensors_go_before_any_count() -> None:
    groups = [TensorGroup("model.embed_tokens.weight", "BF16", (100, 64), 1), TensorGroup("a.weight", "F32", (8, 8), 3)]
    found = ModelShape.from_config(LLAMA, info=ModelInfo(LLAMA, tensors=tuple(groups)))
    assert found.tensor_bytes == 128 * 64 * 2 + 3 * 64 * 2 and found.weights_bytes() == found.tensor_bytes + TABLES


def test_what_is_written_of_the_weights_is_believed_where_it_can_be_true() -> None:
    counted = shape(intermediate_size=2**18).counted_bytes
    wide = {**LLAMA, "intermediate_size": 2**18}
    least = counted // 10
    assert ModelShape.from_config(wide, weights_bytes=least + 1).weights_bytes() == least + 1
    with pytest.raises(FleetError, match=r"^m\.weights_bytes: \d+ bytes are too few, its tensors take 0\.1\d GiB"):
        ModelShape.from_config(wide, weights_bytes=least - 1, where="m.config")
    assert ModelShape.from_config(LLAMA, weights_bytes=MIB).weights_bytes() == MIB
    with pytest.raises(FleetError, match=r"weights_bytes: \d+ bytes are too few"):
        ModelShape.from_config(LLAMA, weights_bytes=MIB - 1)
    strange = {**LLAMA, "architectures": ["OfTomorrow"], "model_type": "of_tomorrow"}
    with pytest.raises(FleetError, match="no model is that small"):
        ModelShape.from_config(strange, weights_bytes=MIB - 1)


@pytest.mark.parametrize(
    ("stored", "asked", "size", "dtype"),
    [
        *((name, "auto", 2, name) for name in ("float16", "half", "bfloat16", "float32", "float")),
        *((name, "float32", 4, "float32") for name in ("bfloat16", "float32")),
        *(("torch.bfloat16", "auto", 2, "bfloat16"), ("float32", "half", 2, "half"), ("float32", "float", 4, "float")),
        ("of_tomorrow", "auto", 2, "of_tomorrow"),
    ],
)
def test_bytes_of_a_dtype(stored: str, asked: str, size: int, dtype: str) -> None:
    found = ModelShape.from_config({**LLAMA, "torch_dtype": stored}, asked)
    assert (found.dtype_bytes, found.dtype) == (size, dtype)
    v5 = {key: value for key, value in LLAMA.items() if key != "torch_dtype"}
    assert ModelShape.from_config({**v5, "dtype": stored}, asked).dtype == dtype
    assert ModelShape.from_config(v5).dtype == "float16"


@pytest.mark.parametrize(
    ("values", "specs"),
    [
        ({}, {CacheSpec(Kind.FULL, 2 * 2 * 32 * 2): 2}),
        (
            {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 128},
            {CacheSpec(Kind.SLIDING, 256, 128): 1, CacheSpec(Kind.FULL, 256): 1},
        ),
        (
            {"layer_types": ["chunked_attention", "full_attention"], "attention_chunk_size": 64},
            {CacheSpec(Kind.CHUNKED, 256, 64): 1, CacheSpec(Kind.FULL, 256): 1},
        ),
        (LATENT, {CacheSpec(Kind.FULL, (16 + 4) * 2): 2}),
        # An indexer's key of one byte an element with its scale, as elements of two.
        (
            {**LATENT, "index_head_dim": 8, "index_n_heads": 2},
            {CacheSpec(Kind.FULL, 40): 2, CacheSpec(Kind.FULL, 12): 2},
        ),
        ({"num_kv_shared_layers": 1}, {CacheSpec(Kind.FULL, 256): 1}),
        ({"is_causal": False}, {}),
        ({"use_bidirectional_attention": True}, {CacheSpec(Kind.FULL, 256): 2}),
        ({"architectures": ["Gemma3TextModel"], "use_bidirectional_attention": True}, {}),
        ({"architectures": ["LlamaBidirectionalModel"]}, {}),
        (
            {"architectures": ["MambaForCausalLM"], "expand": 2, "state_size": 8, "conv_kernel": 4},
            {CacheSpec(Kind.STATE, 128 * 3 * 2 + 128 * 8 * 2): 2},
        ),
        (
            {
                **{"architectures": ["MambaForCausalLM"], "expand": 2, "state_size": 8, "conv_kernel": 4},
                "mamba_ssm_dtype": "float32",
            },
            {CacheSpec(Kind.STATE, 128 * 3 * 2 + 128 * 8 * 4): 2},
        ),
    ],
)
def test_what_each_layer_keeps(values: dict[str, Any], specs: dict[CacheSpec, int]) -> None:
    found = shape(**values)
    assert {one.spec(2.0, 2, 1): count for one, count in found.keeps} == specs
    assert found.has_kv_cache is bool(specs)
    states = [spec.kind is Kind.STATE for spec in specs]
    assert (found.has_states, found.only_states) == (any(states), bool(states) and all(states))


def test_ranks_share_heads_and_states_and_not_a_latent() -> None:
    def spec(found: ModelShape, ranks: int) -> list[CacheSpec]:
        return [one.spec(2.0, 2, ranks) for one, _count in found.keeps]

    assert spec(shape(), 2) == [CacheSpec(Kind.FULL, 2 * 1 * 32 * 2)] == spec(shape(), 4)
    assert spec(shape(**LATENT), 4) == [CacheSpec(Kind.FULL, 40)]
    mamba = shape(architectures=["MambaForCausalLM"], expand=2, state_size=8, conv_kernel=4)
    assert spec(mamba, 2) == [CacheSpec(Kind.STATE, (128 * 3 * 2 + 128 * 8 * 2) // 2)]


def test_one_kind_of_cache_layers_ahead_and_a_draft_are_in_the_pool() -> None:
    window = shape(layer_types=["sliding_attention", "full_attention"], sliding_window=64)
    assert window.kv_pool(2.0, one_kind=True) == shape().kv_pool(2.0)
    assert shape().kv_pool(2.0, ahead=3).block_bytes == shape().kv_pool(2.0).block_bytes // 2 * 5
    assert shape(is_causal=False).kv_pool(2.0).block_bytes == 1
    assert window.kv_pool(2.0, ahead=1) == shape(
        num_hidden_layers=3, layer_types=["sliding_attention", "full_attention", "full_attention"], sliding_window=64
    ).kv_pool(2.0)


def test_a_head_of_its_own_and_layers_that_are_alike() -> None:
    assert shape().head_bytes == VOCABULARY * 2 and shape(tie_word_embeddings=True).head_bytes == 0
    assert shape().is_uniform and not shape(intermediate_size=[96, 64]).is_uniform
    modelopt = {"quant_method": "modelopt", "quant_algo": "FP8"}
    assert shape(quantization_config=modelopt).head_bytes == VOCABULARY
    assert shape(quantization_config=modelopt).linear_bytes == LINEAR + VOCABULARY
    awq = {"quant_method": "awq", "bits": 4, "group_size": 128, "modules_to_not_convert": ["layers.0."]}
    assert not shape(quantization_config=awq).is_uniform


def test_parts_that_stay_plain_are_named_the_largest_first() -> None:
    def plain(*parts: str) -> str:
        section = {"quant_method": "awq", "bits": 4, "group_size": 128, "modules_to_not_convert": list(parts)}
        return shape(quantization_config=section).plain_parts

    assert plain("self_attn") == "self_attn.q_proj, self_attn.o_proj, self_attn.k_proj, self_attn.v_proj"
    assert plain("mlp") == "mlp.gate_proj, mlp.up_proj, mlp.down_proj" and plain() == "" == shape().plain_parts
    # Less than a tenth is not worth a word.
    assert plain("q_proj") == "self_attn.q_proj" and plain("k_proj") == ""


def test_bits_of_weights_and_what_is_asked_for() -> None:
    assert shape().weight_bits == 16.0 and shape().quantization is None
    fp8 = ModelShape.from_config(LLAMA, quantization="fp8")
    assert (fp8.quantization, fp8.weight_bits, fp8.linear_bytes) == ("fp8", 8.0, LINEAR)
    # Quantized while it loads: what the checkpoint takes says nothing then.
    assert ModelShape.from_config(LLAMA, quantization="fp8", checkpoint_bytes=9 * MIB).checkpoint_bytes is None
    stored = {**LLAMA, "quantization_config": {"quant_method": "fp8"}}
    assert ModelShape.from_config(stored, quantization="fp8", checkpoint_bytes=9 * MIB).checkpoint_bytes == 9 * MIB


def test_an_unknown_class_is_planned_where_its_weights_are_known() -> None:
    strange = {**LLAMA, "architectures": ["OfTomorrow"], "model_type": "of_tomorrow"}
    with pytest.raises(FleetError, match=r"config\.architectures: the tensors of OfTomorrow can't be counted"):
        ModelShape.from_config(strange)
    found = ModelShape.from_config(strange, weights_bytes=2**30)
    assert not found.known and found.keeps == shape().keeps and not found.is_uniform
    unread = ModelShape.from_config({**strange, "block_configs": [1]}, weights_bytes=2**30)
    assert unread.keeps == shape().keeps and unread.encoders.kinds == ()
    bare = {key: value for key, value in strange.items() if key not in ("head_dim", "num_key_value_heads")}
    wide = ModelShape.from_config({**bare, "block_configs": [1]}, weights_bytes=2**30)
    assert (wide.head_dim, wide.kv_heads) == (16, 4)
    eyes = {"model_type": "eyes", "architectures": ["Eyes"], "text_config": LLAMA, "tail_config": {"hidden_size": 8}}
    assert ModelShape.from_config(eyes, weights_bytes=2**30).encoders.kinds == ("unknown",)
