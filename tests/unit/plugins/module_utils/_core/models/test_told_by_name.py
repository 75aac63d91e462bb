# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told by a name: of a key, a class, a tensor, a kind of quantization, a published section."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import (
    architectures,
    encoders,
    experts,
    gone,
    lengths,
    projectors,
    quantization,
    sections,
    tasks,
    towers,
    weights,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.config import Config
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.counted import kind_of
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.info import ModelInfo
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.kv_pool import Kind
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.tensors import TensorGroup

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "vocab_size": 100,
    "num_attention_heads": 4,
    "head_dim": 32,
    "num_hidden_layers": 2,
    "intermediate_size": 96,
    "max_position_embeddings": 512,
    "torch_dtype": "bfloat16",
}


def config(**values: Any) -> Config:
    """A config.json with only a language part."""
    every = {**LLAMA, **values}
    return Config(every, every)


@pytest.mark.parametrize(
    "key",
    [
        *("moe_router_activation_func", "moe_router_topk_scaling_factor", "num_expert_group", "n_expert_groups"),
        *("num_expert_groups", "moe_multimodal_dispatch"),
    ],
)
def test_what_speaks_of_routing_is_no_size_of_experts(key: str) -> None:
    experts.check_all_read(config(**{key: 8}))
    with pytest.raises(FleetError, match=f"{key}_of_tomorrow: nothing is known of it"):
        experts.check_all_read(config(**{f"{key}_of_tomorrow": 8}))


def test_rotary_scaling_of_each_kind_of_layer_is_that_of_the_first() -> None:
    yarn, plain = {"rope_type": "yarn", "factor": 2.0}, {"rope_type": "default"}
    assert lengths._ropes(config(rope_parameters={"junk": 5, "full_attention": yarn, "other": plain})) == (yarn,)
    assert lengths._ropes(config(rope_scaling=yarn)) == (yarn,) and lengths._ropes(config()) == ()


def test_no_length_is_beyond_what_the_engine_s_number_holds() -> None:
    assert ModelShape.from_config({**LLAMA, "model_max_length": 2**35}).length.most == 2**31 - 1


def test_windows_keep_every_token_where_the_cache_is_of_one_kind() -> None:
    def pool(kind: str, one_kind: bool) -> Any:
        layers_of = {"layer_types": [kind, "full_attention"], "sliding_window": 64}
        return ModelShape.from_config({**LLAMA, **layers_of}).kv_pool(2.0, one_kind=one_kind)

    assert pool("sliding_attention", True) == pool("full_attention", False) != pool("sliding_attention", False)


@pytest.mark.parametrize(
    ("method", "bits"),
    [
        *((name, 8.0) for name in ("fp8", "fbgemm_fp8", "experts_int8", "modelopt", "compressed-tensors")),
        *((name, 4.25) for name in ("awq", "awq_marlin", "gptq", "gptq_marlin", "mxfp4")),
        *((name, 4.125) for name in ("auto-round", "inc")),
        *(("bitsandbytes", 4.5), ("modelopt_fp4", 4.5), ("modelopt_mixed", 8.0)),
    ],
)
def test_bits_of_a_kind_of_quantization_with_what_its_groups_take(method: str, bits: float) -> None:
    assert quantization._BITS[method] == bits


@pytest.mark.parametrize("algorithm", ["FP8", "FP8_PER_CHANNEL_PER_TOKEN", "FP8_PB_WO"])
def test_algorithms_of_eight_bits(algorithm: str) -> None:
    section = {"quant_method": "modelopt", "quant_algo": algorithm}
    assert ModelShape.from_config({**LLAMA, "quantization_config": section}).weight_bits == 8.0


@pytest.mark.parametrize(
    ("name", "task"),
    [
        *((f"{family}ForConditionalGeneration", "transcribe") for family in ("Whisper", "CohereAsr", "Qwen3ASR")),
        *((name, "generate") for name in ("XverseChatModel", "ChatGLMModel", "GPT2LMHeadModel")),
        *((name, "embed") for name in ("BertModel", "BertForMaskedLM", "XEncoderModel", "XForTextEncoding")),
        *((name, "score") for name in ("XForSequenceClassification", "XForRewardModel", "JinaVLForRanking")),
        *((name, "classify") for name in ("XForTokenClassification",)),
        *((name, "embed") for name in ("XForImageClassification", "TextEncoderModel")),
    ],
)
def test_what_a_class_is_for(name: str, task: str) -> None:
    assert tasks.told({"architectures": [name]}, ModelInfo({})) == task
    assert tasks.is_pooling_class({"architectures": [name]}) is (task in ("embed", "score", "classify"))


@pytest.mark.parametrize(
    ("config_says", "task"),
    [
        ({"num_labels": 1}, "score"),
        ({"num_labels": 2}, "classify"),
        ({"num_labels": "2"}, "score"),
        ({"id2label": {"0": "a"}, "num_labels": 3}, "score"),
        ({"id2label": {"0": "a", "1": "b"}}, "classify"),
    ],
)
def test_one_label_is_a_score_and_more_are_classes(config_says: dict[str, Any], task: str) -> None:
    assert tasks.told({"architectures": ["XForSequenceClassification"], **config_says}, ModelInfo({})) == task


LOADING = weights.Loading(dtype_bytes=2, tied=False, layers=2)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "model.embed_tokens.weight",
            "lm_head.weight",
            "transformer.wte.weight",
            "transformer.word_embeddings.weight",
        ),
        *("model.tok_embeddings.weight", "backbone.embeddings.weight"),
    ],
)
def test_ends_of_a_vocabulary_are_padded(name: str) -> None:
    assert weights.loaded_bytes([TensorGroup(name, "BF16", (100, 64), 1, ())], LOADING) == 128 * 64 * 2
    inner = TensorGroup("model.layers.0.up_proj.weight", "BF16", (100, 64), 1, ())
    assert weights.loaded_bytes([inner], LOADING) == 100 * 64 * 2


@pytest.mark.parametrize(
    "word",
    [
        *("embed", "lm_head", "norm", "mlp.gate.weight", "router", "visual", "vision", "audio", "conv", "wte", "wpe"),
        *("position", "ln_1", "layernorm", "score", "classifier", "bias", "A_log"),
    ],
)
def test_what_is_never_quantized_while_it_loads(word: str) -> None:
    online = replace(LOADING, online_bits=8.0)
    kept = TensorGroup(f"model.{word}", "BF16", (128, 64), 1, ())
    assert weights.loaded_bytes([kept], online) == 128 * 64 * 2
    inner = TensorGroup("model.layers.0.up_proj.weight", "BF16", (128, 64), 1, ())
    assert weights.loaded_bytes([inner], online) == 128 * 64


@pytest.mark.parametrize(
    ("model_type", "hidden", "inner"),
    [
        ("clip_vision_model", 768, 3072),
        ("siglip_vision_model", 768, 3072),
        ("pixtral", 1024, 4096),
        ("idefics3_vision", 1152, 3072),
        ("siglip2_vision_model", 768, 3072),
    ],
)
def test_what_a_published_vision_section_leaves_out_is_the_library_s(model_type: str, hidden: int, inner: int) -> None:
    section = {"patch_size": 4, "model_type": model_type}
    found = encoders.read(Config(LLAMA, {"model_type": "llava", "vision_config": section, "text_config": LLAMA}))
    assert (found.hidden_size, found.intermediate_size) == (hidden, inner)


@pytest.mark.parametrize(
    ("name", "version", "kind"),
    [
        *(("MiniCPMO", None, "Qwen2ForCausalLM"), ("MiniCPMO", 2.6, "Qwen2ForCausalLM")),
        *(("MiniCPMO", 4.5, "Qwen3ForCausalLM"), ("MiniCPMV", 4.5, "Qwen3ForCausalLM")),
        *(("MiniCPMV", 2.0, "MiniCPMForCausalLM"), ("MiniCPMV", 2.6, "Qwen2ForCausalLM")),
        *(
            (name, None, "Phi3ForCausalLM")
            for name in ("Phi4MMForCausalLM", "Phi4MultimodalForCausalLM", "Phi3VForCausalLM")
        ),
        *(("KimiK2ForCausalLM", None, "DeepseekV3ForCausalLM"), ("JinaVLForRanking", None, "Qwen2ForCausalLM")),
        *((f"Qwen2{one}VLForConditionalGeneration", None, "Qwen2ForCausalLM") for one in ("", "_5_")),
        *(
            ("PaddleOCRVLForConditionalGeneration", None, "Ernie4_5ForCausalLM"),
            ("DotsOCRForCausalLM", None, "Qwen2ForCausalLM"),
        ),
        ("Ernie4_5_VLMoeForConditionalGeneration", None, "Ernie4_5_MoeForCausalLM"),
    ],
)
def test_a_language_part_at_the_top_of_the_file(name: str, version: float | None, kind: str) -> None:
    found = {"architectures": [name], **({"version": version} if version else {})}
    assert kind_of(Config(found, found))[0] == kind


@pytest.mark.parametrize(
    ("model_type", "kind"),
    [
        *(
            ("kimi_k2", "DeepseekV3ForCausalLM"),
            ("internlm2", "InternLM2ForCausalLM"),
            ("minicpm", "MiniCPMForCausalLM"),
        ),
        *(
            ("gemma3_text", "Gemma3ForCausalLM"),
            ("gpt_oss", "GptOssForCausalLM"),
            ("qwen2_5_vl_text", "Qwen2ForCausalLM"),
        ),
        *(("llama", "LlamaForCausalLM"), ("LLaMA-text", "LlamaForCausalLM"), ("of_tomorrow", "")),
    ],
)
def test_a_section_is_of_the_class_that_is_called_like_it(model_type: str, kind: str) -> None:
    assert sections.language(model_type).replace("LLaMA", "Llama") == kind


# What classes and types are called (tests/support/class_names.py).
NAMES = json.loads((Path(__file__).parents[5] / "data" / "class_names.json").read_text())
# Served by vLLM through transformers' classes, or under another name of the same class in the repository's own code.
OTHER_CLASSES = {
    *(f"Camembert{end}" for end in ("Model", "ForSequenceClassification", "ForTokenClassification", "ForMaskedLM")),
    *(f"Ernie{end}" for end in ("Model", "ForSequenceClassification", "ForTokenClassification", "ForMaskedLM")),
    *("NewModel", "NewForSequenceClassification", "XLMRobertaForMaskedLM", "KimiK2ForCausalLM"),
    # The language part of one that sees has no class in a registry.
    "AriaForCausalLM",
}
# Of repositories that bring their own code, as their config.json has them.
OTHER_TYPES = {
    *("internvl_chat", "interns1", "minicpmv", "minicpmo", "nemotronh_nano_vl_v2"),
    *("llama_nemotron_nano_vl", "ernie4_5_moe_vl", "phi4mm", "phi3_v", "dots_ocr", "ovis2_5", "molmo2_text"),
    # vLLM's own classes of them.
    *("minimax_m3_text", "moondream3_text"),
    "llava_onevision2",
}
# Families that are told by the class that is named.
BUILT_LIKE = set(encoders.BUILT_LIKE.values())


def test_classes_bear_the_names_that_engines_know() -> None:
    known = set(NAMES["classes"])
    assert {*architectures.ARCHITECTURES, *sections.FLAT} - known == OTHER_CLASSES
    assert set(sections.LANGUAGE.values()) <= set(architectures.ARCHITECTURES)


# Counted from its tensors alone: sizes of its own for each layer.
NOT_COUNTED = {"NemotronHPuzzleForCausalLM"}


def test_names_that_one_class_serves_are_of_one_architecture() -> None:
    groups: dict[str, list[str]] = {}
    for name, served in NAMES["served_by"].items():
        groups.setdefault(served, []).append(name)
    for served, names in groups.items():
        if served.startswith("transformers.") or not any(name in architectures.ARCHITECTURES for name in names):
            continue
        found = {name: architectures.find(name) for name in names if name not in NOT_COUNTED}
        # How windows are laid out is said by the file's type, and a pooling model has no output layer.
        alike = {replace(one, sliding_pattern=0, window=None, head=True) for one in found.values() if one}
        assert all(found.values()) and len(alike) == 1, (served, found)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        # By the class that vLLM derives each from, or whose layers it builds (models/telechat2.py, mistral_large_3.py, colbert.py, ...).
        *((name, "LlamaForCausalLM") for name in ("TeleChat2ForCausalLM", "TeleFLMForCausalLM", "SolarForCausalLM")),
        *((name, "LlamaForCausalLM") for name in ("PanguEmbeddedForCausalLM", "NanbeigeForCausalLM")),
        *((name, "LlamaForCausalLM") for name in ("HyperCLOVAXForCausalLM", "DeciLMForCausalLM")),
        ("MistralLarge3ForCausalLM", "DeepseekV3ForCausalLM"),
        ("OrionForCausalLM", "StableLmForCausalLM"),
        ("ErnieModel", "BertModel"),
        *((f"{name}Model", f"{name}ForSequenceClassification") for name in ("Bert", "Roberta", "XLMRoberta", "Ernie")),
        *((f"{name}ForMaskedLM", f"{name}Model") for name in ("Bert", "Roberta", "XLMRoberta", "Camembert", "Ernie")),
        ("CamembertModel", "CamembertForTokenClassification"),
        *((name, "BertModel") for name in ("BertSpladeSparseEmbeddingModel", "BgeM3EmbeddingModel", "HF_ColBERT")),
        ("ColBERTModernBertModel", "ModernBertModel"),
        ("ModernBertForTokenClassification", "ModernBertModel"),
        *((name, "NewModel") for name in ("GteNewModel", "GteNewForSequenceClassification", "GteModel")),
        ("NewForSequenceClassification", "NewModel"),
    ],
)
def test_a_class_is_made_of_the_layers_of_another(name: str, other: str) -> None:
    assert architectures.ARCHITECTURES[name] == architectures.ARCHITECTURES[other]


def test_types_are_called_as_configurations_have_them() -> None:
    known = set(NAMES["model_types"])
    tables = [sections.LANGUAGE, projectors.PROJECTORS, encoders.COUNTED, towers.AUDIO]
    assert {name for table in tables for name in table} - known - BUILT_LIKE == OTHER_TYPES - BUILT_LIKE
    assert set(encoders.BUILT_LIKE) <= set(NAMES["classes"])
    assert BUILT_LIKE <= encoders.COUNTED


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in sorted({*gone.LAST_SERVED, *gone.PLUGIN})
        if architectures.find(sections.FLAT.get(name, name)) is None
    ],
)
def test_what_no_engine_serves_is_told_by_its_class(name: str) -> None:
    with pytest.raises(FleetError, match=rf"vLLM (has had no class for {name} since|serves {name} by a plugin alone)"):
        ModelShape.from_config({**LLAMA, "architectures": [name], "model_type": "none"})


def test_a_class_that_a_version_no_longer_has_is_said() -> None:
    assert gone.note("BambaForCausalLM", (0, 26, 0)) == [
        "vLLM has had no class for BambaForCausalLM since 0.23.0: it starts only where transformers' class can take its place"
    ]
    assert gone.note("BambaForCausalLM", (0, 23, 0)) == []
    assert gone.note("LlamaForCausalLM", (0, 33, 0)) == []


@pytest.mark.parametrize(
    "name",
    ["HF_ColBERT", "ColBERTModernBertModel", "ColPaliForRetrieval", "ColQwen3", "OpsColQwen3Model", "JinaForRanking"],
)
def test_what_compares_word_by_word_scores(name: str) -> None:
    config = {"architectures": [name]}
    assert tasks.told(config, ModelInfo(config)) == "score"
    assert tasks.is_pooling_class(config)


def test_a_model_that_goes_through_its_layers_again_keeps_each_time() -> None:
    once = ModelShape.from_config({**LLAMA, "architectures": ["OuroForCausalLM"], "model_type": "ouro"})
    often = ModelShape.from_config(
        {**LLAMA, "architectures": ["OuroForCausalLM"], "model_type": "ouro", "total_ut_steps": 4}
    )
    assert often.weights_bytes() == once.weights_bytes()
    assert often.kv_pool(2).tokens(2**30, 1024, 1024) == pytest.approx(
        once.kv_pool(2).tokens(2**30, 1024, 1024) / 4, rel=0.01
    )


def test_chunks_of_no_size_of_their_own_are_planned_to_keep_all() -> None:
    config = {**LLAMA, "architectures": ["Rnj1ForCausalLM"], "model_type": "rnj1", "sliding_window": 4096}
    found = ModelShape.from_config({**config, "layer_types": ["chunked_attention", "full_attention"]})
    assert [(kept.kind, count) for kept, count in found.keeps] == [(Kind.FULL, 2)]
