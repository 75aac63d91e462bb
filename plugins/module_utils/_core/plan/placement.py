# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sharing cards out: which models are on which, and how much KV cache each gets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import Gpu
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.candidate import Candidate
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.presets import budget_on
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import LIST


def place(
    candidates: Sequence[Candidate], gpus: Sequence[Gpu], preset: str
) -> tuple[dict[int, tuple[str, ...]], list[str]]:
    """Which cards each model is on: spread evenly where that fits, packed where only that does."""
    found = [_place_by(candidates, gpus, preset, tight) for tight in (False, True)]
    return next(((placed, reasons) for placed, reasons, fits in found if fits), found[0][:2])


def _place_by(
    candidates: Sequence[Candidate], gpus: Sequence[Gpu], preset: str, tight: bool
) -> tuple[dict[int, tuple[str, ...]], list[str], bool]:
    """One way to place them, the largest first, and whether every card holds its own."""
    sign = 1 if tight else -1
    left = {gpu.uuid: budget_on(preset, gpu) for gpu in gpus}
    names = {key: gpu.uuid for gpu in gpus for key in (gpu.uuid, str(gpu.index))}
    placed: dict[int, tuple[str, ...]] = {}
    reasons: list[str] = []
    if not gpus:
        return placed, ["No card to plan for: none answers on the host, and vllm_stack_gpus names none."], False
    for item in sorted(candidates, key=lambda one: (not one.spec.gpus, -one.need_bytes, one.spec.name)):
        wanted = [names.get(gpu, "") for gpu in item.spec.gpus]
        if "" in wanted:
            fail(
                f"{LIST}[{item.index}].gpus",
                f"the host has no GPU {item.spec.gpus[wanted.index('')]}.",
                f"Take from {', '.join(str(gpu.index) for gpu in gpus)}.",
            )
        need = {uuid: one.need_bytes for uuid in left if (one := item.on(uuid)) is not None}
        # Balanced: onto the card with most left. Tight: onto the one with least left that holds it.
        among = sorted(
            [uuid for uuid in wanted or left if uuid in need],
            key=lambda uuid: (tight and left[uuid] < need[uuid], sign * left[uuid], uuid),
        )
        chosen = tuple(among[: item.load.tensor_parallel])
        if len(chosen) < item.load.tensor_parallel:
            reasons.append(
                f"{item.spec.name} asks for {item.load.tensor_parallel} cards (tensor_parallel_size) and {len(among)} are there."
            )
        placed[item.index] = chosen
        for uuid in chosen:
            left[uuid] -= need[uuid]
    return placed, reasons, not reasons and min(left.values()) >= 0


def fit_all(on: Mapping[str, Sequence[Candidate]], budgets: Mapping[str, int]) -> dict[str, tuple[dict[int, int], int]]:
    """Every card's KV bytes and what it is short of; a model on several cards has as much on each as the fullest of them gives."""
    fitted = {uuid: fit(here, budgets[uuid]) for uuid, here in on.items()}
    spread = {item.index for here in on.values() for item in here if item.load.tensor_parallel > 1}
    if not spread:
        return fitted
    least = {index: min(kv[index] for kv, _short in fitted.values() if index in kv) for index in spread}
    return {
        uuid: fit(
            [
                dataclasses.replace(item, pinned_kv_bytes=least[item.index]) if item.index in least else item
                for item in here
            ],
            budgets[uuid],
        )
        for uuid, here in on.items()
    }


def fit(here: Sequence[Candidate], budget: int) -> tuple[dict[int, int], int]:
    """KV bytes for each model on one card, and by how many bytes the least that must be there is short.

    Higher priorities are filled first, up to what max_num_seqs full-length requests can use; within one priority every model
    gets the same number of requests, as far as it wants them.
    """
    kv = {item.index: item.floor_bytes for item in here}
    rest = budget - sum(item.fixed_bytes for item in here) - sum(kv.values())
    if rest < 0:
        return kv, -rest
    open_items = [i for i in here if i.pinned_kv_bytes is None and i.shape.has_kv_cache]
    for priority in sorted({item.spec.priority for item in open_items}, reverse=True):
        level = [item for item in open_items if item.spec.priority == priority]
        available = rest + sum(item.floor_bytes for item in level)
        requests = _requests(level, available)
        for item in level:
            kv[item.index] = max(item.floor_bytes, item.kv_bytes(min(item.load.max_num_seqs, requests)))
        rest = available - sum(kv[item.index] for item in level)
    return kv, 0


def _requests(level: Sequence[Candidate], available: int) -> float:
    """The most full-length requests that every model of a level can have at once, by bisection on a fine grid."""

    wanted = [(item, item.floor_bytes, item.load.max_num_seqs) for item in level]

    def cost(requests: float) -> int:
        return sum(max(floor, item.kv_bytes(min(most, requests))) for item, floor, most in wanted)

    low, high = 64, 64 * max(item.load.max_num_seqs for item in level)
    if cost(high / 64) <= available:
        return high / 64
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost(middle / 64) <= available else (low, middle)
    return low / 64
