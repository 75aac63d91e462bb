# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words that YAML and people have for true and false, read the same way wherever a variable holds one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_TRUE, _FALSE = ("true", "yes", "on", "y", "t", "1"), ("false", "no", "off", "n", "f", "0")


def truth(value: Any) -> bool | None:
    """Return true or false, given as one or as a word for it; None where it is neither."""
    text = str(value).strip().lower()
    if text in _TRUE:
        return True
    return False if text in _FALSE else None


def choice(value: Any, choices: Sequence[str]) -> str:
    """Return the choice that a person means: an unquoted off or on is false or true to YAML."""
    text = str(value).strip()
    if text in choices:
        return text
    wanted = truth(value)
    meant = [choice for choice in choices if wanted is not None and truth(choice) is wanted]
    return meant[0] if len(meant) == 1 else text
