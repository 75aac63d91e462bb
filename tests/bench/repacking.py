# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What loading AWQ's weights leaves reserved in segments that grow: each layer is unpacked to eight times its size and packed anew, twice.

While weights load, the engine sets max_split_size to 20 MiB (vLLM, v1/worker/gpu_worker.py: _scoped_allocator_max_split, since 0.21). With
expandable segments a freed block of that size then serves nothing smaller (PyTorch issue 123548, pull request 193400), every layer takes
fresh pages, and what the originals leave free between the new weights is never a whole page. The order of requests is that of
quantization/auto_awq.py (_convert_awq_to_standard_format) and of kernels/linear/mixed_precision/{machete,marlin}.py. Checkpoints of
compressed-tensors are not unpacked, and leave nothing; GPTQ's are copied, which is not computed here.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.load import Load
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB
from tests.bench.segments import SMALLEST_BYTES, Block, Pieces, Segment

SPLIT_BYTES = 20 * MIB
# What small tensors fill of the holes later: the allocator's own remainder of an engine, and of one with packed weights.
FILLED_BYTES = 78 * MIB
# Machete, Hopper's kernels, take whole tiles and these groups (machete_utils.py); others get Marlin's.
MACHETE_CAPABILITY = "9.0"
MACHETE_GROUPS = (64, 128)
MACHETE_TILE = (64, 128)


@dataclass(frozen=True)
class Repacked:
    """The sizes that the order of requests depends on; `linear` are the layers' packed matrices, (rows in, columns out) each."""

    layers: int
    linear: tuple[tuple[int, int], ...]
    group: int
    embedding: int
    tied: bool
    table: int
    machete: bool


@dataclass(frozen=True)
class Left:
    """What loading leaves reserved and unused, in blocks larger than what lies in them too, and the most that is reserved meanwhile."""

    kept_bytes: int
    most_bytes: int


def repacked(shape: ModelShape, capability: str) -> Repacked:
    """Read the sizes off a model; of one with experts those of its attention, since experts are repacked one matrix a layer."""
    heads = shape.heads * shape.head_dim
    linear = [(shape.hidden_size, heads + 2 * shape.kv_heads * shape.head_dim), (heads, shape.hidden_size)]
    if not shape.experts:
        linear += [(shape.hidden_size, 2 * shape.intermediate_size), (shape.intermediate_size, shape.hidden_size)]
    extra = shape.weight_bits - int(shape.weight_bits)
    group = round(32 / extra) if extra else 128
    tiles = all(not rows % MACHETE_TILE[0] and not columns % MACHETE_TILE[1] for rows, columns in linear)
    return Repacked(
        layers=shape.layers,
        linear=tuple(linear),
        group=group,
        embedding=shape.vocab_size * shape.hidden_size * shape.dtype_bytes,
        tied=shape.tied_embeddings,
        table=shape.tables_bytes,
        machete=capability == MACHETE_CAPABILITY and group in MACHETE_GROUPS and tiles,
    )


def left(shape: ModelShape, load: Load, grows: bool = True) -> Left:
    """What loading this model leaves, in segments that grow or in others."""
    found = _loaded(repacked(shape, load.compute_capability), grows)
    return Left(max(0, found.kept_bytes - FILLED_BYTES), found.most_bytes)


@functools.lru_cache(maxsize=256)
def _loaded(sizes: Repacked, grows: bool) -> Left:
    requests = _Requests((Segment if grows else Pieces)(SPLIT_BYTES))
    for weights in _made(requests, sizes):
        _repack(requests, weights, sizes.machete)
    segment = requests.segment
    segment.trim()
    return Left(segment.mapped_bytes - segment.held_bytes, segment.most_bytes)


@dataclass(frozen=True)
class _Requests:
    """What is asked of a segment; small requests pass it by."""

    segment: Segment

    def want(self, size: int) -> Block | None:
        return self.segment.take(size) if size > SMALLEST_BYTES else None

    def drop(self, *blocks: Block | None) -> None:
        self.segment.give(*(block for block in blocks if block is not None))


@dataclass
class _Weights:
    """One packed matrix: its weights, zeros and scales, and how large they are."""

    rows: int
    columns: int
    groups: int
    packed: Block | None
    zeros: Block | None
    scales: Block | None


def _made(requests: _Requests, sizes: Repacked) -> list[_Weights]:
    """Make room for all tensors in the order in which the model class does."""
    requests.want(sizes.embedding)
    made = []
    for layer in range(sizes.layers):
        for place, (rows, columns) in enumerate(sizes.linear):
            if layer == 0 and place == 2:
                _table(requests, sizes.table)
            groups = rows // sizes.group
            packed, zeros = requests.want(rows * columns // 2), requests.want(groups * columns // 2)
            made.append(_Weights(rows, columns, groups, packed, zeros, requests.want(2 * groups * columns)))
    head = requests.want(sizes.embedding)
    if sizes.tied:
        # It is made before it is tied.
        requests.drop(head)
    return made


def _table(requests: _Requests, size: int) -> None:
    """Cosines and sines of positions, computed in 32 bits."""
    parts = [requests.want(size) for _angles_cosines_sines in range(3)]
    wide = requests.want(2 * size)
    requests.drop(*parts)
    requests.want(size)
    requests.drop(wide)


def _repack(requests: _Requests, one: _Weights, machete: bool) -> None:
    entries, zeros = one.rows * one.columns, one.groups * one.columns
    spread, packed = _unpacked(requests, 4 * entries, entries // 2)
    spread_zeros, packed_zeros = _unpacked(requests, 4 * zeros, zeros // 2)
    requests.drop(one.packed, spread, one.zeros, spread_zeros)
    if machete:
        transposed = requests.want(entries // 2)
        requests.want(entries // 2)
        requests.drop(transposed, packed)
        whole = requests.want(4 * zeros)
        for _bits in range(8):
            shifted, masked = requests.want(zeros // 2), requests.want(zeros // 2)
            requests.drop(shifted, masked)
        # Zeros become 16 bits wide, multiplied by their scales.
        scaled, wide = requests.want(2 * zeros), requests.want(2 * zeros)
        requests.want(2 * zeros)
        requests.drop(scaled, wide, packed_zeros, whole)
        return
    # Zeros are unpacked and packed again on the CPU, and put into another order on the card.
    read = requests.want(4 * zeros)
    ordered = requests.want(4 * zeros)
    requests.drop(read)
    interleaved = requests.want(4 * zeros)
    requests.drop(ordered)
    requests.want(zeros // 2)
    requests.drop(interleaved, packed_zeros)
    requests.want(entries // 2)
    requests.drop(packed)
    requests.want(2 * zeros)
    requests.drop(one.scales)


def _unpacked(requests: _Requests, spread: int, packed: int) -> tuple[Block | None, Block | None]:
    """Shifted, masked, put into order, shifted again and summed: the third and the last are what stays."""
    shifted = requests.want(spread)
    masked = requests.want(spread)
    requests.drop(shifted)
    ordered = requests.want(spread)
    requests.drop(masked)
    back = requests.want(spread)
    made = requests.want(packed)
    requests.drop(back)
    return ordered, made
