# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a host's driver has anything to do: where it has nothing, all tasks that change it are left out at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_packages import Source
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_plan import Plan
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_request import Choice
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_state import NVML_OK, Decision

Due = Literal["source", "packages", "pin", "nouveau", "persistence", "driver", "next_boot"]


@dataclass(frozen=True)
class Found:
    """What a host has of what surrounds its driver; `devices` and `nvml` are None where NVML was not asked."""

    has_other_source: bool = False
    pin_in_place: bool = True
    nouveau: bool = False
    persistence_in_place: bool = True
    persistence_enabled: bool = True
    nvml: int | None = None
    devices: int | None = None


def due(choice: Choice, plan: Plan, decision: Decision, found: Found, require_card: bool) -> tuple[Due, ...]:
    """Return what there is to do, or to fail of."""
    managed = choice.source != Source.HOST.value
    answers = found.nvml is None or (found.nvml == NVML_OK and (found.devices != 0 or not require_card))
    asked: tuple[tuple[Due, bool], ...] = (
        ("source", managed and found.has_other_source),
        ("packages", plan.touched or bool(plan.headers)),
        ("pin", managed and not found.pin_in_place),
        ("nouveau", found.nouveau),
        ("persistence", not (found.persistence_in_place and found.persistence_enabled)),
        ("driver", decision.action != "none" or not answers),
        ("next_boot", decision.next_boot != ""),
    )
    return tuple(name for name, is_due in asked if is_due)
