# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encoders of pictures and sound beside a language model: their parameters from their own section, and what feeds them into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import projectors, towers
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.config import (
    TEXT_SECTIONS,
    Config,
    filled,
    type_of,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.projectors import first

_VISION = (
    *("vision_config", "vit_config", "visual", "vision_tower_config", "img_processor", "visual_tokenizer_config"),
)
# Where a section holds the encoder in one of its own.
_INSIDE = ("backbone_config", "config", "args")
_AUDIO = ("audio_config", "speech_config", "audio_encoder_config", "sound_config", "audio_processor", "encoder_config")
# Parts that speak, beside the one that is served; and what only a part with weights has.
# What feeds an encoder's output on, read with it.
_FEEDING = ("projector_config", "adapter_config", "qformer_config", "attn_config", "ffn_config")
_NOT_SERVED = ("talker_config", "token2wav_config", "code2wav_config", "tts_config", "ts_config", "time_series_config")
_SIZES = (
    *("hidden_size", "hidden_dim", "d_model", "embed_dim", "width", "n_embd"),
    *("num_hidden_layers", "num_layers", "n_layers", "depth", "encoder_layers", "depths"),
)


@dataclass(frozen=True)
class Encoders:
    """Parameters of all encoders with their projectors, and the widest of their layers."""

    parameters: int = 0
    hidden_size: int = 0
    intermediate_size: int = 0
    kinds: tuple[str, ...] = ()
    # Patches of the largest picture, and the tokens that they become in the language model.
    patches: int = 0
    tokens: int = 0
    # Values of a patch as the processor hands it over.
    pixels: int = 0
    patch_size: int = 0
    # Elements of a patch that are alive besides those of its layers.
    patch_units: int = 0


NO_ENCODERS = Encoders()
# Tokens of the largest picture or piece of sound that a family's processor makes by itself.
_OTHER_ITEM_TOKENS = 4096
_ITEM_TOKENS: Mapping[str, int] = {
    **dict.fromkeys(
        (
            "qwen2_vl",
            "qwen2_5_vl",
            "qwen3_vl",
            "qwen3_vl_moe",
            "qwen3_5",
            "qwen3_5_moe",
            "glm4v",
            "glm4v_moe",
            "exaone4_5",
        ),
        16384,
    ),
    **dict.fromkeys(("gemma3", "paligemma"), 256),
    "gemma4": 1120,
    "llava": 576,
    # Sixteen tiles and the whole, of 81 and of 169 tokens each; a grid of six by six tiles and the whole, cut down to nine; ten tiles and
    # the whole; a picture of 1,540 pixels.
    "smolvlm": 1377,
    "idefics3": 2873,
    "llava_onevision": 8748,
    "lfm2_vl": 2816,
    "mistral3": 3025,
    "llava_next": 2880,
    **dict.fromkeys(("internvl_chat", "internvl", "interns1", "nemotronh_nano_vl_v2", "llama_nemotron_nano_vl"), 3328),
    **dict.fromkeys(("qwen2_audio", "ultravox", "voxtral"), 1500),
    "kimi_audio": 375,
    # Half a minute and more of sound; pictures of 1,120 and of 224 pixels.
    "cohere_asr": 438,
    "chatglm": 1602,
    "blip-2": 32,
    "moondream3": 730,
    # Nine slices and the whole, 64 tokens of each; and what the processor of the later ones of Kimi-VL takes.
    **dict.fromkeys(("minicpmv", "minicpmo"), 640),
    "minicpmv4_6": 640,
    "minicpmv4_7": 640,
    "kimi_vl": 4096,
    # Sixteen tiles and the whole, 144 tokens of each; Phi's tiles of 256, with a word at each line's end.
    "llama4": 2448,
    "phi3_v": 2509,
    **dict.fromkeys(("phi4mm", "phi4_multimodal"), 9728),
    "gemma3n": 256,
    "cohere2_vision": 3328,
    "dots_ocr": 14400,
    "deepseek_vl_v2": 1156,
    "ovis2_5": 3136,
    "paddleocr_vl": 3600,
    **dict.fromkeys(("ernie4_5_moe_vl", "ernie4_5_vl_moe"), 6144),
}
# Patches that become one token, where the section does not say so: of a slice of 448 pixels, and of a kernel of two by two.
_MERGED = {
    **dict.fromkeys(("minicpmv", "minicpmo", "minicpmv4_6", "minicpmv4_7"), 16),
    **dict.fromkeys(("nemotronh_nano_vl_v2", "llama_nemotron_nano_vl"), 4),
    **dict.fromkeys(("internvl_chat", "internvl", "interns1", "idefics3", "lfm2_vl", "mistral3"), 4),
    "gemma3": 16,
    "smolvlm": 9,
    "llava_onevision": 3,
    "chatglm": 4,
    "blip-2": 8,
    # Twelve pieces and the whole, of 729 patches each.
    "moondream3": 13,
    **dict.fromkeys(("kimi_vl", "llama4", "phi3_v", "phi4mm", "phi4_multimodal", "cohere2_vision", "ovis2_5"), 4),
}


# Each patch's position is weighed between four that are learned, there before and after (vLLM, models/qwen3_vl.py).
_BETWEEN_POSITIONS = ("qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe")
_WEIGHED_POSITIONS = 8

# Encoders of which a family's files say nothing, or not their sizes: SigLIP's of 448 pixels without its last layer, CLIP's of 336.
_SIGLIP_448 = {
    **{"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 26, "patch_size": 14},
    **{"num_position_embeddings": 1024},
}
_CLIP_336 = {
    **{"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "patch_size": 14},
    **{"num_position_embeddings": 577},
}
# In a folder of its own beside Kimi-Audio's files.
_WHISPER_LARGE_V3 = {
    **{"d_model": 1280, "encoder_ffn_dim": 5120, "encoder_layers": 32, "num_mel_bins": 128},
    **{"max_source_positions": 1500},
}
_IMPLIED: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "phi4mm": {"vision": _SIGLIP_448, "audio": {"num_blocks": 24}},
    "phi3_v": {"vision": _CLIP_336},
    "molmo": {"vision": _CLIP_336},
    "kimi_audio": {"audio": _WHISPER_LARGE_V3},
}
# Classes whose encoder and projector are those of a family, whatever their files' model_type says.
BUILT_LIKE: Mapping[str, str] = {
    **dict.fromkeys(("SkyworkR1VChatModel", "H2OVLChatModel", "Eagle2_5_VLForConditionalGeneration"), "internvl_chat"),
    **dict.fromkeys(("ColQwen3", "OpsColQwen3Model", "Qwen3VLNemotronEmbedModel"), "qwen3_vl"),
    **{"Cosmos3ForConditionalGeneration": "qwen3_vl", "ColQwen3_5": "qwen3_5"},
    "OpenCUAForConditionalGeneration": "qwen2_5_vl",
    **dict.fromkeys(("LlamaNemotronVLModel", "LlamaNemotronVLForSequenceClassification"), "internvl_chat"),
    **dict.fromkeys(
        (
            *("NemotronH_Nano_VL_V2", "NemotronH_Nano_Omni_Reasoning_V3", "NemotronH_Super_Omni_Reasoning_V3"),
            "NemotronH_Omni_Reasoning_V3",
        ),
        "nemotronh_nano_vl_v2",
    ),
    "IsaacForConditionalGeneration": "isaac",
    "Phi4ForCausalLMV": "phi4_siglip",
    **dict.fromkeys(("Ovis2_6ForCausalLM", "Ovis2_6_MoeForCausalLM"), "ovis2_5"),
    "RForConditionalGeneration": "llava_onevision",
    "BeeForConditionalGeneration": "bee",
    "AriaForConditionalGeneration": "aria",
    "MolmoForCausalLM": "molmo",
    "Molmo2ForConditionalGeneration": "molmo2",
    "StepVLForConditionalGeneration": "step_vl",
    "KeyeForConditionalGeneration": "keye",
    "KeyeVL1_5ForConditionalGeneration": "keye",
    "KananaVForConditionalGeneration": "kanana_v",
    "HCXVisionForCausalLM": "hyperclovax_vlm",
    "HCXVisionV2ForCausalLM": "hyperclovax_vision_v2",
    "HunYuanVLForConditionalGeneration": "hunyuan_vl",
    "GLM4VForCausalLM": "chatglm",
    "InternS2PreviewForConditionalGeneration": "qwen3_5_moe",
    **dict.fromkeys(("DeepseekOCR2ForCausalLM", "UnlimitedOCRForCausalLM"), "deepseek_vl_v2"),
    "MoonshotKimiaForCausalLM": "kimi_audio",
    "MiniMaxM3SparseForConditionalGeneration": "minimax_m3_vl",
    "VoxtralRealtimeGeneration": "voxtral_realtime",
}
# Families whose sections are read right; one that is not here is counted only from its tensors.
COUNTED = frozenset(
    (
        *projectors.PROJECTORS,
        *towers.AUDIO,
        *("llava", "llava_next", "llava_next_video", "llava_onevision", "vipllava", "pixtral"),
        "phi4_siglip",
    )
)


def read(config: Config) -> Encoders:
    """Encoders of a multimodal model; one whose tensors can't be counted is a FleetError."""
    found, family = NO_ENCODERS, family_of(config.outer)
    for name, section in _sections(config.outer, config.where).items():
        is_vision = name == "vision"
        parameters, hidden, inner = (towers.vision if is_vision else towers.audio)(section, config, family)
        parameters += projectors.parameters(family, section, config, hidden) if is_vision else 0
        tokens = _ITEM_TOKENS.get(family, _OTHER_ITEM_TOKENS)
        merged = _MERGED.get(family, first(section, "spatial_merge_size", default=1) ** 2) if is_vision else 1
        found = Encoders(
            found.parameters + parameters,
            max(found.hidden_size, hidden),
            max(found.intermediate_size, inner),
            (*found.kinds, name),
            max(found.patches, tokens * merged),
            max(found.tokens, tokens),
            max(found.pixels, _pixels(section) if is_vision else 0),
            _patch(section) if is_vision else found.patch_size,
            _WEIGHED_POSITIONS * hidden if is_vision and family in _BETWEEN_POSITIONS else found.patch_units,
        )
    return found


def _sections(outer: Mapping[str, Any], where: str) -> dict[str, Config]:
    """Return the section of each encoder: what is written, or what a family's class knows by heart."""
    holder, found = _holder(outer), {}
    implied = _IMPLIED.get(family_of(outer), {})
    for kinds, name in ((_VISION, "vision"), (_AUDIO, "audio")):
        key = next((key for key in kinds if isinstance(holder.get(key), Mapping) and holder[key]), None)
        said = holder[key] if key is not None else {}
        for inner in _INSIDE:
            said = {**said, **said[inner]} if isinstance(said.get(inner), Mapping) else said
        if known := {**implied.get(name, {}), **said}:
            known = filled(known, type_of(holder, key) if key is not None else "")
            found[name] = Config(known, known, f"{where}.{key or 'model_type'}")
    return found


def family_of(outer: Mapping[str, Any]) -> str:
    """Return the family by which encoders and projectors differ: by the class, where one of another name is built so, or the type."""
    names = outer.get("architectures")
    name = str(names[0]) if isinstance(names, (list, tuple)) and names else ""
    return BUILT_LIKE.get(name) or str(_holder(outer).get("model_type") or "").lower()


def _holder(outer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what has the sections: in Qwen-Omni the thinker."""
    thinker = outer.get("thinker_config")
    return thinker if isinstance(thinker, Mapping) else outer


def limited(found: Encoders, pixels: int | None) -> Encoders:
    """Encoders whose processor makes no picture of more pixels than this."""
    if not pixels or not found.patches or not found.patch_size or not found.tokens:
        return found
    merged = found.patches // found.tokens
    patches = min(found.patches, max(merged, pixels // found.patch_size**2))
    return replace(found, patches=patches, tokens=max(1, patches // merged))


def largest_picture(processor: Mapping[str, Any]) -> int | None:
    """Pixels of the largest picture that a processor of the Qwen-VL kind hands over, as its file says; None where it does not."""
    size = processor.get("size")
    longest = size.get("longest_edge") if isinstance(size, Mapping) else None
    for said in (processor.get("max_pixels"), longest):
        # Others mean an edge by it.
        if isinstance(said, int) and not isinstance(said, bool) and said >= 2**14:
            return said
    return None


def _pixels(section: Config) -> int:
    return 3 * _patch(section) ** 2 * (section.count("temporal_patch_size") or 1)


def _patch(section: Config) -> int:
    """The edge of a patch; CLIP's where an encoder has none (MobileNet)."""
    return first(section, "patch_size", "spatial_patch_size", default=14)


def check_all_read(outer: Mapping[str, Any], where: str) -> None:
    """Refuse to count a model with a section of sizes that is not read here: it may be an encoder as large as the rest."""
    for key, value in _holder(outer).items():
        named = key in (*_VISION, *_AUDIO, *TEXT_SECTIONS, *_NOT_SERVED, *_FEEDING) or "quantiz" in str(key)
        if not named and isinstance(value, Mapping) and any(value.get(size) for size in _SIZES):
            fail(
                f"{where}.{key}",
                "nothing is known of this part, so the model can't be counted from its config.json.",
                "Let model_info read the model's tensors, or set weights_bytes.",
            )


def section_of(config: Config, name: str) -> Config:
    """Return the section of an encoder; a file without it is a FleetError."""
    found = _sections(config.outer, config.where).get(name)
    if found is None:
        fail(
            f"{config.where}.{name}_config",
            "the class has such an encoder, and the file says nothing of it.",
            "Hand over the model's whole config.json, or let model_info read the model.",
        )
    return found


def sections(outer: Mapping[str, Any]) -> bool:
    """Whether a config.json has a section of an encoder, or a family has one that it does not write down."""
    return bool(_sections(outer, ""))
