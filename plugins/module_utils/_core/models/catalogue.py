# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shapes of well-known models by hub id, so that a plan needs neither network nor download. Figures as published in config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.published import PUBLISHED


def _config(
    architecture: str, sizes: tuple[int, int, int, int, int, int], length: int, tied: bool = False, **more: Any
) -> dict[str, Any]:
    hidden, intermediate, layers, heads, kv_heads, vocabulary = sizes
    return {
        "architectures": [architecture],
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocabulary,
        "max_position_embeddings": length,
        "tie_word_embeddings": tied,
        "torch_dtype": "bfloat16",
        **more,
    }


_LLAMA, _QWEN2, _QWEN3 = "LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"
_GEMMA2, _GEMMA3, _PHI3 = "Gemma2ForCausalLM", "Gemma3ForCausalLM", "Phi3ForCausalLM"
_GEMMA2_MORE: dict[str, Any] = {"head_dim": 256, "sliding_window": 4096}
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    **PUBLISHED,
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": _config(_LLAMA, (2048, 5632, 22, 32, 4, 32000), 2048),
    "Qwen/Qwen2.5-0.5B-Instruct": _config(_QWEN2, (896, 4864, 24, 14, 2, 151936), 32768, True),
    "Qwen/Qwen2.5-3B-Instruct": _config(_QWEN2, (2048, 11008, 36, 16, 2, 151936), 32768, True),
    "Qwen/Qwen2.5-1.5B-Instruct": _config(_QWEN2, (1536, 8960, 28, 12, 2, 151936), 32768, True),
    "Qwen/Qwen2.5-7B-Instruct": _config(_QWEN2, (3584, 18944, 28, 28, 4, 152064), 32768),
    "Qwen/Qwen2.5-14B-Instruct": _config(_QWEN2, (5120, 13824, 48, 40, 8, 152064), 32768),
    "Qwen/Qwen2.5-32B-Instruct": _config(_QWEN2, (5120, 27648, 64, 40, 8, 152064), 32768),
    "Qwen/Qwen2.5-72B-Instruct": _config(_QWEN2, (8192, 29568, 80, 64, 8, 152064), 32768),
    "Qwen/Qwen3-0.6B": _config(_QWEN3, (1024, 3072, 28, 16, 8, 151936), 40960, True, head_dim=128),
    "Qwen/Qwen3-4B": _config(_QWEN3, (2560, 9728, 36, 32, 8, 151936), 40960, True, head_dim=128),
    "Qwen/Qwen3-8B": _config(_QWEN3, (4096, 12288, 36, 32, 8, 151936), 40960, head_dim=128),
    "Qwen/Qwen3-14B": _config(_QWEN3, (5120, 17408, 40, 40, 8, 151936), 40960, head_dim=128),
    "Qwen/Qwen3-32B": _config(_QWEN3, (5120, 25600, 64, 64, 8, 151936), 40960, head_dim=128),
    "Qwen/Qwen3-30B-A3B": _config("Qwen3MoeForCausalLM", (2048, 6144, 48, 32, 4, 151936), 40960)
    | {"head_dim": 128, "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768},
    "01-ai/Yi-6B-Chat": _config(_LLAMA, (4096, 11008, 32, 32, 4, 64000), 4096),
    "meta-llama/Llama-3.1-8B-Instruct": _config(_LLAMA, (4096, 14336, 32, 32, 8, 128256), 131072),
    "meta-llama/Llama-3.2-1B-Instruct": _config(_LLAMA, (2048, 8192, 16, 32, 8, 128256), 131072, True, head_dim=64),
    "meta-llama/Llama-3.2-3B-Instruct": _config(_LLAMA, (3072, 8192, 28, 24, 8, 128256), 131072, True, head_dim=128),
    "mistralai/Mistral-7B-Instruct-v0.3": _config("MistralForCausalLM", (4096, 14336, 32, 32, 8, 32768), 32768),
    "mistralai/Mixtral-8x7B-Instruct-v0.1": _config("MixtralForCausalLM", (4096, 14336, 32, 32, 8, 32000), 32768)
    | {"num_local_experts": 8, "num_experts_per_tok": 2},
    "meta-llama/Llama-3.1-70B-Instruct": _config(_LLAMA, (8192, 28672, 80, 64, 8, 128256), 131072),
    "meta-llama/Llama-3.3-70B-Instruct": _config(_LLAMA, (8192, 28672, 80, 64, 8, 128256), 131072),
    "google/gemma-2-2b-it": _config(_GEMMA2, (2304, 9216, 26, 8, 4, 256000), 8192, True) | _GEMMA2_MORE,
    "google/gemma-2-9b-it": _config(_GEMMA2, (3584, 14336, 42, 16, 8, 256000), 8192, True) | _GEMMA2_MORE,
    "google/gemma-3-1b-it": _config(_GEMMA3, (1152, 6912, 26, 4, 1, 262144), 32768, True)
    | {"head_dim": 256, "sliding_window": 512, "sliding_window_pattern": 6},
    "microsoft/phi-4": _config(_PHI3, (5120, 17920, 40, 40, 10, 100352), 16384),
    "microsoft/Phi-3-mini-4k-instruct": _config(_PHI3, (3072, 8192, 32, 32, 32, 32064), 4096),
    "deepseek-ai/DeepSeek-V2-Lite-Chat": _config("DeepseekV2ForCausalLM", (2048, 10944, 27, 16, 16, 102400), 163840)
    | {"n_routed_experts": 64, "num_experts_per_tok": 6, "moe_intermediate_size": 1408, "n_shared_experts": 2}
    | {"first_k_dense_replace": 1, "moe_layer_freq": 1, "q_lora_rank": None, "kv_lora_rank": 512}
    | {"qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128},
    "BAAI/bge-small-en-v1.5": _config("BertModel", (384, 1536, 12, 12, 12, 30522), 512, type_vocab_size=2),
    "BAAI/bge-base-en-v1.5": _config("BertModel", (768, 3072, 12, 12, 12, 30522), 512, type_vocab_size=2),
}
