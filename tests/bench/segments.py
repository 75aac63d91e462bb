# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PyTorch's CUDA allocator, as far as what it keeps reserved depends on the order of requests: with segments that grow, and without.

Source: c10/cuda/CUDACachingAllocator.cpp of PyTorch 2.11: get_free_block, should_split, try_allocate_expandable_block, unmap_block.
Requests of more than 1 MiB alone: smaller ones are served from pages of their own.
"""

from __future__ import annotations

import bisect

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB, round_up

PAGE_BYTES = 20 * MIB
SMALLEST_BYTES = MIB
_STEP = 512
_ADDRESSES = 2**46


class Block:
    """A range of addresses: held or free, backed by memory or not."""

    __slots__ = ("after", "asked", "before", "free", "mapped", "size", "start")

    def __init__(self, start: int, size: int, mapped: bool) -> None:
        self.start, self.size, self.mapped, self.free = start, size, mapped, True
        # What is used of it: a block that is not split serves less than its size.
        self.asked = 0
        self.before: Block | None = None
        self.after: Block | None = None


class Segment:
    """One segment that grows page by page; `limit` is max_split_size: no smaller request is served from a free block of that size."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held_bytes = self.mapped_bytes = self.most_bytes = 0
        self._cached: list[tuple[int, int, Block]] = []
        self._unmapped: list[tuple[int, Block]] = []
        self._end = 0
        self._file(Block(0, _ADDRESSES, mapped=False))

    def take(self, size: int) -> Block:
        size = round_up(size, _STEP)
        block = self._best(size) or self._grown(size)
        if block.size > size and self._splits(size, block.size - size):
            self._file(self._cut(block, size))
        block.free, block.asked = False, size
        self.held_bytes += size
        return block

    def give(self, *blocks: Block) -> None:
        for block in blocks:
            self.held_bytes -= block.asked
            block.free = True
            self._file(self._joined(block))

    def trim(self) -> None:
        """Hand back every whole page that is free (torch.cuda.empty_cache)."""
        for _size, _start, found in list(self._cached):
            first = round_up(found.start, PAGE_BYTES)
            last = (found.start + found.size) // PAGE_BYTES * PAGE_BYTES
            if first >= last:
                continue
            block = self._unfile(found)
            if first > block.start:
                block = self._cut(found, first - found.start)
                self._file(found)
            if block.start + block.size > last:
                self._file(self._cut(block, last - block.start))
            block.mapped = False
            self.mapped_bytes -= block.size
            self._file(self._joined(block))

    def _splits(self, size: int, rest: int) -> bool:
        return True

    def _best(self, size: int) -> Block | None:
        at = bisect.bisect_left(self._cached, (size, -1))
        if at == len(self._cached):
            return None
        # The block at the end counts as large as it can grow.
        while at + 1 < len(self._cached) and _could_be(self._cached[at + 1][2]) < _could_be(self._cached[at][2]):
            at += 1
        found = self._cached[at][2]
        most = self.limit if size < self.limit else size + PAGE_BYTES
        return self._unfile(found) if found.size < most else None

    def _grown(self, size: int) -> Block:
        """The lowest addresses with room: what is free there, and new pages behind."""
        for _start, lowest in self._unmapped:
            block = lowest.before if lowest.before is not None and lowest.before.free else lowest
            room, one = 0, block
            while room < size and one.free:
                room += one.size
                if one.after is None:
                    break
                one = one.after
            if room >= size:
                break
        if not block.mapped:
            block = self._backed(block, size)
        while block.size < size:
            assert block.after is not None
            block = self._backed(block.after, size - block.size)
        return self._unfile(block)

    def _backed(self, block: Block, size: int) -> Block:
        self._unfile(block)
        size = min(block.size, round_up(size, PAGE_BYTES))
        if size < block.size:
            self._file(self._cut(block, size))
        block.mapped = True
        self.mapped_bytes += size
        self.most_bytes = max(self.most_bytes, self.mapped_bytes)
        return self._file(self._joined(block))

    def _cut(self, block: Block, size: int) -> Block:
        """Leave this much of the block, and return the rest."""
        rest = Block(block.start + size, block.size - size, block.mapped)
        rest.before, rest.after, block.size = block, block.after, size
        if rest.after is not None:
            rest.after.before = rest
        block.after = rest
        return rest

    def _joined(self, block: Block) -> Block:
        """The block with its free neighbours of its kind."""
        before, after = block.before, block.after
        if after is not None and after.free and after.mapped == block.mapped:
            self._absorb(block, self._unfile(after))
        if before is not None and before.free and before.mapped == block.mapped:
            self._absorb(self._unfile(before), block)
            return before
        return block

    @staticmethod
    def _absorb(block: Block, other: Block) -> None:
        block.size += other.size
        block.after = other.after
        if block.after is not None:
            block.after.before = block

    def _file(self, block: Block) -> Block:
        if block.mapped:
            bisect.insort(self._cached, (block.size, block.start, block))
        else:
            bisect.insort(self._unmapped, (block.start, block))
        return block

    def _unfile(self, block: Block) -> Block:
        if block.mapped:
            del self._cached[bisect.bisect_left(self._cached, (block.size, block.start))]
        else:
            del self._unmapped[bisect.bisect_left(self._unmapped, (block.start,))]
        return block


class Pieces(Segment):
    """Segments of the sizes that are asked for, none of which grows: the allocator's default."""

    def trim(self) -> None:
        for _size, _start, block in list(self._cached):
            if block.before is None and block.after is None:
                self._unfile(block)
                self.mapped_bytes -= block.size

    def _splits(self, size: int, rest: int) -> bool:
        return size < self.limit and rest > SMALLEST_BYTES

    def _grown(self, size: int) -> Block:
        piece = PAGE_BYTES if size < PAGE_BYTES // 2 else round_up(size, 2 * MIB)
        self._end += piece
        self.mapped_bytes += piece
        self.most_bytes = max(self.most_bytes, self.mapped_bytes)
        return Block(self._end - piece, piece, mapped=True)


def _could_be(block: Block) -> int:
    return block.size + (block.after.size if block.after is not None and not block.after.mapped else 0)
