# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gates of a start: whose turn it is, whether there is memory and whether it is still, and what an engine may hold once it serves.

All of it holds for every card of a model that is spread over several: each has to have the memory of one rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import CPU_UUID
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.decide import foreign_port
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import FOREIGN, Container, Seen
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.reservations import Reservations
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    GROWING,
    PROVED,
    Cause,
    Service,
    Step,
    Track,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import gib

# An engine that was just proved may still move a little; its successor waits this long for it where nobody else moved for longer.
OWN_SETTLE_S = 0.25
BUSY = (Step.SURGING, Step.DRAINING, Step.STARTING, Step.YIELDING)
# What is on its way and comes to an end by itself.
IN_FLIGHT = (*BUSY, Step.STOPPING, Step.RETIRING)


class Fit(Enum):
    """Whether old and new fit together on every card."""

    NOW = "now"
    LATER = "later"  # once what retires or leaves has given its memory back
    NEVER = "never"


@dataclass(frozen=True)
class Closed:
    """A gate that is closed: why, for the machine and for people."""

    cause: Cause
    reason: str


@dataclass
class Gates(Reservations):
    """What the gates judge by."""

    def has_turn(self, service: Service, alone: bool) -> bool:
        """One at a time on a card unless every start is exact; never more at once than allowed. Cards wait for each other only where the
        host has no room for two starts, or was told so."""
        busy = [name for name in self.tracks if self._is_ahead(name, service)]
        if 0 < self.limits.at_once <= len(busy):
            return False
        shared = [name for name in busy if set(service.gpus) & set(self.services[name].gpus)]
        exact = service.exact_kv and all(self.services[name].exact_kv for name in shared)
        if not exact and any(self._retires_on(name, service) for name in self.tracks):
            return False
        bound = 1 if alone or not exact else self.limits.parallel
        return all(sum(uuid in self.services[name].gpus for name in shared) < bound for uuid in service.gpus)

    def _is_ahead(self, name: str, service: Service) -> bool:
        """Whether another one has the turn: it is being replaced or started, or what it replaces was stopped for it."""
        track, mine = self.tracks[name], self.tracks[service.name]
        if name == service.name or self.services[name].leaves:
            return False
        if track.step in BUSY:
            return True
        if track.committed is None or track.step not in (Step.WAITING, Step.STOPPING):
            return False
        if not track.is_coming_bridge and service.name in self.blockers(self.services[name]):
            return False  # it waits for what this one gives back
        return mine.committed is None or self._starts_before(name, service.name)

    def _starts_before(self, one: str, two: str) -> bool:
        """Which of two for which something was stopped starts first: one that nobody serves meanwhile, if there is room for both."""
        for hurried, other in ((one, two), (two, one)):
            service, waits = self.services[hurried], self.tracks[hurried].committed is not None
            is_served = self.tracks[hurried].surged or not self.tracks[other].surged
            if waits and not is_served and not any(self.is_short(service, uuid) for uuid in service.gpus):
                return hurried == one
        return self.was_committed_before(one, two)

    def _retires_on(self, name: str, service: Service) -> bool:
        return self.tracks[name].step is Step.RETIRING and bool(set(service.gpus) & set(self.services[name].gpus))

    def is_moving(self, service: Service) -> bool:
        """Whether something else of ours is on its way on a card of this service, or leaves its port."""
        return any(
            name != service.name
            and track.step in IN_FLIGHT
            and (
                bool(set(service.gpus) & set(self.services[name].gpus))
                or any(self.seen(name).used_bytes.get(uuid, 0) for uuid in service.gpus)
                or self.owner(service.port) == name
            )
            for name, track in self.tracks.items()
        )

    # Old and new together

    def fit(self, service: Service, old: Seen) -> Fit:
        """Whether old and new, and afterwards the new one twice, have room on every card."""
        if not service.exact_kv:
            return Fit.NEVER
        found = Fit.NOW
        for uuid in service.gpus:
            free = self.free(uuid, service.name)
            if free is None:
                return Fit.NEVER
            need = service.need_bytes + self.limits.min_headroom_bytes
            short = max(need - free, need - (free - service.need_bytes + old.used_bytes.get(uuid, 0)))
            if short > 0:
                leaving = sum(self.seen(name).used_bytes.get(uuid, 0) for name in self.leavers_on(uuid))
                if short > leaving + self.given_back(uuid):
                    return Fit.NEVER
                found = Fit.LATER
        return found

    # Why a start must wait

    def closed(self, service: Service) -> Closed | None:
        """Why a start must wait; None where it may begin."""
        return self._port_closed(service) or self.memory_closed(service)

    def memory_closed(self, service: Service) -> Closed | None:
        """The same, but for its port."""
        for uuid in service.gpus:
            why = self._short_on(service, uuid) or self._unrest_on(service, uuid)
            if why is None and not self._is_still(service, uuid):
                why = Closed(
                    Cause.MOVING,
                    f"the free memory of {place(uuid)} keeps moving: something else is starting or ending there.",
                )
            if why is not None:
                return why
        return None

    def closed_to_successor(self, service: Service, old: Seen) -> Closed | None:
        """Why an old one that serves is not to be stopped for its successor yet: it could not start, whatever the old one gives back."""
        return self.memory_closed_without(service, old) or self._port_closed(service)

    def memory_closed_without(self, service: Service, leaving: Seen) -> Closed | None:
        """Why a start would have to wait for memory once a container that serves is gone."""
        for uuid in service.gpus:
            why = self._short_on(service, uuid, leaving.used_bytes.get(uuid, 0)) or self._unrest_on(service, uuid)
            if why is None and not self._is_believed(uuid, service):
                why = Closed(Cause.MOVING, f"the free memory of {place(uuid)} keeps moving.")
            if why is not None:
                return why
        return None

    def closed_behind_surge(self, service: Service) -> Closed | None:
        """Why a surge instance is of no use yet: the service itself could not have its port while it serves."""
        name, passed = service.name, {service.name}
        while (closed := self._port_closed(self.services[name])) is not None:
            owner = self.owner(self.services[name].port)
            if owner in passed:
                return None  # round in a ring, in which each makes room for the one before
            if not owner or not self._could_follow(owner, service):
                return closed
            passed.add(owner)
            name = owner
        return None

    def _could_follow(self, name: str, surging: Service) -> bool:
        """Whether one that waits could be replaced where it is, beside a surge instance of another."""
        track, other = self.tracks[name], self.services[name]
        if other.leaves:
            return track.step is not Step.FAILED
        if track.step is not Step.WAITING:
            return track.step in IN_FLIGHT
        for uuid in other.gpus:
            free = self.free(uuid, name)
            taken = 2 * surging.need_bytes - self.seen(surging.name).used_bytes.get(uuid, 0)
            rest = (free or 0) + self.seen(name).used_bytes.get(uuid, 0) - (taken if uuid in surging.gpus else 0)
            if rest < other.need_bytes + self.limits.min_headroom_bytes:
                return False
        return True

    def _port_closed(self, service: Service) -> Closed | None:
        owner = self.owner(service.port)
        if owner is None or owner == service.name or service.is_headless:
            return None
        if owner == FOREIGN:
            return Closed(Cause.PORT, foreign_port(service))
        holder = owner.removeprefix("/")
        return Closed(
            Cause.PORT, f"port {service.port} is still that of {holder}: bring {holder} up first, or stop it."
        )

    def _short_on(self, service: Service, uuid: str, given_back: int = 0) -> Closed | None:
        free, where = self.free(uuid, service.name), place(uuid)
        if free is None:
            why = self.observation.memory_error or "no figure for it"
            return Closed(Cause.UNREADABLE, f"the memory of {where} can't be read: {why}.")
        if free + given_back < service.need_bytes + self.limits.min_headroom_bytes:
            return Closed(
                Cause.MEMORY,
                f"{where} has {gib(max(0, free + given_back))} free and {service.name} needs {gib(service.need_bytes)} with "
                f"{gib(self.limits.min_headroom_bytes)} to spare: end what else holds memory there, or lower vllm_stack_preset.",
            )
        return None

    def _unrest_on(self, service: Service, uuid: str) -> Closed | None:
        if uuid in self.observation.restless:
            return Closed(Cause.UNREST, self.observation.restless[uuid])
        for name, track in self.tracks.items():
            seen = self.seen(name)
            if name == service.name or uuid not in self.services[name].gpus or track.step not in PROVED:
                continue
            if seen.container is Container.RESTARTING:
                return Closed(Cause.UNREST, f"{name} crashes over and over on {place(uuid)}: stop or mend it first.")
            if seen.sleeping:
                return Closed(
                    Cause.UNREST,
                    f"{name} sleeps on {place(uuid)} and will take its memory back: wake it (POST /wake_up) or stop it.",
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

    def is_believed(self, service: Service) -> bool:
        """Whether the figures of all its cards have held for a moment."""
        return all(self._is_believed(uuid, service) for uuid in service.gpus)

    def _is_believed(self, uuid: str, service: Service) -> bool:
        """Whether a figure has held for a moment, where nothing of ours moves it: what serves is not stopped for one reading."""
        settle_s = min(self.limits.settle_s, OWN_SETTLE_S)
        return self.is_moving(service) or self.observation.still_s.get(uuid, 0.0) >= settle_s

    # After a start

    def holds_too_much(self, service: Service, seen: Seen) -> str | None:
        """The gate after a start, where NVML says what a process holds."""
        tolerance = self.limits.tolerance_bytes
        if tolerance is None or not seen.all_used_bytes:
            return None
        for uuid in service.gpus:
            used = seen.used_bytes.get(uuid, 0)
            if used > service.need_bytes + tolerance:
                return (
                    f"it holds {gib(used)} on {place(uuid)}, more than the {gib(service.need_bytes)} planned and the tolerance "
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


def growing_with(gates: Gates, service: Service) -> bool:
    """Whether another one grows on a card of this service."""
    return any(
        name != service.name and track.step in GROWING and set(service.gpus) & set(gates.services[name].gpus)
        for name, track in gates.tracks.items()
    )


def place(uuid: str) -> str:
    """A card as a person reads it."""
    return "the host" if uuid == CPU_UUID else f"card {uuid}"


__all__ = ["BUSY", "IN_FLIGHT", "OWN_SETTLE_S", "Closed", "Fit", "Gates", "Track", "growing_with", "place"]
