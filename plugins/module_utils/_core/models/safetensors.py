# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The header of a safetensors file: its tensors by name, type and shape. Nothing that it says is believed unchecked.

A file begins with eight bytes, the header's length; the header is JSON, a mapping of names to dtype, shape and place; the rest are the
tensors. What a header says is held against the file's size, so that a damaged or made-up one is a sentence and no plan.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.tensors import DTYPE_BITS, Tensor
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB, gib

LENGTH_BYTES = 8
# The hub's own library reads no longer header; a model with 280,000 tensors in 64 files stays below 1 MB a file.
MOST_HEADER_BYTES = 25 * MIB
# The largest checkpoint published so far has fewer than 300,000.
MOST_TENSORS = 500_000
# Most headers fit into what is read at first, so that a file takes one request.
FIRST_READ_BYTES = 100_000
_MOST_DIMENSIONS = 8
_REMEDY = "The file is damaged, or none of safetensors: have it uploaded or copied again."


def header_end(head: bytes, file_bytes: int, where: str) -> int:
    """Return how many bytes of the file hold its header, by its first eight; a length that can't be is a FleetError."""
    if len(head) < LENGTH_BYTES:
        fail(where, f"it has {len(head)} bytes and no header.", _REMEDY)
    length = int.from_bytes(head[:LENGTH_BYTES], "little")
    if head[:1] == b"<" or head.lstrip()[:14].lower().startswith((b"<!doctype", b"<html")):
        fail(where, "it holds a web page and no tensors.", _REMEDY)
    if head.startswith(b"version https"):
        fail(where, "it is a pointer of Git LFS and not the file.", "Run git lfs pull in that folder.")
    if length > file_bytes - LENGTH_BYTES:
        fail(
            where,
            f"its header says that it is {_size(length)} long, and the whole file has {_size(file_bytes)}.",
            _REMEDY,
        )
    if length > MOST_HEADER_BYTES:
        fail(
            where,
            f"its header is {_size(length)} long, more than the {_size(MOST_HEADER_BYTES)} that are read.",
            _REMEDY,
        )
    return LENGTH_BYTES + length


def read_header(data: bytes, file_bytes: int, where: str) -> tuple[Tensor, ...]:
    """Return the tensors of a file; `data` are its first bytes, up to header_end at least."""
    end = header_end(data, file_bytes, where)
    try:
        header = json.loads(data[LENGTH_BYTES:end].decode("utf-8"))
    except (ValueError, RecursionError):
        fail(where, "its header is not JSON.", _REMEDY)
    if not isinstance(header, Mapping):
        fail(where, "its header is no mapping of tensors.", _REMEDY)
    if len(header) > MOST_TENSORS:
        fail(where, f"its header lists {len(header):,} tensors, more than the {MOST_TENSORS:,} that are read.", _REMEDY)
    body = file_bytes - end
    tensors = tuple(_tensor(name, entry, body, where) for name, entry in header.items() if name != "__metadata__")
    declared = sum(_bytes(tensor) for tensor in tensors)
    if declared > body:
        fail(where, f"its tensors take {_size(declared)} together, and the file has room for {_size(body)}.", _REMEDY)
    return tensors


def _tensor(name: str, entry: Any, body: int, where: str) -> Tensor:
    """Return one tensor, its place held against its shape and the file."""
    shown = name[:80]
    if not isinstance(entry, Mapping):
        fail(where, f"tensor {shown} has no type and shape.", _REMEDY)
    dtype, shape, place = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        fail(where, f"tensor {shown} has type {str(dtype)[:40]!r}, which safetensors does not know.", _REMEDY)
    if not isinstance(shape, list) or len(shape) > _MOST_DIMENSIONS or not all(_is_whole(side) for side in shape):
        fail(where, f"tensor {shown} has no shape.", _REMEDY)
    if not isinstance(place, list) or len(place) != 2 or not all(_is_whole(offset) for offset in place):
        fail(where, f"tensor {shown} has no place in the file.", _REMEDY)
    tensor = Tensor(name, dtype, tuple(shape))
    first, last = place
    if not first <= last <= body:
        fail(where, f"tensor {shown} lies beyond the file's end.", _REMEDY)
    if last - first != _bytes(tensor):
        fail(where, f"tensor {shown} has room for {last - first} bytes, and its shape takes {_bytes(tensor)}.", _REMEDY)
    return tensor


def _bytes(tensor: Tensor) -> int:
    return -(-math.prod(tensor.shape) * DTYPE_BITS[tensor.dtype] // 8)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**48


def _size(size_bytes: int) -> str:
    return gib(size_bytes) if size_bytes >= 2**30 // 100 else f"{size_bytes:,} bytes"
