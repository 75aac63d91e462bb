# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What feeds an encoder's output into a language model: its parameters, family by family."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.config import Config, filled, type_of

_LOOKED_INTO = ("vision_feature_layer", "vision_feature_layers")


def first(section: Config, *keys: str, default: int = 0) -> int:
    """Return the first of these sizes that is written; the default where none is, or where it is zero."""
    return section.count(*keys) or default


def _two_layers(_section: Config, config: Config, hidden: int) -> int:
    """LLaVA's: in and out of the language model's width, from one layer of the encoder or several beside each other."""
    text = config.whole("hidden_size")
    looked = next((config.outer[key] for key in _LOOKED_INTO if isinstance(config.outer.get(key), (list, tuple))), (0,))
    return len(looked) * hidden * text + text * text + 2 * text


def _one_layer(_section: Config, config: Config, hidden: int) -> int:
    return hidden * config.whole("hidden_size") + hidden


def _merged(section: Config, config: Config, hidden: int) -> int:
    """Qwen-VL's: neighbouring patches together, once at the end and once for each layer that is looked into."""
    merge = section.whole("spatial_merge_size") ** 2 * hidden
    text = section.count("out_hidden_size") or _spoken_to(section, config)
    once = merge * merge + merge * text + merge + text + hidden
    deep = section.numbers("deepstack_visual_indexes") or ()
    return once + len(deep) * (once - hidden + merge)


def _spoken_to(section: Config, config: Config) -> int:
    """The width that comes out: the language model's, but where Qwen2-VL's section calls that hidden_size and its own embed_dim."""
    return section.whole("hidden_size") if section.count("embed_dim") else config.whole("hidden_size")


def _merge_of(section: Config, config: Config) -> int:
    """Patches that become one."""
    return (section.count("spatial_merge_size") or _whole(config).whole("spatial_merge_size")) ** 2


def _shuffled(_section: Config, config: Config, hidden: int) -> int:
    """InternVL's: four patches as one."""
    text = config.whole("hidden_size")
    return 4 * hidden * text + text * text + 8 * hidden + 2 * text


def _shuffled_wide(_section: Config, config: Config, hidden: int) -> int:
    """Nemotron's: the same, at a width of its own."""
    text, wide = config.whole("hidden_size"), _whole(config).whole("projector_hidden_size", 4 * hidden)
    return 4 * hidden * (wide + 1) + wide * text


def _mistral3(section: Config, config: Config, hidden: int) -> int:
    text = config.whole("hidden_size")
    return _merge_of(section, config) * hidden * hidden + hidden * text + text * text + hidden


def _idefics(_section: Config, config: Config, hidden: int) -> int:
    factor = _whole(config).whole("scale_factor")
    return hidden * factor * factor * config.whole("hidden_size")


def _gemma4(_section: Config, config: Config, hidden: int) -> int:
    return hidden * config.whole("hidden_size")


def _glm4v(section: Config, config: Config, hidden: int) -> int:
    """Neighbouring patches as one, and a gated MLP of the width that the section writes."""
    text = section.whole("out_hidden_size")
    return (
        _merge_of(section, config) * hidden * text
        + text * text
        + 3 * text * section.whole("intermediate_size")
        + 3 * text
    )


def _glm_ocr(section: Config, config: Config, _hidden: int) -> int:
    """The same, three times as wide as the language model's section says."""
    hidden, text = section.whole("hidden_size"), section.whole("out_hidden_size")
    return _merge_of(section, config) * hidden * text + text * text + 9 * text * text + 3 * text


def _unshuffled(_section: Config, config: Config, hidden: int) -> int:
    """LFM2-VL's: neighbouring patches as one, by a layer of its own width."""
    outer = Config(config.outer, config.outer, config.where)
    factor, wide, text = (
        outer.whole("downsample_factor"),
        outer.whole("projector_hidden_size"),
        config.whole("hidden_size"),
    )
    merged = factor * factor * hidden
    return 2 * merged + merged * wide + wide + wide * text + text


def _resampled(_section: Config, config: Config, hidden: int) -> int:
    """MiniCPM-V's: so many queries look at a slice by attention of the language model's width."""
    text = config.whole("hidden_size")
    queries = Config(config.outer, config.outer, config.where).count("query_num") or 64
    return hidden * text + 5 * text * text + (queries + 10) * text


def _kimi(section: Config, config: Config, hidden: int) -> int:
    """Neighbouring patches as one, two by two where nobody says, at their own width, then at the language model's."""
    text, merge = config.whole("hidden_size"), first(section, "spatial_merge_size", default=2) ** 2 * hidden
    return 2 * hidden + merge * (merge + 1) + merge * text + text


def _whole(config: Config) -> Config:
    return Config(config.outer, config.outer, config.where)


def _llama4(section: Config, config: Config, hidden: int) -> int:
    """Four patches as one inside of the encoder, by two layers of its own, and a last one to the language model's width."""
    inner, out = section.whole("intermediate_size"), section.whole("vision_output_dim")
    between, last = section.whole("projector_input_dim"), section.whole("projector_output_dim")
    return between * inner + last * last + out * config.whole("hidden_size")


def _soft(section: Config, config: Config, hidden: int) -> int:
    """Gemma 3n's: a small vocabulary of its own, and one layer."""
    words = section.whole("vocab_size")
    return words * hidden + 2 * hidden + hidden * config.whole("hidden_size")


def _gated_halves(_section: Config, config: Config, hidden: int) -> int:
    """Command A Vision's: four patches as one, through a gate."""
    outer, text = _whole(config), config.whole("hidden_size")
    factor, wide = outer.whole("downsample_factor"), outer.whole("alignment_intermediate_size")
    return factor * factor * hidden * wide + wide + wide // 2 * text + text


def _ernie(section: Config, config: Config, hidden: int) -> int:
    """Neighbouring patches as one, then neighbouring pictures, each by two layers of that width."""
    merge = section.needed("spatial_merge_size", "spatial_conv_size") ** 2 * hidden
    frames = _whole(config).count("temporal_conv_size") or section.whole("temporal_merge_size")
    text = config.whole("hidden_size")
    return merge * merge * (2 + frames + 1) + 8 * merge + merge * text + 2 * text


def _phi4(_section: Config, config: Config, hidden: int) -> int:
    text = config.whole("hidden_size")
    return hidden * text + text * text + 2 * text + 2 * hidden


def _phi3(_section: Config, config: Config, hidden: int) -> int:
    text = config.whole("hidden_size")
    return 4 * hidden * text + text * text + 2 * text + 8 * hidden


def _dots(section: Config, config: Config, hidden: int) -> int:
    """Four patches as one, at their own width, then at the language model's."""
    merge = section.whole("spatial_merge_size") ** 2 * hidden
    text = config.whole("hidden_size")
    return 2 * hidden + merge * (merge + 1) + merge * text + text


def _deepseek(section: Config, config: Config, hidden: int) -> int:
    """DeepSeek-OCR's: what both encoders saw, side by side, in one layer; DeepSeek-VL 2's: four patches as one, in two."""
    text = config.whole("hidden_size")
    if section.values.get("model_name") == "deeplip_b_l":
        return (2 * hidden + 1) * text + 2 * text
    if isinstance(towers := section.values.get("width"), Mapping) and any("qwen2" in str(name) for name in towers):
        return (hidden + 1) * text + text
    return 4 * hidden * text + text * text + 4 * text


def _words_of_pictures(section: Config, config: Config, hidden: int) -> int:
    """Ovis's: four patches as one make words of a vocabulary of pictures, which has an embedding."""
    outer = _whole(config)
    words = first(outer, "visual_vocab_size", default=first(section, "vocab_size", default=65536))
    merge = first(section, "hidden_stride", default=2) ** 2 * hidden
    return merge * words + 2 * words + words * config.whole("hidden_size")


def _merged_twice(section: Config, config: Config, hidden: int) -> int:
    """MiniCPM-V 4.6's: a layer of attention and an MLP inside of the encoder, an MLP behind it."""
    text, merge, wide = config.whole("hidden_size"), 4 * hidden, 4 * section.whole("intermediate_size")
    inside = 4 * hidden * (hidden + 1) + 2 * hidden + 2 * merge + merge * wide + wide * (hidden + 1) + hidden
    return inside + 2 * merge + merge * (merge + 1) + (merge + 1) * text


def _asked(section: Config, config: Config, hidden: int) -> int:
    """Aria's: so many queries look at a picture by attention of the encoder's width, then two layers."""
    said = config.outer.get("projector_patch_to_query_dict")
    known = [size for size in said.values() if isinstance(size, int)] if isinstance(said, Mapping) else []
    text, queries = config.whole("hidden_size"), max(known, default=256)
    return queries * hidden + 8 * hidden * hidden + 11 * hidden + hidden * text + text * text


def _pooled(_section: Config, config: Config, hidden: int) -> int:
    """Molmo's: two layers of the encoder side by side, pooled by attention, then a gated MLP as wide as the language model's."""
    text, inner = config.whole("hidden_size"), config.whole("intermediate_size") // 2
    words = 128 * text
    return 7 * hidden * hidden + 4 * hidden + 4 * hidden + 2 * hidden * inner + inner * text + words


def _pooled_by_adapter(_section: Config, config: Config, hidden: int) -> int:
    """Molmo 2's: the same, at the adapter's own widths, without what would come after it."""
    said = config.outer.get("adapter_config")
    own = Config(said, said, f"{config.where}.adapter_config") if isinstance(said, Mapping) else _whole(config)
    looked = len(own.numbers("vit_layers") or (0, 0)) * hidden
    width, inner, text = own.whole("hidden_size"), own.whole("intermediate_size"), config.whole("hidden_size")
    pooling = 3 * looked * width + 4 * width + width * width
    words = config.count("additional_vocab_size") * text
    return pooling + 2 * width * inner + inner * text + words


def _projected(section: Config, config: Config, hidden: int) -> int:
    """CLIP's: what each tower says, in a common space."""
    wide = _whole(config).whole("projection_dim", 512)
    return (hidden + config.whole("hidden_size")) * wide + 2 * hidden


def _attended(section: Config, config: Config, hidden: int) -> int:
    """SigLIP's: one question asked of a picture by attention, with an MLP; a layer behind the text."""
    inner, text = section.whole("intermediate_size"), config.whole("hidden_size")
    return 4 * hidden * (hidden + 1) + 2 * hidden * inner + inner + 4 * hidden + text * (text + 1)


def _unshuffled_by(_section: Config, config: Config, hidden: int) -> int:
    factor = _whole(config).whole("pixel_shuffle_factor")
    return hidden * factor * factor * config.whole("hidden_size")


def _fourfold(_section: Config, config: Config, hidden: int) -> int:
    """Isaac's: patches of a square as one, then four times as wide and down to the language model's."""
    merged = hidden * (_whole(config).count("pixel_shuffle_scale") or 2) ** 2
    return 4 * merged * merged + 4 * merged * config.whole("hidden_size")


def _shrunk(section: Config, config: Config, hidden: int) -> int:
    """Step's: two convolutions, each half as fine and twice as wide, and a layer."""
    return 9 * 2 * hidden * hidden + 9 * 8 * hidden * hidden + 6 * hidden + 4 * hidden * config.whole("hidden_size")


def _keye(section: Config, config: Config, hidden: int) -> int:
    """Keye's: as Kimi's, and positions of packed pictures in the encoder."""
    return _kimi(section, config, hidden) + 32768 * hidden


def _reg_stage(depth: int, inputs: int, width: int) -> int:
    """So many of RegNet's blocks: narrow, each channel convolved alone, weighed, wide; the first one has a way around."""
    found = 0
    for place in range(depth):
        come = inputs if place == 0 else width
        squeezed = round(come * 0.25)
        found += come * width + 9 * width + width * width + 2 * squeezed * width + squeezed + width + 6 * width
        found += come * width + 2 * width if come != width else 0
    return found


def _abstracted(section: Config, config: Config, hidden: int) -> int:
    """Kanana's and HyperCLOVA X's: RegNet's blocks before and after patches are merged, then two layers."""
    outer, text = _whole(config), config.whole("hidden_size")
    said = config.outer.get("projector_config")
    own = Config(said, said, f"{config.where}.projector_config") if isinstance(said, Mapping) else None
    if own is not None:
        wide, depth, merge = own.whole("hidden_size"), own.whole("depth"), own.whole("merge_size") ** 2
        positions = own.count("pos_emb_size") * hidden if own.flag("pos_emb", default=True) else 0
        blocks = _reg_stage(depth, hidden, wide) + _reg_stage(depth, merge * wide, wide)
        return positions + blocks + (wide + 1) * text + (own.whole("mlp_depth") - 1) * (text + 1) * text
    if outer.values.get("mm_projector_type") == "linear":
        return (hidden + 1) * text
    if outer.values.get("mm_projector_type") != "cabstractor":
        wide = hidden * (2 if outer.values.get("mm_projector_type") == "inverted_mlp" else 1)
        return (hidden + 1) * wide + (wide + 1) * text
    positions = (section.whole("image_size") // section.whole("patch_size")) ** 2 * hidden
    return positions + 2 * _reg_stage(3, hidden, hidden) + (hidden + 1) * text + (text + 1) * text


def _merged_to(section: Config, config: Config, _hidden: int) -> int:
    """HyperCLOVA X Think's: as Qwen2.5-VL's, then a layer."""
    out = first(section, "out_hidden_size", default=config.whole("hidden_size"))
    hidden, merge = section.whole("hidden_size"), _merge_of(section, config)
    wide = merge * hidden
    return wide * wide + wide * out + wide + out + hidden + (out + 1) * config.whole("hidden_size")


def _hunyuan(section: Config, config: Config, hidden: int) -> int:
    """Neighbouring patches as one by two convolutions, then a layer; words around a picture and at the ends of its lines."""
    text, merge = config.whole("hidden_size"), _merge_of(section, config)
    return 2 * merge * hidden * hidden + 8 * hidden * hidden + 11 * hidden + 4 * hidden * text + 5 * text


def q_former(config: Config, key: str, queries: int, read: int = 0) -> int:
    """BLIP 2's: attention to itself, in every so many layers to what is asked about, and an MLP; a last layer to the language model."""
    # BLIP 2's class takes all of it for granted, Granite's nothing.
    said = config.outer.get(key, {} if key == "qformer_config" else None)
    full = filled(said, type_of(config.outer, key)) if isinstance(said, Mapping) else {}
    own = Config(full, full, f"{config.where}.{key}") if full else _whole(config)
    text = config.whole("hidden_size")
    hidden, layers = own.whole("hidden_size"), own.whole("num_hidden_layers")
    inner, read = own.whole("intermediate_size"), read or own.whole("encoder_hidden_size")
    crossed = -(-layers // own.whole("cross_attention_frequency"))
    return _asking(hidden, inner, read, layers, crossed) + queries * hidden + (hidden + 1) * text


def _asking(hidden: int, inner: int, read: int, layers: int, crossed: int) -> int:
    """The layers of a Q-Former, and the norm before them."""
    attention = 4 * hidden * (hidden + 1) + 2 * hidden
    asking = 2 * hidden * (hidden + 1) + 2 * hidden * (read + 1) + 2 * hidden
    mlp = (hidden + 1) * inner + (inner + 1) * hidden + 2 * hidden
    return layers * (attention + mlp) + crossed * asking + 2 * hidden


def _blip(_section: Config, config: Config, hidden: int) -> int:
    return q_former(config, "qformer_config", _whole(config).whole("num_query_tokens", 32), hidden)


# A Q-Former of one layer, where Granite's file writes none.
_WINDOWED_INNER = 3072


def _windowed(_section: Config, config: Config, hidden: int) -> int:
    """Granite 4's: for each layer that is looked into, and each corner of a square, a Q-Former of one layer over windows.

    Source: vLLM, models/granite4_vision.py.
    """
    outer, text = _whole(config), config.whole("hidden_size")
    looked, corners = config.outer.get("deepstack_layer_map"), config.outer.get("spatial_target_layers")
    times = len(looked) if isinstance(looked, (list, tuple)) else 0
    if outer.flag("use_spatial_sampling", default=True):
        times += len(corners) if isinstance(corners, (list, tuple)) else 4
    said = str(config.outer.get("downsample_rate")).partition("/")
    asked, window = (int(one) if one.isdecimal() and len(one) < 4 else 0 for one in (said[0], said[2]))
    if not asked or not window:
        fail(
            f"{config.where}.downsample_rate",
            f"{str(config.outer.get('downsample_rate'))[:40]!r} is no share of a window, like 4/8.",
            "Hand over the model's own config.json, or set weights_bytes.",
        )
    own = _asking(hidden, _WINDOWED_INNER, hidden, 1, 1) + 2 * hidden + (asked**2 + window**2) * hidden
    return times * (own + (hidden + 1) * text)


def _chatglm(_section: Config, config: Config, hidden: int) -> int:
    """GLM-4V's: four patches as one by a convolution, a layer with its norm, a gated MLP, and a word at each end."""
    text, inner = config.whole("hidden_size"), config.whole("intermediate_size")
    return (4 * hidden + 1) * text + text * text + 3 * text * inner + 4 * text


def _merged_later(section: Config, config: Config, hidden: int) -> int:
    """MiniMax M3's: two layers for each patch, and two for a square of them as one."""
    text, merge = config.whole("hidden_size"), _merge_of(section, config)
    return (hidden + 1) * text + (text + 1) * text + (merge * text + 1) * text + (text + 1) * text


def _adapted(_section: Config, config: Config, _hidden: int) -> int:
    """Muse Glimmer's: a square of patches as one, by two layers of a width of its own and one to the language model's, without biases."""
    outer = _whole(config)
    wide = outer.whole("projector_hidden_size")
    return outer.whole("out_hidden_size") * wide + wide * wide + wide * config.whole("hidden_size")


def _with_overview(section: Config, config: Config, hidden: int) -> int:
    """Moondream's: each patch of a piece beside that of the whole picture, by two layers at a width of its own."""
    wide, text = section.whole("proj_inner_dim"), config.whole("hidden_size")
    return (2 * hidden + 1) * wide + (wide + 1) * text


def _widened(section: Config, config: Config, hidden: int) -> int:
    """Cosmos 3 Edge's: a norm, and a square of patches as one by two layers at a width of its own."""
    wide, text = _whole(config).whole("projector_hidden_size"), config.whole("hidden_size")
    return 2 * hidden + (_merge_of(section, config) * hidden + 1) * wide + (wide + 1) * text


def _bee(_section: Config, config: Config, hidden: int) -> int:
    text = config.whole("hidden_size")
    return 2 * hidden + (hidden + 1) * 4 * text + (4 * text + 1) * text


PROJECTORS: Mapping[str, Callable[[Config, Config, int], int]] = {
    **dict.fromkeys(
        (
            *("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"),
            *("qwen2_5_omni_thinker", "qwen3_omni_moe_thinker", "exaone4_5", "llava_onevision2"),
        ),
        _merged,
    ),
    **dict.fromkeys(("internvl_chat", "internvl", "interns1", "qianfan_ocr"), _shuffled),
    **dict.fromkeys(("gemma3", "paligemma"), _one_layer),
    "gemma4": _gemma4,
    "mistral3": _mistral3,
    "lighton_ocr": _mistral3,
    "lfm2_vl": _unshuffled,
    "glm_ocr": _glm_ocr,
    **dict.fromkeys(("minicpmv", "minicpmo"), _resampled),
    **dict.fromkeys(("nemotronh_nano_vl_v2", "llama_nemotron_nano_vl"), _shuffled_wide),
    **dict.fromkeys(("minicpmv4_6", "minicpmv4_7"), _merged_twice),
    **dict.fromkeys(("kimi_vl", "paddleocr_vl"), _kimi),
    "deepseek_vl_v2": _deepseek,
    "llama4": _llama4,
    "gemma3n": _soft,
    "cohere2_vision": _gated_halves,
    "ernie4_5_moe_vl": _ernie,
    "ernie4_5_vl_moe": _ernie,
    "phi4mm": _phi4,
    "phi4_multimodal": _phi4,
    "phi3_v": _phi3,
    "dots_ocr": _dots,
    **dict.fromkeys(("ovis", "ovis2_5"), _words_of_pictures),
    **dict.fromkeys(("idefics3", "smolvlm"), _idefics),
    "aria": _asked,
    "molmo": _pooled,
    "isaac": _fourfold,
    "molmo2": _pooled_by_adapter,
    "gemma4_unified": _gemma4,
    "clip": _projected,
    "siglip": _attended,
    **dict.fromkeys(("modernvbert", "colmodernvbert"), _unshuffled_by),
    "colpali": _one_layer,
    **dict.fromkeys(("step_vl", "step3p7"), _shrunk),
    "blip-2": _blip,
    "chatglm": _chatglm,
    "granite4_vision": _windowed,
    "minimax_m3_vl": _merged_later,
    "muse_glimmer": _adapted,
    "moondream3": _with_overview,
    "cosmos3_edge": _widened,
    "keye": _keye,
    **dict.fromkeys(("kanana_v", "hyperclovax_vlm"), _abstracted),
    "hyperclovax_vision_v2": _merged_to,
    "hunyuan_vl": _hunyuan,
    "bee": _bee,
    **dict.fromkeys(("glm4v", "glm4v_moe"), _glm4v),
}


def parameters(family: str, section: Config, config: Config, hidden: int) -> int:
    """Return the parameters of a family's projector of pictures; one nobody wrote down is taken for LLaVA's."""
    return PROJECTORS.get(family, _two_layers)(section, config, hidden)
