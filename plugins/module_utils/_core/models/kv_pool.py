# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks of the KV cache: how the engine cuts it up, and what a request takes of it.

Source: vLLM, v1/core/kv_cache_utils.py (groups and their pages) and platforms/interface.py (pages of hybrids).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import round_up

BLOCK_TOKENS = 16
# While a batch is computed the scheduler makes up the next one (vLLM, max_concurrent_batches with asynchronous scheduling).
BATCHES_IN_FLIGHT = 2
# The largest group may be half as large again as the smallest before layers are split up (vLLM, a heuristic for drafts).
_NEARLY_EQUAL = 1.5


class Kind(enum.Enum):
    """What a layer keeps: every token, those of a window or chunk, a state a sequence, or an encoder's output."""

    FULL = "full"
    SLIDING = "sliding"
    CHUNKED = "chunked"
    STATE = "state"
    CROSS = "cross"


@dataclass(frozen=True)
class CacheSpec:
    """What one layer keeps: bytes a token, or a sequence where it is a state; `span` is a window, a chunk or an encoder's length."""

    kind: Kind
    unit_bytes: int
    span: int = 0


@dataclass(frozen=True)
class Group:
    """Layers that share a table of blocks."""

    kind: Kind
    block_tokens: int
    span: int = 0

    def blocks(self, length: int, batched_tokens: int, states: int) -> int:
        """Blocks that one request of this length can hold at most."""
        match self.kind:
            case Kind.FULL:
                return -(-length // self.block_tokens)
            case Kind.SLIDING:
                # A window keeps its own tokens and those in flight, and one block is shared at its edge.
                inside = min(self.span - 1 + BATCHES_IN_FLIGHT * batched_tokens, length)
                return -(-inside // self.block_tokens) + 1
            case Kind.CHUNKED:
                return -(-min(self.span + batched_tokens, length) // self.block_tokens)
            case Kind.CROSS:
                # The engine counts what an encoder may be sent at once (v1/kv_cache_interface.py: CrossAttentionSpec), as it logs it too.
                return -(-max(self.span, batched_tokens) // self.block_tokens)
            case Kind.STATE:
                return states
            case _:
                assert_never(self.kind)


@dataclass(frozen=True)
class KvPool:
    """Blocks of one size, shared by groups of layers: what one takes, and how many a request of some length needs."""

    block_bytes: int
    groups: tuple[Group, ...]
    # Blocks of state that a sequence holds: one, two where prefixes are cached.
    states: int = 1

    def blocks_per_request(self, length: int, batched_tokens: int) -> int:
        """Blocks that one request of this length can hold at most."""
        return sum(group.blocks(length, batched_tokens, self.states) for group in self.groups)

    @property
    def has_states(self) -> bool:
        return any(group.kind is Kind.STATE for group in self.groups)

    @property
    def block_tokens(self) -> int:
        """Tokens of a block of full attention; of any block where there is none."""
        return next((group.block_tokens for group in self.groups if group.kind is Kind.FULL), BLOCK_TOKENS)

    def concurrency(self, kv_bytes: int, length: int, batched_tokens: int) -> float:
        """Full-length requests that fit, as the engine logs it."""
        return (kv_bytes // self.block_bytes) / self.blocks_per_request(length, batched_tokens)

    def tokens(self, kv_bytes: int, length: int, batched_tokens: int) -> int:
        """Tokens that fit, as the engine logs it."""
        if len(self.groups) == 1 and self.groups[0].kind is Kind.FULL:
            return kv_bytes // self.block_bytes * self.block_tokens
        return int(self.concurrency(kv_bytes, length, batched_tokens) * length)

    def sequences(self, kv_bytes: int) -> int:
        """Sequences, however short, that can hold a state and a block of attention at once."""
        return kv_bytes // self.block_bytes // max(1, self.blocks_per_request(1, 1))


def build(alike: Mapping[CacheSpec, int], states: int = 1) -> KvPool:
    """Cut the cache up as the engine does for so many layers of each kind."""
    kinds = {spec.kind for spec in alike}
    spans = {spec.span for spec in alike}
    if len(alike) == 1 or kinds == {Kind.FULL} or (kinds in ({Kind.SLIDING}, {Kind.CHUNKED}) and len(spans) == 1):
        # One table for all layers, whatever the size of their pages.
        first = next(iter(alike))
        tokens = 1 if first.kind is Kind.STATE else BLOCK_TOKENS
        whole = sum(spec.unit_bytes * tokens * count for spec, count in alike.items())
        return KvPool(whole, (Group(first.kind, tokens, first.span),), states)
    return _mixed(alike, states)


def _mixed(alike: Mapping[CacheSpec, int], states: int) -> KvPool:
    attention = [spec for spec in alike if spec.kind is not Kind.STATE]
    state_bytes = max((spec.unit_bytes for spec in alike if spec.kind is Kind.STATE), default=0)
    # The attention block grows until its page holds a state; then every page is made as large as the largest.
    widest = max((spec.unit_bytes for spec in attention), default=1)
    least = max(BLOCK_TOKENS, round_up(-(-state_bytes // widest), BLOCK_TOKENS))
    page = max(max((spec.unit_bytes * least for spec in attention), default=0), state_bytes)
    counts = {spec: count for spec, count in alike.items() if spec.kind is not Kind.STATE}
    # States of several shapes are padded to one page, and share groups by shape.
    counts |= {spec: count for spec, count in alike.items() if spec.kind is Kind.STATE}
    size = min(counts.values())
    if max(counts.values()) < size * _NEARLY_EQUAL:
        size = max(counts.values())
    groups: list[Group] = []
    for spec, count in counts.items():
        tokens = 1 if spec.kind is Kind.STATE else page // spec.unit_bytes // BLOCK_TOKENS * BLOCK_TOKENS
        groups += [Group(spec.kind, tokens, spec.span)] * -(-count // size)
    return KvPool(page * size, tuple(groups), states)
