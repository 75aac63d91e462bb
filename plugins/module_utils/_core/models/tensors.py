# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkpoint's tensors as its safetensors headers list them, kept in groups, so that a model of 50,000 tensors is a short list.

A group as plain data, one for all tensors that differ only in the numbers of their names:

    {"name": "model.layers.*.mlp.experts.*.down_proj.weight", "dtype": "BF16", "shape": [2048, 768], "count": 6144, "layers": [[0, 47]]}

`name` has a `*` where a part of it between dots is a number; `dtype` is as the header spells it; `count` is of tensors; `layers` are the
numbers at the first `*`, as ranges with both ends in them, and empty where the name has no `*`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError

# Bits of one element, by the name that safetensors gives its type.
DTYPE_BITS: Mapping[str, int] = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    **dict.fromkeys(("U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}
MOST_GROUPS = 20_000
_MOST_DIMENSIONS = 8
_MOST_ELEMENTS = 2**48
_NUMBER = "*"


@dataclass(frozen=True)
class Tensor:
    """One tensor of a checkpoint."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class TensorGroup:
    """All tensors of one name but for its numbers, one type and one shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    count: int
    layers: tuple[tuple[int, int], ...] = ()

    @property
    def elements(self) -> int:
        """Elements of all its tensors."""
        return math.prod(self.shape) * self.count

    @property
    def size_bytes(self) -> int:
        """Bytes of all its tensors, as stored."""
        return -(-math.prod(self.shape) * DTYPE_BITS[self.dtype] // 8) * self.count

    def layer_numbers(self) -> Iterator[int]:
        """Each number at the first `*` of the name."""
        for first, last in self.layers:
            yield from range(first, last + 1)

    def data(self) -> dict[str, Any]:
        """Its plain form."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "count": self.count,
            "layers": [list(span) for span in self.layers],
        }


def group(tensors: Iterable[Tensor]) -> tuple[TensorGroup, ...]:
    """Put tensors together that differ only in the numbers of their names."""
    counts: dict[tuple[str, str, tuple[int, ...]], int] = {}
    layers: dict[tuple[str, str, tuple[int, ...]], set[int]] = {}
    for tensor in tensors:
        parts = tensor.name.split(".")
        numbers = [int(part) for part in parts if _is_number(part)]
        name = ".".join(_NUMBER if _is_number(part) else part for part in parts)
        key = (name, tensor.dtype, tensor.shape)
        counts[key] = counts.get(key, 0) + 1
        layers.setdefault(key, set()).update(numbers[:1])
    return tuple(
        TensorGroup(*key, count=count, layers=_ranges(sorted(layers[key]))) for key, count in sorted(counts.items())
    )


def read_groups(data: Any, where: str) -> tuple[TensorGroup, ...]:
    """Read groups back from their plain form; what is not of it is a FleetError."""
    if not isinstance(data, Sequence) or isinstance(data, (str, bytes)) or len(data) > MOST_GROUPS:
        raise _damaged(where, "it is no list of tensors")
    return tuple(_read_group(entry, f"{where}[{index}]") for index, entry in enumerate(data))


def stored_bytes(groups: Iterable[TensorGroup]) -> int:
    """Bytes of all tensors, as stored."""
    return sum(one.size_bytes for one in groups)


def _read_group(entry: Any, where: str) -> TensorGroup:
    if not isinstance(entry, Mapping):
        raise _damaged(where, "it is no mapping")
    name, dtype, shape, count = (entry.get(key) for key in ("name", "dtype", "shape", "count"))
    if not isinstance(name, str) or not name or len(name) > 1000:
        raise _damaged(f"{where}.name", f"{str(name)[:60]!r} is no name of a tensor")
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise _damaged(f"{where}.dtype", f"{str(dtype)[:60]!r} is no type of safetensors")
    if not isinstance(shape, Sequence) or isinstance(shape, str) or len(shape) > _MOST_DIMENSIONS:
        raise _damaged(f"{where}.shape", f"{str(shape)[:60]!r} is no shape")
    if not all(_is_whole(size, 0) for size in shape) or math.prod(shape) > _MOST_ELEMENTS:
        raise _damaged(f"{where}.shape", f"{str(shape)[:60]!r} is no shape")
    if not _is_whole(count, 1):
        raise _damaged(f"{where}.count", f"{str(count)[:60]!r} is no number of tensors")
    layers = entry.get("layers") or []
    if not isinstance(layers, Sequence) or not all(_is_range(span) for span in layers):
        raise _damaged(f"{where}.layers", f"{str(layers)[:60]!r} are no ranges of layers")
    return TensorGroup(name, str(dtype), tuple(shape), count or 0, tuple((span[0], span[1]) for span in layers))


def _damaged(where: str, fact: str) -> FleetError:
    return FleetError(where, f"{fact}.", "Have model_info read the model again.")


def _is_number(part: str) -> bool:
    return part.isascii() and part.isdigit() and len(part) < 9


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**40


def _is_range(span: Any) -> bool:
    return (
        isinstance(span, Sequence)
        and len(span) == 2
        and all(_is_whole(number, 0) for number in span)
        and 0 <= span[1] - span[0] < 100_000
    )


def _ranges(numbers: Sequence[int]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return tuple(found)
