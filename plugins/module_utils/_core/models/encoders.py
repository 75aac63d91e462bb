# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encoders of pictures and sound beside a language model: their parameters from their own section, and what feeds them into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.config import TEXT_SECTIONS, Config

_VISION = ("vision_config", "vit_config", "visual", "vision_tower_config", "img_processor")
_AUDIO = ("audio_config", "speech_config", "audio_encoder_config", "sound_config")
# Parts that speak, beside the one that is served; and what only a part with weights has.
_NOT_SERVED = ("talker_config", "token2wav_config", "code2wav_config")
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


NO_ENCODERS = Encoders()
# Tokens of the largest picture or piece of sound that a family's processor makes by itself.
_OTHER_ITEM_TOKENS = 4096
_ITEM_TOKENS: Mapping[str, int] = {
    **dict.fromkeys(
        ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe", "glm4v", "glm4v_moe"), 16384
    ),
    **dict.fromkeys(("gemma3", "paligemma"), 256),
    "gemma4": 1120,
    "llava": 576,
    "llava_next": 2880,
    **dict.fromkeys(("internvl_chat", "internvl"), 3328),
    **dict.fromkeys(("qwen2_audio", "ultravox", "voxtral"), 1500),
    # Nine slices and the whole, 64 tokens of each; and what the processor of the later ones of Kimi-VL takes.
    "minicpmv": 640,
    "kimi_vl": 4096,
}
# Patches that become one token, where the section does not say so: of a slice of 448 pixels, and of a kernel of two by two.
_MERGED = {"minicpmv": 16, "kimi_vl": 4}


def read(config: Config) -> Encoders:
    """Encoders of a multimodal model; one whose tensors can't be counted is a FleetError."""
    found = NO_ENCODERS
    outer = _holder(config.outer)
    for kinds, name, count in ((_VISION, "vision", _vision), (_AUDIO, "audio", _audio)):
        key = next((key for key in kinds if isinstance(outer.get(key), Mapping) and outer[key]), None)
        if key is None:
            continue
        section = Config(outer[key], outer[key], f"{config.where}.{key}")
        family = str(outer.get("model_type") or "")
        parameters, hidden, inner = count(section, config, family)
        tokens = _ITEM_TOKENS.get(family, _OTHER_ITEM_TOKENS)
        merged = _MERGED.get(family, _first(section, "spatial_merge_size", default=1) ** 2) if name == "vision" else 1
        found = Encoders(
            found.parameters + parameters,
            max(found.hidden_size, hidden),
            max(found.intermediate_size, inner),
            (*found.kinds, name),
            max(found.patches, tokens * merged),
            max(found.tokens, tokens),
            max(found.pixels, _pixels(section) if name == "vision" else 0),
            _first(section, "patch_size", "spatial_patch_size", default=14) if name == "vision" else found.patch_size,
        )
    return found


def family_of(outer: Mapping[str, Any]) -> str:
    """Return the family by which encoders and projectors differ."""
    return str(_holder(outer).get("model_type") or "")


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
    patch = _first(section, "patch_size", "spatial_patch_size", default=14)
    return 3 * patch * patch * (section.count("temporal_patch_size") or 1)


def _first(section: Config, *keys: str, default: int = 0) -> int:
    return section.count(*keys) or default


def _vision(section: Config, config: Config, family: str) -> tuple[int, int, int]:
    hidden = section.count("embed_dim") if family == "qwen2_vl" else 0
    hidden = hidden or _first(section, "hidden_size", "embed_dim", "width", "d_model")
    defaults = _LIBRARY.get(section.values.get("model_type") or family, {})
    hidden = hidden or int(defaults.get("hidden_size", 0))
    layers = _first(
        section, "num_hidden_layers", "depth", "layers", "num_layers", default=int(defaults.get("layers", 0))
    )
    if not hidden or not layers:
        raise _unknown(section)
    inner = section.count("intermediate_size", "ffn_dim", "mlp_dim") or int(defaults.get("intermediate_size", 0))
    ratio = section.values.get("mlp_ratio")
    if not inner and isinstance(ratio, (int, float)) and not isinstance(ratio, bool):
        inner = int(hidden * ratio)
    inner = inner or 4 * hidden
    if family in ("glm4v", "glm4v_moe"):
        # What it calls so is its merger's; layers are as wide as the language model.
        inner = section.count("out_hidden_size") or config.whole("hidden_size")
    gated = family in (
        *("qwen2_5_vl", "qwen2_5_omni_thinker", "glm4v", "glm4v_moe", "glm_ocr", "mistral3", "pixtral"),
    ) or section.values.get("model_type") in (*("pixtral", "gemma4_vision", "aimv2", "glm4v"),)
    layer = (
        4 * hidden * hidden
        + (3 if gated else 2) * hidden * inner
        + 4 * hidden
        + (0 if gated else 4 * hidden + hidden + inner)
    )
    patch = _first(section, "patch_size", "spatial_patch_size", default=14)
    frames = section.count("temporal_patch_size") or 1
    image = section.own("image_size")
    edge = image if isinstance(image, int) and not isinstance(image, bool) and 0 < image < 2**16 else 0
    positions = section.count("num_position_embeddings", "position_embedding_size", "num_patches")
    positions = positions or section.count("init_pos_emb_height") * section.count("init_pos_emb_width")
    # Gemma 4 has a table for each axis.
    positions *= 2 if section.values.get("model_type") == "gemma4_vision" else 1
    if not positions and edge and not gated:
        positions = (edge // patch) ** 2 + 1
    parameters = layer * layers + 3 * patch * patch * frames * hidden + positions * hidden + 2 * hidden
    if (
        section.values.get("model_type") == "siglip2_vision_model"
        and section.values.get("vision_use_head") is not False
    ):
        parameters += 4 * hidden * hidden + 2 * hidden * inner + 8 * hidden + inner
    project = _PROJECTORS.get(family, _two_layers)
    return parameters + project(section, config, hidden), hidden, inner


# What published vision sections leave to the library's defaults.
_LIBRARY: Mapping[str, Mapping[str, int]] = {
    "clip_vision_model": {"hidden_size": 768, "layers": 12, "intermediate_size": 3072},
    "siglip_vision_model": {"hidden_size": 768, "layers": 12, "intermediate_size": 3072},
    "pixtral": {"hidden_size": 1024, "layers": 24, "intermediate_size": 4096},
    "qwen2_vl": {"hidden_size": 1280, "layers": 32},
    "qwen2_5_vl": {"hidden_size": 1280, "layers": 32, "intermediate_size": 3420},
    "idefics3_vision": {"hidden_size": 1152, "layers": 12, "intermediate_size": 3072},
}


_LOOKED_INTO = ("vision_feature_layer", "vision_feature_layers")


def _two_layers(_section: Config, config: Config, hidden: int) -> int:
    """LLaVA's: in and out of the language model's width, from one layer of the encoder or several beside each other."""
    text = config.whole("hidden_size")
    looked = next((config.outer[key] for key in _LOOKED_INTO if isinstance(config.outer.get(key), (list, tuple))), (0,))
    return len(looked) * hidden * text + text * text + 2 * text


def _one_layer(_section: Config, config: Config, hidden: int) -> int:
    return hidden * config.whole("hidden_size") + hidden


def _merged(section: Config, config: Config, hidden: int) -> int:
    """Qwen-VL's: neighbouring patches together, once at the end and once for each layer that is looked into."""
    merge = _first(section, "spatial_merge_size", default=2) ** 2 * hidden
    text = section.count("out_hidden_size") or config.whole("hidden_size")
    once = merge * merge + merge * text + merge + text + hidden
    deep = section.numbers("deepstack_visual_indexes") or ()
    return once + len(deep) * (once - hidden + merge)


def _shuffled(_section: Config, config: Config, hidden: int) -> int:
    """InternVL's: four patches as one."""
    text = config.whole("hidden_size")
    return 4 * hidden * text + text * text + 8 * hidden + 2 * text


def _mistral3(_section: Config, config: Config, hidden: int) -> int:
    text = config.whole("hidden_size")
    return 4 * hidden * hidden + hidden * text + text * text + hidden


def _idefics(_section: Config, config: Config, hidden: int) -> int:
    scale = config.get("scale_factor", default=2)
    factor = scale if isinstance(scale, int) and not isinstance(scale, bool) and 0 < scale < 16 else 2
    return hidden * factor * factor * config.whole("hidden_size")


def _gemma4(_section: Config, config: Config, hidden: int) -> int:
    return hidden * config.whole("hidden_size")


def _glm4v(section: Config, config: Config, hidden: int) -> int:
    """Four patches as one, and a gated MLP of the width that the section writes."""
    text = section.count("out_hidden_size") or config.whole("hidden_size")
    return 4 * hidden * text + text * text + 3 * text * (section.count("intermediate_size") or 4 * hidden) + 3 * text


def _glm_ocr(section: Config, config: Config, _hidden: int) -> int:
    """The same, three times as wide as the language model's section says."""
    hidden, text = section.whole("hidden_size"), section.count("out_hidden_size") or config.whole("hidden_size")
    return 4 * hidden * text + text * text + 9 * text * text + 3 * text


def _unshuffled(_section: Config, config: Config, hidden: int) -> int:
    """LFM2-VL's: neighbouring patches as one, by a layer of its own width."""
    outer = Config(config.outer, config.outer, config.where)
    factor, wide, text = (
        outer.whole("downsample_factor", 2),
        outer.whole("projector_hidden_size", 2560),
        config.whole("hidden_size"),
    )
    merged = factor * factor * hidden
    return 2 * merged + merged * wide + wide + wide * text + text


def _resampled(_section: Config, config: Config, hidden: int) -> int:
    """MiniCPM-V's: so many queries look at a slice by attention of the language model's width."""
    text = config.whole("hidden_size")
    queries = Config(config.outer, config.outer, config.where).count("query_num") or 64
    return hidden * text + 5 * text * text + (queries + 10) * text


def _kimi(_section: Config, config: Config, hidden: int) -> int:
    """Four patches as one, at their own width, then at the language model's."""
    text = config.whole("hidden_size")
    return 2 * hidden + 4 * hidden * (4 * hidden + 1) + 4 * hidden * text + text


_PROJECTORS: Mapping[str, Callable[[Config, Config, int], int]] = {
    **dict.fromkeys(
        (
            *("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"),
            *("qwen2_5_omni_thinker", "qwen3_omni_moe_thinker"),
        ),
        _merged,
    ),
    **dict.fromkeys(("internvl_chat", "internvl"), _shuffled),
    **dict.fromkeys(("gemma3", "paligemma"), _one_layer),
    "gemma4": _gemma4,
    "mistral3": _mistral3,
    "lighton_ocr": _mistral3,
    "lfm2_vl": _unshuffled,
    "glm_ocr": _glm_ocr,
    "minicpmv": _resampled,
    "kimi_vl": _kimi,
    **dict.fromkeys(("idefics3", "smolvlm"), _idefics),
    **dict.fromkeys(("glm4v", "glm4v_moe"), _glm4v),
}
_CONVOLVED_TWICE = ("qwen3_asr", "qwen3_omni_moe_thinker")
_AUDIO_FAMILIES = ("qwen2_audio", "voxtral", "ultravox", "qwen2_5_omni_thinker", *_CONVOLVED_TWICE)
# Encoders whose sections are read right; a family that is not here is counted only from its tensors.
COUNTED = frozenset(
    (
        *_PROJECTORS,
        "llava",
        "llava_next",
        "llava_onevision",
        "vipllava",
        "pixtral",
        *_AUDIO_FAMILIES,
    )
)


def _audio(section: Config, config: Config, family: str) -> tuple[int, int, int]:
    """Whisper's encoder, under its own names; a projector of two layers."""
    hidden = section.count("d_model", "hidden_size")
    layers = section.count("encoder_layers", "num_hidden_layers")
    if family not in _AUDIO_FAMILIES or not hidden or not layers:
        raise _unknown(section)
    inner = section.count("encoder_ffn_dim", "intermediate_size") or 4 * hidden
    mels, positions = section.count("num_mel_bins") or 128, section.count("max_source_positions") or 1500
    text = section.count("output_dim") or config.whole("hidden_size")
    if family in _CONVOLVED_TWICE:
        # Sound is a picture of its frequencies first; then Whisper's layers, without its convolutions and positions.
        channels = section.count("downsample_hidden_size") or 480
        heard = 20 * channels + 2 * 9 * channels * channels + hidden * channels * -(-mels // 8)
        own = whisper_encoder(hidden, inner, layers, 0, 0) - 3 * hidden * hidden - 2 * hidden
        return own + heard + hidden * hidden + hidden + hidden * text + text, hidden, inner
    if family == "qwen2_5_omni_thinker":
        return whisper_encoder(hidden, inner, layers, mels, 0) + hidden * text + 3 * text, hidden, inner
    project = hidden * text + text if family == "qwen2_audio" else (4 * hidden * text + text * text)
    return whisper_encoder(hidden, inner, layers, mels, positions) + project, hidden, inner


def whisper_encoder(hidden: int, inner: int, layers: int, mels: int, positions: int) -> int:
    """Parameters of Whisper's encoder."""
    layer = 4 * hidden * hidden + 3 * hidden + 2 * hidden * inner + inner + hidden + 4 * hidden
    return layer * layers + 3 * mels * hidden + 3 * hidden * hidden + 2 * hidden + positions * hidden + 2 * hidden


def _unknown(section: Config) -> FleetError:
    return FleetError(
        section.where,
        "this encoder's tensors can't be counted from it.",
        "Let model_info read the model's tensors, or set weights_bytes.",
    )


def check_all_read(outer: Mapping[str, Any], where: str) -> None:
    """Refuse to count a model with a section of sizes that is not read here: it may be an encoder as large as the rest."""
    for key, value in _holder(outer).items():
        named = key in (*_VISION, *_AUDIO, *TEXT_SECTIONS, *_NOT_SERVED) or "quantiz" in str(key)
        if not named and isinstance(value, Mapping) and any(value.get(size) for size in _SIZES):
            fail(
                f"{where}.{key}",
                "nothing is known of this part, so the model can't be counted from its config.json.",
                "Let model_info read the model's tensors, or set weights_bytes.",
            )


def sections(outer: Mapping[str, Any]) -> bool:
    """Whether a config.json has a section of an encoder."""
    where = _holder(outer)
    return any(isinstance(where.get(key), Mapping) and where[key] for key in (*_VISION, *_AUDIO))
