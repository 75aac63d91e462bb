# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens and patches of the largest picture of each family, from what its processor makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import encoders
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.config import Config

TEXT: dict[str, Any] = {
    "hidden_size": 64,
    "vocab_size": 100,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "intermediate_size": 96,
    "spatial_merge_size": 2,
    "projector_hidden_size": 64,
}
SIZES: dict[str, Any] = {
    **{"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 96, "patch_size": 14, "num_heads": 4},
    **{"out_hidden_size": 64, "spatial_merge_size": 2, "vision_output_dim": 64, "projector_input_dim": 64},
    **{"projector_output_dim": 64, "temporal_merge_size": 2, "vocab_size": 100},
}
TILE = (448 // 14 // 2) ** 2
# Pixels that Qwen-VL's processors take at most, in squares of 28; CLIP's patches of 336 pixels; tiles of InternVL with the whole.
QWEN = 12_845_056 // 28**2
CLIP = (336 // 14) ** 2
# What one picture becomes at most (tokens), and of how many patches each token is.
LARGEST = {
    **dict.fromkeys(("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"), (QWEN, 4)),
    **dict.fromkeys(("glm4v", "glm4v_moe", "exaone4_5"), (QWEN, 4)),
    "gemma3": (16**2, (896 // 14) ** 2 // 16**2),
    "paligemma": (16**2, None),
    "gemma4": (1120, None),
    "llava": (CLIP, None),
    "llava_next": (5 * CLIP, None),
    # Four tiles each way and the whole, of 27 by 27 and of 26 by 26 patches; nine of 37 tiles, and what lies between them.
    "smolvlm": (17 * 27**2 // 9, 9),
    "idefics3": (17 * 26**2 // 4, 4),
    "llava_onevision": (12 * 27**2, 37 // 12),
    "lfm2_vl": (11 * 32**2 // 4, 4),
    "mistral3": ((1540 // 28) ** 2, 4),
    **dict.fromkeys(("internvl_chat", "internvl", "interns1"), (13 * TILE, 4)),
    **dict.fromkeys(("nemotronh_nano_vl_v2", "llama_nemotron_nano_vl", "cohere2_vision"), (13 * TILE, 4)),
    # Nine slices and the whole: 64 queries each, at 32 by 32 patches.
    **dict.fromkeys(("minicpmv", "minicpmo", "minicpmv4_6", "minicpmv4_7"), (10 * 64, 32 * 32 // 64)),
    "kimi_vl": (64**2, 4),
    # Sixteen tiles and the whole, twelve by twelve tokens each; of Phi's two words more at the end of each of five lines.
    "llama4": (17 * 12**2, 4),
    "phi3_v": (17 * 12**2 + 1 + (4 + 1) * 12, 4),
    **dict.fromkeys(("phi4mm", "phi4_multimodal"), (38 * TILE, 4)),
    "gemma3n": (16**2, None),
    "dots_ocr": (11_289_600 // 28**2, 4),
    "deepseek_vl_v2": (34**2, None),
    "ovis2_5": (1792**2 // 32**2, 4),
    # GLM-4V's with a word at each end; BLIP 2's queries, whatever a picture has.
    "chatglm": ((1120 // 28) ** 2 + 2, 4),
    "blip-2": (32, 8),
    "moondream3": (1 + 27 * 27, 13),
    "paddleocr_vl": (60**2, 4),
    **dict.fromkeys(("ernie4_5_moe_vl", "ernie4_5_vl_moe"), (6 * 32**2, 4)),
}
# Whisper's frames of half a minute, two as one.
HEARD = dict.fromkeys(("qwen2_audio", "ultravox", "voxtral"), 3000 // 2)
# Kimi's four steps as one; Cohere's 35 seconds, eight frames as one.
HEARD |= {"kimi_audio": 3000 // 2 // 4, "cohere_asr": -(-3500 // 8)}
# Two pictures at once: a film's, or the same twice.
TWICE = tuple(name for name in LARGEST if name.startswith(("qwen", "glm4v", "exaone")))
# Phi's ears are written wherever its eyes are not.
EARS = {
    "attention_dim": 64,
    "num_blocks": 2,
    "linear_units": 96,
    "input_size": 80,
    "kernel_size": 3,
    "attention_heads": 4,
}


@pytest.mark.parametrize("family", sorted(set(LARGEST) & encoders.COUNTED - {"deepseek_vl_v2"}))
def test_the_largest_picture_of_a_family(family: str) -> None:
    tokens, together = LARGEST[family]
    outer = {**TEXT, "model_type": family, "scale_factor": 2, "downsample_factor": 2, "alignment_intermediate_size": 64}
    outer |= {
        "vision_config": {**SIZES, "model_type": "", "proj_inner_dim": 64},
        "audio_processor": EARS if family == "phi4mm" else {},
    }
    found = encoders.read(Config(TEXT, outer))
    assert (found.tokens, found.patches) == (tokens, tokens * (together or SIZES["spatial_merge_size"] ** 2))
    assert found.pixels == 3 * 14 * 14 * (2 if family in TWICE else 1)


def test_every_family_has_its_largest_picture_here() -> None:
    assert {**{family: tokens for family, (tokens, _together) in LARGEST.items()}, **HEARD} == encoders._ITEM_TOKENS
    # Where a section writes how many become one, that counts.
    written = ("qwen", "glm4v", "exaone", "dots", "ernie", "paddle")
    merged = {family: one for family, (_tokens, one) in LARGEST.items() if one and not family.startswith(written)}
    assert merged == encoders._MERGED


@pytest.mark.parametrize("section", ["vision_config", "vit_config", "visual", "vision_tower_config", "img_processor"])
@pytest.mark.parametrize("inside", [None, "backbone_config", "config", "args"])
def test_eyes_are_found_under_any_name(section: str, inside: str | None) -> None:
    sizes = {inside: SIZES} if inside else SIZES
    found = encoders.read(Config(TEXT, {**TEXT, "model_type": "llava", section: sizes}))
    assert (found.kinds, found.hidden_size, found.intermediate_size) == (("vision",), 64, 96)
    assert encoders.sections({"model_type": "llava", section: sizes}) and not encoders.sections({section: {}})


@pytest.mark.parametrize(
    "section",
    ["audio_config", "speech_config", "audio_encoder_config", "sound_config", "audio_processor", "encoder_config"],
)
def test_ears_are_found_under_any_name(section: str) -> None:
    ears = {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "intermediate_size": 96,
        "num_mel_bins": 8,
        "max_source_positions": 9,
    }
    found = encoders.read(Config(TEXT, {**TEXT, "model_type": "voxtral", section: ears}))
    assert (found.kinds, found.tokens, found.patches, found.pixels, found.patch_size) == (("audio",), 1500, 1500, 0, 0)


@pytest.mark.parametrize("size", ["hidden_size", "hidden_dim", "d_model", "embed_dim", "width", "n_embd"])
@pytest.mark.parametrize(
    "part", ["tail_config", "talker_config", "projector_config", "quantization_config", "text_config"]
)
def test_a_part_with_sizes_that_nobody_reads_is_refused(size: str, part: str) -> None:
    outer = {"model_type": "llava", part: {size: 8}, "empty": {size: 0}, "word": size}
    if part != "tail_config":
        encoders.check_all_read(outer, "config")
        return
    with pytest.raises(FleetError, match=r"config\.tail_config: nothing is known of this part"):
        encoders.check_all_read(outer, "config")
    with pytest.raises(FleetError):
        encoders.check_all_read({"thinker_config": outer}, "config")


@pytest.mark.parametrize("depth", ["num_hidden_layers", "num_layers", "n_layers", "depth", "encoder_layers", "depths"])
def test_a_part_with_layers_is_one_with_sizes(depth: str) -> None:
    with pytest.raises(FleetError, match="nothing is known of this part"):
        encoders.check_all_read({"tail_config": {depth: 8}}, "config")


@pytest.mark.parametrize(
    "part", ["talker_config", "token2wav_config", "code2wav_config", "tts_config", "visual_tokenizer_config"]
)
def test_a_part_that_speaks_is_not_served(part: str) -> None:
    encoders.check_all_read({part: {"hidden_size": 8}}, "config")


def test_a_picture_is_no_larger_than_its_processor_makes_it() -> None:
    found = encoders.Encoders(1, 64, 96, ("vision",), patches=64, tokens=16, pixels=588, patch_size=14)
    # Four patches a token: 8 of 196 pixels are two tokens; less than a token's worth is one.
    limited = encoders.limited(found, 8 * 196)
    assert (limited.patches, limited.tokens) == (8, 2)
    assert encoders.limited(found, 1) == encoders.limited(found, 4 * 196)
    assert encoders.limited(found, 4 * 196).tokens == 1
    assert (
        encoders.limited(found, 64 * 196) == encoders.limited(found, 65 * 196) == encoders.limited(found, None) == found
    )
    assert encoders.limited(encoders.NO_ENCODERS, 8 * 196) == encoders.NO_ENCODERS


@pytest.mark.parametrize(
    ("processor", "pixels"),
    [
        ({"max_pixels": 2**14}, 2**14),
        ({"max_pixels": 2**14 - 1}, None),
        ({"size": {"longest_edge": 12_845_056}}, 12_845_056),
        ({"size": {"longest_edge": 1540}, "max_pixels": True}, None),
        ({"max_pixels": 2**15, "size": {"longest_edge": 2**20}}, 2**15),
        ({"size": 448}, None),
        ({}, None),
    ],
)
def test_what_a_processor_says_of_its_largest_picture(processor: dict[str, Any], pixels: int | None) -> None:
    assert encoders.largest_picture(processor) == pixels


def test_a_patch_is_as_its_section_says() -> None:
    def of(**section: Any) -> encoders.Encoders:
        return encoders.read(
            Config(TEXT, {**TEXT, "model_type": "gemma3n", "vision_config": {**section, "vocab_size": 128}})
        )

    mobile = {"architecture": "mobilenetv5_300m_enc", "hidden_size": 2048}
    assert (of(**mobile).patch_size, of(**mobile).pixels) == (14, 3 * 14 * 14)
    assert (of(**mobile, patch_size=16).patch_size, of(**mobile, spatial_patch_size=8).pixels) == (16, 3 * 8 * 8)
    # timm counts 294,126,912 in mobilenetv5_300m_enc, and is four times as wide inside.
    assert of(**mobile).parameters == 294_126_912 + 128 * 2048 + 2 * 2048 + 2048 * 64
    assert (of(**mobile).hidden_size, of(**mobile).intermediate_size) == (2048, 8192)


@pytest.mark.parametrize(
    ("name", "hidden", "layers", "inner"),
    [
        # timm's vision transformers: MLPs four times as wide, but for the one of a shape found by search.
        ("vit_base_patch16_224", 768, 12, 4 * 768),
        ("vit_large_patch16_224", 1024, 24, 4 * 1024),
        ("vit_huge_patch16_224", 1280, 32, 4 * 1280),
        ("vit_so400m_patch16_224", 1152, 27, 4304),
    ],
)
def test_radio_s_encoders_are_timm_s(name: str, hidden: int, layers: int, inner: int) -> None:
    section = {"model": name, "hidden_size": 8}
    outer = {**TEXT, "model_type": "nemotronh_nano_vl_v2", "projector_hidden_size": 32, "vision_config": section}
    found = encoders.read(Config(TEXT, outer))
    layer = 4 * hidden * hidden + 2 * hidden * inner + 9 * hidden + inner
    # Patches of 16 pixels, positions for pictures of 2,048.
    eyes = layers * layer + (2048 // 16) ** 2 * hidden + 3 * 16 * 16 * hidden
    assert found.parameters == eyes + 4 * hidden * (32 + 1) + 32 * 64
    assert (found.hidden_size, found.intermediate_size) == (hidden, inner)
    smaller = {**section, "patch_size": 32, "cpe_max_size": 64}
    other = encoders.read(Config(TEXT, {**outer, "vision_config": smaller}))
    assert other.parameters - found.parameters == (4 - 128**2) * hidden + 3 * (32**2 - 16**2) * hidden


def test_deepseek_s_eyes_are_two_encoders_or_one() -> None:
    # SAM's base encoder with its two convolutions, and CLIP's large one: 95.6 and 303.2 million.
    section = {"width": {"clip-l-14-224": {}, "sam_vit_b": {}}, "model_name": "deeplip_b_l"}
    outer = {**TEXT, "model_type": "deepseek_vl_v2", "vision_config": section}
    found = encoders.read(Config(TEXT, outer))
    assert found.parameters == 95_569_152 + 303_177_728 + (2 * 1024 + 1) * 64 + 2 * 64
    assert (found.hidden_size, found.intermediate_size, found.tokens) == (1024, 4096, 34**2)
    # DeepSeek-VL 2's: four patches as one, by two layers.
    one = encoders.read(Config(TEXT, {**outer, "vision_config": {**SIZES, "model_name": "siglip"}}))
    clip = encoders.read(Config(TEXT, {**outer, "model_type": "llava", "vision_config": {**SIZES, "model_type": "x"}}))
    two_layers = 64 * 64 + 64 * 64 + 2 * 64
    assert one.parameters - (clip.parameters - two_layers) == 4 * 64 * 64 + 64 * 64 + 4 * 64


# Whisper's encoder: two convolutions, layers of attention (keys without a bias) and an MLP, a norm; positions where they are stored.
EARS_OF_WHISPER = {
    **{"d_model": 32, "encoder_layers": 3, "encoder_ffn_dim": 80, "num_mel_bins": 16, "max_source_positions": 50},
    "output_dim": 64,
}
HEARING = 3 * (4 * 32 * 32 + 3 * 32 + 2 * 32 * 80 + 80 + 32 + 4 * 32) + 3 * 16 * 32 + 3 * 32 * 32 + 2 * 32 + 2 * 32


@pytest.mark.parametrize(
    ("family", "more"),
    [
        # One layer to the language model's width of 64, with a bias.
        ("qwen2_audio", 50 * 32 + 32 * 64 + 64),
        # As wide as the MLP, then at the language model's width; no bias.
        ("voxtral", 50 * 32 + 80 * 64 + 64 * 64),
        ("ultravox", 50 * 32 + 80 * 64 + 64 * 64),
        ("minicpmo", 50 * 32 + 33 * 64 + 65 * 64),
        # Positions are computed: a layer, and two words that begin and end what is heard.
        ("qwen2_5_omni_thinker", 32 * 64 + 3 * 64),
        # Steps put together, through twice the language model's width.
        ("glmasr", 80 * 128 + 128 + 128 * 64 + 64),
    ],
)
def test_what_whisper_hears_and_how_it_is_told_on(family: str, more: int) -> None:
    outer = {**TEXT, "model_type": family, "audio_config": {**EARS_OF_WHISPER, "model_type": "x"}}
    found = encoders.read(Config(TEXT, outer))
    assert found.parameters == HEARING + more
    assert (found.kinds, found.hidden_size, found.intermediate_size) == (("audio",), 32, 80)


def test_ears_nobody_knows_are_refused() -> None:
    for family, ears in (
        ("of_tomorrow", EARS_OF_WHISPER),
        ("voxtral", {"d_model": 32}),
        ("voxtral", {"encoder_layers": 3}),
    ):
        with pytest.raises(FleetError):
            encoders.read(Config(TEXT, {**TEXT, "model_type": family, "audio_config": {**ears, "model_type": "x"}}))
