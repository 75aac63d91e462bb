# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What starts on a host have measured, and what the next plan makes of it.

The store is plain data, kept as JSON on the host:

    {"starts": {key: {"gpu": str, "image": str, "model": str, "args": [str], "fixed_bytes": [int], "errors_bytes": [int]}}}

`fixed_bytes` is what the engine used besides its KV cache on each of its cards, `errors_bytes` what it used less what had been planned;
both of the last KEPT starts, the newest last. A start counts for a plan only where card, image, model and every flag but the size of the
cache are the same; an image is its digest, wherever it was pulled from. An entry with `imported: true` was measured on other hosts
(exchange.py) and counts until the first start here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB

KEPT = 8
MOST_ENTRIES = 200
# An engine is measured when it is ready, and what it takes under load is estimated. So a measurement may lower the formula by no more than
# the formula itself was off by on the cards that it was checked on.
MOST_LOWERED_BYTES = 96 * MIB
# The cache's size is what calibration is there to change.
_SIZES = (
    "--kv-cache-memory-bytes",
    "--num-gpu-blocks-override",
    "--gpu-memory-utilization",
    # What may wait is bound by the cache's size, and takes no memory of a card.
    "--max-num-queued-reqs",
    "--max-num-queued-tokens",
)


@dataclass(frozen=True)
class Calibration:
    """A store, read for one image; the empty one knows nothing."""

    image: str = ""
    starts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, store: Any, image: str) -> Calibration:
        """Whatever stands in the store; what is not of its shape counts as nothing measured."""
        starts = store.get("starts") if isinstance(store, Mapping) else None
        if not image or not isinstance(starts, Mapping):
            return cls(image)
        return cls(image, {_key(str(key), entry): entry for key, entry in starts.items() if _is_entry(entry)})

    def fixed_bytes(self, gpu_name: str, model: str, args: Sequence[str], formula_bytes: int) -> int | None:
        """Bytes besides the KV cache by what was measured: the most of the last starts; None where nothing was."""
        entry = self.starts.get(key_of(gpu_name, self.image, model, args))
        if entry is None:
            return None
        return max(int(max(entry["fixed_bytes"])), formula_bytes - MOST_LOWERED_BYTES)

    def error(self, gpu_names: Sequence[str]) -> dict[str, int] | None:
        """What this image's engines on these cards used less what was planned: {"starts", "most_bytes", "least_bytes"}, or None."""
        errors = [
            error
            for entry in self.starts.values()
            if entry["gpu"] in gpu_names and identity(entry["image"]) == identity(self.image)
            for error in entry["errors_bytes"]
        ]
        return {"starts": len(errors), "most_bytes": max(errors), "least_bytes": min(errors)} if errors else None


def key_of(gpu_name: str, image: str, model: str, args: Sequence[str]) -> str:
    """What has to be the same for a measurement to count."""
    text = json.dumps([gpu_name, identity(image), model, flags_that_count(args)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def identity(image: str) -> str:
    """What an image is, whichever registry it comes from: its digest where it has one."""
    name, _at, digest = image.rpartition("@")
    return digest if name and digest.startswith("sha256:") else image


def _key(key: str, entry: Mapping[str, Any]) -> str:
    """An entry's key as it is made today; earlier versions made it from the whole name of an image."""
    args = entry.get("args")
    return key_of(entry["gpu"], entry["image"], entry["model"], args) if isinstance(args, list) else key


def flags_that_count(args: Sequence[str]) -> list[str]:
    """An engine's arguments without those that say how large its cache is."""
    found, skip = [], False
    for arg in args:
        if skip:
            skip = False
        elif arg in _SIZES:
            skip = True
        else:
            found.append(arg)
    return found


def learn(
    store: Any, gpu_name: str, image: str, planned_model: Mapping[str, Any], measured_bytes: int
) -> dict[str, Any]:
    """The store with one more start in it.

    `planned_model` is an entry of a plan's `models`; `measured_bytes` is what it used on all its cards when it was ready. What it takes
    under load comes on top, as planned: like is compared with like.
    """
    starts = {key: dict(entry) for key, entry in Calibration.read(store, image or "?").starts.items()}
    args = list(planned_model["engine_args"])
    key = key_of(gpu_name, image, planned_model["model"], args)
    on_each = measured_bytes // int(planned_model.get("tensor_parallel_size") or 1)
    on_each += int(planned_model.get("traffic_bytes") or 0)
    fixed = on_each - int(planned_model["kv_cache_bytes"])
    if fixed <= 0:
        return {"starts": starts}
    entry = starts.pop(key, {})
    if entry.get("imported") or not entry:
        entry = {"fixed_bytes": [], "errors_bytes": []}
    starts[key] = {
        "gpu": gpu_name,
        "image": image,
        "model": planned_model["model"],
        "args": flags_that_count(args),
        "fixed_bytes": [*entry["fixed_bytes"], fixed][-KEPT:],
        "errors_bytes": [*entry["errors_bytes"], on_each - int(planned_model["total_bytes"])][-KEPT:],
    }
    # The one that was measured last stands last: what has not been started for longest is forgotten first.
    return {"starts": dict(list(starts.items())[-MOST_ENTRIES:])}


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, Mapping)
        and all(isinstance(entry.get(name), str) for name in ("gpu", "image", "model"))
        and all(
            isinstance(entry.get(name), list) and entry[name] and all(isinstance(size, int) for size in entry[name])
            for name in ("fixed_bytes", "errors_bytes")
        )
        and all(size > 0 for size in entry["fixed_bytes"])
    )
