# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A benchmark for people: a row a run, what a neighbour and the gateway cost, and the guide's own figures beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.benchmark.comparison import (
    ENGINE,
    GATEWAY,
    Regression,
)

# What the guide measured with `ab -n 100 -c 10` (mean, success) and with single requests (tokens a second), on a GeForce RTX 5090 with vLLM
# 0.10.1.1 and eager execution. Its time to first token was a tenth of the latency and no measurement.
GUIDE: Mapping[str, tuple[int, int, int]] = {
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": (98, 120, 450),
    "Qwen/Qwen2.5-3B-Instruct": (95, 250, 280),
    "01-ai/Yi-6B-Chat": (92, 380, 210),
}
_HEAD = (
    "",
    "answered",
    "tokens/s",
    "first token p50",
    "p95",
    "p99",
    "between p50",
    "p95",
    "p99",
    "whole p50",
    "p95",
    "p99",
    "goodput",
)


def table(
    host: str,
    record: Mapping[str, Any],
    regressions: Sequence[Regression],
    changed: Sequence[str],
    compared: bool,
) -> list[str]:
    """Return the whole answer, line by line; times are milliseconds."""
    gpus = ", ".join(_gpu(gpu) for gpu in record["cards"]) or "no card"
    lines = [
        f"{host}   profile {record['profile']}   {gpus}   vLLM {record['engine_version'] or 'of an unnamed version'}",
        "",
    ]
    lines += _columns([_HEAD, *(_row(run) for run in record["runs"] if run["result"])])
    lines += [
        f"  {run['model']}, {_way(run)}: not measured, for {run['skipped']}."
        for run in record["runs"]
        if not run["result"]
    ]
    lines += ["", *_neighbours(record), *_added(record), *_guide(record)]
    lines += [f"  Changed since the last run: {'; '.join(changed)}."] if changed else []
    if regressions:
        lines += [f"  Worse: {regression.text}." for regression in regressions]
    else:
        lines.append(
            "  Nothing is worse than in the last run."
            if compared
            else "  There is no run of this profile to compare with yet."
        )
    return [line for line, before in zip(lines, ["", *lines], strict=False) if line or before]


def _gpu(gpu: Mapping[str, Any]) -> str:
    after = gpu.get("after") or {}
    told = [
        f"{after[name]:,.0f} {unit}"
        for name, unit in (("clock_mhz", "MHz"), ("temperature_c", "°C"))
        if after.get(name)
    ]
    return f"{gpu['name']}{' at ' + ', '.join(told) if told else ''}"


def _way(run: Mapping[str, Any]) -> str:
    return "gateway" if run["way"] == GATEWAY else "together" if run["together"] else "alone"


def _row(run: Mapping[str, Any]) -> tuple[str, ...]:
    result = run["result"]
    times = [
        f"{result[name][part]:,.1f}" if result[name] else "-"
        for name in ("ttft_ms", "itl_ms", "e2e_ms")
        for part in ("p50", "p95", "p99")
    ]
    name = f"{run['model']}  {_way(run)}  {run['load']['requests']} by {run['load']['concurrency']}"
    goodput = "-" if result["goodput"] is None else f"{result['goodput']:.0%}"
    return (name, f"{result['success']:.0%}", f"{result['tokens_per_s']:,.0f}", *times, goodput)


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Names to the left, figures to the right."""
    names = max(len(row[0]) for row in rows)
    widths = [max(len(row[at]) for row in rows) for at in range(1, len(rows[0]))]
    return [
        "  ".join(["", row[0].ljust(names), *(cell.rjust(width) for cell, width in zip(row[1:], widths, strict=True))])
        for row in rows
    ]


def _by_way(record: Mapping[str, Any], way: str, together: bool) -> dict[tuple[str, int], Mapping[str, Any]]:
    return {
        (run["model"], run["load"]["concurrency"]): run["result"]
        for run in record["runs"]
        if run["result"] and run["way"] == way and run["together"] is together
    }


def _neighbours(record: Mapping[str, Any]) -> list[str]:
    alone, together = _by_way(record, ENGINE, False), _by_way(record, ENGINE, True)
    shares = [
        f"{model} {together[model, at_once]['tokens_per_s'] / alone[model, at_once]['tokens_per_s']:.0%}"
        for model, at_once in together
        if (model, at_once) in alone and alone[model, at_once]["tokens_per_s"]
    ]
    if not shares:
        return []
    line = f"  All at once, of the tokens/s alone: {', '.join(shares)}."
    share = record.get("at_once")
    return [line if share is None else f"{line} All asked at the same time for {share:.0%} of the shortest run."]


def _added(record: Mapping[str, Any]) -> list[str]:
    """What the gateway adds to a first token, or to the whole where no token comes."""
    direct, through = _by_way(record, ENGINE, False), _by_way(record, GATEWAY, False)
    added = []
    several = len(through) > len({model for model, _at_once in through})
    for at in through:
        for name in ("ttft_ms", "e2e_ms"):
            if at in direct and through[at][name] and direct[at][name]:
                which = f"{at[0]}, {at[1]} at once," if several else at[0]
                added.append(f"{which} {through[at][name]['p50'] - direct[at][name]['p50']:+.1f} ms")
                break
    return [f"  Through the gateway, at the median: {('; ' if several else ', ').join(added)}."] if added else []


def _guide(record: Mapping[str, Any]) -> list[str]:
    """The guide's table beside ours, for the models that it had."""
    ours = {run["model"]: run["result"] for run in record["runs"] if run["result"] and run["way"] == GATEWAY} or {
        run["model"]: run["result"] for run in record["runs"] if run["result"] and not run["together"]
    }
    rows = []
    for name, entry in record["models"].items():
        if entry["model"] not in GUIDE or name not in ours or record["profile"] != "guide":
            continue
        success, mean, tokens = GUIDE[entry["model"]]
        whole = ours[name]["e2e_ms"]
        mine = (
            f"{ours[name]['success']:.0%}",
            f"{whole['p50']:,.0f} ms" if whole else "-",
            f"{ours[name]['tokens_per_s']:,.0f}",
        )
        rows.append((name, f"{success} %", f"{mean} ms", f"{tokens}", *mine))
    if not rows:
        return []
    head = ("", "guide: answered", "mean", "tokens/s of one request", "here: answered", "p50", "tokens/s of ten")
    doubt = "  The guide's answers were shorter by an unknown length: its times are no like for like."
    return ["", *_columns([head, *rows]), doubt, ""]
