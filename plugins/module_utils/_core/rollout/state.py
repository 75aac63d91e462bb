# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far each service of a bring-up is, what is to be done next, and the bounds of it all: plain data and closed sets.

The way of a service that has to start: WAITING for its turn and for memory, STARTING, READY. What it replaces is DRAINING and STOPPING
before that. Where old and new fit together, a surge instance of the new one starts first (SURGING) and serves while the service itself is
replaced; it is RETIRING once the service is proved. Where models exchange ports and have no room for that, one of them serves on a surge
instance in its old container's place; it is YIELDING where the service needs that memory, once its port is free. What left the stack
serves on (LEAVING) until the rest is proved, or its memory or port is needed, and is GONE then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, NoReturn

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.log import Phase
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB


class Step(Enum):
    """How far a service is."""

    WAITING = "waiting"
    SURGING = "surging"
    DRAINING = "draining"
    STOPPING = "stopping"
    STARTING = "starting"
    RETIRING = "retiring"
    YIELDING = "yielding"
    READY = "ready"
    KEPT = "kept"
    FAILED = "failed"
    LEAVING = "leaving"
    GONE = "gone"


SETTLED = (Step.READY, Step.KEPT, Step.FAILED)
PROVED = (Step.READY, Step.KEPT)
# What takes memory that its card does not show yet.
GROWING = (Step.SURGING, Step.STARTING)


class ActionKind(Enum):
    """What can be asked of the hands."""

    CREATE = "create"
    START = "start"
    STOP = "stop"
    DRAIN = "drain"
    UNDRAIN = "undrain"
    START_SURGE = "start_surge"
    REMOVE_SURGE = "remove_surge"
    REMOVE = "remove"  # stop and remove: one that left the stack


class Cause(Enum):
    """Why something is decided, waited for or given up."""

    SERVES = "serves"
    SLEEPS = "sleeps"
    NEW = "new"
    CHANGED = "changed"
    NEVER_STARTED = "never_started"
    ENDED = "ended"
    NOT_SERVING = "not_serving"
    INTERRUPTED = "interrupted"
    DOUBT = "doubt"  # asked again before anything is decided
    LEFT = "left"
    FOREIGN = "foreign"
    PORT = "port"
    IMAGE_MISSING = "image_missing"
    MEMORY = "memory"
    UNREADABLE = "unreadable"
    UNREST = "unrest"
    MOVING = "moving"
    TOO_MUCH = "too_much"
    REFUSED = "refused"  # by Docker
    STUCK = "stuck"
    GROUP = "group"  # another host's part of it


@dataclass(frozen=True)
class Part:
    """Which part of a group of hosts an engine is; `group` is the same on all of them. The first one has the API."""

    group: str
    rank: int
    hosts: int

    @property
    def is_headless(self) -> bool:
        """Whether it only computes for the first one."""
        return self.rank > 0


@dataclass(frozen=True)
class Service:
    """One engine as it should be, or one that left. `need_bytes` is what it holds on each of its cards."""

    name: str
    digest: str
    port: int
    gpus: tuple[str, ...]
    need_bytes: int
    exact_kv: bool
    weights_bytes: int = 0
    surge: bool = False  # a surge instance may serve while it is replaced
    leaves: bool = False
    part: Part | None = None
    anew: bool = (
        False  # another host starts its part of the group again: an engine can't join one that began without it
    )

    @property
    def is_headless(self) -> bool:
        """Whether it has no API."""
        return self.part is not None and self.part.is_headless


# Seconds that a start may stay in a phase of its log; a download is no phase of its own and has the longest.
PHASE_LIMITS_S: dict[Phase | None, float] = {
    None: 600.0,  # before the first line
    Phase.CREATED: 7200.0,
    Phase.LOADING: 3600.0,
    Phase.LOADED: 1800.0,
    Phase.PROFILED: 900.0,
    Phase.CACHE: 1800.0,
    Phase.GRAPHS: 900.0,
    Phase.INITIALIZED: 300.0,
    Phase.LISTENING: 300.0,
}


def phase_limits(given: Mapping[str, Any]) -> dict[Phase | None, float]:
    """Return the bounds of phases, with those in place that somebody wrote; "" is the time before the first line."""
    known = {"": None, **{phase.value: phase for phase in Phase}}
    for name in given:
        if name not in known:
            names = ", ".join(phase.value for phase in Phase)
            fail(
                "vllm_stack_phase_limits_s",
                f"there is no phase {name!r}.",
                f"Take one of {names}. Nothing was changed.",
            )
    return {**PHASE_LIMITS_S, **{known[name]: float(limit) for name, limit in given.items()}}


def switch_s(check_interval_s: float) -> float:
    """Seconds until a gateway that probes its engines this often has seen one come or go: it believes two probes, and is a bit late."""
    return 2 * check_interval_s + 1.0


@dataclass(frozen=True)
class Limits:
    """Bounds of a bring-up. `tolerance_bytes` is what an engine may hold above its plan; None is not measured by NVML."""

    parallel: int = 1  # starts at once on one card
    at_once: int = 0  # ... and on the whole host, by its memory or as asked for; 0 is no bound
    settle_s: float = 2.0
    gate_timeout_s: float = 120.0
    start_timeout_s: float = 7200.0
    stall_timeout_s: float = 600.0
    phase_limits_s: Mapping[Phase | None, float] = field(default_factory=lambda: MappingProxyType(PHASE_LIMITS_S))
    drain_s: float = 60.0
    stop_s: float = 90.0  # from being told to end to having ended
    doubt_s: float = 5.0  # for which what speaks against something that serves must hold
    switch_s: float = 0.0  # until a gateway has seen that an engine came or went; 0 where there is none
    min_headroom_bytes: int = 512 * MIB
    tolerance_bytes: int | None = None


@dataclass(frozen=True)
class Action:
    """What to do; `reason` is for people, `port` of a container that gets nothing new, or something again."""

    kind: ActionKind
    name: str
    reason: str = ""
    port: int = 0


@dataclass(frozen=True)
class Track:
    """How far one service is."""

    step: Step = Step.WAITING
    reason: str = ""
    cause: Cause | None = None
    since: float = 0.0
    started: float | None = None
    ended: float | None = None
    progress: int = -1
    progressed: float = 0.0
    phases: tuple[tuple[str, float], ...] = ()
    created: bool = False  # its container was made ahead of its start
    committed: float | None = (
        None  # since when what it needs is kept for it: what it replaces was stopped, or is about to be
    )
    alone: bool = False  # it was started when one at a time had been decided
    retried: str = ""  # why it was started a second time
    start_id: str = ""  # the start that was proved
    doubted: float | None = None  # since when something speaks against it
    answered: bool = False  # what ran there before has been healthy in this run
    memory: bool = False  # it failed since its card was too full, whoever's doing that is
    # The surge instance
    surged: bool = False  # there is one
    surge_id: str = ""  # the start of it that was proved
    surge_ending: float | None = None  # since when it was told to go
    surge_off: bool = False  # it could not be, and is not tried again
    bridges: bool = False  # it is to serve in the place of what ran before, while another has the port
    surge_failed: bool = False  # it failed: what ran before still does
    surge_serves: bool = False  # it failed, and its surge instance serves in its place
    # What has to be undone
    drained: float | None = None  # since when the container there gets nothing new
    drained_port: int = 0
    stop_failed: bool = False  # its container runs and is to be stopped, once its log has been read

    @property
    def is_coming_bridge(self) -> bool:
        """Whether it was stopped to serve on a surge instance, and that has yet to start where its old container was."""
        return self.bridges and not self.surged and not self.surge_off

    @property
    def unclean(self) -> bool:
        """Whether a service that has failed left something to undo."""
        return self.step is Step.FAILED and (self.surged or self.stop_failed or bool(self.drained_port))


@dataclass(frozen=True)
class State:
    """The whole bring-up. `alone` is that one engine at a time may start from now on, and why; `leavers` left the stack; `unreadable` is
    since when a card's memory can't be read."""

    order: tuple[str, ...]
    services: Mapping[str, Service]
    tracks: Mapping[str, Track]
    alone: str = ""
    leavers: tuple[str, ...] = ()
    unreadable: float | None = None
    attempt: int = 1  # the second one brings back what was there before

    @property
    def everything(self) -> tuple[str, ...]:
        return (*self.order, *self.leavers)

    @property
    def clean(self) -> bool:
        """Whether nothing is left to undo."""
        return not any(track.unclean for track in self.tracks.values())

    @property
    def done(self) -> bool:
        """Whether every service is settled beyond doubt, and what left is gone or stays since something failed."""
        settled = all(self.tracks[name].step in SETTLED and self.tracks[name].doubted is None for name in self.order)
        left = all(self.tracks[name].step in (Step.GONE, Step.FAILED) for name in self.leavers)
        stays = bool(self.failed) and all(
            self.tracks[name].step in (Step.GONE, Step.LEAVING, Step.FAILED) for name in self.leavers
        )
        return settled and self.clean and (left or stays)

    @property
    def failed(self) -> list[str]:
        return [name for name in self.everything if self.tracks[name].step is Step.FAILED]

    @property
    def serving(self) -> list[str]:
        return [name for name in self.order if self.tracks[name].step in PROVED or self.tracks[name].surge_serves]


def begin(services: Sequence[Service], order: str, now: float, attempt: int = 1) -> State:
    """Everything waits, in the order asked for: smallest_first, largest_first or listed. What left the stack serves on.

    Parts of groups come first, in the same order on all hosts: none waits for a group that waits for it.
    """
    ranked = [service for service in services if not service.leaves]
    leavers = [service for service in services if service.leaves]
    if order != "listed":
        ranked.sort(key=lambda service: (service.need_bytes, service.name), reverse=order == "largest_first")
    ranked.sort(key=lambda service: (service.part is None, service.part.group if service.part else ""))
    tracks = {service.name: Track(since=now) for service in ranked}
    left = "it left the inventory"
    tracks |= {service.name: Track(Step.LEAVING, left, Cause.LEFT, since=now) for service in leavers}
    names, gone = tuple(one.name for one in ranked), tuple(one.name for one in leavers)
    return State(names, {one.name: one for one in (*ranked, *leavers)}, tracks, leavers=gone, attempt=attempt)


def assert_never(value: NoReturn) -> NoReturn:
    """Have the type checker see that a match covers its set; Python has its own from 3.11 on."""
    raise AssertionError(f"{value!r} is in no case")
