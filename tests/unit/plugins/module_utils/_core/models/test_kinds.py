# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinds of layers and their caches, quantization by part, lengths and tasks: each by the figure that an engine logs or refuses."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import drafts, encoders, sections, tasks
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.info import ModelInfo
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.kv_pool import CacheSpec, Kind, build
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.tensors import Tensor, group
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan import estimate
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB
from tests.bench.measured import NEW, VARIANTS, Row, rows

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "torch_dtype": "bfloat16",
    "tie_word_embeddings": False,
}
ATTENTION = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024)
MLP = 32 * 3 * 4096 * 14336
HEAD = 4096 * 128256


@pytest.mark.parametrize(
    "row",
    [row for row in rows([*NEW, VARIANTS]) if row.kv_tokens],
    ids=lambda row: f"{row.model}-{row.load.max_num_seqs}",
)
def test_tokens_of_every_kind_of_cache_are_those_logged(row: Row) -> None:
    pool = row.shape.kv_pool(row.shape.dtype_bytes, ahead=row.shape.ahead_layers if row.load.ahead else 0)
    assert pool.tokens(row.kv_bytes, row.load.max_model_len, row.load.max_num_batched_tokens) == row.kv_tokens


@pytest.mark.parametrize(
    "row",
    rows(["vllm-0.26.0-h200-memory-2026-11.json"], ["glm-4.5-air-4l", "kimi-linear-8l", "ernie-4.5-moe-6l"]),
    ids=lambda row: row.model,
)
def test_weights_are_those_logged_with_a_layer_ahead_and_without_positions(row: Row) -> None:
    # Ernie's layer ahead has no experts; Kimi's latent attention has no table of positions, and is in every fourth layer.
    assert estimate.weights_bytes(row.shape, row.load) / GIB == pytest.approx(row.weights_gib, abs=0.04)
    assert abs(row.error_mib()) < 100


@pytest.mark.parametrize(
    "row",
    rows(
        ["vllm-0.26.0-h200-memory-encoders.json"],
        ["gemma3-4b-it", "gemma3n-e2b", "glm-4.5-air-4l-mtp", "whisper-large-v3"],
    ),
    ids=lambda row: row.model,
)
def test_weights_are_those_logged_with_long_tables_of_positions_and_with_experts_in_the_layer_ahead(row: Row) -> None:
    # A table stretched eightfold; each layer's own inputs, whose buffer the engine counts as weights; a layer ahead that has experts.
    inputs = row.load.max_num_batched_tokens * row.shape.layer_inputs * row.shape.dtype_bytes
    assert (estimate.weights_bytes(row.shape, row.load) + inputs) / GIB == pytest.approx(row.weights_gib, abs=0.04)
    assert abs(row.error_mib()) < 64


def test_attention_blocks_grow_until_their_page_holds_a_state() -> None:
    # Qwen3.5 27B: 784 tokens, as engines log it; 1,568 with an fp8 cache.
    for token, blocks in ((4096, 784), (2048, 1568)):
        pool = build({CacheSpec(Kind.FULL, token): 16, CacheSpec(Kind.STATE, 3_207_168): 48}, states=1)
        assert pool.block_tokens == blocks
        assert [group.kind for group in pool.groups] == [Kind.FULL, *[Kind.STATE] * 3]
        assert pool.block_bytes == 16 * 784 * 4096
        assert pool.blocks_per_request(blocks + 1, 2048) == 2 + 3
    assert build({CacheSpec(Kind.STATE, 1000): 64}, states=2).blocks_per_request(4096, 2048) == 2


def test_sequences_are_bound_by_their_states() -> None:
    pool = build({CacheSpec(Kind.FULL, 4096): 16, CacheSpec(Kind.STATE, 3_207_168): 48}, states=2)
    assert pool.sequences(70 * pool.block_bytes) == 10
    assert pool.sequences(69 * pool.block_bytes) == 9


def test_groups_nearly_as_large_are_padded_and_others_split() -> None:
    # vLLM: 12 sliding and 13 full are two groups of 13; 9 and 6 split into groups of 6.
    nearly = build({CacheSpec(Kind.SLIDING, 2048, 128): 12, CacheSpec(Kind.FULL, 2048): 13})
    assert (nearly.block_bytes, len(nearly.groups)) == (13 * 16 * 2048, 2)
    split = build({CacheSpec(Kind.SLIDING, 2048, 128): 9, CacheSpec(Kind.FULL, 2048): 6})
    assert (split.block_bytes, len(split.groups)) == (6 * 16 * 2048, 3)


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (
            {"layer_types": ["full_attention"] * 8 + ["sliding_attention"] * 24, "sliding_window": 512},
            {"full": 8, "sliding": 24},
        ),
        ({"sliding_window": 4096, "sliding_window_pattern": 4}, {"full": 8, "sliding": 24}),
        ({"sliding_window": 4096, "sliding_window_pattern": "LLLG"}, {"full": 8, "sliding": 24}),
        ({"sliding_window": None, "layer_types": ["sliding_attention"] * 32}, {"full": 32}),
        ({"attention_chunk_size": 8192}, {"full": 8, "chunked": 24}),
        ({"model_type": "lfm2", "full_attn_idxs": [2, 5, 8]}, {"full": 3, "state": 29}),
        ({"model_type": "bamba", "attn_layer_indices": [9, 18]}, {"full": 2, "state": 30}),
        ({"model_type": "jamba", "attn_layer_period": 8, "attn_layer_offset": 4}, {"full": 4, "state": 28}),
        ({"model_type": "qwen3_next", "full_attention_interval": 4}, {"full": 8, "state": 24}),
        ({"architectures": ["MiniMaxText01ForCausalLM"], "attn_type_list": [0, 0, 0, 1] * 8}, {"full": 8, "state": 24}),
        (
            {
                **{"architectures": ["MiniCPM3ForCausalLM"], "kv_lora_rank": 256, "q_lora_rank": 768},
                **{"qk_nope_head_dim": 64, "qk_rope_head_dim": 32, "v_head_dim": 64},
            },
            {"full": 32},
        ),
        ({"num_kv_shared_layers": 12}, {"full": 20}),
    ],
)
def test_what_each_layer_keeps_is_read_from_whatever_key_says_so(change: dict[str, Any], kinds: dict[str, int]) -> None:
    found: dict[str, int] = {}
    named = {"architectures": [sections.language(change["model_type"])]} if "model_type" in change else {}
    for kept, count in ModelShape.from_config({**LLAMA, **named, **change}).keeps:
        found[kept.kind.value] = found.get(kept.kind.value, 0) + count
    assert found == kinds


def test_a_kind_of_layer_that_nobody_knows_is_refused() -> None:
    with pytest.raises(FleetError, match="layers of kind 'holographic' can't be counted"):
        ModelShape.from_config({**LLAMA, "layer_types": ["holographic"] * 32})


MIXTRAL: dict[str, Any] = {
    **LLAMA,
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "vocab_size": 32000,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
}


@pytest.mark.parametrize("word", ["gate", "block_sparse_moe.gate", "mlp.gate"])
def test_a_router_that_is_left_out_leaves_no_expert_out(word: str) -> None:
    # casper-hansen's Mixtral names its router so; experts are one layer to the engine, which has no "gate" in its name.
    quantized = {
        "quant_method": "awq",
        "bits": 4,
        "group_size": 128,
        "zero_point": True,
        "modules_to_not_convert": [word],
    }
    shape = ModelShape.from_config({**MIXTRAL, "quantization_config": quantized})
    assert 23.0 < shape.weights_bytes() / GIB < 23.9
    kept = {**quantized, "modules_to_not_convert": ["experts"]}
    assert ModelShape.from_config({**MIXTRAL, "quantization_config": kept}).weights_bytes() > 84 * GIB


@pytest.mark.parametrize(
    "part",
    [
        {"listener_config": {"input_dim": 160, "num_layers": 10, "hidden_dim": 1024}},
        {"acoustic_tokenizer_listener_config": {"hidden_size": 64, "depths": [3, 3, 3]}},
        {"perception": {"model_type": "eva", "width": 1024}},
    ],
)
def test_a_part_under_a_key_that_is_not_read_is_no_part_of_a_dense_model(part: dict[str, Any]) -> None:
    speech = {"model_type": "speech", "architectures": ["SpeechForConditionalGeneration"], "text_config": LLAMA, **part}
    (key,) = part
    with pytest.raises(FleetError, match=f"config.{key}: nothing is known of this part"):
        ModelShape.from_config(speech)
    assert ModelShape.from_config(speech, weights_bytes=20 * GIB).weights_bytes() == 20 * GIB
    whole = {**LLAMA, "rope_parameters": {"rope_type": "default"}, "compression_config": None}
    assert ModelShape.from_config(whole).weights_bytes() == ModelShape.from_config(LLAMA).weights_bytes()


def test_whisper_needs_no_count_but_its_own() -> None:
    tiny = {
        "d_model": 384,
        "encoder_layers": 4,
        "decoder_layers": 4,
        "encoder_attention_heads": 6,
        "encoder_ffn_dim": 1536,
    }
    more = {"decoder_attention_heads": 6, "decoder_ffn_dim": 1536, "vocab_size": 51865, "num_mel_bins": 80}
    config = {"architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper", **tiny, **more}
    limits = {"max_source_positions": 1500, "max_target_positions": 448, "torch_dtype": "float16"}
    shape = ModelShape.from_config({**config, **limits})
    assert abs(shape.weights_bytes() / 2 / 37_760_640 - 1) < 0.01
    # Distilled ones have as many layers before, and two after.
    assert ModelShape.from_config({**config, **limits, "decoder_layers": 2, "num_hidden_layers": 4}).layers == 2


SCHEME = {"num_bits": 4, "type": "int", "group_size": 128, "symmetric": True}


@pytest.mark.parametrize(
    ("section", "attention", "mlp", "head"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 128, "modules_to_not_convert": ["self_attn"]}, 16, 4.25, 16),
        ({"quant_method": "awq", "bits": 4, "group_size": 128, "modules_to_not_convert": ["lm_head"]}, 4.25, 4.25, 16),
        # The engine asks for "gate" in gate_up_proj, and leaves that whole; down_proj is a third of the MLP.
        (
            {"quant_method": "awq", "bits": 4, "group_size": 128, "modules_to_not_convert": ["gate"]},
            4.25,
            (2 * 16 + 4.25) / 3,
            16,
        ),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "dynamic": {"-:.*self_attn.*": {}}}, 16, 4.125, 16),
        (
            {"quant_method": "gptq", "bits": 4, "group_size": 128, "dynamic": {"+:.*mlp.*": {"bits": 8}}},
            4.125,
            8.125,
            16,
        ),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "lm_head": True}, 4.125, 4.125, 4.125),
        ({"quant_method": "fp8", "modules_to_not_convert": ["model.layers.0.mlp.up_proj"]}, 8, 8 + 8 / 96, 16),
        ({"quant_method": "fp8", "ignored_layers": ["model.layers.0.self_attn"]}, 8 + 8 / 32, 8, 16),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "llm_int8_skip_modules": ["mlp"]}, 4.5, 16, 16),
        (
            {
                "quant_method": "compressed-tensors",
                "ignore": ["re:.*self_attn.*", "lm_head"],
                "config_groups": {"group_0": {"targets": ["Linear"], "weights": SCHEME}},
            },
            *(16, 4.125, 16),
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {
                    "group_0": {"targets": ["re:.*mlp.*"], "weights": SCHEME},
                    "group_1": {"targets": ["re:.*self_attn.*"], "weights": {"num_bits": 8, "type": "float"}},
                },
            },
            *(8, 4.125, 16),
        ),
        (
            {"quant_method": "modelopt", "quant_algo": "NVFP4", "exclude_modules": ["lm_head", "*self_attn*"]},
            16,
            4.5,
            16,
        ),
        ({"quant_method": "modelopt", "quant_algo": "FP8", "ignore": []}, 8, 8, 8),
        (
            {
                "quant_method": "auto-round",
                "bits": 4,
                "group_size": 128,
                "extra_config": {".*self_attn.*": {"bits": 16}},
            },
            16,
            4.125,
            16,
        ),
        ({"quant_method": "mxfp4"}, 16, 16, 16),
    ],
)
def test_bits_are_told_part_by_part(section: dict[str, Any], attention: float, mlp: float, head: float) -> None:
    found = ModelShape.from_config({**LLAMA, "quantization_config": section})
    plain = found.plain_parameters * 2 if head == 16 else (found.plain_parameters + HEAD) * 2 - HEAD * 2
    wanted = (ATTENTION * attention + MLP * mlp + (HEAD * head if head != 16 else 0)) / 8
    assert found.linear_bytes + found.plain_parameters * 2 == pytest.approx(wanted + plain, rel=1e-6)


def test_each_layer_of_a_mixed_checkpoint_has_its_own_bits() -> None:
    named = {
        f"model.layers.{n}.mlp.{part}_proj": {"quant_algo": "NVFP4"}
        for n in range(32)
        for part in ("gate", "up", "down")
    }
    named |= {f"model.layers.{n}.self_attn.o_proj": {"quant_algo": "FP8"} for n in range(32)}
    section = {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": named}
    found = ModelShape.from_config({**LLAMA, "quantization_config": section})
    out = 32 * 4096 * 4096
    assert found.linear_bytes == pytest.approx((MLP * 4.5 + out * 8 + (ATTENTION - out) * 16) / 8, rel=1e-6)
    assert "self_attn.q_proj" in found.plain_parts
    with pytest.raises(FleetError, match="can't be told apart"):
        ModelShape.from_config(
            {**LLAMA, "quantization_config": {**section, "quantized_layers": {"a": {"quant_algo": "NEW"}}}}
        )


@pytest.mark.parametrize(
    ("change", "info", "task", "most", "default"),
    [
        ({}, {}, None, 131072, 131072),
        (
            {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}},
            {},
            None,
            131072,
            131072,
        ),
        ({"max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": 2.0}}, {}, None, 8192, 8192),
        (
            {"max_position_embeddings": 8192, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}},
            {},
            None,
            8192,
            8192,
        ),
        ({"original_max_position_embeddings": 4096, "rope_scaling": {"type": "longrope"}}, {}, None, 131072, 4096),
        ({"max_position_embeddings": 8192, "model_max_length": 131072}, {}, None, 131072, 131072),
        ({"max_position_embeddings": None, "seq_length": 2048}, {}, None, 2048, 2048),
        ({"max_position_embeddings": None}, {}, None, 2048, 2048),
        ({"max_position_embeddings": 512}, {"sentence_bert_config": {"max_seq_length": 256}}, "embed", 256, 256),
        (
            {"max_position_embeddings": 514, "model_type": "xlm-roberta", "position_embedding_type": "absolute"},
            {},
            "embed",
            512,
            512,
        ),
        (
            {"max_position_embeddings": 8194, "position_embedding_type": "absolute"},
            {"tokenizer_config": {"model_max_length": 8192}},
            *("embed", 8192, 8192),
        ),
        # Where no tokens are pooled the tokenizer's limit is none.
        (
            {"position_embedding_type": "absolute"},
            {"tokenizer_config": {"model_max_length": 512}},
            None,
            131072,
            131072,
        ),
    ],
)
def test_lengths_are_derived_as_the_engine_derives_them(
    change: dict[str, Any], info: dict[str, Any], task: str | None, most: int, default: int
) -> None:
    config = {key: value for key, value in {**LLAMA, **change}.items() if value is not None}
    found = ModelShape.from_config(config, info=ModelInfo(config, **info), task=task).length
    assert (found.most, found.default) == (most, default)


@pytest.mark.parametrize(
    ("change", "info", "task"),
    [
        ({}, {}, "generate"),
        ({}, {"modules": ({"type": "sentence_transformers.models.Pooling"},)}, "embed"),
        ({"architectures": ["LlamaModel"]}, {}, "embed"),
        ({"architectures": ["BertModel"], "max_position_embeddings": 512}, {}, "embed"),
        ({"architectures": ["Qwen2ForSequenceClassification"], "num_labels": 1}, {}, "score"),
        ({"architectures": ["Qwen2ForSequenceClassification"], "id2label": {"0": "a", "1": "b"}}, {}, "classify"),
        ({"architectures": ["BertForTokenClassification"], "max_position_embeddings": 512}, {}, "classify"),
    ],
)
def test_what_a_model_is_for_is_told_from_its_files(change: dict[str, Any], info: dict[str, Any], task: str) -> None:
    config = {**LLAMA, **change}
    assert ModelShape.from_config(config, info=ModelInfo(config, **info)).task == task


def test_an_embedding_model_has_no_output_layer_over_the_vocabulary() -> None:
    whole, pooled = (ModelShape.from_config(LLAMA, task=task) for task in ("generate", "embed"))
    assert whole.parameters() - pooled.parameters() == HEAD


def tensors(*more: Tensor, dtype: str = "BF16", layers: int = 2) -> ModelInfo:
    found = [Tensor("model.embed_tokens.weight", dtype, (1000, 64)), Tensor("model.norm.weight", dtype, (64,))]
    for layer in range(layers):
        found.append(Tensor(f"model.layers.{layer}.mlp.up_proj.weight", dtype, (256, 64)))
    return ModelInfo({}, tensors=group([*found, *more]))


SMALL: dict[str, Any] = {
    **{
        "architectures": ["NobodyForCausalLM"],
        "model_type": "nobody",
        "torch_dtype": "bfloat16",
        "tie_word_embeddings": True,
    },
    **{
        "hidden_size": 64,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": 1000,
    },
    **{"max_position_embeddings": 512},
}
EMBEDDING, NORM, UP = 1024 * 64, 64, 2 * 256 * 64


@pytest.mark.parametrize(
    ("info", "change", "count", "size"),
    [
        # Behind the last layer, with copies of both ends, which the engine shares.
        (tensors(Tensor("model.layers.2.embed_tokens.weight", "BF16", (1000, 64)), layers=3), {"num_nextn_predict_layers": 1}, 1, UP),
        (tensors(Tensor("model.layers.2.shared_head.head.weight", "BF16", (1000, 64)), layers=3), {"num_nextn_predict_layers": 1}, 1, UP),
        # Under names of their own: Qwen's, MiMo's, ERNIE's.
        (tensors(Tensor("mtp.fc.weight", "BF16", (64, 128))), {"mtp_num_hidden_layers": 1}, 1, 2 * 64 * 128),
        (tensors(Tensor("model.mtp_layers.0.input_proj.weight", "BF16", (64, 128))), {"num_nextn_predict_layers": 1}, 1, 2 * 64 * 128),
        (tensors(Tensor("model.mtp_block.0.mlp.up_proj.weight", "BF16", (64, 128))), {}, 1, 2 * 64 * 128),
        # A quantized checkpoint may have been left without them, whatever its config.json says.
        (tensors(), {"num_nextn_predict_layers": 1}, 0, 0),
        (ModelInfo({}), {"num_nextn_predict_layers": 2}, 2, None),
        (ModelInfo({}), {"model_type": "qwen3_next"}, 1, None),
        (ModelInfo({}), {}, 0, None),
    ],
)  # fmt: skip
def test_layers_ahead_by_tensors_or_by_the_config(
    info: ModelInfo, change: dict[str, Any], count: int, size: int | None
) -> None:
    counted = {} if info.tensors else {"architectures": ["LlamaForCausalLM"]}
    found = ModelShape.from_config({**SMALL, **counted, **change}, info=info)
    assert (found.ahead_layers, found.ahead_bytes) == (count, size)
    if info.tensors:
        assert found.tensor_bytes == 2 * (EMBEDDING + NORM + UP)


@pytest.mark.parametrize(
    ("info", "change", "asked", "size"),
    [
        (tensors(), {}, {}, 2 * (EMBEDDING + NORM + UP)),
        # float32 is served in 16 bits, unless asked for.
        (tensors(dtype="F32"), {"torch_dtype": "float32"}, {}, 2 * (EMBEDDING + NORM + UP)),
        (tensors(), {}, {"dtype": "float32"}, 4 * (EMBEDDING + NORM + UP)),
        # A tied output layer is loaded once, even where the checkpoint has it twice.
        (tensors(Tensor("lm_head.weight", "BF16", (1000, 64))), {}, {}, 2 * (EMBEDDING + NORM + UP)),
        (
            tensors(Tensor("lm_head.weight", "BF16", (1000, 64))),
            *({"tie_word_embeddings": False}, {}, 2 * (2 * EMBEDDING + NORM + UP)),
        ),
        # Linear layers alone are quantized while they load.
        (tensors(), {}, {"quantization": "fp8"}, 2 * (EMBEDDING + NORM) + UP),
        # What only predicts ahead stays on the disk.
        (tensors(Tensor("mtp.fc.weight", "BF16", (64, 128))), {}, {}, 2 * (EMBEDDING + NORM + UP)),
        (tensors(layers=3), {"num_nextn_predict_layers": 1}, {}, 2 * (EMBEDDING + NORM + UP)),
        # Packed weights and their scales stay as they are.
        (tensors(Tensor("model.layers.0.q.qweight", "I32", (8, 64))), {}, {}, 2 * (EMBEDDING + NORM + UP) + 8 * 64 * 4),
        (tensors(Tensor("model.layers.0.q.weight_scale_inv", "F32", (2, 2))), {}, {}, 2 * (EMBEDDING + NORM + UP) + 16),
    ],
)
def test_tensors_count_as_the_engine_loads_them(
    info: ModelInfo, change: dict[str, Any], asked: dict[str, Any], size: int
) -> None:
    found = ModelShape.from_config({**SMALL, **change}, info=info, **asked)
    assert found.tensor_bytes == size
    assert size <= found.weights_bytes() < size + GIB


def test_a_name_that_ends_in_model_may_be_one_that_generates() -> None:
    assert tasks.told({"architectures": ["GPT2LMHeadModel"]}, ModelInfo({})) == "generate"
    assert not tasks.is_pooling_class({"architectures": ["GPT2LMHeadModel"]})
    assert tasks.told({"architectures": ["BertModel"]}, ModelInfo({})) == "embed"


def test_a_head_of_eagle_has_no_embedding_and_joins_states() -> None:
    head = {**LLAMA, "architectures": ["LlamaForCausalLMEagle3"], "num_hidden_layers": 1, "draft_vocab_size": 32000}
    found = drafts.shape_of(head, "auto", "draft")
    layer = (ATTENTION + MLP) // 32 + 2 * 4096
    joined = 3 * 4096 * 4096 + 4096 * (32 + 16) * 128
    assert found.parameters() == layer + 4096 + joined + 32000 * 4096


def test_the_largest_picture_is_the_processors() -> None:
    found = encoders.Encoders(patches=65536, tokens=16384, patch_size=14)
    assert encoders.limited(found, 1024 * 28 * 28).tokens == 1024
    assert encoders.limited(found, None) == found
    assert encoders.largest_picture({"size": {"longest_edge": 12845056}}) == 12845056
    # An edge is no area.
    assert encoders.largest_picture({"size": {"longest_edge": 1540}}) is None
