# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether one model fits on one card, and what would, as one screen. Everything that is said was planned."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import gib

# The length at which models are compared, and what is tried where it does not fit.
LENGTH = 8192
SHORTER = (4096, 2048, 1024)
PRESETS = ("balanced", "aggressive", "auto")
MOST_ROWS = 5
_SIZE = re.compile(r"^(?P<family>.+?)[-_.](?P<size>\d+(\.\d+)?)b(?![a-z])", re.I)

# Plans one model entry on cards under a preset.
Planner = Callable[[Mapping[str, Any], int, str], Mapping[str, Any]]


@dataclass(frozen=True)
class Row:
    """One thing that fits: what, its bytes, how many requests of which length by preset, and whether it could more than that length."""

    label: str
    length: int
    weights_bytes: int
    kv_cache_bytes: int
    requests: Mapping[str, int] = field(default_factory=dict)
    is_cut: bool = False

    def data(self) -> dict[str, Any]:
        """Its plain form."""
        return {
            "label": self.label,
            "max_model_len": self.length,
            "weights_bytes": self.weights_bytes,
            "kv_cache_bytes": self.kv_cache_bytes,
            "requests": dict(self.requests),
        }


def rows_of(entry: Mapping[str, Any], plan: Planner, label: str = "", gpus: int = 1) -> list[Row]:
    """Return the row of a model on its cards, at the length compared or the longest that fits; nothing where nothing fits."""
    label = label or str(entry["model"])
    for length in (LENGTH, None, *SHORTER):
        sized = {**entry, "max_model_len": length} if length else {**entry}
        found = _planned(sized, plan, gpus)
        if found is not None:
            return [Row(label, *found, is_cut=length in SHORTER)]
    return []


def _planned(entry: Mapping[str, Any], plan: Planner, gpus: int) -> tuple[int, int, int, dict[str, int]] | None:
    entry = {**entry, "tensor_parallel_size": gpus} if gpus > 1 else entry
    requests: dict[str, int] = {}
    first: Mapping[str, Any] | None = None
    for preset in PRESETS:
        model = _feasible(entry, plan, gpus, preset)
        if model is not None:
            first = first or model
            requests[f"preset {preset}"] = _requests(model)
    if first is None:
        return None
    fp8 = _feasible({**entry, "kv_cache_dtype": "fp8"}, plan, gpus, next(iter(requests)).removeprefix("preset "))
    if fp8 is not None and _requests(fp8) > _requests(first):
        requests["fp8 cache"] = _requests(fp8)
    return int(first["max_model_len"]), int(first["weights_bytes"]), int(first["kv_cache_bytes"]), requests


def _feasible(entry: Mapping[str, Any], plan: Planner, gpus: int, preset: str) -> Mapping[str, Any] | None:
    try:
        planned = plan(entry, gpus, preset)
    except FleetError:
        return None
    return next((model for gpu in planned["gpus"] for model in gpu["models"]), None) if planned["feasible"] else None


def _requests(model: Mapping[str, Any]) -> int:
    return int(model["max_concurrency"]) if model["kv_cache_bytes"] else int(model["max_num_seqs"])


def related(model: str, known: Iterable[str]) -> list[str]:
    """Return other sizes of the same family, the largest that is smaller first, and other checkpoints of the same size."""
    own = _SIZE.match(model)
    if own is None:
        return []
    found = []
    for other in dict.fromkeys(known):
        match = _SIZE.match(other)
        same_family = match is not None and match["family"].casefold() == own["family"].casefold()
        if other != model and match is not None and same_family and float(match["size"]) <= float(own["size"]):
            found.append((-float(match["size"]), other))
    return [other for _size, other in sorted(found)]


def screen(
    info: Mapping[str, Any], entry: Mapping[str, Any], gpu: Mapping[str, Any], verdict: str, rows: Sequence[Row]
) -> str:
    """Return what a person reads."""
    lines = [_first_line(info, entry), f"  {gpu['name']} ({gib(gpu['usable_bytes'])} usable): {verdict}"]
    if rows:
        shown = rows[:MOST_ROWS]
        width = max(len("What fits"), *(len(row.label) for row in shown)) + 2
        lines += ["", f"  {'What fits':<{width}}{'weights':>10}  {'KV cache':>10}   requests at once"]
        for row in shown:
            asked = ", ".join(f"{name}: {count}" for name, count in row.requests.items())
            cache = gib(row.kv_cache_bytes) if row.kv_cache_bytes else "-"
            lines.append(
                f"  {row.label:<{width}}{gib(row.weights_bytes):>10}  {cache:>10}   of {row.length:,} tokens: {asked}"
            )
    return "\n".join(lines)


def _first_line(info: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    if not info:
        return f"{entry['model']}   by the shipped catalogue"
    config = info.get("config") or {}
    dtype = config.get("dtype") or config.get("torch_dtype") or (config.get("text_config") or {}).get("torch_dtype")
    commit = f" @ {info['commit'][:8]}" if info.get("commit") else ""
    disk = f"{gib(info['disk_bytes'])} on the disk" if info.get("disk_bytes") else "of a size that nobody has said"
    stored = f" in {str(dtype).removeprefix('torch.')}" if dtype else ""
    licence = f", {info['licence']}" if info.get("licence") else ""
    token = "a token of somebody who accepted its terms is needed" if info.get("gated") else "no token needed"
    return f"{entry['model']}{commit}   {disk}{stored}{licence}, {token}"
