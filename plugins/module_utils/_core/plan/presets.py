# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Presets: how much of a card the whole stack may hold."""

from __future__ import annotations

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import Gpu
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import check_preset
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB

SHARES = {"conservative": 0.70, "balanced": 0.85, "aggressive": 0.96}


def budget_bytes(preset: str, usable_bytes: int) -> int:
    """The bound on everything the stack's processes hold: contexts, weights, activations, graphs and KV caches."""
    preset = check_preset(preset)
    if preset == "auto":
        return max(0, usable_bytes - max(512 * MIB, usable_bytes // 50))
    return int(usable_bytes * SHARES[preset])


def budget_on(preset: str, gpu: Gpu) -> int:
    """The same bound on one card, which is never more than others leave of it."""
    return min(budget_bytes(preset, gpu.usable_bytes), gpu.left_bytes)
