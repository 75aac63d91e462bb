# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Single values of a model's entry: each is returned in its type, or refused with where, what and the remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spelling import meant
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import parse_written_size, whole_number
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.yaml_words import truth

Entry = Mapping[str, Any]
_THOUSANDS = {"k": 1000, "m": 1000**2, "g": 1000**3}
_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3}
_SHARE = re.compile(r"([0-9]{1,3}(?:[.,][0-9]{1,9})?) ?(%?)")


def shown(value: Any) -> str:
    """Return a value for a sentence, as YAML writes it."""
    if value is None or isinstance(value, bool):
        return "nothing" if value is None else str(value).lower()
    return ascii(value)[:60]


def integer(value: Any, where: str, low: int, high: int) -> int:
    """Return a whole number within bounds, given as one or as its digits."""
    whole = whole_number(value)
    if whole is None:
        fail(where, f"{shown(value)} is no whole number.", f"Take one from {low} to {high}.")
    if not low <= whole <= high:
        fail(where, f"{shown(value)} is out of bounds.", f"Take a whole number from {low} to {high}.")
    return whole


def human(value: Any) -> Any:
    """Return a number as the engine's parser reads one: 32k is 32,000 and 32K 32,768; fractions only of thousands."""
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)([kKmMgG])", value) if isinstance(value, str) else None
    if match is None:
        return value
    number, unit = match.groups()
    if unit in _THOUSANDS:
        return int(float(number) * _THOUSANDS[unit])
    return int(number) * _UNITS[unit] if "." not in number else value


def share(value: Any, where: str) -> float | None:
    """Return a share of a card, above 0 and up to 1."""
    if value is None:
        return None
    match = _SHARE.fullmatch(str(value)) if isinstance(value, (str, int, float)) else None
    number = float(match.group(1).replace(",", ".")) if match and not isinstance(value, bool) else 0.0
    percent = match is not None and (match.group(2) == "%" or number >= 2)
    if match and not percent and "," not in match.group(1) and 0 < number <= 1:
        return number
    meant_share = number / 100 if percent else number
    fail(
        where,
        f"{shown(value)} is not a share.",
        f"Write {meant_share:g}." if 0 < meant_share <= 1 else "Take a number above 0 and up to 1.",
    )


def size(entry: Entry, key: str, at: str) -> int | None:
    """Return bytes; none where nothing is written."""
    value = entry.get(key)
    if value is None:
        return None
    found = parse_written_size(value, f"{at}.{key}")
    if found == 0:
        fail(f"{at}.{key}", f"{value!r} is nothing.", "Write it like 6GiB, or leave it out.")
    return found


def flag(entry: Entry, key: str, at: str) -> bool:
    """Return true or false; what is not written is false."""
    value = entry.get(key)
    answer = False if value is None else truth(value)
    if answer is None:
        fail(f"{at}.{key}", f"{shown(value)} is neither true nor false.", "Write one of them.")
    return answer


def text(entry: Entry, key: str, at: str) -> str | None:
    """Return one word; none where nothing is written."""
    value = entry.get(key)
    if isinstance(value, (bool, int, float)):
        fail(f"{at}.{key}", f"{shown(value)} is no text to YAML.", "Write it in quotes, or leave it out.")
    if value is not None and (not isinstance(value, str) or not re.fullmatch(r"[\w./@:+-]+", value)):
        fail(f"{at}.{key}", f"{shown(value)} is not one word.", "Use letters, digits and ./@:+-_ only.")
    return value


def choice(
    entry: Entry, key: str, choices: Sequence[str], at: str, default: str, short: Mapping[str, str] | None = None
) -> str:
    """Return one of a closed set; where nothing is written the default. Short are others' words for some of them."""
    value = entry.get(key)
    if value is None or value in (default, ""):
        return default
    if not isinstance(value, str) or value not in choices:
        other = (short or {}).get(str(value).lower())
        question = f"Did you mean {other}? " if other else meant(str(value), choices)
        fail(f"{at}.{key}", f"{shown(value)} is not known.", f"{question}Take one of {', '.join(choices)}.")
    return value


def items(entry: Entry, key: str, at: str) -> Sequence[Any]:
    """Return a list; nothing at all is an empty one."""
    value = [] if entry.get(key) is None else entry[key]
    if not isinstance(value, Sequence) or isinstance(value, str):
        fail(f"{at}.{key}", "it must be a list.", "Write it as [one, two].")
    return value


def mapping(entry: Entry, key: str, at: str) -> Entry | None:
    """Return a mapping; none where nothing is written."""
    value = entry.get(key)
    if value is not None and not isinstance(value, Mapping):
        fail(f"{at}.{key}", f"{shown(value)} is no mapping.", "Write NAME: VALUE below it, or leave it out.")
    return value


def word(value: Any, where: str) -> str:
    """Return what an engine's process gets as it is: a text, or a number as YAML writes it. It may be a secret."""
    if value is None or value == "":
        fail(where, "it is empty.", "Write it, or remove the line.")
    if isinstance(value, bool):
        fail(where, "it is true or false to YAML, and no text.", "Write it in quotes.")
    if not isinstance(value, (str, int, float)):
        fail(
            where,
            f"it is a {'mapping' if isinstance(value, Mapping) else 'list'}, and no text.",
            "Write one, in quotes.",
        )
    if "\0" in str(value):
        fail(where, "it holds a character that no process can be given.", "Take out the NUL in it.")
    return str(value)
