# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the client measured, from the JSON that it leaves: percentiles, tokens a second, success, and goodput against objectives."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.benchmark.client import PERCENTILES
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.text import harmless

# What a request may be held to, in milliseconds: its first token, the time between its tokens, and the whole of it.
OBJECTIVES = ("ttft_ms", "itl_ms", "e2e_ms")
MS = 1000.0


@dataclass(frozen=True)
class Spread:
    """Percentiles of a time in milliseconds."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class Result:
    """One run of the client. What embeds has no tokens out, and no times of them."""

    requests: int
    completed: int
    duration_s: float
    input_tokens: int
    output_tokens: int
    ttft_ms: Spread | None
    itl_ms: Spread | None
    e2e_ms: Spread | None
    goodput: float | None = None
    first_error: str = ""
    # When the first request went out, by the clock that all processes of a host share; not every vLLM tells.
    began_s: float | None = None

    @property
    def success(self) -> float:
        """The share of requests that were answered whole."""
        return self.completed / self.requests if self.requests else 0.0

    @property
    def tokens_per_s(self) -> float:
        """Tokens a second: of answers, or of prompts where the model writes none."""
        return (self.output_tokens or self.input_tokens) / self.duration_s if self.duration_s else 0.0

    @property
    def requests_per_s(self) -> float:
        """Answered requests a second."""
        return self.completed / self.duration_s if self.duration_s else 0.0

    def as_data(self) -> dict[str, Any]:
        """Return it as it is kept."""
        rates = {"success": self.success, "tokens_per_s": self.tokens_per_s, "requests_per_s": self.requests_per_s}
        return {**asdict(self), **{name: round(value, 4) for name, value in rates.items()}}


def objectives(given: Mapping[str, Any]) -> dict[str, float]:
    """Return what requests are held to, or fail with what is no objective."""
    found = {}
    for name, value in given.items():
        if name not in OBJECTIVES:
            fail(f"benchmark_objectives.{name}", "there is no such objective.", f"Known are {', '.join(OBJECTIVES)}.")
        try:
            found[name] = float(value)
        except (TypeError, ValueError):
            found[name] = 0.0
        if not 0 < found[name] < float("inf"):
            fail(f"benchmark_objectives.{name}", f"{value!r} is no time.", "Write milliseconds, such as 300.")
    return found


def read(text: str, asked: int, held_to: Mapping[str, float], where: str) -> Result:
    """Return what the client's file says, or fail where it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not _is_number(found.get("duration")):
        fail(where, "vLLM's client left no result.", "See what it printed, or take another engine image.")
    errors = [str(error or "") for error in _list(found, "errors")]
    first_error = next((error.strip() for error in errors if error.strip()), "")
    completed = _count(found, "completed")
    times = list(_times(found, errors))
    # One that was not sent has none, or 0.
    starts = [float(start) for start in _list(found, "start_times") if _is_number(start) and start]
    return Result(
        requests=max(asked, completed),
        completed=completed,
        duration_s=float(found["duration"]),
        input_tokens=_count(found, "total_input_tokens"),
        output_tokens=_count(found, "total_output_tokens"),
        ttft_ms=_spread([ttft for ttft, _gaps in times]),
        itl_ms=_spread([gap for _ttft, gaps in times for gap in gaps]),
        e2e_ms=_spread([ttft + sum(gaps) for ttft, gaps in times]) or _told(found, "e2el"),
        goodput=_goodput(times, held_to, max(asked, completed)) if held_to and times else None,
        # The last line of a traceback says what it is about.
        first_error=harmless(first_error.splitlines()[-1], 200) if first_error else "",
        began_s=min(starts, default=None),
    )


def at_once(results: Sequence[Mapping[str, Any] | None]) -> float | None:
    """Return for which share of the shortest run all clients asked at the same time; None where one does not tell when it did.

    Each takes its time to start, so that short runs may have come one after the other.
    """
    spans = [
        (float(result["began_s"]), float(result["duration_s"]))
        for result in results
        if result and result["began_s"] is not None and result["duration_s"]
    ]
    if len(spans) < max(2, len(results)):
        return None
    met = min(began + duration for began, duration in spans) - max(began for began, _duration in spans)
    return round(max(0.0, met) / min(duration for _began, duration in spans), 4)


def _times(found: Mapping[str, Any], errors: Sequence[str]) -> list[tuple[float, list[float]]]:
    """Return of each answered request the seconds to its first token and between the others."""
    pairs = zip(_list(found, "ttfts"), _list(found, "itls"), strict=False)
    return [
        (float(ttft), [float(gap) for gap in gaps if _is_number(gap)])
        for (ttft, gaps), error in zip(pairs, errors, strict=False)
        if not error and _is_number(ttft) and isinstance(gaps, list)
    ]


def _goodput(times: Sequence[tuple[float, list[float]]], held_to: Mapping[str, float], asked: int) -> float:
    """Return the share of all requests that met every objective; one that failed met none."""

    def met(ttft: float, gaps: Sequence[float]) -> bool:
        taken = {
            "ttft_ms": ttft * MS,
            "itl_ms": sum(gaps) / len(gaps) * MS if gaps else 0.0,
            "e2e_ms": (ttft + sum(gaps)) * MS,
        }
        return all(taken[name] <= most for name, most in held_to.items())

    return round(sum(met(ttft, gaps) for ttft, gaps in times) / asked, 4)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile, between two values where it lies between them, as numpy does."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _spread(seconds: Sequence[float]) -> Spread | None:
    return Spread(*(round(percentile(seconds, percent) * MS, 3) for percent in PERCENTILES)) if seconds else None


def _told(found: Mapping[str, Any], metric: str) -> Spread | None:
    """Return the client's own percentiles, where it does not tell of single requests."""
    values: list[Any] = [found.get(f"p{percent}_{metric}_ms") for percent in PERCENTILES]
    if not all(map(_is_number, values)):
        return None
    return Spread(*(round(float(value), 3) for value in values))


def _list(found: Mapping[str, Any], name: str) -> list[Any]:
    value = found.get(name)
    return value if isinstance(value, list) else []


def _count(found: Mapping[str, Any], name: str) -> int:
    value: Any = found.get(name)
    return int(value) if _is_number(value) else 0


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")
