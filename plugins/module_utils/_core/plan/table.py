# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as a person reads it: a bar and a row for each model, what is left, and what would change it. Plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB, MIB, gib

BAR_CELLS = 24
# Where lines are short, bars are shortened first.
NARROW_CELLS = (18, 12)
_EIGHTHS = " ▏▎▍▌▋▊▉█"
# Flags that a person weighs; sizes stand in the table already.
_TELLING = (
    "--enforce-eager",
    "--kv-cache-dtype",
    "--quantization",
    "--dtype",
    "--tensor-parallel-size",
    "--trust-remote-code",
)


def render(
    host: str, plan: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]], unicode: bool = True, width: int = 120
) -> str:
    """One host's plan, no line of it wider than width where a model's row can be broken; `others` holds the plans of other presets."""
    lines: list[str] = []
    for gpu in plan["gpus"]:
        place = f"{host}   GPU {gpu['index']}" if len(plan["gpus"]) > 1 else host
        lines += _heading(place, gpu, plan["preset"], width)
        lines.append("")
        lines += _table(gpu, unicode, width)
        lines.append("")
    told = [f"does not fit: {reason}" for reason in plan["reasons"]]
    error = plan.get("calibration")
    if error:
        least, most = (f"{error[name] / MIB:+.0f}" for name in ("least_bytes", "most_bytes"))
        told.append(
            f"Engines of this image on this card used {least} to {most} MiB against their plans ({error['starts']} starts)."
        )
    # Of what does not fit only the remedy counts.
    told += (_notes(plan) if plan["feasible"] else []) + _other_presets(plan, others)
    for text in told:
        lines += textwrap.wrap(
            text, max(40, width), initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
        )
    return "\n".join(lines).rstrip() + "\n"


def cells(size: int, whole: int, unicode: bool = True, width: int = BAR_CELLS) -> str:
    """A bar of so many cells for the whole; at least a sliver for what is there."""
    eighths = round(size / whole * width * 8) if whole else 0
    eighths = max(1, min(width * 8, eighths)) if size > 0 else 0
    if not unicode:
        return ("#" * max(1 if eighths else 0, eighths // 8)).ljust(width)
    return (_EIGHTHS[8] * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")).ljust(width)


def _heading(host: str, gpu: Mapping[str, Any], preset: str, width: int) -> list[str]:
    title = f"{host}   {gpu['name']}   {gib(gpu['usable_bytes'])} usable"
    budget = f"preset {preset}: the stack may hold {gib(gpu['budget_bytes'])}"
    whole = f"{title}   {budget}"
    return [whole] if len(whole) <= width else [title, f"  {budget}"]


def _table(gpu: Mapping[str, Any], unicode: bool, width: int) -> list[str]:
    used = [(model["name"], model["total_bytes"]) for model in gpu["models"]] + [("free", gpu["headroom_bytes"])]
    facts = [*(_facts(model) for model in gpu["models"]), [""] * 6]
    bars: list[list[str]] = []
    for size in (BAR_CELLS, *NARROW_CELLS):
        bars = [
            [name, cells(used_bytes, gpu["usable_bytes"], unicode, size), f"{used_bytes / GIB:.1f} GiB"]
            for name, used_bytes in used
        ]
        rows = _aligned([[*name_and_bar, *fact] for name_and_bar, fact in zip(bars, facts, strict=True)], right={2, 6})
        if max(len(row) for row in rows) <= width:
            return rows
    # Too wide for one line: the bar first, and what it is made of below it.
    found = []
    told = _aligned([fact[:5] for fact in facts[:-1]], right={3})
    for place, line in enumerate(_aligned(bars, right={2})):
        found.append(line)
        if place < len(told):
            found.append(f"  {told[place]}")
            found += [f"    {facts[place][5]}"] if facts[place][5] else []
    return found


def _facts(model: Mapping[str, Any]) -> list[str]:
    cached, requests = model["kv_cache_bytes"] > 0, int(model["max_concurrency"])
    return [
        f"weights {model['weights_bytes'] / GIB:.1f}",
        f"kv {model['kv_cache_bytes'] / GIB:.1f}",
        f"rest {(model['total_bytes'] - model['weights_bytes'] - model['kv_cache_bytes']) / GIB:.1f}",
        f"{model['kv_cache_tokens']:,} tokens" if cached else "",
        f"{requests} request{'' if requests == 1 else 's'} of {model['max_model_len']:,}" if cached else "no KV cache",
        " ".join(_telling(model["engine_args"])),
    ]


def _aligned(rows: Sequence[Sequence[str]], right: set[int]) -> list[str]:
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _telling(arguments: Sequence[str]) -> list[str]:
    found = []
    for place, argument in enumerate(arguments):
        if argument in _TELLING:
            value = arguments[place + 1] if place + 1 < len(arguments) else ""
            found.append(argument if not value or value.startswith("--") else f"{argument} {value}")
    return found


def _notes(plan: Mapping[str, Any]) -> list[str]:
    # A model on several cards is on the list of each.
    found = [f"{model['name']}: {note}." for gpu in plan["gpus"] for model in gpu["models"] for note in model["notes"]]
    return list(dict.fromkeys(found))


def _other_presets(plan: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What each model could serve under the other presets, where that differs."""
    now = {model["name"]: model for gpu in plan["gpus"] for model in gpu["models"]} if plan["feasible"] else {}
    lines = []
    for preset, other in others.items():
        if preset == plan["preset"]:
            continue
        if not other["feasible"]:
            short = sum(max(0, gpu["used_bytes"] - gpu["budget_bytes"]) for gpu in other["gpus"])
            lines.append(f"With preset {preset}: does not fit{f', {gib(short)} short' if short else ''}.")
            continue
        changes = {
            model["name"]: f"{model['name']} {int(model['max_concurrency'])}"
            for gpu in other["gpus"]
            for model in gpu["models"]
            if int(model["max_concurrency"]) != int(now.get(model["name"], {}).get("max_concurrency", -1))
        }
        used = sum(gpu["used_bytes"] for gpu in other["gpus"])
        what = f"requests at once: {', '.join(changes.values())}" if changes else "the same requests at once"
        lines.append(f"With preset {preset}: {'' if plan['feasible'] else 'fits; '}{what} ({gib(used)} used).")
    return lines
