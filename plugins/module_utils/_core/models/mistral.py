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
    if (heard := _heard(params)) is not None:
        return _hearing(text, *heard)
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


def _heard(params: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """What a Voxtral's file says of its encoder of sound, and of the steps that become one; None of any other."""
    found: Any = params
    for key in ("multimodal", "whisper_model_args"):
        found = found.get(key) if isinstance(found, Mapping) else None
    encoder, steps = (
        found.get(key) if isinstance(found, Mapping) else None for key in ("encoder_args", "downsample_args")
    )
    if not isinstance(encoder, Mapping):
        return None
    return encoder, steps if isinstance(steps, Mapping) else {}


def _hearing(text: Mapping[str, Any], encoder: Mapping[str, Any], steps: Mapping[str, Any]) -> dict[str, Any]:
    """Write a Voxtral's as transformers does; one whose encoder looks back alone hears while it speaks (vLLM, configs/mistral.py)."""
    sound = encoder.get("audio_encoding_args")
    mels = sound.get("num_mel_bins") if isinstance(sound, Mapping) else None
    causal = encoder.get("causal") is True
    ears = {
        "model_type": "voxtral_realtime_encoder" if causal else "voxtral_encoder",
        **{"hidden_size": encoder.get("dim"), "intermediate_size": encoder.get("hidden_dim"), "num_mel_bins": mels},
        **{"num_hidden_layers": encoder.get("n_layers"), "num_attention_heads": encoder.get("n_heads")},
        **({"head_dim": encoder.get("head_dim"), "sliding_window": encoder.get("sliding_window")} if causal else {}),
    }
    return {
        "architectures": ["VoxtralRealtimeGeneration" if causal else "VoxtralForConditionalGeneration"],
        "model_type": "voxtral_realtime" if causal else "voxtral",
        "torch_dtype": "bfloat16",
        "tie_word_embeddings": text["tie_word_embeddings"],
        "downsample_factor": steps.get("downsample_factor", 4),
        "text_config": {**text, "model_type": "voxtral_realtime_text" if causal else text["model_type"]},
        "audio_config": {key: value for key, value in ears.items() if value is not None},
    }
