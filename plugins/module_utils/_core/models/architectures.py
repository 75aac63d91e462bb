# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What sets one architecture's tensors apart from a Llama's. One that is not here is counted like a Llama, and said to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Architecture:
    """A decoder unless it is an encoder: norms a layer, biases, norms of queries and keys, and what config.json leaves out."""

    norms: int = 2
    qkv_bias: bool = False
    qk_norm: bool = False
    tied: bool = False
    latent: bool = False
    shared_gate: bool = False
    head: bool = True
    encoder: bool = False
    gated: bool = True
    bias: bool = False
    # One layer of so many has full attention, of 1 none; and the window that holds where config.json is silent.
    sliding_pattern: int = 0
    window: int | None = None


LLAMA = Architecture()
MISTRAL = Architecture(sliding_pattern=1, window=4096)
QWEN2 = Architecture(qkv_bias=True)
QWEN3 = Architecture(qk_norm=True)
DEEPSEEK = Architecture(latent=True)
# Encoders have no KV cache and no output layer; BERT's have biases everywhere and no gate in the MLP.
BERT = Architecture(encoder=True, head=False, gated=False, bias=True)
MODERN_BERT = Architecture(encoder=True, head=False)
_DECODERS = {
    "LlamaForCausalLM": LLAMA,
    "MistralForCausalLM": MISTRAL,
    "Phi3ForCausalLM": LLAMA,
    "MixtralForCausalLM": LLAMA,
    "Qwen2ForCausalLM": QWEN2,
    "Qwen2MoeForCausalLM": Architecture(qkv_bias=True, shared_gate=True),
    "Qwen3ForCausalLM": QWEN3,
    "Qwen3MoeForCausalLM": QWEN3,
    "GemmaForCausalLM": Architecture(tied=True),
    "Gemma2ForCausalLM": Architecture(tied=True, norms=4, sliding_pattern=2),
    "Gemma3ForCausalLM": Architecture(tied=True, norms=4, qk_norm=True, sliding_pattern=6),
    "DeepseekV2ForCausalLM": DEEPSEEK,
    "DeepseekV3ForCausalLM": DEEPSEEK,
}
_HEADLESS = {
    # Embedding models that are decoders: they have a KV cache and no output layer.
    "LlamaModel": LLAMA,
    "MistralModel": LLAMA,
    "Qwen2Model": QWEN2,
    "Qwen3Model": QWEN3,
}
_ENCODERS = {
    **dict.fromkeys(
        (
            *("BertModel", "RobertaModel", "XLMRobertaModel", "BertForSequenceClassification", "BertForMaskedLM"),
            *("RobertaForSequenceClassification", "XLMRobertaForSequenceClassification", "RobertaForMaskedLM"),
        ),
        BERT,
    ),
    **dict.fromkeys(("ModernBertModel", "ModernBertForSequenceClassification", "NomicBertModel"), MODERN_BERT),
}
ARCHITECTURES: Mapping[str, Architecture] = {
    **_DECODERS,
    **{name: Architecture(qkv_bias=it.qkv_bias, qk_norm=it.qk_norm, head=False) for name, it in _HEADLESS.items()},
    **_ENCODERS,
}
# A multimodal model's language part, by the model_type of its text_config, with what published files leave to the library's defaults.
NESTED: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "gemma3_text": (
        "Gemma3ForCausalLM",
        {
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 256,
            "vocab_size": 262208,
            "max_position_embeddings": 131072,
        },
    ),
    "llama": (
        "LlamaForCausalLM",
        {
            "hidden_size": 4096,
            "intermediate_size": 11008,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "max_position_embeddings": 2048,
        },
    ),
    "mistral": ("MistralForCausalLM", {}),
    "qwen2": ("Qwen2ForCausalLM", {}),
    "qwen3": ("Qwen3ForCausalLM", {}),
}
# Other names for the same sizes, of older architectures.
ALIASES = {
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "intermediate_size": "n_inner",
    "max_position_embeddings": "n_positions",
}
