# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gates of a start: whose turn it is, whether there is memory and whether it is still, and what an engine may hold once it serves.

All of it holds for every card of a model that is spread over several: each has to have the memory of one rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import CPU_UUID
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    BESIDE,
    DRAINING,
    GROWING,
    KEPT,
    READY,
    RETIRING,
    STARTING,
    Limits,
    Observation,
    Seen,
    Service,
    Track,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import gib

# An engine that was just proved may still move a little; its successor waits this long for it where nobody else moved for longer.
OWN_SETTLE_S = 0.25


@dataclass
class Gates:
    """What the gates look at. `tracks` changes while a step is worked out, so that one start counts for the next one's gate."""

    services: Mapping[str, Service]
    tracks: Mapping[str, Track]
    observation: Observation
    limits: Limits

    def has_turn(self, service: Service, alone: bool) -> bool:
        """One at a time on a card unless every start is exact; never more at once than allowed. Cards wait for each other only where the
        host has no room for two starts, or was told so."""
        busy = [
            name
            for name, other in self.tracks.items()
            if name != service.name and other.step in (BESIDE, DRAINING, STARTING)
        ]
        if 0 < self.limits.at_once <= len(busy):
            return False
        shared = [name for name in busy if set(service.gpus) & set(self.services[name].gpus)]
        exact = service.exact_kv and all(self.services[name].exact_kv for name in shared)
        return len(shared) < (1 if alone or not exact else self.limits.parallel)

    def is_moving(self, service: Service) -> bool:
        """Whether something else of ours is on its way on a card of this service."""
        return any(
            name != service.name
            and track.step in (*GROWING, DRAINING, RETIRING)
            and set(service.gpus) & set(self.services[name].gpus)
            for name, track in self.tracks.items()
        )

    def free(self, uuid: str) -> int | None:
        """Free on a card, less what started engines have still to take of their plan."""
        free = self.observation.free_bytes.get(uuid)
        if free is None:
            return None
        for name, track in self.tracks.items():
            service = self.services[name]
            if track.step in GROWING and uuid in service.gpus:
                where = self.observation.services if track.step == STARTING else self.observation.beside
                free -= max(0, service.need_bytes - where.get(name, Seen()).held_bytes.get(uuid, 0))
        return free

    def fits_beside(self, service: Service, old: Seen) -> bool:
        """Whether old and new, and afterwards the new one twice, have room on every card."""
        if not service.surge or not service.exact_kv:
            return False
        for uuid in service.gpus:
            free = self.free(uuid)
            need = service.need_bytes + self.limits.min_headroom_bytes
            if free is None or free < need or free - service.need_bytes + old.held_bytes.get(uuid, 0) < need:
                return False
        return True

    def closed(self, service: Service, seen: Seen) -> str | None:
        """Why a start must wait; None where it may begin."""
        if seen.port_taken:
            return f"port {service.port} is in use by a process that is not ours: end it, or give {service.name} another port."
        for uuid in service.gpus:
            why = self._memory_closed(service, uuid) or self._unrest_on(service, uuid)
            if why is None and not self._is_still(service, uuid):
                where = place(uuid)
                why = f"the free memory of {where} keeps moving: something else is starting or ending there."
            if why is not None:
                return why
        return None

    def _memory_closed(self, service: Service, uuid: str, given_back: int = 0) -> str | None:
        free, where = self.free(uuid), place(uuid)
        if free is None:
            why = self.observation.memory_error or "no figure for it"
            return f"the memory of {where} can't be read: {why}."
        if free + given_back < service.need_bytes + self.limits.min_headroom_bytes:
            return (
                f"{where} has {gib(free + given_back)} free and {service.name} needs {gib(service.need_bytes)} with "
                f"{gib(self.limits.min_headroom_bytes)} to spare: end what else holds memory there, or lower vllm_stack_preset."
            )
        return None

    def closed_to_successor(self, service: Service, old: Seen) -> str | None:
        """Why an old one that serves is not to be stopped for its successor yet: it could not start, whatever the old one gives back."""
        for uuid in service.gpus:
            why = self._memory_closed(service, uuid, old.held_bytes.get(uuid, 0)) or self._unrest_on(service, uuid)
            if why is not None:
                return why
        return None

    def _unrest_on(self, service: Service, uuid: str) -> str | None:
        if uuid in self.observation.restless:
            return self.observation.restless[uuid]
        for name, track in self.tracks.items():
            seen = self.observation.services.get(name, Seen())
            if name == service.name or uuid not in self.services[name].gpus or track.step not in (KEPT, READY):
                continue
            if seen.container == "restarting":
                return f"{name} crashes over and over on {place(uuid)}: stop or mend it first."
            if seen.sleeping:
                return (
                    f"{name} sleeps on {place(uuid)} and will take its memory back: wake it (POST /wake_up) or stop it."
                )
        return None

    def _is_still(self, service: Service, uuid: str) -> bool:
        """Free is not enough. An engine that sizes its own cache needs a card on which nothing at all moves; one with exact bytes a card
        on which nobody else does."""
        settle_s = self.limits.settle_s
        foreign_s = self.observation.foreign_still_s.get(uuid)
        moving = self.is_moving(service)
        if not moving and (not service.exact_kv or foreign_s is None):
            return self.observation.still_s.get(uuid, 0.0) >= settle_s
        if foreign_s is None:
            return True  # ours start side by side there, and nobody can tell what is ours
        own_s = 0.0 if moving else min(settle_s, OWN_SETTLE_S)
        return foreign_s >= settle_s and self.observation.still_s.get(uuid, 0.0) >= own_s

    def holds_too_much(self, service: Service, seen: Seen) -> str | None:
        """The gate after a start, where NVML says what a process holds."""
        tolerance = self.limits.tolerance_bytes
        if tolerance is None or not seen.all_held_bytes:
            return None
        for uuid in service.gpus:
            held = seen.held_bytes.get(uuid, 0)
            if held > service.need_bytes + tolerance:
                return (
                    f"it holds {gib(held)} on {place(uuid)}, more than the {gib(service.need_bytes)} planned and the tolerance "
                    f"(vllm_stack_tolerance): this was learned, plan again by running the playbook again."
                )
            free = self.observation.free_bytes.get(uuid)
            # Half of it may be gone: what a plan is off by counts against the other half before the start.
            if free is not None and free < self.limits.min_headroom_bytes // 2:
                return (
                    f"it leaves {gib(free)} free on {place(uuid)}, {gib(self.limits.min_headroom_bytes)} are to stay "
                    f"(vllm_stack_min_headroom): end what else holds memory there, or lower vllm_stack_preset."
                )
        return None


def place(uuid: str) -> str:
    """A card as a person reads it."""
    return "the host" if uuid == CPU_UUID else f"card {uuid}"
