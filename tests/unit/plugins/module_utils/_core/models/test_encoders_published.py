# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Models whose classes are not in transformers, or not as they are served, beside the parameters that are published of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import encoders
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape

PUBLISHED = json.loads((Path(__file__).parents[5] / "data" / "published_parameters.json").read_text())
SIGLIP = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_attention_heads": 16,
    "num_hidden_layers": 27,
    "patch_size": 14,
}
MINICPM_V_2_6: dict[str, Any] = {
    **{"architectures": ["MiniCPMV"], "model_type": "minicpmv", "torch_dtype": "bfloat16", "query_num": 64},
    **{"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28},
    **{"num_key_value_heads": 4, "vocab_size": 151666, "max_position_embeddings": 32768, "tie_word_embeddings": False},
    "slice_config": {"max_slice_nums": 9, "patch_size": 14, "model_type": "minicpmv"},
    "vision_config": {**SIGLIP, "model_type": "siglip", "image_size": 980},
}
KIMI_VL_A3B: dict[str, Any] = {
    **{"architectures": ["KimiVLForConditionalGeneration"], "model_type": "kimi_vl", "torch_dtype": "bfloat16"},
    "text_config": {
        **{"model_type": "deepseek_v3", "hidden_size": 2048, "intermediate_size": 11264, "moe_intermediate_size": 1408},
        **{"num_hidden_layers": 27, "num_attention_heads": 16, "num_key_value_heads": 16, "n_shared_experts": 2},
        **{"n_routed_experts": 64, "num_experts_per_tok": 6, "first_k_dense_replace": 1, "moe_layer_freq": 1},
        **{
            "kv_lora_rank": 512,
            "q_lora_rank": None,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "v_head_dim": 128,
        },
        **{"vocab_size": 163840, "max_position_embeddings": 131072, "tie_word_embeddings": False},
    },
    "vision_config": {**SIGLIP, "model_type": "moonvit", "init_pos_emb_height": 64, "init_pos_emb_width": 64},
}


@pytest.mark.parametrize(
    ("config", "published", "tokens", "patches"),
    [(MINICPM_V_2_6, 8.10e9, 640, 10240), (KIMI_VL_A3B, 16.41e9, 4096, 16384)],
    ids=["MiniCPM-V 2.6", "Kimi-VL-A3B"],
)
def test_encoders_count_as_published(config: dict[str, Any], published: float, tokens: int, patches: int) -> None:
    found = ModelShape.from_config(config)
    assert abs(found.parameters() - published) < published / 1000
    assert found.known
    assert (found.encoders.kinds, found.encoders.tokens, found.encoders.patches) == (("vision",), tokens, patches)
    alone = ModelShape.from_config({**config, "vision_config": {}})
    assert found.parameters() - alone.parameters() == found.encoders.parameters
    assert found.keeps == alone.keeps, "an encoder keeps nothing of a token"


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda entry: str(entry["id"]))
def test_parameters_are_those_published(entry: dict[str, Any]) -> None:
    found = ModelShape.from_config(entry["config"])
    assert found.known
    # A card says billions; what the count is off then is held, so that it changes on purpose alone.
    assert found.parameters() - entry["parameters"] == entry.get("off", 0)
    assert abs(entry.get("off", 0)) <= entry["parameters"] / 1000


@pytest.mark.parametrize(
    ("section", "parameters"),
    [
        ({"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_mel_bins": 80}, 607_749_120),
        ({"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 48, "num_mel_bins": 128}, 1_895_339_264),
    ],
)
def test_parakeet_counts_as_its_class_does(section: dict[str, Any], parameters: int) -> None:
    # transformers' ParakeetEncoder, and the norm before Nemotron's projector.
    nano = NANO["config"]
    model = {"architectures": ["NemotronH_Nano_Omni_Reasoning_V3"], "model_type": "NemotronH_Nano_Omni_Reasoning_V3"}
    found = ModelShape.from_config({**model, "llm_config": nano, "sound_config": {"model_type": "parakeet", **section}})
    assert found.encoders.parameters == parameters + section["hidden_size"]


def test_a_retriever_that_sees_both_sides_keeps_no_tokens() -> None:
    text = {"architectures": ["LlamaBidirectionalModel"], "model_type": "llama_bidirec", "hidden_size": 2048}
    text |= {"intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32, "vocab_size": 128266}
    eyes = {**SIGLIP, "model_type": "siglip_vision_model", "image_size": 512, "vision_use_head": False}
    found = ModelShape.from_config(
        {
            "architectures": ["LlamaNemotronVLModel"],
            "model_type": "llama_nemotron_vl",
            "llm_config": text,
            "vision_config": eyes,
        }
    )
    assert not found.has_kv_cache
    assert found.task == "embed"


def test_turned_positions_have_no_table() -> None:
    roberta = {"architectures": ["XLMRobertaModel"], "model_type": "xlm-roberta", "hidden_size": 1024}
    roberta |= {"num_hidden_layers": 24, "num_attention_heads": 16, "vocab_size": 250002, "type_vocab_size": 1}
    roberta |= {"intermediate_size": 4096, "max_position_embeddings": 8194}
    found = ModelShape.from_config({**roberta, "position_embedding_type": "rotary"})
    assert ModelShape.from_config(roberta).parameters() - found.parameters() == 8194 * 1024


@pytest.mark.parametrize(
    ("version", "kind"),
    [(2.0, "MiniCPMForCausalLM"), (2.5, "LlamaForCausalLM"), (2.6, "Qwen2ForCausalLM"), (4.0, "LlamaForCausalLM")],
)
def test_a_minicpm_v_speaks_as_its_version_says(version: float, kind: str) -> None:
    assert ModelShape.from_config({**MINICPM_V_2_6, "version": version}).architecture == kind
    assert ModelShape.from_config(MINICPM_V_2_6).architecture == "LlamaForCausalLM"


PHI_4: dict[str, Any] = {
    **{
        "architectures": ["Phi4MMForCausalLM"],
        "model_type": "phi4mm",
        "torch_dtype": "bfloat16",
        "img_processor": None,
    },
    **{"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32, "num_attention_heads": 24},
    **{"num_key_value_heads": 8, "vocab_size": 200064, "tie_word_embeddings": True, "max_position_embeddings": 131072},
    "audio_processor": {
        "name": "cascades",
        "config": {
            **{"attention_dim": 1024, "attention_heads": 16, "num_blocks": 24, "linear_units": 1536},
            **{"input_size": 80, "kernel_size": 3, "time_reduction": 8},
        },
    },
}


def test_phi_4_sees_and_hears_though_its_file_says_nothing_of_eyes() -> None:
    # transformers' class has 5,308,268,992: with an output layer of its own, keys and values of 96 in place of 128 a head, SigLIP's
    # last layer and its head, which vLLM leaves out.
    layer, head = (
        4 * 1152 * 1152 + 2 * 1152 * 4304 + 9 * 1152 + 4304,
        4 * 1152 * 1152 + 2 * 1152 * 4304 + 12 * 1152 + 4304,
    )
    wider_keys = 32 * 2 * 8 * (128 - 96) * 3072
    found = ModelShape.from_config(PHI_4)
    assert found.encoders.kinds == ("vision", "audio")
    published = 5_308_268_992 - 200064 * 3072 + wider_keys - layer - head
    assert found.parameters() == pytest.approx(published, rel=1e-4)
    fewer = {**PHI_4["audio_processor"], "config": {**PHI_4["audio_processor"]["config"], "num_blocks": 12}}
    assert ModelShape.from_config({**PHI_4, "audio_processor": fewer}).parameters() < found.parameters()


def test_phi_3_5_vision_counts_as_published_but_for_the_layer_that_is_not_looked_into() -> None:
    # The hub counts 4,146,621,440; of CLIP's 24 layers vLLM (models/phi3v.py) loads 23.
    phi = {
        **{"architectures": ["Phi3VForCausalLM"], "model_type": "phi3_v", "torch_dtype": "bfloat16"},
        **{"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32, "num_attention_heads": 32},
        **{
            "num_key_value_heads": 32,
            "vocab_size": 32064,
            "tie_word_embeddings": False,
            "max_position_embeddings": 131072,
        },
        "img_processor": {"image_dim_out": 1024, "name": "clip_vision_model", "num_img_tokens": 144},
    }
    layer = 12 * 1024 * 1024 + 13 * 1024
    assert ModelShape.from_config(phi).parameters() == pytest.approx(4_146_621_440 - layer, rel=1e-4)


def test_paddleocr_vl_counts_without_what_no_engine_loads() -> None:
    # The checkpoint has a head and a table of packed positions, which vLLM (models/paddleocr_vl.py) leaves out: 958,588,736 with them.
    paddle = {
        **{"architectures": ["PaddleOCRVLForConditionalGeneration"], "model_type": "paddleocr_vl"},
        **{"torch_dtype": "bfloat16", "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 18},
        **{"num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 128, "vocab_size": 103424},
        **{"tie_word_embeddings": False, "use_bias": False, "max_position_embeddings": 131072},
        "vision_config": {**SIGLIP, "model_type": "paddleocr_vl", "image_size": 384, "spatial_merge_size": 2},
    }
    head = 4 * 1152 * 1152 + 2 * 1152 * 4304 + 8 * 1152 + 4304 + 1152 + 2 * 1152
    left_out = 32768 * 1152 + head
    assert ModelShape.from_config(paddle).parameters() == pytest.approx(958_588_736 - left_out, rel=1e-3)


NANO: dict[str, Any] = next(entry for entry in PUBLISHED if entry["id"] == "nvidia/NVIDIA-Nemotron-Nano-12B-v2")


def test_nemotron_s_eyes_are_known_by_their_name() -> None:
    # RADIO's huge encoder with positions of 2,048 pixels, and a projector five times as wide as what it reads.
    radio = {"args": {"model": "vit_huge_patch16_224", "cpe_max_size": 2048}, "patch_size": 16}
    model = {"architectures": ["NemotronH_Nano_VL_V2"], "model_type": "NemotronH_Nano_VL_V2", "vision_config": radio}
    found = ModelShape.from_config({**model, "projector_hidden_size": 20480, "llm_config": NANO["config"]})
    layer = 4 * 1280 * 1280 + 2 * 1280 * 5120 + 9 * 1280 + 5120
    eyes = 32 * layer + 16384 * 1280 + 768 * 1280
    assert found.encoders.parameters == eyes + 5120 + 5120 * 20480 + 20480 * 5120
    assert found.parameters() - ModelShape.from_config(NANO["config"]).parameters() == found.encoders.parameters
    with pytest.raises(FleetError, match="this encoder's tensors can't be counted from it"):
        unheard = {**radio, "args": {"model": "vit_of_tomorrow"}}
        ModelShape.from_config({**model, "llm_config": NANO["config"], "vision_config": unheard})


def test_minicpm_o_hears_as_whisper_does() -> None:
    ears = {
        "d_model": 1024,
        "encoder_layers": 24,
        "encoder_ffn_dim": 4096,
        "num_mel_bins": 80,
        "max_source_positions": 1500,
    }
    model = {**MINICPM_V_2_6, "architectures": ["MiniCPMO"], "model_type": "minicpmo", "audio_config": ears}
    found = ModelShape.from_config({**model, "tts_config": {"hidden_size": 768, "num_hidden_layers": 20}})
    heard = found.parameters() - ModelShape.from_config({**MINICPM_V_2_6, "version": 2.6}).parameters()
    # openai/whisper-medium's encoder, and two layers into the language model's width; less the biases that Qwen 2 has and a Llama not.
    assert heard == pytest.approx(307_216_384 + 1025 * 3584 + 3585 * 3584, rel=1e-3)
    assert found.encoders.kinds == ("vision", "audio")


def test_an_encoder_nobody_counted_is_refused_by_its_family() -> None:
    with pytest.raises(FleetError, match=r"the encoder of eyes_of_tomorrow can't be counted from a config.json"):
        ModelShape.from_config({**KIMI_VL_A3B, "model_type": "eyes_of_tomorrow"})
    assert "eyes_of_tomorrow" not in encoders.COUNTED


def test_phi_4_s_eyes_have_no_last_layer_and_no_head() -> None:
    text = {"hidden_size": 5120, "intermediate_size": 17920, "num_hidden_layers": 40, "num_attention_heads": 40}
    text |= {"num_key_value_heads": 10, "vocab_size": 100352, "tie_word_embeddings": False, "mm_hidden_size": 1152}
    eyes = {**SIGLIP, "model_type": "siglip2_vision_model", "num_patches": 256, "patch_size": 16}
    model = {"architectures": ["Phi4ForCausalLMV"], "model_type": "phi4-siglip", **text}
    found = ModelShape.from_config({**model, "vision_config": eyes})
    fewer = ModelShape.from_config({**model, "vision_config": {**eyes, "num_hidden_layers": 26}})
    layer = 4 * 1152 * 1152 + 2 * 1152 * 4304 + 9 * 1152 + 4304
    assert found.encoders.parameters - fewer.encoders.parameters == layer
    assert found.architecture == "Phi3ForCausalLM"
    positions, patches, ends = 256 * 1152, 768 * 1152, 2 * 1152
    projector = 1152 * 5120 + 5120 * 5120 + 2 * 5120
    assert found.encoders.parameters == 26 * layer + positions + patches + ends + projector
