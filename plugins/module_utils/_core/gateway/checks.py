# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of single values as people write them: each returns the value in its type, or fails with where, what and the remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import yaml_words
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spelling import meant

_SIZE = re.compile(r"([1-9][0-9]{0,11})([kKmMgG]?)")
_FACTORS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_PATH = re.compile(r"/[A-Za-z0-9._/+@-]+")


def shown(value: Any) -> str:
    """Return a value for a sentence: what a terminal can't show is escaped, and what is long is cut."""
    return "nothing" if value is None or value == "" else ascii(value)[:80]


def said(value: Any, what: str) -> str:
    """Return what is wrong with a value: it is missing, or it is something that it should not be."""
    return "it is missing." if value is None or value == "" else f"{shown(value)} {what}"


def matching(pattern: re.Pattern[str], value: Any, where: str, kind: str, remedy: str) -> str:
    """Return a text that a pattern describes whole."""
    if not isinstance(value, (str, int)) or isinstance(value, bool) or not pattern.fullmatch(str(value)):
        fail(where, said(value, f"is no {kind}."), remedy)
    return str(value)


def integer(value: Any, where: str, low: int, high: int) -> int:
    """Return a whole number within bounds, given as one or as its digits."""
    text = str(value).strip()
    whole = not isinstance(value, (bool, float)) and re.fullmatch(r"-?[0-9]{1,13}", text)
    if not whole or not low <= int(text) <= high:
        fail(where, said(value, "is out of bounds."), f"Take a whole number from {low} to {high}.")
    return int(text)


def flag(value: Any, where: str) -> bool:
    """Return true or false, given as one or as one of YAML's words for it."""
    answer = yaml_words.truth(value)
    if answer is None:
        fail(where, said(value, "is neither true nor false."), "Write one of them.")
    return answer


def choice(value: Any, where: str, choices: Sequence[str]) -> str:
    """Return one of a closed set."""
    text = yaml_words.choice(value, choices)
    if text not in choices:
        what = "it is missing." if text == "" else f"there is no {shown(value)}."
        fail(where, what, f"{meant(text, choices)}Take one of {', '.join(choices)}.")
    return text


def items(value: Any, where: str) -> tuple[Any, ...]:
    """Return a list's items; nothing at all is an empty list."""
    if value is None or value == "":
        return ()
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Sequence):
        fail(where, f"{shown(value)} is no list.", "Write each entry in a line of its own, after a dash.")
    return tuple(value)


def size_bytes(value: Any, where: str) -> int:
    """Return the bytes of a size in nginx's notation."""
    match = _SIZE.fullmatch(str(value).strip())
    if match is None or isinstance(value, bool):
        fail(where, said(value, "is no size."), "Write digits and k, m or g, such as 32m.")
    return int(match.group(1)) * _FACTORS[match.group(2).lower()]


def path(value: Any, where: str, example: str) -> str:
    """Return an absolute path that needs no quotes in nginx, Compose and tmpfiles, and that leads nowhere else."""
    text = str(value or "")
    if not _PATH.fullmatch(text) or ".." in text.split("/"):
        fail(where, said(value, "is no absolute path."), f"Write one such as {example}.")
    return text
