# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shapes: parameters against those published, bits of quantized weights, and configs that nobody should hand over."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.catalogue import CONFIGS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.kv_pool import Kind
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB

SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "vocab_size",
)


def config(*parts: Any, **more: Any) -> dict[str, Any]:
    """An architecture, its SIZES in their order, and whatever else its config.json says."""
    architecture, *sizes = parts
    shape = dict(zip(SIZES, sizes, strict=True))
    return {
        "architectures": [architecture],
        **shape,
        "torch_dtype": "bfloat16",
        "max_position_embeddings": 4096,
        **more,
    }


def experts(count: int, width: int, **more: Any) -> dict[str, Any]:
    return {"num_experts": count, "moe_intermediate_size": width, "num_experts_per_tok": 8, **more}


LATENT = {"kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128}
LLAMA, QWEN2, QWEN3, MISTRAL = "LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "MistralForCausalLM"
GEMMA2, GEMMA3, PHI3 = "Gemma2ForCausalLM", "Gemma3ForCausalLM", "Phi3ForCausalLM"
# Sizes as in each model's config.json, and the parameters published (half the safetensors index's total_size); encoders without pooler,
# DeepSeek-V3 without the layer that only predicts ahead.
PUBLISHED = {
    "TinyLlama-1.1B": (config(LLAMA, 2048, 5632, 22, 32, 4, 32000), 1_100_048_384),
    "Yi-6B": (config(LLAMA, 4096, 11008, 32, 32, 4, 64000), 6_061_035_520),
    "Yi-34B": (config(LLAMA, 7168, 20480, 60, 56, 8, 64000), 34_388_917_248),
    "Llama-2-7B": (config(LLAMA, 4096, 11008, 32, 32, 32, 32000), 6_738_415_616),
    "Llama-2-13B": (config(LLAMA, 5120, 13824, 40, 40, 40, 32000), 13_015_864_320),
    "Llama-2-70B": (config(LLAMA, 8192, 28672, 80, 64, 8, 32000), 68_976_648_192),
    "Llama-3.1-8B": (config(LLAMA, 4096, 14336, 32, 32, 8, 128256), 8_030_261_248),
    "Llama-3.1-70B": (config(LLAMA, 8192, 28672, 80, 64, 8, 128256), 70_553_706_496),
    "Llama-3.2-1B": (
        config(LLAMA, 2048, 8192, 16, 32, 8, 128256, head_dim=64, tie_word_embeddings=True),
        1_235_814_400,
    ),
    "Llama-3.2-3B": (
        config(LLAMA, 3072, 8192, 28, 24, 8, 128256, head_dim=128, tie_word_embeddings=True),
        3_212_749_824,
    ),
    "Mistral-7B-v0.1": (config(MISTRAL, 4096, 14336, 32, 32, 8, 32000), 7_241_732_096),
    "Mistral-7B-v0.3": (config(MISTRAL, 4096, 14336, 32, 32, 8, 32768), 7_248_023_552),
    "Mixtral-8x7B": (
        config("MixtralForCausalLM", 4096, 14336, 32, 32, 8, 32000, num_local_experts=8, num_experts_per_tok=2),
        46_702_792_704,
    ),
    "Mixtral-8x22B": (
        config("MixtralForCausalLM", 6144, 16384, 56, 48, 8, 32000, num_local_experts=8, num_experts_per_tok=2),
        140_620_634_112,
    ),
    "Qwen2.5-0.5B": (config(QWEN2, 896, 4864, 24, 14, 2, 151936, tie_word_embeddings=True), 494_032_768),
    "Qwen2.5-1.5B": (config(QWEN2, 1536, 8960, 28, 12, 2, 151936, tie_word_embeddings=True), 1_543_714_304),
    "Qwen2.5-3B": (config(QWEN2, 2048, 11008, 36, 16, 2, 151936, tie_word_embeddings=True), 3_085_938_688),
    "Qwen2.5-7B": (config(QWEN2, 3584, 18944, 28, 28, 4, 152064), 7_615_616_512),
    "Qwen2.5-14B": (config(QWEN2, 5120, 13824, 48, 40, 8, 152064), 14_770_033_664),
    "Qwen2.5-32B": (config(QWEN2, 5120, 27648, 64, 40, 8, 152064), 32_763_876_352),
    "Qwen2.5-72B": (config(QWEN2, 8192, 29568, 80, 64, 8, 152064), 72_706_203_648),
    "Qwen3-4B": (config(QWEN3, 2560, 9728, 36, 32, 8, 151936, head_dim=128, tie_word_embeddings=True), 4_022_468_096),
    "Qwen3-8B": (config(QWEN3, 4096, 12288, 36, 32, 8, 151936, head_dim=128), 8_190_735_360),
    "Qwen3-14B": (config(QWEN3, 5120, 17408, 40, 40, 8, 151936, head_dim=128), 14_768_307_200),
    "Qwen3-32B": (config(QWEN3, 5120, 25600, 64, 64, 8, 151936, head_dim=128), 32_762_123_264),
    "Qwen3-30B-A3B": (
        config("Qwen3MoeForCausalLM", 2048, 6144, 48, 32, 4, 151936, head_dim=128, **experts(128, 768)),
        30_532_122_624,
    ),
    "Qwen3-235B-A22B": (
        config("Qwen3MoeForCausalLM", 4096, 12288, 94, 64, 4, 151936, head_dim=128, **experts(128, 1536)),
        235_093_634_560,
    ),
    "Qwen1.5-MoE-A2.7B": (
        config(
            *("Qwen2MoeForCausalLM", 2048, 5632, 24, 16, 16, 151936),
            **experts(60, 1408, shared_expert_intermediate_size=5632, decoder_sparse_step=1),
        ),
        14_315_784_192,
    ),
    "Gemma-2B": (config("GemmaForCausalLM", 2048, 16384, 18, 8, 1, 256000, head_dim=256), 2_506_172_416),
    "Gemma-2-2B": (config(GEMMA2, 2304, 9216, 26, 8, 4, 256000, head_dim=256), 2_614_341_888),
    "Gemma-2-9B": (config(GEMMA2, 3584, 14336, 42, 16, 8, 256000, head_dim=256), 9_241_705_984),
    "Gemma-2-27B": (config(GEMMA2, 4608, 36864, 46, 32, 16, 256000, head_dim=128), 27_227_128_320),
    "Gemma-3-1B": (config(GEMMA3, 1152, 6912, 26, 4, 1, 262144, head_dim=256), 999_885_952),
    "Phi-3-mini": (config(PHI3, 3072, 8192, 32, 32, 32, 32064), 3_821_079_552),
    "Phi-3-medium": (config(PHI3, 5120, 17920, 40, 40, 10, 32064), 13_960_238_080),
    "Phi-4": (config(PHI3, 5120, 17920, 40, 40, 10, 100352), 14_659_507_200),
    "DeepSeek-V2-Lite": (
        config(
            *("DeepseekV2ForCausalLM", 2048, 10944, 27, 16, 16, 102400),
            **{
                "n_routed_experts": 64,
                "moe_intermediate_size": 1408,
                "n_shared_experts": 2,
                "first_k_dense_replace": 1,
            },
            **{"q_lora_rank": None, "num_experts_per_tok": 6, "moe_layer_freq": 1, **LATENT},
        ),
        15_706_484_224,
    ),
    "DeepSeek-V3": (
        config(
            *("DeepseekV3ForCausalLM", 7168, 18432, 61, 128, 128, 129280),
            **{
                "n_routed_experts": 256,
                "moe_intermediate_size": 2048,
                "n_shared_experts": 1,
                "first_k_dense_replace": 3,
            },
            **{"q_lora_rank": 1536, "num_experts_per_tok": 8, "moe_layer_freq": 1, **LATENT},
        ),
        671_026_419_200,
    ),
    "bert-base": (config("BertModel", 768, 3072, 12, 12, 12, 30522, max_position_embeddings=512), 108_891_648),
    "multilingual-e5-large": (
        config(
            *("XLMRobertaModel", 1024, 4096, 24, 16, 16, 250002),
            **{"max_position_embeddings": 514, "type_vocab_size": 1},
        ),
        558_840_832,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_published(name: str) -> None:
    config_json, published = PUBLISHED[name]
    found = ModelShape.from_config(config_json)
    assert found.known
    assert found.parameters() == pytest.approx(published, rel=1e-4)


HUB = {
    "Qwen/Qwen2.5-7B-Instruct": "Qwen2.5-7B",
    "meta-llama/Llama-3.3-70B-Instruct": "Llama-3.1-70B",
    "mistralai/Mixtral-8x7B-Instruct-v0.1": "Mixtral-8x7B",
    "mistralai/Mistral-7B-Instruct-v0.3": "Mistral-7B-v0.3",
    "google/gemma-2-2b-it": "Gemma-2-2B",
    "google/gemma-2-9b-it": "Gemma-2-9B",
    "google/gemma-3-1b-it": "Gemma-3-1B",
    "microsoft/phi-4": "Phi-4",
    "BAAI/bge-base-en-v1.5": "bert-base",
}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_shipped_catalogue_has_those_sizes(name: str) -> None:
    short = name.split("/")[1]
    known = HUB.get(name) or next((known for known in PUBLISHED if short.startswith(known)), None)
    found = ModelShape.from_config(CONFIGS[name])
    assert found.known
    if known is not None:
        assert found.parameters() == pytest.approx(PUBLISHED[known][1], rel=1e-4)


def test_a_checkpoint_in_float32_is_served_in_half_of_it() -> None:
    half, single = (ModelShape.from_config({**PUBLISHED["Yi-6B"][0], "torch_dtype": t}) for t in ("float16", "float32"))
    assert half.weights_bytes() == single.weights_bytes()
    assert ModelShape.from_config(PUBLISHED["Yi-6B"][0], dtype="float32").weights_bytes() == pytest.approx(
        2 * half.weights_bytes(), rel=1e-3
    )


@pytest.mark.parametrize(
    ("section", "bits"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, 4.25),
        ({"quant_method": "gptq", "bits": 4, "group_size": 32}, 4.5),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, 8 + 16 / 4096),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, 4.125),
        # Zero points are kept where they are not all alike.
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": False}, 4.25),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, 4.5),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, 8.0),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, 8.0),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, 8.0),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, 4.5),
        ({"quant_method": "mxfp4"}, 4.25),
    ],
)
def test_bits_of_a_quantized_weight(section: dict[str, Any], bits: float) -> None:
    found = ModelShape.from_config({**PUBLISHED["Llama-3.1-8B"][0], "quantization_config": section})
    assert found.weight_bits == pytest.approx(bits)
    assert found.known_quantization


def test_the_order_of_rows_is_kept_beside_weights_that_were_reordered() -> None:
    plain, ordered = (
        ModelShape.from_config(
            {**PUBLISHED["Llama-3.1-8B"][0], "quantization_config": {"quant_method": "gptq", "bits": 4, "desc_act": it}}
        )
        for it in (False, True)
    )
    rows = 32 * (4096 * 4 + 2 * 4096 + 14336)
    # Queries, keys, values and the output take 4096 rows each, gate and up too, down 14336; two whole numbers of four bytes a row.
    assert ordered.linear_bytes - plain.linear_bytes == 8 * rows


@pytest.mark.parametrize("section", [{"quant_method": "something_new"}, {"bits_per_weight": 3}])
def test_a_quantization_that_is_not_known_is_refused_with_a_way_out(section: dict[str, Any]) -> None:
    config_json = {**PUBLISHED["Llama-3.1-8B"][0], "quantization_config": section}
    with pytest.raises(FleetError, match=r"can't be told apart layer by layer.*weights_bytes"):
        ModelShape.from_config(config_json)
    assert ModelShape.from_config(config_json, weights_bytes=5 * GIB).weights_bytes() == 5 * GIB


@pytest.mark.parametrize(
    ("weights", "bits"),
    [
        ([{"num_bits": 4, "type": "int", "group_size": 128, "symmetric": True}], 4.125),
        ([{"num_bits": 4, "type": "int", "group_size": 128, "symmetric": False}], 4 + 20 / 128),
        ([{"num_bits": 8, "type": "int", "strategy": "channel"}], 8),
        ([{"num_bits": 8, "type": "float", "strategy": "tensor"}], 8),
        ([{"num_bits": 4, "type": "float", "group_size": 16}], 4.5),
        ([{"num_bits": 4, "type": "int", "group_size": 128}, {"num_bits": 8, "type": "float"}], 8),
        ([], 16),
    ],
)
def test_bits_of_compressed_tensors(weights: list[dict[str, Any]], bits: float) -> None:
    groups = {f"group_{index}": {"weights": item} for index, item in enumerate(weights)}
    section = {"quant_method": "compressed-tensors", "config_groups": groups}
    found = ModelShape.from_config({**PUBLISHED["Llama-3.1-8B"][0], "quantization_config": section})
    assert found.weight_bits == pytest.approx(bits)
    assert not found.fp8_cache
    scheme = {"num_bits": 8, "type": "float"}
    with_cache = {**PUBLISHED["Llama-3.1-8B"][0], "quantization_config": {**section, "kv_cache_scheme": scheme}}
    assert ModelShape.from_config(with_cache).fp8_cache


def test_what_the_user_says_of_weights_counts() -> None:
    assert ModelShape.from_config(PUBLISHED["Yi-6B"][0], weights_bytes=7 * GIB).weights_bytes() == 7 * GIB


def test_the_checkpoints_size_is_believed_where_the_count_is_not() -> None:
    config_json, published = PUBLISHED["Yi-6B"]
    counted = ModelShape.from_config(config_json)
    near = ModelShape.from_config(config_json, checkpoint_bytes=2 * published)
    assert near.count_is_right
    assert near.weights_bytes() == counted.weights_bytes()
    far = ModelShape.from_config(config_json, checkpoint_bytes=3 * published)
    assert not far.count_is_right
    assert far.weights_bytes() == pytest.approx(3 * published, rel=0.001)
    single = ModelShape.from_config({**config_json, "torch_dtype": "float32"}, checkpoint_bytes=4 * published)
    assert single.weights_bytes() == counted.weights_bytes()
    online = ModelShape.from_config(config_json, quantization="fp8", checkpoint_bytes=2 * published)
    assert online.weights_bytes() < 0.6 * counted.weights_bytes()


def test_a_multimodal_model_is_read_through_its_text_config() -> None:
    # gemma-3-4b-it as published: heads and vocabulary are left to the library's defaults.
    text = {"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34}
    vision = {
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_hidden_layers": 27,
        "image_size": 896,
        "patch_size": 14,
    }
    config_json = {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "model_type": "gemma3",
        "text_config": {**text, "sliding_window": 1024},
        "vision_config": vision,
        "torch_dtype": "bfloat16",
    }
    found = ModelShape.from_config(config_json)
    assert found.architecture == "Gemma3ForCausalLM"
    assert found.known
    assert found.parameters() == pytest.approx(4_300_079_472, rel=1e-5)
    assert sum(count for one, count in found.keeps if one.kind is Kind.SLIDING) == 34 - 34 // 6
    with pytest.raises(FleetError, match="the encoder of somebody can't be counted"):
        ModelShape.from_config({**config_json, "model_type": "somebody"})


def test_an_unknown_architecture_is_refused_and_not_counted_like_a_llama() -> None:
    config_json, published = PUBLISHED["Llama-3.1-8B"]
    config_json = {**config_json, "architectures": ["NobodyForCausalLM"]}
    with pytest.raises(FleetError, match=r"config\.architectures: the tensors of NobodyForCausalLM can't be counted"):
        ModelShape.from_config(config_json)
    assert not ModelShape.from_config(config_json, weights_bytes=16 * GIB).known
    assert ModelShape.from_config(config_json, checkpoint_bytes=2 * published).weights_bytes() == pytest.approx(
        2 * published, rel=0.005
    )


@pytest.mark.parametrize("key", ["num_hyper_experts", "moe_secret_size", "n_super_experts"])
def test_a_size_of_experts_under_an_unread_key_is_never_planned_as_dense(key: str) -> None:
    config_json = {**PUBLISHED["Llama-3.1-8B"][0], key: 16}
    with pytest.raises(FleetError, match=f"config.{key}: nothing is known of it"):
        ModelShape.from_config(config_json)
    assert ModelShape.from_config({**config_json, key: True}).experts is None
    assert ModelShape.from_config(config_json, weights_bytes=40 * GIB).weights_bytes() == 40 * GIB


def test_an_encoder_has_no_cache_and_a_decoder_without_head_has() -> None:
    assert not ModelShape.from_config(PUBLISHED["bert-base"][0]).has_kv_cache
    whole, headless = (
        ModelShape.from_config({**PUBLISHED["Mistral-7B-v0.1"][0], "architectures": [name]})
        for name in (MISTRAL, "MistralModel")
    )
    assert headless.has_kv_cache
    assert whole.parameters() - headless.parameters() == 32000 * 4096


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=True),
    st.text(max_size=8),
    st.lists(st.one_of(st.integers(-3, 3), st.text(max_size=4)), max_size=3),
    st.dictionaries(st.text(max_size=6), st.integers(-3, 3), max_size=2),
)
EVERY_KEY = sorted(
    {key for sizes, _count in PUBLISHED.values() for key in sizes}
    | {
        "text_config",
        "vision_config",
        "quantization_config",
        "sliding_window",
        "layer_types",
        "mlp_only_layers",
        "dtype",
    }
    | {"sliding_window_pattern", "use_sliding_window", "num_nextn_predict_layers", "attention_bias", "rope_scaling"}
)


@pytest.mark.long
@settings(max_examples=200, deadline=None)
@given(base=st.sampled_from(sorted(PUBLISHED)), changes=st.dictionaries(st.sampled_from(EVERY_KEY), JUNK, max_size=4))
def test_a_hostile_config_is_refused_by_field_or_read(base: str, changes: dict[str, Any]) -> None:
    try:
        found = ModelShape.from_config({**PUBLISHED[base][0], **changes})
    except FleetError as error:
        assert error.where.startswith("config")
        assert error.remedy
    else:
        assert found.weights_bytes() > 0
        assert found.kv_pool(2).block_bytes > 0


@pytest.mark.long
@settings(max_examples=100, deadline=None)
@given(junk=JUNK, inner=st.dictionaries(st.sampled_from(["bits", "group_size", "quant_method", "config_groups"]), JUNK))
def test_a_hostile_quantization_is_refused_or_read_by_its_bits(junk: Any, inner: dict[str, Any]) -> None:
    for section in (junk, {"quant_method": "gptq", **inner}, {"quant_method": "compressed-tensors", **inner}):
        try:
            found = ModelShape.from_config({**PUBLISHED["Yi-6B"][0], "quantization_config": section})
        except FleetError as error:
            assert error.where == "config.quantization_config"
        else:
            assert found.weight_bits > 0
            assert found.weights_bytes() > 0


def test_weights_that_are_too_few_to_be_the_model_are_named_by_their_key() -> None:
    with pytest.raises(FleetError, match="bytes are too few, its tensors take") as caught:
        ModelShape.from_config(PUBLISHED["Yi-6B"][0], weights_bytes=GIB, where="vllm_stack_models[1].config")
    assert caught.value.where == "vllm_stack_models[1].weights_bytes"
