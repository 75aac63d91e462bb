# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which CUDA graphs an engine captures of a class: some start with graphs in pieces alone, and not with what a version does by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import flags

PIECES = json.dumps({"cudagraph_mode": "PIECEWISE"}, separators=(",", ":"))
# Classes that refuse graphs of a whole step, by the first version that takes them. Source: vLLM, models/voxtral_realtime.py.
WHOLE_SINCE: Mapping[str, tuple[int, int, int]] = {
    **dict.fromkeys(("VoxtralRealtimeGeneration", "VoxtralRealtimeForConditionalGeneration"), (0, 30, 0)),
}


def in_pieces(served_as: str, version: tuple[int, int, int]) -> bool:
    """Whether this version starts the class with graphs in pieces alone."""
    return version < WHOLE_SINCE.get(served_as, (0, 0, 0))


def arguments(extra_args: Sequence[str]) -> list[str]:
    """Return what has to be said for that, where the user has not said which graphs there are."""
    told = any(flags.meant(one) == "--compilation-config" for one in extra_args)
    return [] if told else ["--compilation-config", PIECES]
