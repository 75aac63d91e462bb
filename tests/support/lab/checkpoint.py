# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writing a checkpoint as engines read it: a safetensors file of bfloat16, which numpy itself does not have."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]


def bfloat16(numbers: Array) -> bytes:
    """Return float32 numbers as bfloat16, rounded to the nearest and to even between two."""
    import numpy

    bits = numpy.ascontiguousarray(numbers, dtype=numpy.float32).view(numpy.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def write(path: Path, tensors: Iterable[tuple[str, Array]], note: str) -> None:
    """Write a safetensors file: the length of a JSON header, the header, then the numbers."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt", "note": note}}
    chunks: list[bytes] = []
    offset = 0
    for name, numbers in tensors:
        chunk = bfloat16(numbers)
        header[name] = {"dtype": "BF16", "shape": list(numbers.shape), "data_offsets": [offset, offset + len(chunk)]}
        chunks.append(chunk)
        offset += len(chunk)
    words = json.dumps(header).encode()
    words += b" " * (-len(words) % 8)
    with path.open("wb") as file:
        file.write(len(words).to_bytes(8, "little") + words)
        file.writelines(chunks)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file as the hub's folders have it."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
