# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as a person reads it: a bar and a row for each model, what is left, and what would change it. Plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB, MIB, gib

BAR_CELLS = 24
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


def render(host: str, plan: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]], unicode: bool = True) -> str:
    """One host's plan; `others` holds the plans under other presets by name."""
    lines: list[str] = []
    for gpu in plan["gpus"]:
        lines.append(
            f"{host}   {gpu['name']}   {gib(gpu['usable_bytes'])} usable   "
            f"preset {plan['preset']}: the stack may hold {gib(gpu['budget_bytes'])}"
        )
        lines.append("")
        lines += _table(gpu, unicode)
        lines.append("")
    for reason in plan["reasons"]:
        lines.append(f"  does not fit: {reason}")
    error = plan.get("calibration")
    if error:
        least, most = (f"{error[name] / MIB:+.0f}" for name in ("least_bytes", "most_bytes"))
        lines.append(
            f"  Engines of this image on this card held {least} to {most} MiB against their plans ({error['starts']} starts)."
        )
    lines += _notes(plan) + _other_presets(plan, others)
    return "\n".join(lines).rstrip() + "\n"


def cells(size: int, whole: int, unicode: bool = True) -> str:
    """A bar of BAR_CELLS cells for the whole; at least a sliver for what is there."""
    eighths = round(size / whole * BAR_CELLS * 8) if whole else 0
    eighths = max(1, min(BAR_CELLS * 8, eighths)) if size > 0 else 0
    if not unicode:
        return ("#" * max(1 if eighths else 0, eighths // 8)).ljust(BAR_CELLS)
    return (_EIGHTHS[8] * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")).ljust(BAR_CELLS)


def _table(gpu: Mapping[str, Any], unicode: bool) -> list[str]:
    rows = [
        (
            model["name"],
            cells(model["total_bytes"], gpu["usable_bytes"], unicode),
            f"{model['total_bytes'] / GIB:.1f} GiB",
            f"weights {model['weights_bytes'] / GIB:.1f}",
            f"kv {model['kv_cache_bytes'] / GIB:.1f}",
            f"rest {(model['total_bytes'] - model['weights_bytes'] - model['kv_cache_bytes']) / GIB:.1f}",
            f"{model['kv_cache_tokens']:,} tokens",
            f"{int(model['max_concurrency'])} requests of {model['max_model_len']:,}"
            if model["kv_cache_bytes"]
            else "",
            " ".join(_telling(model["engine_args"])),
        )
        for model in gpu["models"]
    ]
    left = gpu["headroom_bytes"]
    rows.append(("free", cells(left, gpu["usable_bytes"], unicode), f"{left / GIB:.1f} GiB", "", "", "", "", "", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    right = {2, 6}
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
    return [f"  {model['name']}: {note}." for gpu in plan["gpus"] for model in gpu["models"] for note in model["notes"]]


def _other_presets(plan: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What each model could serve under the other presets, where that differs."""
    now = {model["name"]: model for gpu in plan["gpus"] for model in gpu["models"]}
    lines = []
    for preset, other in others.items():
        if preset == plan["preset"]:
            continue
        if not other["feasible"]:
            if plan["feasible"]:
                lines.append(f"  With preset {preset}: does not fit.")
            continue
        changes = [
            f"{model['name']} {int(model['max_concurrency'])}"
            for gpu in other["gpus"]
            for model in gpu["models"]
            if int(model["max_concurrency"]) != int(now.get(model["name"], {}).get("max_concurrency", -1))
        ]
        used = sum(gpu["used_bytes"] for gpu in other["gpus"])
        what = f"requests at once: {', '.join(changes)}" if changes else "the same"
        lines.append(f"  With preset {preset}: {what} ({gib(used)} held).")
    return lines
