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
    windows = params.get("sliding_window")
    if isinstance(windows, (list, tuple)) and windows:
        # A window for each layer by turns, or none.
        count = params.get("n_layers") if isinstance(params.get("n_layers"), int) else 0
        kinds = ["full_attention" if one is None else "sliding_attention" for one in windows]
        found |= {"sliding_window": next((one for one in windows if one is not None), None)}
        found["layer_types"] = [kinds[at % len(kinds)] for at in range(min(count or 0, 1000))]
    name, model_type, experts = _experts(params)
    text = {
        "architectures": [name],
        "model_type": model_type,
        "torch_dtype": "bfloat16",
        "max_position_embeddings": params.get("max_seq_len") or params.get("max_position_embeddings") or 128_000,
        "tie_word_embeddings": params.get("tied_embeddings") is True,
        **found,
        **experts,
        **_quantization(params),
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
    quantized = _quantization(params)
    merged = vision.get("mm_projector_id") == "patch_merge"
    return {
        "architectures": ["Mistral3ForConditionalGeneration" if merged else "LlavaForConditionalGeneration"],
        "model_type": "mistral3" if merged else "llava",
        "torch_dtype": "bfloat16",
        "text_config": {key: value for key, value in text.items() if key not in quantized},
        "vision_config": eyes,
        "spatial_merge_size": vision.get("spatial_merge_size"),
        **quantized,
    }


def _experts(params: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """The class and its type, with what the file says of experts and of a latent; experts that all share one are DeepSeek's.

    Source: vLLM, transformers_utils/configs/mistral.py.
    """
    moe = params.get("moe")
    if not isinstance(moe, Mapping):
        return "MistralForCausalLM", "mistral", {}
    if not moe.get("num_shared_experts"):
        found = {"num_local_experts": moe.get("num_experts"), "num_experts_per_tok": moe.get("num_experts_per_tok")}
        return "MixtralForCausalLM", "mixtral", found
    found = {ours: moe[theirs] for theirs, ours in _SHARING.items() if moe.get(theirs) is not None}
    return "MistralLarge3ForCausalLM", "deepseek_v3", found | {key: params[key] for key in _LATENT if key in params}


_SHARING = {
    **{"num_experts": "n_routed_experts", "num_experts_per_tok": "num_experts_per_tok"},
    **{"expert_hidden_dim": "moe_intermediate_size", "num_shared_experts": "n_shared_experts"},
    **{"first_k_dense_replace": "first_k_dense_replace", "route_every_n": "moe_layer_freq"},
}
_LATENT = ("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")


def _quantization(params: Mapping[str, Any]) -> dict[str, Any]:
    """How the weights are stored, in the words of config.json."""
    said = params.get("quantization")
    if not isinstance(said, Mapping) or not said:
        return {}
    if said.get("qformat_weight") == "fp8_e4m3":
        scheme = "dynamic" if said.get("qscheme_act") == "NO_SCALES" else "static"
        return {"quantization_config": {"quant_method": "fp8", "activation_scheme": scheme}}
    method = str(said.get("quant_method", "")).lower().replace("_", "-")
    return {"quantization_config": {**said, "quant_method": method or str(said.get("qformat_weight"))[:40]}}


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
        **({"quantization_config": text["quantization_config"]} if "quantization_config" in text else {}),
        "downsample_factor": steps.get("downsample_factor", 4),
        "text_config": {
            **{key: value for key, value in text.items() if key != "quantization_config"},
            "model_type": "voxtral_realtime_text" if causal else text["model_type"],
        },
        "audio_config": {key: value for key, value in ears.items() if value is not None},
    }
