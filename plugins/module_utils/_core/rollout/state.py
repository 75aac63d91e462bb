# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bring-up knows: services as they should be, what was seen of them, how far each is, and the bounds of it all.

The way of a service that has to start: WAITING for its turn and for memory, STARTING, READY. What it replaces is DRAINING before
that. Where old and new fit together, a stand-in of the new one starts BESIDE the old one first and serves while the service itself
is replaced; it is RETIRING once the service is proved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB

WAITING, BESIDE, DRAINING, STARTING, RETIRING = "waiting", "beside", "draining", "starting", "retiring"
READY, KEPT, FAILED = "ready", "kept", "failed"
SETTLED = (READY, KEPT, FAILED)
# What takes memory that its card does not show yet.
GROWING = (BESIDE, STARTING)


@dataclass(frozen=True)
class Service:
    """One engine as it should be. `need_bytes` is what it holds on each of its cards."""

    name: str
    digest: str
    port: int
    gpus: tuple[str, ...]
    need_bytes: int
    exact_kv: bool
    weights_bytes: int = 0
    surge: bool = False  # a stand-in may serve while it is replaced


# Seconds that a start may stay in a phase of its log; a download is no phase of its own and has the longest.
PHASE_LIMITS_S = {
    "": 600.0,
    "created": 7200.0,
    "loading": 3600.0,
    "loaded": 1800.0,
    "profiled": 900.0,
    "cache": 1800.0,
    "graphs": 900.0,
    "initialized": 300.0,
    "listening": 300.0,
}


@dataclass(frozen=True)
class Limits:
    """Bounds of a bring-up. `tolerance_bytes` is what an engine may hold above its plan; None is not measured by NVML."""

    parallel: int = 1  # starts at once on one card
    at_once: int = 0  # ... and on the whole host, by its memory or as asked for; 0 is no bound
    settle_s: float = 2.0
    gate_timeout_s: float = 120.0
    start_timeout_s: float = 7200.0
    stall_timeout_s: float = 600.0
    phase_limits_s: Mapping[str, float] = field(default_factory=lambda: MappingProxyType(PHASE_LIMITS_S))
    drain_s: float = 60.0
    switch_s: float = 0.0  # until a gateway has seen that an engine came or went; 0 where there is none
    min_headroom_bytes: int = 512 * MIB
    tolerance_bytes: int | None = None


@dataclass(frozen=True)
class Seen:
    """One look at one container. `serves` is /health, then /v1/models naming the model, then one generated token."""

    container: str = "absent"  # absent | created | running | restarting | exited
    digest: str = ""
    foreign: bool = False
    exit_code: int | None = None
    restart_policy: str = ""
    healthy: bool = False
    serves: bool = False
    refusal: str = ""  # what it said where it answers and will not make one token
    dead: bool = False  # the engine says itself that it is (an HTTP error on /health)
    sleeping: bool = False
    phase: str = ""
    percent: int | None = None  # of the weights, where the log has it
    progress: int = 0  # changes with every line of the log, every byte read or received
    age_s: float | None = None  # since its container started
    requests: int = 0  # that it is at, or that wait in it
    held_bytes: Mapping[str, int] = field(default_factory=dict)  # on each card now, or planned where that can't be read
    memory_failure: bool = False  # its log says that memory was the reason
    disturbed: bool = False  # ... since somebody else gave some back while it measured
    port_taken: bool = False
    image_present: bool = True

    @property
    def all_held_bytes(self) -> int:
        return sum(self.held_bytes.values())


@dataclass(frozen=True)
class Observation:
    """One look at everything.

    `still_s` is for how long the free memory of each card has not moved, `foreign_still_s` the same of what nobody of ours holds there;
    a card is missing in the latter where nobody can tell who holds what. `restless` names, by card, what of ours elsewhere keeps memory
    from being still.
    """

    services: Mapping[str, Seen]
    free_bytes: Mapping[str, int]
    still_s: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    foreign_still_s: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    beside: Mapping[str, Seen] = field(default_factory=lambda: MappingProxyType({}))
    restless: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    memory_error: str = ""  # why memory can't be read, and that no waiting mends it
    docker_restarted: float | None = None  # when Docker was last seen to come back


@dataclass(frozen=True)
class Action:
    """What to do; `reason` is for people.

    create | stop | start | drain | undrain | start_beside | remove_beside
    """

    kind: str
    name: str
    reason: str = ""


@dataclass(frozen=True)
class Track:
    """How far one service is."""

    step: str = WAITING
    reason: str = ""
    since: float = 0.0
    started: float | None = None
    ended: float | None = None
    progress: int = -1
    progressed: float = 0.0
    phases: tuple[tuple[str, float], ...] = ()
    created: bool = False  # its container was made ahead of its start
    stopping: bool = False
    surged: bool = False  # a stand-in serves, or is about to
    surge_failed: bool = False  # ... and it failed: what ran before still does
    retried: str = ""  # why it was started a second time
    drained: float | None = None  # since when it gets nothing new
    memory: bool = False  # it failed since its card was too full, whoever's doing that is


@dataclass(frozen=True)
class State:
    """The whole bring-up. `alone` is that one engine at a time may start from now on, and why."""

    order: tuple[str, ...]
    services: Mapping[str, Service]
    tracks: Mapping[str, Track]
    alone: str = ""

    @property
    def done(self) -> bool:
        return all(track.step in SETTLED for track in self.tracks.values())

    @property
    def failed(self) -> list[str]:
        return [name for name in self.order if self.tracks[name].step == FAILED]

    @property
    def serving(self) -> list[str]:
        return [name for name in self.order if self.tracks[name].step in (READY, KEPT)]


def begin(services: Sequence[Service], order: str, now: float) -> State:
    """Everything waits, in the order asked for: smallest_first, largest_first or listed."""
    ranked = list(services)
    if order != "listed":
        ranked.sort(key=lambda service: (service.need_bytes, service.name), reverse=order == "largest_first")
    tracks = {service.name: Track(since=now) for service in ranked}
    return State(tuple(service.name for service in ranked), {service.name: service for service in ranked}, tracks)
