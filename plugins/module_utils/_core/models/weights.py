# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights from a checkpoint's own tensors: what is stored, changed as the engine changes it while it loads. Right for any architecture."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import ahead
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
    head: bool = True


def loaded_bytes(groups: Iterable[TensorGroup], loading: Loading) -> int:
    """Bytes of a checkpoint's tensors as the engine holds them, on one card."""
    return sum(_loaded(one, loading) for one in groups)


def ahead_bytes(groups: Iterable[TensorGroup], loading: Loading) -> int:
    """Bytes of the layers that predict ahead, which are loaded for speculation alone."""
    parts = [(one, _ahead(one, loading)) for one in groups if not ahead.is_shared(one.name)]
    return sum(_size(one, loading) * part for one, part in parts)


def _loaded(group: TensorGroup, loading: Loading) -> int:
    if group.name.endswith("lm_head.weight") and (loading.tied or not loading.head):
        return 0
    return _size(group, loading) * (group.count - _ahead(group, loading))


def _ahead(group: TensorGroup, loading: Loading) -> int:
    return round(group.count * ahead.share(group, loading.layers, loading.ahead_layers))


def _size(group: TensorGroup, loading: Loading) -> int:
    name = group.name
    elements = math.prod(group.shape)
    if name.endswith(_ENDS) and len(group.shape) == 2:
        elements = round_up(group.shape[0], VOCABULARY_STEP) * group.shape[1]
    return int(elements * _bits(group, loading) / 8)


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
