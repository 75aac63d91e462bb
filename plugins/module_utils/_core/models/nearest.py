# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ids of models that somebody may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST = 3


def nearest(wanted: str, known: Iterable[str]) -> list[str]:
    """Return the ids most like the wanted one: the same but for letter case alone, else the nearest three.

    An owner is worth as much as a name: "qwen3-8b" and "Qwen3/Qwen3-8B" both mean Qwen/Qwen3-8B.
    """
    ids = list(dict.fromkeys(known))
    folded = wanted.casefold()
    same = [model for model in ids if model.casefold() == folded]
    if same:
        return same
    own = _name(folded)
    scores = {
        model: max(_alike(folded, model.casefold()), _alike(own, _name(model.casefold())) - 0.01) for model in ids
    }
    close = [model for model in sorted(ids, key=lambda model: (-scores[model], model)) if scores[model] >= 0.7]
    return close[:MOST]


def _name(model: str) -> str:
    return model.rpartition("/")[2]


def _alike(one: str, other: str) -> float:
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    return matcher.ratio() if matcher.real_quick_ratio() >= 0.7 and matcher.quick_ratio() >= 0.7 else 0.0
