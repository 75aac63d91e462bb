# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words that somebody may have meant: the known one that is most like what was written."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# Below it two short words are alike by chance: "host" and "port" share half.
LIKE = 0.7


def nearest(word: str, known: Iterable[str], at_least: float = LIKE) -> str:
    """Return the known word that is most like this one, or nothing where none is."""
    words = {other.casefold(): other for other in sorted(known)}
    found = difflib.get_close_matches(word.casefold(), words, n=1, cutoff=at_least)
    return words[found[0]] if found else ""


def meant(word: str, known: Iterable[str]) -> str:
    """Return the question whether the nearest word was meant, with a blank behind it; nothing where none is near."""
    near = nearest(word, known)
    return f"Did you mean {near}? " if near else ""
