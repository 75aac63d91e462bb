# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mistral's own format: params.json in place of config.json, and the flags that an engine needs for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FLAGS = "--tokenizer-mode mistral, --config-format mistral and --load-format mistral"
_NAMES = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "num_key_value_heads": "n_kv_heads",
    "head_dim": "head_dim",
    "intermediate_size": "hidden_dim",
    "vocab_size": "vocab_size",
    "sliding_window": "sliding_window",
}


def config_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """Write a params.json as the config.json of the same model."""
    found: dict[str, Any] = {ours: params.get(theirs) for ours, theirs in _NAMES.items()}
    moe = params.get("moe")
    experts = {}
    if isinstance(moe, Mapping):
        experts = {"num_local_experts": moe.get("num_experts"), "num_experts_per_tok": moe.get("num_experts_per_tok")}
    text = {
        "architectures": ["MixtralForCausalLM" if experts else "MistralForCausalLM"],
        "model_type": "mixtral" if experts else "mistral",
        "torch_dtype": "bfloat16",
        "max_position_embeddings": params.get("max_seq_len") or params.get("max_position_embeddings") or 128_000,
        "tie_word_embeddings": params.get("tied_embeddings") is True,
        **found,
        **experts,
    }
    vision = params.get("vision_encoder")
    if not isinstance(vision, Mapping):
        return text
    eyes = {
        "model_type": "pixtral",
        **{
            key: vision.get(key)
            for key in ("hidden_size", "num_hidden_layers", "intermediate_size", "image_size", "patch_size")
        },
    }
    merged = vision.get("mm_projector_id") == "patch_merge"
    return {
        "architectures": ["Mistral3ForConditionalGeneration" if merged else "LlavaForConditionalGeneration"],
        "model_type": "mistral3" if merged else "llava",
        "torch_dtype": "bfloat16",
        "text_config": text,
        "vision_config": eyes,
        "spatial_merge_size": vision.get("spatial_merge_size"),
    }
