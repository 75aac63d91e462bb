# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML for plain data, written so that a diff is read by people: the target has no YAML library to count on.

Scalars are written as JSON strings, which YAML reads as they are, except for plain words. Compose's own variables are escaped.
"""

from __future__ import annotations

import json
import re
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


class Interpolated(str):
    """Text in which Compose replaces variables."""

    __slots__ = ()


def dump(value: Any) -> str:
    """Block style, two spaces, keys in their order."""
    return "\n".join(_lines(value, 0)) + "\n"


def _lines(value: Any, depth: int) -> list[str]:
    pad = "  " * depth
    found: list[str] = []
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, (dict, list)) and item:
                found.append(f"{pad}{scalar(str(key))}:")
                found += _lines(item, depth + 1)
            else:
                found.append(f"{pad}{scalar(str(key))}: {scalar(item)}")
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict) and item:
                first, *rest = _lines(item, depth + 1)
                found.append(f"{pad}- {first.strip()}")
                found += rest
            else:
                found.append(f"{pad}- {scalar(item)}")
    return found


def scalar(value: Any) -> str:
    """One value on one line."""
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
            return value
        # Compose replaces $NAME in its file; a doubled one is a dollar.
        text = json.dumps(value if isinstance(value, Interpolated) else value.replace("$", "$$"), ensure_ascii=False)
        return "".join(sign if sign.isprintable() else f"\\U{ord(sign):08x}" for sign in text)
    if isinstance(value, (dict, list)):
        return "{}" if isinstance(value, dict) else "[]"
    return json.dumps(value)
