# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights from a checkpoint's own tensors: what is stored, changed as the engine changes it while it loads. Right for any architecture."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.tensors import DTYPE_BITS, TensorGroup
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import round_up

# Rows of the vocabulary are padded to a multiple of this (vLLM, vocab_parallel_embedding).
VOCABULARY_STEP = 64
_WIDE = ("F16", "BF16", "F32", "F64")
_ENDS = (
    "embed_tokens.weight",
    "lm_head.weight",
    "wte.weight",
    "word_embeddings.weight",
    "tok_embeddings.weight",
    "embeddings.weight",
)
# Layers that only predict ahead: they are loaded for speculation alone.
_AHEAD = ("mtp.", "model.mtp.", "language_model.mtp.", "nextn.", "eagle_module.", "mtp_block.", "draft_model.")
# What is never quantized while it loads: the ends of the vocabulary, norms, routers, encoders.
_KEPT_WIDE = (
    *(
        "embed",
        "lm_head",
        "norm",
        ".gate.weight",
        "router",
        "visual",
        "vision",
        "audio",
        "conv",
        "wte",
        "wpe",
        "position",
    ),
    *("ln_", "layernorm", "score", "classifier", "bias", "A_log"),
)


@dataclass(frozen=True)
class Loading:
    """How the engine loads a checkpoint: bytes of its dtype, whether the output layer is the embedding, bits of what it quantizes."""

    dtype_bytes: int
    tied: bool
    layers: int
    online_bits: float | None = None
    ahead_layers: int = 0
    speculates: bool = False
    head: bool = True


def loaded_bytes(groups: Iterable[TensorGroup], loading: Loading) -> int:
    """Bytes of a checkpoint's tensors as the engine holds them, on one card."""
    return sum(_loaded(one, loading) for one in groups)


def _loaded(group: TensorGroup, loading: Loading) -> int:
    name = group.name
    if not loading.speculates and name.startswith(_AHEAD):
        return 0
    if name.endswith("lm_head.weight") and (loading.tied or not loading.head):
        return 0
    count = group.count
    if loading.ahead_layers and not loading.speculates and "layers.*." in name:
        # DeepSeek's and GLM's stand behind the last layer.
        ahead = sum(1 for number in group.layer_numbers() if number >= loading.layers)
        numbers = sum(last - first + 1 for first, last in group.layers) or 1
        count -= count * ahead // numbers
    elements = math.prod(group.shape)
    if name.endswith(_ENDS) and len(group.shape) == 2:
        elements = round_up(group.shape[0], VOCABULARY_STEP) * group.shape[1]
    return int(elements * _bits(group, loading) / 8) * count


def _bits(group: TensorGroup, loading: Loading) -> float:
    stored = DTYPE_BITS[group.dtype]
    if group.dtype not in _WIDE:
        return stored
    last = group.name.rpartition(".")[2]
    if group.dtype == "F32" and (
        "scale" in last or last in ("A_log", "D", "dt_bias", "absmax", "e_score_correction_bias")
    ):
        return stored
    is_linear = len(group.shape) >= 2 and not any(mark in group.name for mark in _KEPT_WIDE)
    if loading.online_bits is not None and is_linear:
        return loading.online_bits
    return 8.0 * loading.dtype_bytes
