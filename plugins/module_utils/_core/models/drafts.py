# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A draft beside a model, which guesses tokens for it to check: a smaller model of its own, or a head that reads the model's states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import tasks
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape


def shape_of(config: Mapping[str, Any], dtype: str, where: str) -> ModelShape:
    """A draft's shape from its config.json.

    Of EAGLE's heads the embedding is the model's own; what joins its states to a token is a layer over two of them (EAGLE 3: over
    three, and attention reads two). Source: vLLM, models/llama_eagle.py and llama_eagle3.py.
    """
    name = tasks.architecture(config)
    if "eagle" not in name.lower():
        return ModelShape.from_config(config, dtype, where=where)
    # One matrix of the draft's vocabulary stays: its output layer.
    alone = {"architectures": ["LlamaForCausalLM"], "tie_word_embeddings": True}
    words = config.get("draft_vocab_size") or config.get("vocab_size")
    found = ModelShape.from_config({**config, **alone, "vocab_size": words}, dtype, where=where)
    hidden = found.hidden_size
    joined = 2 * hidden * hidden
    if "eagle3" in name.lower():
        joined = 3 * hidden * hidden + hidden * (found.heads + 2 * found.kv_heads) * found.head_dim
    return replace(found, plain_parameters=found.plain_parameters + joined)
