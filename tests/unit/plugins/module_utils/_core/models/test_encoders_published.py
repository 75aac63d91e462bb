# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encoders of models whose classes are not in transformers, beside the billions of parameters that are published of them."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape

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
