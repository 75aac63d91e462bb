# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clocks, temperature and power of the cards while a benchmark runs, as nvidia-smi tells them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Run = Callable[[list[str]], tuple[int, str, str]]
_FIELDS = ("index", "name", "driver_version", "clocks.sm", "temperature.gpu", "power.draw")
_QUERY = ["nvidia-smi", f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"]


def read(run: Run) -> list[dict[str, Any]]:
    """Return what each card is and how it is now; none where there is no nvidia-smi."""
    status, out, _err = run(_QUERY)
    cells = (
        [[cell.strip() for cell in line.split(",")] for line in out.splitlines() if line.strip()] if status == 0 else []
    )
    return [
        {
            "name": row[1],
            "driver": row[2],
            "now": {"clock_mhz": _number(row[3]), "temperature_c": _number(row[4]), "power_w": _number(row[5])},
        }
        for row in cells
        if len(row) == len(_FIELDS)
    ]


def together(
    before: Sequence[Mapping[str, Any]], during: Sequence[Sequence[Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """Return each card with how it was before, and how it was when it was warmest."""
    return [
        {
            "name": gpu["name"],
            "driver": gpu["driver"],
            "before": gpu["now"],
            "after": max(
                (gpus[index]["now"] for gpus in during if index < len(gpus)),
                key=lambda now: now["temperature_c"] or 0,
                default=gpu["now"],
            ),
        }
        for index, gpu in enumerate(before)
    ]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        # "[N/A]" of a card that does not tell.
        return None
