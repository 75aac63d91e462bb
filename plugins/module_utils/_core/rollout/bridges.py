# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A ring of models that exchange ports, taken apart: one of them serves on its surge instance's port until its own is free.

Its old container gives its memory back and its port to the next; its surge instance starts in that memory, and serves while the others
follow one after the other, each in its own time. Once its own port is free it starts beside its surge instance, or in its place.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.gates import Closed, Gates
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import Container
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import Cause, Service, Step


def first(gates: Gates, closed: Mapping[str, Closed]) -> str | None:
    """The one of a ring to begin with: the smallest that can have a surge instance where its old container was; None where none can."""
    found = [
        gates.services[name]
        for name, why in closed.items()
        if why.cause is Cause.PORT and _is_in_ring(gates, name) and _can_bridge(gates, gates.services[name])
    ]
    return min(found, key=lambda service: service.need_bytes).name if found else None


def is_wanted(gates: Gates, service: Service, closed: Closed) -> bool:
    """Whether one whose old container is gone is to be served by a surge instance: its port is another's, who has yet to be replaced."""
    track, owner = gates.tracks[service.name], gates.tracks.get(gates.owner(service.port) or "")
    waits = owner is not None and (track.bridges or owner.step in (Step.WAITING, Step.SURGING))
    free_to_surge = service.surge and not track.surge_off and not track.surged and track.committed is not None
    return waits and free_to_surge and closed.cause is Cause.PORT and gates.memory_closed(service) is None


def is_in_the_way(gates: Gates, service: Service, closed: Closed) -> bool:
    """Whether all that keeps a service from its start is the memory that its own surge instance holds, now that it has its port.

    One that had its port all the while had room beside its surge instance, and waits for who took that.
    """
    track, surge = gates.tracks[service.name], gates.surge(service.name)
    waited = track.surged and track.committed is None
    short = waited and closed.cause is Cause.MEMORY and not gates.is_moving(service)
    return short and gates.memory_closed_without(service, surge) is None


def _can_bridge(gates: Gates, service: Service) -> bool:
    track, old = gates.tracks[service.name], gates.seen(service.name)
    runs = track.step is Step.WAITING and old.container is Container.RUNNING
    return runs and service.surge and not track.surge_off and gates.memory_closed_without(service, old) is None


def _is_in_ring(gates: Gates, name: str) -> bool:
    """Whether whoever has its port waits for another's, and so on, round to itself."""
    passed, at = {name}, name
    while (owner := gates.owner(gates.services[at].port)) and owner in gates.services:
        if owner in passed:
            return owner == name and at != name
        passed.add(owner)
        at = owner
    return False
