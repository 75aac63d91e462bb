# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading a GGUF file: its metadata, and its tensors as float32. As much of the format as one file of SmolLM2 uses."""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.gpuserve.fleet.tests.support.lab.common import LabError

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

MAGIC, VERSION = b"GGUF", 3
BLOCK = 32  # numbers that share a scale
STRING, ARRAY = 8, 9
# Metadata's types by their number: what struct calls them.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
# Tensors' types by their number: bytes of a block, and how many numbers are in it.
_BLOCKS = {0: (4, 1), 3: (20, BLOCK), 8: (34, BLOCK)}


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies in the file; its shape is that of PyTorch, rows first."""

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int


class Gguf:
    """An open GGUF file."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as handle:
            self._bytes = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        self._at = 0
        if self._bytes[:4] != MAGIC or self._next("4xI") != VERSION:
            raise LabError(f"{path.name} is no GGUF file of version {VERSION}.")
        tensors, entries = self._next("Q"), self._next("Q")
        self.metadata: dict[str, Any] = {self._string(): self._value(self._next("I")) for _ in range(entries)}
        self.tensors = [self._tensor() for _ in range(tensors)]
        alignment = self.metadata.get("general.alignment", 32)
        self._data = -(-self._at // alignment) * alignment

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """Yield each tensor's name and its numbers as float32, one at a time."""
        for tensor in self.tensors:
            yield tensor.name, self._numbers(tensor).reshape(tensor.shape)

    def _next(self, form: str) -> Any:
        """Return the number that stands here, and go past it."""
        (value,) = struct.unpack_from(f"<{form}", self._bytes, self._at)
        self._at += struct.calcsize(f"<{form}")
        return value

    def _string(self) -> str:
        length = self._next("Q")
        self._at += length
        return self._bytes[self._at - length : self._at].decode()

    def _value(self, kind: int) -> Any:
        if kind == STRING:
            return self._string()
        if kind == ARRAY:
            inner, count = self._next("I"), self._next("Q")
            return [self._value(inner) for _ in range(count)]
        return self._next(_SCALARS[kind])

    def _tensor(self) -> Tensor:
        name = self._string()
        dimensions = [self._next("Q") for _ in range(self._next("I"))]
        return Tensor(name, tuple(reversed(dimensions)), self._next("I"), self._next("Q"))

    def _numbers(self, tensor: Tensor) -> Array:
        import numpy

        if tensor.kind not in _BLOCKS:
            raise LabError(f"{tensor.name} is of GGUF type {tensor.kind}, which the lab doesn't read.")
        size, each = _BLOCKS[tensor.kind]
        blocks = math.prod(tensor.shape) // each
        raw = numpy.frombuffer(self._bytes, numpy.uint8, blocks * size, self._data + tensor.offset)
        if tensor.kind == 0:
            return raw.view("<f4")
        rows = raw.reshape(blocks, size)
        scale = rows[:, :2].copy().view("<f2").astype(numpy.float32)
        if tensor.kind == 8:  # Q8_0: a scale, then 32 signed bytes
            whole: Array = scale * rows[:, 2:].view(numpy.int8)
            return whole
        # Q4_1: a scale and a minimum, then the lower halves of 16 bytes, then their upper halves.
        lowest = rows[:, 2:4].copy().view("<f2").astype(numpy.float32)
        halves = numpy.concatenate([rows[:, 4:] & 0x0F, rows[:, 4:] >> 4], axis=1)
        whole = scale * halves + lowest
        return whole
