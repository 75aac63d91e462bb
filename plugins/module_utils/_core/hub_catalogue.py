# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shapes of well-known models by hub id, so that a plan needs neither network nor download. Figures as published in config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": _config(_LLAMA, (2048, 5632, 22, 32, 4, 32000), 2048),
    "Qwen/Qwen2.5-0.5B-Instruct": _config(_QWEN2, (896, 4864, 24, 14, 2, 151936), 32768, True),
    "Qwen/Qwen2.5-3B-Instruct": _config(_QWEN2, (2048, 11008, 36, 16, 2, 151936), 32768, True),
    "Qwen/Qwen2.5-7B-Instruct": _config(_QWEN2, (3584, 18944, 28, 28, 4, 152064), 32768),
    "Qwen/Qwen3-0.6B": _config(_QWEN3, (1024, 3072, 28, 16, 8, 151936), 40960, True, head_dim=128),
    "Qwen/Qwen3-4B": _config(_QWEN3, (2560, 9728, 36, 32, 8, 151936), 40960, True, head_dim=128),
    "Qwen/Qwen3-8B": _config(_QWEN3, (4096, 12288, 36, 32, 8, 151936), 40960, head_dim=128),
    "01-ai/Yi-6B-Chat": _config(_LLAMA, (4096, 11008, 32, 32, 4, 64000), 4096),
    "meta-llama/Llama-3.1-8B-Instruct": _config(_LLAMA, (4096, 14336, 32, 32, 8, 128256), 131072),
    "meta-llama/Llama-3.2-1B-Instruct": _config(_LLAMA, (2048, 8192, 16, 32, 8, 128256), 131072, True, head_dim=64),
    "meta-llama/Llama-3.2-3B-Instruct": _config(_LLAMA, (3072, 8192, 28, 24, 8, 128256), 131072, True, head_dim=128),
    "mistralai/Mistral-7B-Instruct-v0.3": _config("MistralForCausalLM", (4096, 14336, 32, 32, 8, 32768), 32768),
    "microsoft/Phi-3-mini-4k-instruct": _config("Phi3ForCausalLM", (3072, 8192, 32, 32, 32, 32064), 4096),
}
