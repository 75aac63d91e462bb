# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an engine is run, as far as memory depends on it, and a named share of its memory."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.stages import Stage


@dataclass(frozen=True)
class Part:
    """One named share of a process's memory, and why it is that large."""

    name: str
    size_bytes: int
    reason: str


@dataclass(frozen=True)
class Load:
    """How an engine is run, as far as memory depends on it."""

    max_num_seqs: int
    max_num_batched_tokens: int
    enforce_eager: bool
    capture_sizes: tuple[int, ...] | None = None
    tensor_parallel: int = 1
    fp8_cache: bool = False
    compute_capability: str = ""
    max_model_len: int = 0
    lora_slots: int = 0
    lora_rank: int = 16
    online_fp8: bool = False
    on_cpu: bool = False
    # Whether tokens are made: an embedding model samples nothing.
    samples: bool = True
    # Bytes of the weights that stay in the host's memory, and whether a layer that predicts ahead is loaded.
    offloaded_bytes: int = 0
    ahead: bool = False
    # Whether pictures and sounds are taken.
    encodes: bool = True
    # Tokens guessed ahead and checked at once: batches of so many more a sequence are captured.
    drafts: int = 0
    # Guesses are made of the model's own hidden states (EAGLE, layers that predict ahead), which are kept for it.
    reads_hidden: bool = False
    # Tokens of the KV cache where its size is given: a batch can't hold more.
    cached_tokens: int | None = None
    # Which part of the model's layers this host has; None where it has all.
    stage: Stage | None = None

    @property
    def samples_here(self) -> bool:
        """Whether tokens are drawn on this host: the last stage of a pipeline does it."""
        return self.samples and (self.stage is None or self.stage.is_last)

    @property
    def largest_batch(self) -> int:
        """Tokens of the largest batch that can be."""
        return min(self.max_num_batched_tokens, self.cached_tokens or self.max_num_batched_tokens)
