# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another checkpoint in the place of the largest model of a plan that does not fit, and what is said of those with which it fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import gib

# What says of a model's weights more than its id does: another checkpoint is not what was asked for then.
_OWN = ("quantization", "weights_bytes", "config", "config_path")
MOST_SAID = 3


@dataclass(frozen=True)
class Fitting:
    """A checkpoint that fits in another's place, and under which preset."""

    id: str
    disk_bytes: int
    preset: str


def replaceable(models: Sequence[Any], plan: Mapping[str, Any]) -> int | None:
    """Return the place of the largest model of a plan that came from the hub as it is; None where there is none."""
    weights = {model["name"]: model["weights_bytes"] for gpu in plan["gpus"] for model in gpu["models"]}
    found = [
        (weights.get(entry.get("name"), 0), -place)
        for place, entry in enumerate(models)
        if not str(entry.get("model")).startswith("/") and not any(entry.get(key) for key in _OWN)
    ]
    return -max(found)[1] if found else None


def with_checkpoint(models: Sequence[Any], place: int, info: Mapping[str, Any]) -> list[Any]:
    """Return the models with another checkpoint in one's place."""
    changed = {**models[place], "model": info["id"], "revision": info["commit"], "info": dict(info)}
    return [changed if at == place else entry for at, entry in enumerate(models)]


def sentence(model: str, found: Sequence[Fitting], preset: str) -> str:
    """Say which checkpoints fit, each with its size."""
    said = [
        f"{one.id} ({gib(one.disk_bytes)}{'' if one.preset == preset else f', with vllm_stack_preset: {one.preset}'})"
        for one in found[:MOST_SAID]
    ]
    return f"Quantized checkpoints of {model} that fit: {', '.join(said)}."
