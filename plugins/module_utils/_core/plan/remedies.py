# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to say of a plan that does not fit: by how much, and the nearest thing that does. Each remedy is planned before it is said."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import Gpu
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan import estimate
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.candidate import Candidate
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.placement import fit
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.presets import SHARES, budget_bytes, budget_on
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import gib

# What max_model_len is lowered by where that is the remedy.
LENGTH_STEP = 256


def short_reason(here: Sequence[Candidate], gpu: Gpu, preset: str, short: int, more: Sequence[str] = ()) -> str:
    """What is short, and what fits: each was planned before it is said. `more` are settings that were planned for all cards."""
    names = ", ".join(item.spec.name for item in here)
    text = (
        f"{names} {'needs' if len(here) == 1 else 'need'} {gib(short)} more than preset {preset} allows on {gpu.name}."
    )
    budget = budget_on(preset, gpu)
    if gpu.foreign_bytes and short <= budget_bytes(preset, gpu.usable_bytes) - budget:
        text += f" {gib(gpu.foreign_bytes)} of it are used by others now."
    if settings := [*_settings(here, gpu, preset, budget, short), *more]:
        return f"{text} Set {' or '.join(settings)}, where they fit."
    for count in range(len(here) - 1, 0, -1):
        kept = sorted(here, key=lambda item: (item.need_bytes, item.spec.name))[:count]
        if fit(kept, budget)[1] == 0:
            left_out = ", ".join(item.spec.name for item in here if item not in kept)
            return f"{text} Without {left_out} the others fit."
    if kept_wide := [f"{item.spec.name}'s {item.shape.plain_parts}" for item in here if item.shape.plain_parts]:
        return f"{text} {', '.join(kept_wide)} stay in 16 bits: take a checkpoint that quantizes them too, or a larger card."
    return f"{text} Take a smaller or a quantized model, or a larger card."


def _settings(here: Sequence[Candidate], gpu: Gpu, preset: str, budget: int, short: int) -> list[str]:
    """Settings of which each alone makes room on this card: a larger preset, a shorter length, a smaller pinned cache."""
    found = [
        f"vllm_stack_preset: {other}"
        for other, share in SHARES.items()
        if share > SHARES.get(preset, 1.0) and fit(here, budget_on(other, gpu))[1] == 0
    ][:1]
    if shorter := [(length, item) for item in here if (length := _shorter(item, here, budget))]:
        length, item = max(shorter, key=lambda one: (one[0] / one[1].length, one[1].spec.name))
        found.append(f"max_model_len of {item.spec.name} to {length}")
    largest_first = sorted(here, key=lambda one: (-one.floor_bytes, one.spec.name))
    return found + [pin for item in largest_first if (pin := _smaller_pin(item, gpu, short))][:1]


def _shorter(item: Candidate, here: Sequence[Candidate], budget: int) -> int:
    """The largest max_model_len of one model, in steps, with which they all fit; 0 where there is none."""
    if not item.shape.has_kv_cache or item.pinned_kv_bytes is not None:
        return 0
    low, high = 0, (item.length - 1) // LENGTH_STEP
    while low < high:
        middle = (low + high + 1) // 2
        less = dataclasses.replace(
            item, settings=dataclasses.replace(item.settings, max_model_len=middle * LENGTH_STEP)
        )
        fits = fit([less if one is item else one for one in here], budget)[1] == 0
        low, high = (middle, high) if fits else (low, middle - 1)
    return low * LENGTH_STEP


def _smaller_pin(item: Candidate, gpu: Gpu, short: int) -> str:
    """What a pinned cache would have to be lowered to; nothing where that is less than one request needs, or none is pinned."""
    if item.pinned_kv_bytes is None:
        return ""
    least, block = item.kv_bytes(1), item.pool.block_bytes
    enough = (item.pinned_kv_bytes - short) // block * block
    if item.spec.kv_cache_memory_bytes is not None:
        return f"kv_cache_memory_bytes of {item.spec.name} to {enough} ({gib(enough)})" if enough >= least else ""
    profiled = item.part("weights") + estimate.profiled_bytes(item.shape, item.load)
    share = math.floor((profiled + enough) / gpu.usable_bytes * 100) / 100
    if int(share * gpu.usable_bytes) - profiled < least:
        return ""
    return f"gpu_memory_utilization of {item.spec.name} to {share:g}"
