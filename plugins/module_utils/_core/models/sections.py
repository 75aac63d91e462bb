# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Language parts of multimodal models: which class a section is of, and what published files of it leave to the library's defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.architectures import ARCHITECTURES

# A multimodal model's language part, by the model_type of its section.
LANGUAGE: Mapping[str, str] = {
    "gemma3_text": "Gemma3ForCausalLM",
    "gemma4_text": "Gemma4ForCausalLM",
    "gemma3n_text": "Gemma3nForCausalLM",
    "gemma": "GemmaForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "llama": "LlamaForCausalLM",
    "llama4_text": "Llama4ForCausalLM",
    "mistral": "MistralForCausalLM",
    "ministral3": "Ministral3ForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen2_vl_text": "Qwen2ForCausalLM",
    "qwen2_5_vl_text": "Qwen2ForCausalLM",
    "qwen2_5_omni_text": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen3_omni_moe_text": "Qwen3MoeForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "qwen3_vl_text": "Qwen3ForCausalLM",
    "qwen3_vl_moe_text": "Qwen3MoeForCausalLM",
    "qwen3_next": "Qwen3NextForCausalLM",
    "qwen3_5_text": "Qwen3_5ForCausalLM",
    "qwen3_5_moe_text": "Qwen3_5MoeForCausalLM",
    "cohere": "CohereForCausalLM",
    "cohere2": "Cohere2ForCausalLM",
    "granite": "GraniteForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "internlm2": "InternLM2ForCausalLM",
    "glm4": "Glm4ForCausalLM",
    "glm4v_text": "Glm4ForCausalLM",
    "glm_ocr_text": "Glm4ForCausalLM",
    "glm4_moe": "Glm4MoeForCausalLM",
    "glm4v_moe_text": "Glm4MoeForCausalLM",
    "deepseek_v2": "DeepseekV2ForCausalLM",
    "deepseek_v3": "DeepseekV3ForCausalLM",
    "kimi_k2": "DeepseekV3ForCausalLM",
    "lfm2": "Lfm2ForCausalLM",
    "gpt_oss": "GptOssForCausalLM",
    "smollm3": "SmolLM3ForCausalLM",
    "ernie4_5": "Ernie4_5ForCausalLM",
    "paddleocr_vl_text": "Ernie4_5ForCausalLM",
    "ernie4_5_vl_moe_text": "Ernie4_5_MoeForCausalLM",
    "minicpm": "MiniCPMForCausalLM",
    "exaone4": "Exaone4ForCausalLM",
    "hunyuan_v1_dense": "HunYuanDenseV1ForCausalLM",
    "nemotron_h": "NemotronHForCausalLM",
    "starcoder2": "Starcoder2ForCausalLM",
}


def _squashed(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")


_BY_NAME = {_squashed(name.removesuffix("ForCausalLM")): name for name in ARCHITECTURES if name.endswith("ForCausalLM")}


def language(model_type: str) -> str:
    """Return the class of a section by its model_type: as it is listed, or called like it; empty where there is none."""
    squashed = _squashed(model_type)
    return LANGUAGE.get(model_type) or _BY_NAME.get(squashed) or _BY_NAME.get(squashed.removesuffix("text")) or ""


# Multimodal models whose language part stands at the top of the file.
FLAT: Mapping[str, str] = {
    "Qwen2VLForConditionalGeneration": "Qwen2ForCausalLM",
    "Qwen2_5_VLForConditionalGeneration": "Qwen2ForCausalLM",
    "JinaVLForRanking": "Qwen2ForCausalLM",
    "MiniCPMV": "LlamaForCausalLM",
    "MiniCPMO": "Qwen2ForCausalLM",
    "PaddleOCRVLForConditionalGeneration": "Ernie4_5ForCausalLM",
    "Ernie4_5_VLMoeForConditionalGeneration": "Ernie4_5_MoeForCausalLM",
    "DotsOCRForCausalLM": "Qwen2ForCausalLM",
    "Phi4MMForCausalLM": "Phi3ForCausalLM",
    "Phi4MultimodalForCausalLM": "Phi3ForCausalLM",
    "Phi3VForCausalLM": "Phi3ForCausalLM",
    "KimiK2ForCausalLM": "DeepseekV3ForCausalLM",
}
# The same class over another language part, by its version. Source: vLLM, models/minicpmv.py.
VERSIONS: Mapping[str, Mapping[str, str]] = {
    "MiniCPMO": {"4.5": "Qwen3ForCausalLM"},
    "MiniCPMV": {"2.0": "MiniCPMForCausalLM", "2.6": "Qwen2ForCausalLM", "4.5": "Qwen3ForCausalLM"},
}
# What published files of a section leave to the library's defaults, by its model_type.
_MISTRAL_DEFAULTS = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "gemma3_text": {
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "vocab_size": 262208,
        "max_position_embeddings": 131072,
    },
    "gemma": {"head_dim": 256, "vocab_size": 257152, "max_position_embeddings": 8192},
    "gemma2": {"head_dim": 256, "vocab_size": 257216, "max_position_embeddings": 8192},
    "llama": {
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "vocab_size": 32000,
        "max_position_embeddings": 2048,
    },
    "mistral": {**_MISTRAL_DEFAULTS, "num_key_value_heads": 8, "vocab_size": 32000, "max_position_embeddings": 131072},
    "qwen2": {
        "hidden_size": 4096,
        "intermediate_size": 22016,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "vocab_size": 151936,
        "max_position_embeddings": 32768,
    },
}
