# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks of the KV cache: how the engine cuts it up, and what a request takes of it."""

from __future__ import annotations

from dataclasses import dataclass

BLOCK_TOKENS = 16
# While a batch is computed the scheduler makes up the next one (vLLM, max_concurrent_batches with asynchronous scheduling).
BATCHES_IN_FLIGHT = 2


@dataclass(frozen=True)
class KvPool:
    """Blocks of BLOCK_TOKENS tokens: what one takes, and how many a request of some length needs."""

    block_bytes: int
    sliding_groups: int
    sliding_window: int | None
    full_groups: int = 1

    def blocks_per_request(self, length: int, batched_tokens: int) -> int:
        """Blocks that one request of this length can hold at most."""
        whole = -(-length // BLOCK_TOKENS) * self.full_groups
        if not self.sliding_groups or self.sliding_window is None:
            return whole
        # A window keeps its own tokens and those in flight, and one block is shared at its edge.
        inside = min(self.sliding_window - 1 + BATCHES_IN_FLIGHT * batched_tokens, length)
        return whole + self.sliding_groups * (-(-inside // BLOCK_TOKENS) + 1)

    def concurrency(self, kv_bytes: int, length: int, batched_tokens: int) -> float:
        """Full-length requests that fit, as the engine logs it."""
        return (kv_bytes // self.block_bytes) / self.blocks_per_request(length, batched_tokens)

    def tokens(self, kv_bytes: int, length: int, batched_tokens: int) -> int:
        """Tokens that fit, as the engine logs it."""
        if not self.sliding_groups:
            return kv_bytes // self.block_bytes * BLOCK_TOKENS
        return int(self.concurrency(kv_bytes, length, batched_tokens) * length)
