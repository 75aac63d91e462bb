# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Language parts of multimodal models: which class a section is of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.architectures import ARCHITECTURES

# A multimodal model's language part, by the model_type of its section, where the class is called otherwise.
LANGUAGE: Mapping[str, str] = {
    "llama": "LlamaForCausalLM",
    "qwen2_vl_text": "Qwen2ForCausalLM",
    "qwen2_5_vl_text": "Qwen2ForCausalLM",
    "qwen2_5_omni_text": "Qwen2ForCausalLM",
    "qwen3_omni_moe_text": "Qwen3MoeForCausalLM",
    "qwen3_vl_text": "Qwen3ForCausalLM",
    "qwen3_vl_moe_text": "Qwen3MoeForCausalLM",
    "glm4v_text": "Glm4ForCausalLM",
    "glm_ocr_text": "Glm4ForCausalLM",
    "glm4v_moe_text": "Glm4MoeForCausalLM",
    "kimi_k2": "DeepseekV3ForCausalLM",
    "paddleocr_vl_text": "Ernie4_5ForCausalLM",
    "ernie4_5_vl_moe_text": "Ernie4_5_MoeForCausalLM",
    **dict.fromkeys(("hunyuan_v1_dense", "hunyuan_vl_text"), "HunYuanDenseV1ForCausalLM"),
    "aria_text": "AriaForCausalLM",
    "molmo2_text": "LlamaForCausalLM",
    **{"modernbert": "ModernBertModel", "clip_text_model": "CLIPModel", "siglip_text_model": "SiglipModel"},
    "gemma4_unified_text": "Gemma4ForCausalLM",
    "voxtral_realtime_text": "MistralForCausalLM",
    "granite4_vision_text": "GraniteForCausalLM",
    "moondream3_text": "Moondream3ForCausalLM",
    "cosmos3_edge_text": "ArceeForCausalLM",
    **dict.fromkeys(("minimax_m3_text", "minimax_m3_vl_text"), "MiniMaxM3SparseForCausalLM"),
    **dict.fromkeys(("step3p5", "step3p7"), "Step3p5ForCausalLM"),
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
    "Phi4ForCausalLMV": "Phi3ForCausalLM",
    "KimiK2ForCausalLM": "DeepseekV3ForCausalLM",
    "MoonshotKimiaForCausalLM": "Qwen2ForCausalLM",
    "GLM4VForCausalLM": "ChatGLMModel",
    "IsaacForConditionalGeneration": "Qwen3ForCausalLM",
    "KeyeForConditionalGeneration": "Qwen3ForCausalLM",
    "KeyeVL1_5ForConditionalGeneration": "Qwen3ForCausalLM",
    "HunYuanVLForConditionalGeneration": "HunYuanDenseV1ForCausalLM",
}
# The same class over another language part, by its version. Source: vLLM, models/minicpmv.py.
_CHATGLM = ("ChatGLMModel", "ChatGLMForConditionalGeneration")


def check_served(outer: Mapping[str, Any], where: str) -> None:
    """Refuse a file whose class the engine takes for another than its sections say (vLLM, models/chatglm.py)."""
    names = outer.get("architectures")
    if isinstance(names, (list, tuple)) and names and names[0] in _CHATGLM and outer.get("vision_config"):
        fail(
            f"{where}.architectures",
            f"vLLM serves {names[0]} as one that only reads, and this one sees.",
            """Add --hf-overrides={"architectures":["GLM4VForCausalLM"]} to its extra_args.""",
        )


WHISPER, COHERE_ASR = "WhisperForConditionalGeneration", "CohereAsrForConditionalGeneration"
# An encoder of sound, and a decoder that attends to it: counted as a whole.
TRANSCRIBERS = (WHISPER, COHERE_ASR)
VERSIONS: Mapping[str, Mapping[str, str]] = {
    "MiniCPMO": {"4.5": "Qwen3ForCausalLM"},
    "MiniCPMV": {"2.0": "MiniCPMForCausalLM", "2.6": "Qwen2ForCausalLM", "4.5": "Qwen3ForCausalLM"},
}
