# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of encoders of pictures and sound, from their own section of a config.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import projectors
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.config import Config
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.projectors import first

# timm's mobilenetv5_300m_enc, which is one size.
_MOBILENET_V5 = 294_126_912
# DeepSeek-OCR's, which are one size: SAM's base encoder with two convolutions behind it, then CLIP's large one.
_SAM_AND_CLIP = 95_569_152 + 303_177_728
# DeepSeek-OCR 2's: the same first one, then Qwen2's layers of 0.5 billion with 144 and 256 queries.
_SAM_AND_QWEN = 94_979_328 + 24 * 14_912_384 + 896 + 400 * 896
# RADIO's by name: width, layers, and the width of their MLPs. Source: vLLM, transformers_utils/configs/radio.py.
_RADIO = {
    "vit_base_patch16_224": (768, 12, 3072),
    "vit_large_patch16_224": (1024, 24, 4096),
    "vit_huge_patch16_224": (1280, 32, 5120),
    "vit_so400m_patch16_224": (1152, 27, 4304),
}
_POSITIONS = (*("num_position_embeddings", "position_embedding_size", "num_patches", "image_num_pos", "num_positions"),)
# Families whose encoder turns positions and has no table of them, in spite of a largest picture.
_TURNED = ("minimax_m3_vl", "llava_onevision2")


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**40


def vision(section: Config, config: Config, family: str) -> tuple[int, int, int]:
    """Return the parameters of an encoder of pictures, its width, and that of its MLPs."""
    if section.values.get("architecture") == "mobilenetv5_300m_enc":
        return _MOBILENET_V5, section.whole("hidden_size", 2048), 4 * section.whole("hidden_size", 2048)
    if isinstance(towers := section.values.get("width"), Mapping):
        return (
            (_SAM_AND_QWEN, 896, 4864) if any("qwen2" in str(name) for name in towers) else (_SAM_AND_CLIP, 1024, 4096)
        )
    if (named := _RADIO.get(str(section.values.get("model")))) is not None:
        return _radio(section, *named), named[0], named[2]
    if section.values.get("mm_posemb_size"):
        return _pixels_embedded(section), section.whole("mm_embed_dim"), section.whole("mm_embed_dim")
    hidden = section.count("embed_dim") if family in ("qwen2_vl", "dots_ocr", "kanana_v") else 0
    hidden = hidden or first(section, "hidden_size", "embed_dim", "width", "d_model")
    layers = first(section, "num_hidden_layers", "depth", "layers", "num_layers")
    if not hidden or not layers:
        raise _unknown(section)
    if family == "molmo2":
        layers = _looked_into(config, layers)
    # The last but one is looked into, and the engine makes no more.
    layers -= 1 if family == "phi4_siglip" else 0
    inner = section.count("intermediate_size", "ffn_dim", "mlp_dim")
    ratio = section.values.get("mlp_ratio")
    if not inner and isinstance(ratio, (int, float)) and not isinstance(ratio, bool):
        inner = int(hidden * ratio)
    inner = inner or 4 * hidden
    if family in ("glm4v", "glm4v_moe"):
        # What it calls so is its merger's; layers are as wide as the language model.
        inner = section.whole("out_hidden_size")
    gated = family in (
        *(
            "qwen2_5_vl",
            "qwen2_5_omni_thinker",
            "glm4v",
            "glm4v_moe",
            "glm_ocr",
            "mistral3",
            "pixtral",
            "dots_ocr",
            "exaone4_5",
            "hyperclovax_vision_v2",
        ),
    ) or section.values.get("model_type") in (*("pixtral", "gemma4_vision", "aimv2", "glm4v"),)
    heads, shared = section.count("num_heads", "num_attention_heads"), section.count("num_key_value_heads")
    # Keys and values of fewer heads than there are queries (EXAONE 4.5); heads of a size of their own (Gemma 4).
    head = section.count("head_dim") if section.values.get("model_type") == "gemma4_vision" else 0
    queries = heads * head or hidden
    keys = shared * head or (hidden * shared // heads if 0 < shared < heads else hidden)
    layer = (
        2 * hidden * (queries + keys)
        + (3 if gated else 2) * hidden * inner
        + 4 * hidden
        + (0 if gated else 4 * hidden + hidden + inner)
    )
    patch = section.needed("patch_size", "spatial_patch_size", "image_patch_size")
    frames = section.count("temporal_patch_size", "patch_temporal") or 1
    image = section.own("max_image_size") or section.own("image_size")
    edge = image if isinstance(image, int) and not isinstance(image, bool) and 0 < image < 2**16 else 0
    positions = next((int(section.values[key]) for key in _POSITIONS if _is_size(section.values.get(key))), 0)
    positions = positions or section.count("init_pos_emb_height", "pos_emb_height") * section.count(
        "init_pos_emb_width", "pos_emb_width"
    )
    # Gemma 4 has a table for each axis.
    positions *= 2 if section.values.get("model_type") == "gemma4_vision" else 1
    if not positions and edge and not gated and family not in _TURNED:
        positions = (edge // patch) ** 2 + 1
    if section.get("ls_init_value", "layer_scale_init_value") is not None:
        layer += 2 * hidden
    parameters = layer * layers + 3 * patch * patch * frames * hidden + positions * hidden + 2 * hidden
    if (
        section.values.get("model_type") == "siglip2_vision_model"
        and section.values.get("vision_use_head") is not False
        and family != "phi4_siglip"
    ):
        parameters += 4 * hidden * hidden + 2 * hidden * inner + 8 * hidden + inner
    return parameters, hidden, inner


def _pixels_embedded(section: Config) -> int:
    """Gemma 4's without an encoder: pixels of a patch through one layer, positions of two axes, three norms."""
    pixels, wide = 3 * section.whole("model_patch_size") ** 2, section.whole("mm_embed_dim")
    return 2 * pixels + (pixels + 1) * wide + 2 * wide + 2 * section.whole("mm_posemb_size") * wide + 2 * wide


def _looked_into(config: Config, layers: int) -> int:
    """Layers that are there: those up to the last one that is looked into, counted from the end where it is below zero."""
    adapter = config.outer.get("adapter_config")
    said = adapter.get("vit_layers") if isinstance(adapter, Mapping) else None
    places = [at for at in said if isinstance(at, int) and -layers <= at < layers] if isinstance(said, list) else []
    return max((at % layers + 1 for at in places), default=layers)


def _radio(section: Config, hidden: int, layers: int, inner: int) -> int:
    """RADIO's: positions of the largest picture, patches without a bias."""
    patch, edge = first(section, "patch_size", default=16), first(section, "cpe_max_size", default=2048)
    layer = 4 * hidden * hidden + 2 * hidden * inner + 9 * hidden + inner
    return layers * layer + (edge // patch) ** 2 * hidden + 3 * patch * patch * hidden


_CONVOLVED_TWICE = ("qwen3_asr", "qwen3_omni_moe_thinker")


def audio(section: Config, config: Config, family: str) -> tuple[int, int, int]:
    """Return the parameters of an encoder of sound with its projector, its width, and that of its MLPs."""
    if family in _CONFORMERS:
        return _CONFORMERS[family](section, config)
    if family == "gemma4_unified":
        # Sound goes in as it is, through a layer.
        wide = section.needed("audio_embed_dim", "hidden_size")
        return wide * config.whole("hidden_size"), wide, wide
    if family == "voxtral_realtime":
        return _whisper_causal(section, config)
    if family == "midashenglm":
        return _dasheng(section, config)
    hidden = section.count("d_model", "hidden_size")
    layers = section.count("encoder_layers", "num_hidden_layers")
    if family not in AUDIO or not hidden or not layers:
        raise _unknown(section)
    inner = section.needed("encoder_ffn_dim", "intermediate_size")
    mels, positions = section.whole("num_mel_bins"), section.count("max_source_positions")
    text = section.count("output_dim") or config.whole("hidden_size")
    if family in _CONVOLVED_TWICE:
        # Sound is a picture of its frequencies first; then Whisper's layers, without its convolutions and positions.
        channels = section.whole("downsample_hidden_size")
        heard = 20 * channels + 2 * 9 * channels * channels + hidden * channels * -(-mels // 8)
        own = whisper_encoder(hidden, inner, layers, 0, 0) - 3 * hidden * hidden - 2 * hidden
        return own + heard + hidden * hidden + hidden + hidden * text + text, hidden, inner
    if family == "qwen2_5_omni_thinker":
        return whisper_encoder(hidden, inner, layers, mels, 0) + hidden * text + 3 * text, hidden, inner
    if family in ("audioflamingo3", "musicflamingo"):
        wide = (hidden + 1) * text + (text + 1) * text
        return whisper_encoder(hidden, inner, layers, mels, positions) + wide, hidden, inner
    if family == "glmasr":
        # Four steps as one, twice as wide as the language model; positions are turned.
        wide = inner * 2 * text + 2 * text + 2 * text * text + text
        return whisper_encoder(hidden, inner, layers, mels, 0) + wide, hidden, inner
    if family == "kimi_audio":
        # Four steps as one, then two layers of the language model's width and a norm.
        wide = (4 * hidden + 1) * text + (text + 1) * text + 2 * text
        return whisper_encoder(hidden, inner, layers, mels, positions) + wide, hidden, inner
    if family == "minicpmo":
        return (
            whisper_encoder(hidden, inner, layers, mels, positions) + (hidden + 1) * text + (text + 1) * text,
            hidden,
            inner,
        )
    project = hidden * text + text if family == "qwen2_audio" else (inner * text + text * text)
    return whisper_encoder(hidden, inner, layers, mels, positions) + project, hidden, inner


def whisper_encoder(hidden: int, inner: int, layers: int, mels: int, positions: int) -> int:
    """Parameters of Whisper's encoder."""
    layer = 4 * hidden * hidden + 3 * hidden + 2 * hidden * inner + inner + hidden + 4 * hidden
    return layer * layers + 3 * mels * hidden + 3 * hidden * hidden + 2 * hidden + positions * hidden + 2 * hidden


def _whisper_causal(section: Config, config: Config) -> tuple[int, int, int]:
    """Voxtral Realtime's: Whisper's with gated MLPs and heads of a size of their own, then so many steps as one.

    Source: vLLM, models/whisper_causal.py.
    """
    hidden, inner = section.whole("hidden_size"), section.whole("intermediate_size")
    heads, text = section.whole("num_attention_heads"), config.whole("hidden_size")
    wide = heads * section.whole("head_dim", max(1, hidden // heads))
    layer = 4 * hidden * wide + 2 * wide + 3 * hidden * inner + 4 * hidden
    heard = 3 * section.whole("num_mel_bins") * hidden + 3 * hidden * hidden + 3 * hidden
    steps = Config(config.outer, config.outer, config.where).whole("downsample_factor", 4)
    return section.whole("num_hidden_layers") * layer + heard + (steps * hidden + text) * text, hidden, inner


def _pair(section: Config, key: str, default: int) -> tuple[int, int]:
    """A size of frequency and one of time; one number is both."""
    said = section.numbers(key) or (section.whole(key, default),) * 2
    return said[0], said[-1]


def _dasheng(section: Config, config: Config) -> tuple[int, int, int]:
    """MiDasheng's: a vision transformer over spectrograms with a table for each axis, then so many steps as one by two layers.

    Source: vLLM, models/midashenglm.py.
    """
    hidden, layers, mels = section.whole("embed_dim", 768), section.whole("depth", 12), section.whole("n_mels", 64)
    ratio = section.values.get("mlp_ratio", 4)
    inner = int(hidden * ratio) if isinstance(ratio, (int, float)) and not isinstance(ratio, bool) else 4 * hidden
    patch, stride = _pair(section, "patch_size", 16), _pair(section, "patch_stride", 16)
    layer = 4 * hidden * (hidden + 1) + 2 * hidden * inner + inner + 5 * hidden
    layer += 2 * hidden if section.values.get("init_values") else 0
    tables = (section.whole("target_length", 1012) // stride[1] + mels // stride[0]) * hidden
    heard = (patch[0] * patch[1] * section.whole("input_channels", 1) + 1) * hidden + tables + 2 * mels + 2 * hidden
    steps, text = (
        Config(config.outer, config.outer, config.where).whole("subsample_factor", 5),
        config.whole("hidden_size"),
    )
    return layers * layer + heard + (steps * hidden + text) * text, hidden, inner


def _conformer_gemma3n(section: Config, config: Config) -> tuple[int, int, int]:
    """Gemma 3n's: two MLPs, attention to what was just heard and a convolution a layer; then a small vocabulary and one layer."""
    hidden, layers = section.whole("hidden_size"), section.whole("conf_num_hidden_layers")
    inner, words, text = 4 * hidden, section.whole("vocab_size"), config.whole("hidden_size")
    kernel, heads = section.whole("conf_conv_kernel_size"), section.whole("conf_num_attention_heads")
    matrices = 4 * hidden * inner + 5 * hidden * hidden + 3 * hidden * hidden
    layer = matrices + (9 + kernel) * hidden + hidden // heads
    channels = section.numbers("sscp_conv_channel_size") or (128, 32)
    heard = 9 * channels[0] * (1 + channels[-1]) + sum(channels)
    heard += channels[-1] * (section.whole("input_feat_size") // 4) * hidden
    return layers * layer + heard + words * hidden + 2 * hidden + hidden * text, hidden, inner


def _conformer_phi4(section: Config, config: Config) -> tuple[int, int, int]:
    """Phi-4's: as above with biases and gates, behind six convolutions; one projector for speech, one for speech with pictures."""
    hidden, layers = section.needed("attention_dim", "hidden_size"), section.whole("num_blocks")
    inner, text = section.needed("linear_units", "intermediate_size"), config.whole("hidden_size")
    mels, kernel = section.whole("input_size"), section.whole("kernel_size")
    mlp = 2 * hidden + 2 * (hidden + 1) * inner + (inner + 1) * hidden
    convolved = 2 * hidden * (hidden + 1) + 2 * hidden * (hidden + 1) + (kernel + 1) * hidden + 4 * hidden
    layer = 2 * mlp + 4 * hidden * (hidden + 1) + convolved + 4 * hidden
    channels = section.count("nemo_conv_channels", "nemo_conv_settings.conv_channels") or hidden
    heard = 3 * 9 * channels + 5 * channels + 2 * channels * channels + channels * hidden * (mels // 8) + hidden
    heard += 2000 * section.needed("attention_heads", "num_attention_heads")
    return layers * layer + heard + 2 * ((hidden + 1) * text + (text + 1) * text), hidden, inner


def _conformer_granite(section: Config, config: Config) -> tuple[int, int, int]:
    """Granite's: two MLPs, attention and a convolution a layer; then a Q-Former that asks with a few queries a window."""
    hidden, layers = section.whole("hidden_dim"), section.whole("num_layers")
    inner, heads = section.whole("feedforward_mult") * hidden, section.whole("num_heads")
    head = section.whole("dim_head")
    attended, wide = heads * head, section.whole("conv_expansion_factor") * hidden
    mlp = 2 * hidden + (hidden + 1) * inner + (inner + 1) * hidden
    attention = 4 * hidden * attended + 3 * hidden + (2 * section.whole("max_pos_emb") + 1) * head
    convolved = 2 * hidden + (hidden + 1) * 2 * wide + (section.whole("conv_kernel_size") + 2) * wide
    convolved += (wide + 1) * hidden
    ends = (section.whole("input_dim") + 1) * hidden
    words = section.whole("output_dim")
    ends += words * (hidden + 1) + (words + 1) * hidden
    layer = 2 * mlp + attention + convolved + 2 * hidden
    outer = Config(config.outer, config.outer, config.where)
    queries = max(1, outer.whole("window_size") // outer.whole("downsample_rate"))
    return layers * layer + ends + projectors.q_former(config, "projector_config", queries), hidden, inner


def _conformer_parakeet(section: Config, config: Config) -> tuple[int, int, int]:
    """Parakeet's: two MLPs, attention with its distances and a convolution a layer, behind convolutions that halve time by turns."""
    hidden, inner = section.whole("hidden_size"), section.whole("intermediate_size")
    channels, steps = (
        section.whole("subsampling_conv_channels", 256),
        section.whole("subsampling_factor", 8).bit_length() - 2,
    )
    mels, kernel = section.whole("num_mel_bins", 128), section.whole("conv_kernel_size", 9)
    biased = section.flag("attention_bias", default=True)
    convolved = section.flag("convolution_bias", default=True)
    mlp = 2 * hidden * inner + (inner + hidden if biased else 0)
    attention = 5 * hidden * hidden + 2 * hidden + (4 * hidden if biased else 0)
    convolution = 3 * hidden * hidden + (kernel + 2) * hidden + (4 * hidden if convolved else 0)
    layer = 2 * mlp + attention + convolution + 10 * hidden
    heard = 10 * channels + steps * (10 * channels + (channels + 1) * channels)
    heard += channels * (mels >> (steps + 1)) * hidden + hidden
    # Nemotron's: a norm, and two layers of squared rectifiers.
    wide, text = section.count("projection_hidden_size"), config.whole("hidden_size")
    return section.whole("num_hidden_layers") * layer + heard + hidden + (hidden + text) * wide, hidden, inner


_CONFORMERS: Mapping[str, Callable[[Config, Config], tuple[int, int, int]]] = {
    "gemma3n": _conformer_gemma3n,
    **dict.fromkeys(("granite_speech", "granite_speech_plus"), _conformer_granite),
    **dict.fromkeys(("nemotronh_nano_vl_v2", "cohere_asr"), _conformer_parakeet),
    "phi4mm": _conformer_phi4,
    "phi4_multimodal": _conformer_phi4,
}
# Families whose encoder of sound is counted here.
AUDIO = (
    *(
        "qwen2_audio",
        "voxtral",
        "ultravox",
        "qwen2_5_omni_thinker",
        "glmasr",
        "minicpmo",
        "kimi_audio",
        "voxtral_realtime",
        "midashenglm",
        "audioflamingo3",
        "musicflamingo",
        *_CONVOLVED_TWICE,
        *_CONFORMERS,
    ),
)


def _unknown(section: Config) -> FleetError:
    return FleetError(
        section.where,
        "this encoder's tensors can't be counted from it.",
        "Let model_info read the model's tensors, or set weights_bytes.",
    )
