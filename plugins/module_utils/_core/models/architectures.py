# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What sets one architecture's tensors apart from a Llama's. One that is not here can't be counted from its config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Architecture:
    """A decoder unless it is an encoder: norms a layer, biases, norms of queries and keys, and what config.json leaves out."""

    norms: int = 2
    qkv_bias: bool = False
    # Norms of queries and keys: of one head's size, or over all heads.
    qk_norm: bool = False
    wide_qk_norm: bool = False
    tied: bool = False
    shared_gate: bool = False
    head: bool = True
    encoder: bool = False
    gated: bool = True
    # Biases in every linear layer, and in the norms.
    bias: bool = False
    norm_bias: bool = False
    # One layer of so many has full attention, of 1 none; and the window that holds where config.json is silent.
    sliding_pattern: int = 0
    window: int | None = None
    # Attention and MLP read the same input, side by side.
    parallel: bool = False
    # Positions are learned, and so many come before the first.
    learned_positions: int | None = None
    # Layers without an attention key of their own are of this kind.
    mixer: str = "attention"
    # The engine keeps a latent a token only for these; others with a kv_lora_rank get keys and values of all heads.
    latent: bool = False
    # Routers compute in float32, from a copy of their input.
    wide_router: bool = False


LLAMA = Architecture()
MISTRAL = Architecture(sliding_pattern=1, window=4096)
QWEN2 = Architecture(qkv_bias=True)
QWEN3 = Architecture(qk_norm=True)
DEEPSEEK = Architecture(latent=True)
GEMMA = Architecture(tied=True)
GEMMA3 = Architecture(tied=True, norms=4, qk_norm=True, sliding_pattern=6)
COHERE = Architecture(tied=True, norms=1, parallel=True)
OLMO2 = Architecture(wide_qk_norm=True)
GPT2 = Architecture(tied=True, gated=False, bias=True, norm_bias=True, learned_positions=0)
# Encoders have no KV cache and no output layer; BERT's have biases everywhere and no gate in the MLP.
BERT = Architecture(encoder=True, head=False, gated=False, bias=True)
MODERN_BERT = Architecture(encoder=True, head=False)
_DECODERS = {
    **dict.fromkeys(
        (
            *("LlamaForCausalLM", "LLaMAForCausalLM", "Phi3ForCausalLM", "MixtralForCausalLM", "SmolLM3ForCausalLM"),
            *(
                "GraniteForCausalLM",
                "GraniteMoeForCausalLM",
                "Llama4ForCausalLM",
                "InternLM2ForCausalLM",
                "AquilaForCausalLM",
            ),
            *(
                "InternLM3ForCausalLM",
                "Ernie4_5ForCausalLM",
                "Ministral3ForCausalLM",
            ),
            *(
                "BaichuanForCausalLM",
                "BaiChuanForCausalLM",
                "MiniCPMForCausalLM",
                "ExaoneForCausalLM",
                "SolarForCausalLM",
            ),
            *(
                "OlmoForCausalLM",
                "TeleChat2ForCausalLM",
                "OrionForCausalLM",
                "DeepseekForCausalLM",
                "XverseForCausalLM",
            ),
            *("MistralLarge3ForCausalLM",),
        ),
        LLAMA,
    ),
    "MistralForCausalLM": MISTRAL,
    "Qwen2ForCausalLM": QWEN2,
    "SeedOssForCausalLM": QWEN2,
    "MiMoForCausalLM": QWEN2,
    "Qwen2MoeForCausalLM": Architecture(qkv_bias=True, shared_gate=True),
    "Qwen3ForCausalLM": QWEN3,
    "Qwen3MoeForCausalLM": QWEN3,
    "ArceeForCausalLM": Architecture(gated=False),
    "ApertusForCausalLM": Architecture(qk_norm=True, gated=False),
    "HunYuanDenseV1ForCausalLM": QWEN3,
    "HunYuanMoEV1ForCausalLM": QWEN3,
    "Dots1ForCausalLM": QWEN3,
    "MiniMaxM2ForCausalLM": OLMO2,
    "Qwen3NextForCausalLM": Architecture(qk_norm=True, shared_gate=True, mixer="delta"),
    "Qwen3_5ForCausalLM": Architecture(qk_norm=True, shared_gate=True, mixer="delta"),
    "Qwen3_5MoeForCausalLM": Architecture(qk_norm=True, shared_gate=True, mixer="delta"),
    "GemmaForCausalLM": GEMMA,
    "Gemma2ForCausalLM": Architecture(tied=True, norms=4, sliding_pattern=2),
    "Gemma3ForCausalLM": GEMMA3,
    "Gemma4ForCausalLM": GEMMA3,
    "DeepseekV2ForCausalLM": DEEPSEEK,
    "DeepseekV3ForCausalLM": DEEPSEEK,
    "Glm4MoeLiteForCausalLM": DEEPSEEK,
    "KimiLinearForCausalLM": Architecture(latent=True, mixer="kda"),
    "MiniCPM3ForCausalLM": LLAMA,
    "GlmForCausalLM": QWEN2,
    "Glm4ForCausalLM": Architecture(norms=4, qkv_bias=True),
    "Glm4MoeForCausalLM": replace(QWEN2, wide_router=True),
    "Ernie4_5_MoeForCausalLM": Architecture(wide_router=True),
    "GptOssForCausalLM": Architecture(qkv_bias=True, sliding_pattern=2),
    "Olmo2ForCausalLM": OLMO2,
    "Olmo3ForCausalLM": OLMO2,
    "OlmoeForCausalLM": OLMO2,
    "PhiMoEForCausalLM": Architecture(norm_bias=True),
    "FlexOlmoForCausalLM": OLMO2,
    "CohereForCausalLM": COHERE,
    "Cohere2ForCausalLM": replace(COHERE, sliding_pattern=4),
    "Exaone4ForCausalLM": QWEN3,
    "StableLmForCausalLM": Architecture(norm_bias=True),
    "Starcoder2ForCausalLM": Architecture(gated=False, bias=True, norm_bias=True, tied=True, sliding_pattern=1),
    "NemotronForCausalLM": Architecture(gated=False, norm_bias=True),
    "PhiForCausalLM": Architecture(norms=1, parallel=True, gated=False, bias=True, norm_bias=True),
    "GPT2LMHeadModel": GPT2,
    "GPTBigCodeForCausalLM": GPT2,
    "GPTNeoXForCausalLM": Architecture(gated=False, bias=True, norm_bias=True),
    "OPTForCausalLM": replace(GPT2, learned_positions=2),
    "FalconForCausalLM": Architecture(norms=1, parallel=True, gated=False, norm_bias=True, tied=True),
    "GraniteMoeHybridForCausalLM": Architecture(mixer="mamba2"),
    "GraniteMoeSharedForCausalLM": LLAMA,
    "BambaForCausalLM": Architecture(mixer="mamba2"),
    "FalconH1ForCausalLM": Architecture(mixer="mamba2"),
    "NemotronHForCausalLM": Architecture(norms=1, gated=False, mixer="mamba2"),
    "Mamba2ForCausalLM": Architecture(norms=1, mixer="mamba2", tied=True),
    "MambaForCausalLM": Architecture(norms=1, mixer="mamba1", tied=True),
    "FalconMambaForCausalLM": Architecture(norms=1, mixer="mamba1", tied=True),
    "JambaForCausalLM": Architecture(mixer="mamba1"),
    "Lfm2ForCausalLM": Architecture(qk_norm=True, mixer="conv", tied=True),
    "Lfm2MoeForCausalLM": Architecture(qk_norm=True, mixer="conv", tied=True),
    "MiniMaxText01ForCausalLM": Architecture(mixer="lightning"),
    "MiniMaxM1ForCausalLM": Architecture(mixer="lightning"),
}
# Embedding models and classifiers that are decoders: they have a KV cache and no output layer over the vocabulary.
_HEADLESS = {
    **{name: _DECODERS[f"{name}ForCausalLM"] for name in ("Qwen2", "Qwen3", "Gemma2", "Phi3", "Olmo2")},
    **{"Llama": LLAMA, "Mistral": LLAMA},
}
_ENCODERS = {
    **dict.fromkeys(
        (
            *("BertModel", "RobertaModel", "XLMRobertaModel", "BertForSequenceClassification", "BertForMaskedLM"),
            *("RobertaForSequenceClassification", "XLMRobertaForSequenceClassification", "RobertaForMaskedLM"),
            *(
                "XLMRobertaForMaskedLM",
                "CamembertModel",
                "BertForTokenClassification",
                "XLMRobertaForTokenClassification",
            ),
        ),
        BERT,
    ),
    **dict.fromkeys(("ModernBertModel", "ModernBertForSequenceClassification", "NomicBertModel"), MODERN_BERT),
}
ARCHITECTURES: Mapping[str, Architecture] = {
    **_DECODERS,
    **{
        name + suffix: replace(it, head=False)
        for name, it in _HEADLESS.items()
        for suffix in ("Model", "ForSequenceClassification", "ForRewardModel", "ForTokenClassification")
    },
    **_ENCODERS,
}
# A multimodal model's language part, by the model_type of its section.
LANGUAGE: Mapping[str, str] = {
    "gemma3_text": "Gemma3ForCausalLM",
    "gemma4_text": "Gemma4ForCausalLM",
    "gemma": "GemmaForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "llama": "LlamaForCausalLM",
    "llama4_text": "Llama4ForCausalLM",
    "mistral": "MistralForCausalLM",
    "ministral3": "Ministral3ForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen2_vl_text": "Qwen2ForCausalLM",
    "qwen2_5_vl_text": "Qwen2ForCausalLM",
    "qwen2_5_omni_text": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen3_omni_moe_text": "Qwen3MoeForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "qwen3_vl_text": "Qwen3ForCausalLM",
    "qwen3_vl_moe_text": "Qwen3MoeForCausalLM",
    "qwen3_next": "Qwen3NextForCausalLM",
    "qwen3_5_text": "Qwen3_5ForCausalLM",
    "qwen3_5_moe_text": "Qwen3_5MoeForCausalLM",
    "cohere": "CohereForCausalLM",
    "cohere2": "Cohere2ForCausalLM",
    "granite": "GraniteForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "internlm2": "InternLM2ForCausalLM",
    "glm4": "Glm4ForCausalLM",
    "glm4v_text": "Glm4ForCausalLM",
    "glm_ocr_text": "Glm4ForCausalLM",
    "glm4_moe": "Glm4MoeForCausalLM",
    "glm4v_moe_text": "Glm4MoeForCausalLM",
    "deepseek_v2": "DeepseekV2ForCausalLM",
    "deepseek_v3": "DeepseekV3ForCausalLM",
    "kimi_k2": "DeepseekV3ForCausalLM",
    "lfm2": "Lfm2ForCausalLM",
    "gpt_oss": "GptOssForCausalLM",
    "smollm3": "SmolLM3ForCausalLM",
    "ernie4_5": "Ernie4_5ForCausalLM",
    "nemotron_h": "NemotronHForCausalLM",
    "starcoder2": "Starcoder2ForCausalLM",
}
# Multimodal models whose language part stands at the top of the file.
FLAT: Mapping[str, str] = {
    "Qwen2VLForConditionalGeneration": "Qwen2ForCausalLM",
    "Qwen2_5_VLForConditionalGeneration": "Qwen2ForCausalLM",
    "MiniCPMV": "Qwen2ForCausalLM",
    "KimiK2ForCausalLM": "DeepseekV3ForCausalLM",
}
# What published files of a section leave to the library's defaults, by its model_type.
_MISTRAL_DEFAULTS = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "gemma3_text": {
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "vocab_size": 262208,
        "max_position_embeddings": 131072,
    },
    "gemma": {"head_dim": 256, "vocab_size": 257152, "max_position_embeddings": 8192},
    "gemma2": {"head_dim": 256, "vocab_size": 257216, "max_position_embeddings": 8192},
    "llama": {
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "vocab_size": 32000,
        "max_position_embeddings": 2048,
    },
    "mistral": {**_MISTRAL_DEFAULTS, "num_key_value_heads": 8, "vocab_size": 32000, "max_position_embeddings": 131072},
    "qwen2": {
        "hidden_size": 4096,
        "intermediate_size": 22016,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "vocab_size": 151936,
        "max_position_embeddings": 32768,
    },
}
