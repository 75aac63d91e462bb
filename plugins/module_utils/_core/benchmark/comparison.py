# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A benchmark beside the one before on the same host, and beside what is expected of a card: what got worse, and what else changed.

A record is plain data, kept as JSON on the host:

    {"version": 1, "profile": str, "when": str, "engine_version": str, "cards": [{"name", "driver", "before": {...}, "after": {...}}],
     "models": {name: {"model", "image", "args", "task", "digest"}},
     "runs": [{"model", "way": "engine" | "gateway", "together": bool, "load": {...}, "result": {...} | null, "skipped": str}]}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail

VERSION = 1
ENGINE, GATEWAY = "engine", "gateway"
# Two runs of the same thing on a quiet card differ by some percent; first tokens and tails by more.
FEWER_TOKENS = 0.9
LONGER = 1.25
# What is this short differs by its own size from run to run.
LONGER_MS = 5.0
# Figures that a threshold may bound, and whether more of them is better.
THRESHOLDS: Mapping[str, bool] = {
    "tokens_per_s": True,
    "success": True,
    "goodput": True,
    "ttft_p95_ms": False,
    "itl_p95_ms": False,
    "e2e_p95_ms": False,
}


@dataclass(frozen=True)
class Regression:
    """A figure that got worse than it was, or than it may be."""

    model: str
    text: str


def key(run: Mapping[str, Any]) -> tuple[Any, ...]:
    """What has to be the same of two runs for their figures to compare."""
    load = run["load"]
    sizes = (load["requests"], load["concurrency"], load["input_tokens"], load["output_tokens"])
    return (run["model"], run["way"], run["together"], *sizes)


def figure(result: Mapping[str, Any], name: str) -> float | None:
    """Return a figure by its threshold's name; None where the run has none."""
    if name.endswith("_p95_ms"):
        spread = result.get(name.replace("_p95", ""))
        return spread["p95"] if spread else None
    value = result.get(name)
    return None if value is None else float(value)


def is_record(found: Any) -> bool:
    """Whether a file holds a record as we write them; what does not is compared with nothing."""
    return (
        isinstance(found, Mapping)
        and found.get("version") == VERSION
        and isinstance(found.get("runs"), list)
        and isinstance(found.get("models"), Mapping)
        and all(
            isinstance(run, Mapping) and {"model", "way", "together", "load", "result"} <= set(run)
            for run in found["runs"]
        )
    )


def against_last(now: Mapping[str, Any], last: Mapping[str, Any]) -> list[Regression]:
    """Return what got worse since the run before, each once a run."""
    before = {key(run): run["result"] for run in last["runs"] if run["result"]}
    return [
        Regression(run["model"], f"{_called(run)}: {text}")
        for run in now["runs"]
        if run["result"] and key(run) in before
        for text in _worse(run["result"], before[key(run)])
    ]


def is_comparable(now: Mapping[str, Any], last: Mapping[str, Any]) -> bool:
    """Tell whether anything was measured in both: the run before may have been of other models."""
    measured = [{key(run) for run in record["runs"] if run["result"]} for record in (now, last)]
    return bool(measured[0] & measured[1])


def _worse(now: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    if now["success"] < before["success"]:
        reason = f" ({now['first_error']})" if now.get("first_error") else ""
        yield f"{now['success']:.0%} of the requests were answered, {before['success']:.0%} before{reason}"
    if now["tokens_per_s"] < FEWER_TOKENS * before["tokens_per_s"]:
        yield f"{now['tokens_per_s']:,.0f} tokens/s, {before['tokens_per_s']:,.0f} before"
    for name, meaning in (
        ("ttft_p95_ms", "first token"),
        ("itl_p95_ms", "between tokens"),
        ("e2e_p95_ms", "whole answer"),
    ):
        taken, took = figure(now, name), figure(before, name)
        if taken is not None and took is not None and taken > LONGER * took and taken > took + LONGER_MS:
            yield f"{meaning} p95 {taken:,.0f} ms, {took:,.0f} ms before"


def changes(now: Mapping[str, Any], last: Mapping[str, Any]) -> list[str]:
    """Return what is not as it was in the run before, so that a difference has a reason."""
    found = []
    for name, model in now["models"].items():
        before = last["models"].get(name)
        if before is None:
            continue
        if model["image"] != before["image"]:
            found.append(f"{name}: another engine image")
        if model["args"] != before["args"]:
            gone = [arg for arg in before["args"] if arg not in model["args"]]
            new = [arg for arg in model["args"] if arg not in before["args"]]
            parts = [f"{word} {' '.join(args)}" for word, args in (("without", gone), ("with", new)) if args]
            found.append(f"{name}: {' and '.join(parts) or 'its flags in another order'}")
    for gpu, before in zip(now["cards"], last.get("cards") or [], strict=False):
        if gpu["name"] != before["name"]:
            found.append(f"card: {gpu['name']}, {before['name']} before")
        elif gpu["driver"] != before["driver"]:
            found.append(f"driver: {gpu['driver']}, {before['driver']} before")
    return found


def thresholds(given: Any) -> list[dict[str, Any]]:
    """Return what is expected of models, or fail with what is no threshold."""
    entries = given if isinstance(given, list) else [given]
    for number, entry in enumerate(entries):
        at = f"benchmark_thresholds[{number}]"
        if not isinstance(entry, Mapping) or not isinstance(entry.get("model"), str):
            fail(at, "it names no model.", "Write {model: qwen, tokens_per_s: 200}, for example.")
        for name, value in entry.items():
            if name in ("model", "card"):
                continue
            if name not in THRESHOLDS:
                fail(f"{at}.{name}", "there is no such figure.", f"Known are {', '.join(THRESHOLDS)}.")
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
                fail(f"{at}.{name}", f"{value!r} is no figure.", "Write a number above 0.")
    return [dict(entry) for entry in entries]


def against_thresholds(now: Mapping[str, Any], expected: Sequence[Mapping[str, Any]]) -> list[Regression]:
    """Return what is worse than expected, of each model alone and asked directly; an entry with a card is for that card alone.

    What was to be measured and could not be is worse than anything that is expected of it, and so is a card that nobody could name.
    """
    gpus = {gpu["name"] for gpu in now["cards"]}
    found = []
    for run in now["runs"]:
        if run["together"] or run["way"] != ENGINE:
            continue
        for entry in expected:
            if entry["model"] != run["model"]:
                continue
            if "card" in entry and not gpus:
                unknown = f"nvidia-smi names no card, and a threshold is for {entry['card']}"
                found.append(Regression(run["model"], f"{_called(run)}: {unknown}"))
                continue
            if "card" in entry and not any(entry["card"] in gpu for gpu in gpus):
                continue
            if not run["result"]:
                found.append(
                    Regression(run["model"], f"{_called(run)}: not measured ({run.get('skipped') or 'no reason'})")
                )
                continue
            for name, more_is_better in THRESHOLDS.items():
                value = figure(run["result"], name)
                if name not in entry or value is None:
                    continue
                if value < entry[name] if more_is_better else value > entry[name]:
                    found.append(
                        Regression(run["model"], f"{_called(run)}: {name} {value:,.4g}, threshold {entry[name]:,.4g}")
                    )
    return found


def is_accepted(last: Mapping[str, Any], models: Mapping[str, Any], expected: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether a record is of these engines, and reaches what is expected of them."""
    return bool(models) and dict(last["models"]) == dict(models) and not against_thresholds(last, expected)


def _called(run: Mapping[str, Any]) -> str:
    at_once = f"{run['load']['concurrency']} at once"
    way = "through the gateway" if run["way"] == GATEWAY else "all models at once" if run["together"] else "alone"
    return f"{run['model']}, {way}, {at_once}"
