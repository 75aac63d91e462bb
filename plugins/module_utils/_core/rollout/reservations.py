# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose memory and whose ports: what each service holds, has still to take, and keeps others from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import (
    Container,
    Observation,
    Seen,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    Limits,
    Service,
    Step,
    Track,
    assert_never,
)

# What is seen of a container that nobody probed.
NOTHING = Seen()


@dataclass
class Reservations:
    """What is free and for whom. `tracks` changes while a step is worked out, so that one start counts for the next one's gate."""

    services: Mapping[str, Service]
    tracks: Mapping[str, Track]
    observation: Observation
    limits: Limits

    def seen(self, name: str) -> Seen:
        return self.observation.services.get(name, NOTHING)

    def surge(self, name: str) -> Seen:
        return self.observation.surges.get(name, NOTHING)

    # Memory

    def reserved(self, name: str, uuid: str) -> int:
        """What a service has still to take on a card, from the moment that something was stopped or started for it."""
        service, track = self.services[name], self.tracks[name]
        if service.leaves or uuid not in service.gpus:
            return 0
        missing = max(0, service.need_bytes - self.seen(name).used_bytes.get(uuid, 0))
        match track.step:
            case Step.STARTING:
                return max(0, service.need_bytes - self._taken(self.seen(name), uuid))
            case Step.DRAINING:
                return missing
            case Step.SURGING:
                # Beside an old one both have to fit; in its place the service itself makes do with what its surge instance holds.
                own = missing if self.seen(name).container is Container.RUNNING else 0
                return own + max(0, service.need_bytes - self._taken(self.surge(name), uuid))
            case Step.YIELDING:
                return max(0, missing - self.surge(name).used_bytes.get(uuid, 0))
            case Step.WAITING | Step.STOPPING:
                return missing if track.committed is not None else 0
            case Step.RETIRING | Step.READY | Step.KEPT | Step.FAILED | Step.LEAVING | Step.GONE:
                return 0
            case _:
                assert_never(track.step)

    def _taken(self, seen: Seen, uuid: str) -> int:
        """What a start has taken so far: nothing that counts, where that can't be read. What is planned for it is not there yet."""
        return seen.used_bytes.get(uuid, 0) if self.observation.tells_apart else 0

    def free(self, uuid: str, but: str = "") -> int | None:
        """Free on a card, less what is kept for others than `but`; None where it can't be read."""
        free = self.observation.free_bytes.get(uuid)
        if free is None:
            return None
        return free - sum(
            self.reserved(name, uuid) for name in self.tracks if name != but and not self._stands_behind(name, but)
        )

    def _stands_behind(self, name: str, other: str) -> bool:
        """Whether one only waits, and was stopped after another: what it needs is kept for it, but not from that one."""
        return bool(other) and self.tracks[name].step is Step.WAITING and self.was_committed_before(other, name)

    def was_committed_before(self, one: str, two: str) -> bool:
        """Which of two for which something was stopped comes first."""
        first, second = self.tracks[one].committed, self.tracks[two].committed
        if first is None or second is None or first == second:
            names = list(self.tracks)
            return first is not None and second is not None and names.index(one) < names.index(two)
        return first < second

    def given_back(self, uuid: str) -> int:
        """What surge instances that retire, and what is being stopped for good, still hold on a card."""
        total = 0
        for name, track in self.tracks.items():
            if track.step is Step.RETIRING:
                total += self.surge(name).used_bytes.get(uuid, 0)
            elif self.services[name].leaves and track.step in (Step.DRAINING, Step.STOPPING):
                total += self.seen(name).used_bytes.get(uuid, 0)
        return total

    def leavers_on(self, uuid: str) -> list[str]:
        """What left the stack and still serves on a card."""
        return [
            name
            for name, track in self.tracks.items()
            if track.step is Step.LEAVING and self.seen(name).used_bytes.get(uuid, 0)
        ]

    def could_all_start(self, service: Service) -> bool:
        """Whether a card has room for this one and all others that wait, once what they replace is gone."""
        for uuid in service.gpus:
            free = self.free(uuid, service.name)
            if free is None:
                return False
            for name, track in self.tracks.items():
                if track.step in (Step.WAITING, Step.LEAVING):
                    free += self.seen(name).used_bytes.get(uuid, 0)
                if track.step is Step.WAITING and track.surged:
                    free += self.surge(name).used_bytes.get(uuid, 0)  # which retires, once its service has its port
                other = self.services[name]
                if (
                    track.step is Step.WAITING
                    and track.committed is None
                    and name != service.name
                    and uuid in other.gpus
                ):
                    free -= other.need_bytes
            if free < service.need_bytes + self.limits.min_headroom_bytes:
                return False
        return True

    # Ports

    def owner(self, port: int) -> str | None:
        """Who listens on a port: a service, FOREIGN, or None where nobody does."""
        return self.observation.listeners.get(port)

    def is_short(self, service: Service, uuid: str) -> bool:
        """Whether a card has too little for this one, with what it replaces gone."""
        free = self.free(uuid, service.name)
        own = self.seen(service.name).used_bytes.get(uuid, 0)
        return free is not None and free + own < service.need_bytes + self.limits.min_headroom_bytes

    def blockers(self, service: Service) -> Iterator[str]:
        """Whose old containers, that wait to be replaced, hold the port or the memory that this one lacks."""
        short = [uuid for uuid in service.gpus if self.is_short(service, uuid)]
        for name, track in self.tracks.items():
            seen = self.seen(name)
            if name == service.name or track.step is not Step.WAITING or seen.container is not Container.RUNNING:
                continue
            if self.owner(service.port) == name or any(seen.used_bytes.get(uuid, 0) for uuid in short):
                yield name
