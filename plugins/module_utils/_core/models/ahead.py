# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers that predict ahead (multi-token prediction): how many a model has behind its own, and what they take where they are loaded."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.config import Config
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.tensors import TensorGroup

COUNTS = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_layers")
# Their config.json is silent, and the engine takes one layer (vLLM, config/speculative.py).
_SILENT = ("qwen3_next", "longcat_flash", "step3p5")
# Their layer ahead is a Llama's, whatever the model's own are (vLLM, models/ernie_mtp.py).
WITHOUT_EXPERTS = ("Ernie4_5_Moe",)
_ELSEWHERE = ("nextn.", "eagle_module.", "draft_model.")
# What the engine takes from the model itself once it has loaded both (vLLM, spec_decode/llm_base_proposer.py).
_SHARED = ("embed_tokens.weight", "shared_head.head.weight", "lm_head.weight")


def count(read: Config, groups: Sequence[TensorGroup], layers: int) -> int:
    """Return how many there are: by config.json, but none where the checkpoint's files have been left without them."""
    written = read.count(*COUNTS) or int(str(read.get("model_type", default="")) in _SILENT)
    if groups and not any(share(group, layers, written) for group in groups):
        return 0
    return written or int(any(is_named_ahead(group.name) for group in groups))


def share(group: TensorGroup, layers: int, written: int) -> float:
    """Return which part of equal tensors is of layers ahead: they stand behind the last layer, or under names of their own."""
    if is_named_ahead(group.name):
        return 1.0
    if not written or "layers.*." not in group.name:
        return 0.0
    numbers = sum(last - first + 1 for first, last in group.layers) or 1
    return sum(1 for number in group.layer_numbers() if number >= layers) / numbers


def is_named_ahead(name: str) -> bool:
    """Whether a tensor is of a layer ahead by its name: mtp.fc, model.mtp_layers.0, model.mtp_block.0."""
    return name.startswith(_ELSEWHERE) or any(part.startswith("mtp") for part in name.split("."))


def is_shared(name: str) -> bool:
    """Whether the engine has no copy of this tensor for layers ahead."""
    return name.endswith(_SHARED)
