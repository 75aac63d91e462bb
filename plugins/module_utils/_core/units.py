# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes: parsing what people write, showing what people read. The only place that knows 1024."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

_FACTORS = {
    "": 1,
    "B": 1,
    "KIB": KIB,
    "MIB": MIB,
    "GIB": GIB,
    "TIB": 1024 * GIB,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "TB": 1000**4,
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]*)", re.ASCII)
_WITH_COMMA = re.compile(r"(\d+),(\d+)\s*([a-zA-Z]+)", re.ASCII)
_WHOLE = re.compile(r"[0-9]{1,18}")
# An exbibyte: more than any machine has, and what a number without end is, too.
_MOST_BYTES = 2**60


def parse_size(value: Any, field: str = "size") -> int:
    """Bytes in "6GiB", "512 MiB", "20GB" or a plain number of bytes."""
    if isinstance(value, bool):
        fail(field, f"{value!r} is not a size.", "Write it like 6GiB, or in plain bytes.")
    if isinstance(value, (int, float)):
        if not 0 <= value < _MOST_BYTES or value != int(value):
            fail(field, f"{value!r} is not a number of bytes.", "Write it like 6GiB.")
        return int(value)
    match = _SIZE.fullmatch(str(value).strip())
    factor = _FACTORS.get(match.group(2).upper()) if match else None
    if match is None or factor is None or (size := float(match.group(1)) * factor) >= _MOST_BYTES:
        comma = _WITH_COMMA.fullmatch(str(value).strip())
        remedy = (
            f"Write {comma[1]}.{comma[2]}{comma[3]}, with a point."
            if comma
            else "Write it like 6GiB, or in plain bytes."
        )
        fail(field, f"{str(value)[:80]!r} is not a size.", remedy)
    return int(size)


def parse_written_size(value: Any, field: str) -> int:
    """Bytes of a size as people write it. "2" was meant as 2 GiB: what comes to less than a mebibyte, and is not nothing, is refused."""
    found = parse_size(value, field)
    if 0 < found < MIB:
        fail(field, f"{repr(value)[:80]} is {found} bytes.", "Write it with its unit, like 6GiB.")
    return found


def whole_number(value: Any) -> int | None:
    """Return a whole number, given as one or as the digits 0 to 9 that templates make of one; None where it is none.

    Python takes the digits of every script for a number, and no engine does.
    """
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def gib(size_bytes: float, digits: int = 2) -> str:
    """A size as a person reads it: "13.87 GiB"."""
    return f"{size_bytes / GIB:.{digits}f} GiB"


def round_up(size: int, step: int) -> int:
    """The smallest multiple of step that is not below size."""
    return -(-size // step) * step
