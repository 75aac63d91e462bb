# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine's log says of how far it is, and of what it got."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum


class Phase(Enum):
    """How far a start is, in the order in which one goes."""

    CREATED = "created"
    LOADING = "loading"
    LOADED = "loaded"
    PROFILED = "profiled"
    CACHE = "cache"
    GRAPHS = "graphs"
    INITIALIZED = "initialized"
    LISTENING = "listening"


# In the order in which a start goes through them. Lines of vLLM 0.10 to 0.33, unanchored: each carries a process prefix.
PHASES = (
    (Phase.CREATED, re.compile(r"Initializing a V1 LLM engine")),
    (Phase.LOADING, re.compile(r"Starting to load model|Loading safetensors checkpoint shards")),
    (Phase.LOADED, re.compile(r"Model loading took|Loading weights took")),
    (
        Phase.PROFILED,
        re.compile(r"Available KV cache memory|memory for KV Cache as specified|GiB for KV cache on node"),
    ),
    (Phase.CACHE, re.compile(r"KV cache size: [\d,]+ tokens")),
    (Phase.GRAPHS, re.compile(r"Graph capturing finished")),
    (Phase.INITIALIZED, re.compile(r"init engine \(profile, create kv cache")),
    (Phase.LISTENING, re.compile(r"Starting vLLM (?:API )?server|Application startup complete")),
)
_BEGINNING = re.compile(r"vLLM API server version")
_SERVING = re.compile(r"Application startup complete")
_PERCENT = re.compile(r"Loading safetensors checkpoint shards:\s+(\d+)%")
_TOKENS = re.compile(r"KV cache size: ([\d,]+) tokens")
_CONCURRENCY = re.compile(r"Maximum concurrency for [\d,]+ tokens per request: ([\d.]+)x")


@dataclass(frozen=True)
class LogFacts:
    """The furthest phase, None before the first, and figures where the log has them."""

    phase: Phase | None = None
    percent: int | None = None
    kv_cache_tokens: int | None = None
    max_concurrency: float | None = None


def timeline(lines: Iterable[tuple[float, str]], started: float) -> dict[str, float]:
    """Seconds from `started` to the first line of each phase; lines with the time at which each was written."""
    found: dict[str, float] = {}
    for at, line in lines:
        for phase, pattern in PHASES:
            if phase.value not in found and pattern.search(line):
                found[phase.value] = round(max(0.0, at - started), 1)
    return found


def of_the_end(lines: Sequence[str]) -> tuple[Sequence[str], bool]:
    """Return the lines that can tell why an engine has ended, and whether it served before.

    Docker's log holds every start of a container: what ended an earlier one, or what an engine served on after, has not ended this one.
    """
    marks = [at for at, line in enumerate(lines) if _BEGINNING.search(line) or _SERVING.search(line)]
    since = lines[marks[-1] :] if marks else lines
    return since, bool(marks) and _SERVING.search(since[0]) is not None


def read(lines: Iterable[str]) -> LogFacts:
    """Facts of a whole log; later lines win."""
    order = {phase: place for place, phase in enumerate(Phase)}
    furthest: Phase | None = None
    percent, tokens, concurrency = None, None, None
    for line in lines:
        for phase, pattern in PHASES:
            if pattern.search(line) and (furthest is None or order[phase] >= order[furthest]):
                furthest = phase
        if match := _PERCENT.search(line):
            percent = int(match.group(1))
        if match := _TOKENS.search(line):
            tokens = int(match.group(1).replace(",", ""))
        if match := _CONCURRENCY.search(line):
            concurrency = float(match.group(1))
    return LogFacts(furthest, percent, tokens, concurrency)
