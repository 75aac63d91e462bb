# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bring-up as a state machine: what was seen and what time it is go in, what to do next comes out.

Nothing here sleeps, asks a clock or talks to anything. One call of `advance` is one look at the world.

The way of a service that has to start: WAITING for its turn and for memory, STARTING, READY. What it replaces is DRAINING before
that. Where old and new fit together, a stand-in of the new one starts BESIDE the old one first and serves while the service itself
is replaced; it is RETIRING once the service is proved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import CPU_UUID
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB, gib

WAITING, BESIDE, DRAINING, STARTING, RETIRING = "waiting", "beside", "draining", "starting", "retiring"
READY, KEPT, FAILED = "ready", "kept", "failed"
SETTLED = (READY, KEPT, FAILED)
# What takes memory that its card does not show yet.
GROWING = (BESIDE, STARTING)


@dataclass(frozen=True)
class Service:
    """One engine as it should be."""

    name: str
    digest: str
    port: int
    gpus: tuple[str, ...]
    need_bytes: int
    exact_kv: bool
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

    parallel: int = 1
    settle_s: float = 2.0
    gate_timeout_s: float = 120.0
    start_timeout_s: float = 7200.0
    stall_timeout_s: float = 600.0
    phase_limits_s: Mapping[str, float] = field(default_factory=lambda: MappingProxyType(PHASE_LIMITS_S))
    drain_s: float = 60.0
    switch_s: float = 0.0  # until a gateway has seen that an engine came or went; 0 where there is none
    min_headroom_bytes: int = 512 * MIB
    tolerance_bytes: int | None = None
    still_bytes: int = 64 * MIB


@dataclass(frozen=True)
class Seen:
    """One look at one container. `serves` is /health, then /v1/models naming the model, then one generated token."""

    container: str = "absent"  # absent | created | running | restarting | exited
    digest: str = ""
    foreign: bool = False
    exit_code: int | None = None
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
    held_bytes: int = 0  # on its cards now, or planned where that can't be read
    memory_failure: bool = False  # its log says that memory was the reason
    disturbed: bool = False  # ... since somebody else gave some back while it measured
    port_taken: bool = False
    image_present: bool = True


@dataclass(frozen=True)
class Observation:
    """One look at everything. `restless` names, by card, what of ours elsewhere keeps memory from being still."""

    services: Mapping[str, Seen]
    free_bytes: Mapping[str, int]
    beside: Mapping[str, Seen] = field(default_factory=lambda: MappingProxyType({}))
    restless: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    memory_error: str = ""  # why memory can't be read, and that no waiting mends it
    docker_restarted: float | None = None  # when Docker was last seen to come back


@dataclass(frozen=True)
class Action:
    """What to do; `reason` is for people.

    stop | start | drain | undrain | start_beside | remove_beside
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
    still: Mapping[str, tuple[int, float]] = field(default_factory=lambda: MappingProxyType({}))
    alone: str = ""

    @property
    def done(self) -> bool:
        return all(track.step in SETTLED for track in self.tracks.values())

    @property
    def failed(self) -> list[str]:
        return [name for name in self.order if self.tracks[name].step == FAILED]


def begin(services: Sequence[Service], order: str, now: float) -> State:
    """Everything waits, in the order asked for."""
    ranked = list(services)
    if order != "listed":
        ranked.sort(key=lambda service: (service.need_bytes, service.name), reverse=order == "largest_first")
    tracks = {service.name: Track(since=now) for service in ranked}
    return State(tuple(service.name for service in ranked), {service.name: service for service in ranked}, tracks)


def decide(service: Service, seen: Seen, now: float = 0.0, limits: Limits | None = None) -> Track | str:
    """At first sight: keep it, refuse it, go on with its start, or the reason why it has to start."""
    if seen.foreign:
        return Track(
            FAILED,
            f"a container named vllm-{service.name} is there and is not ours: remove or rename it, or rename the model.",
        )
    same = seen.digest == service.digest
    if seen.container == "running" and same and seen.serves:
        return Track(KEPT, "it serves, and nothing of it changed")
    if seen.container == "running" and same and seen.sleeping:
        return Track(KEPT, "it sleeps, and nothing of it changed")
    if seen.port_taken:
        return Track(
            FAILED,
            f"port {service.port} is in use by a process that is not ours: end it, or give {service.name} another port.",
        )
    if not seen.image_present:
        return Track(FAILED, "its image is not on the host: pull it (vllm_stack_engine_image).")
    if seen.container == "absent":
        return "it is new"
    if not same:
        return "its settings changed"
    if seen.container != "running":
        return f"its container is {seen.container}"
    if limits and seen.age_s is not None and seen.age_s < limits.start_timeout_s and not (seen.healthy or seen.dead):
        # An earlier run was interrupted while it started: what it has done so far is not thrown away.
        started = now - seen.age_s
        return Track(STARTING, "an earlier run began its start", since=now, started=started, progressed=now)
    return "it runs and does not serve"


def advance(state: State, observation: Observation, now: float, limits: Limits) -> tuple[State, list[Action]]:
    """One step. The actions are to be done before the next look."""
    turn = _Turn(state, observation, now, limits)
    for name in state.order:
        turn.look(name)
    for name in state.order:
        turn.move(name)
    return replace(state, tracks=turn.tracks, still=turn.still, alone=turn.alone), turn.actions


class _Turn:
    """The work of one step, on copies."""

    def __init__(self, state: State, observation: Observation, now: float, limits: Limits) -> None:
        self.state, self.observation, self.now, self.limits = state, observation, now, limits
        self.still = _still(state.still, observation.free_bytes, now, limits)
        self.tracks = dict(state.tracks)
        self.alone = state.alone
        self.actions: list[Action] = []

    def seen(self, name: str) -> Seen:
        return self.observation.services.get(name, Seen())

    def act(self, kind: str, name: str, reason: str = "") -> None:
        self.actions.append(Action(kind, name, reason))

    def look(self, name: str) -> None:
        """What has happened to a service since the last step."""
        track, seen, service = self.tracks[name], self.seen(name), self.state.services[name]
        if track.step == WAITING and not track.reason:
            decision = decide(service, seen, self.now, self.limits)
            self.tracks[name] = (
                replace(track, reason=decision, since=self.now) if isinstance(decision, str) else decision
            )
        elif track.step == STARTING:
            followed = self.follow(service, track, seen)
            if followed.step == READY:
                self.act("undrain", name)
                if track.surged:
                    followed = replace(followed, step=RETIRING, since=self.now)
            elif followed.step == FAILED:
                followed = self.again(service, followed, seen)
            self.tracks[name] = followed
        elif track.step == READY and seen.container in ("exited", "restarting", "absent"):
            reason = f"it ended {self.now - (track.ended or self.now):.0f} s after it was ready."
            self.tracks[name] = replace(track, step=FAILED, reason=reason, ended=self.now)
        elif track.step == BESIDE:
            followed = self.follow(service, track, self.observation.beside.get(name, Seen()))
            if followed.step == READY:
                followed = replace(followed, step=DRAINING, since=self.now, ended=None)
            elif followed.step == FAILED:
                # The old one serves on, untouched.
                self.act("remove_beside", name)
                followed = replace(followed, surge_failed=True)
            self.tracks[name] = followed

    def move(self, name: str) -> None:
        """What can be done for a service now."""
        track, seen, service = self.tracks[name], self.seen(name), self.state.services[name]
        if track.step == DRAINING:
            self.drain(name, track, seen)
        elif track.step == RETIRING:
            beside = self.observation.beside.get(name, Seen())
            if self.has_ended(beside, track.since):
                self.act("remove_beside", name)
                self.tracks[name] = replace(track, step=READY)
        elif track.step == WAITING:
            self.wait(name, track, seen, service)

    def drain(self, name: str, track: Track, seen: Seen) -> None:
        """Nothing new for the old one, once its stand-in is known; then it ends what it is at."""
        if track.drained is None:
            if not track.surged or self.now - track.since >= self.limits.switch_s:
                self.act("drain", name, track.reason)
                self.tracks[name] = replace(track, drained=self.now)
        elif self.has_ended(seen, track.drained):
            self.act("stop", name, track.reason)
            self.tracks[name] = replace(track, step=WAITING, since=self.now, stopping=True, drained=None)

    def has_ended(self, seen: Seen, since: float) -> bool:
        """Whether a container that gets nothing new may go: it is idle, gone, or has had its time."""
        waited = self.now - since
        idle = seen.requests == 0 and waited >= self.limits.switch_s
        return idle or waited >= self.limits.drain_s or seen.container != "running"

    def wait(self, name: str, track: Track, seen: Seen, service: Service) -> None:
        if seen.container == "restarting" and not track.stopping:
            # One that crashes over and over spoils every measurement on its card, whoever's turn it is.
            self.act("stop", name, track.reason)
            self.tracks[name] = replace(track, stopping=True, since=self.now)
            return
        if not self.has_turn(service, track):
            self.tracks[name] = replace(track, since=self.now)
            return
        if seen.container == "running" and seen.serves and not track.stopping:
            if self.fits_beside(service, seen):
                self.act("start_beside", name, track.reason)
                self.tracks[name] = replace(
                    track, step=BESIDE, surged=True, started=self.now, since=self.now, progressed=self.now
                )
                return
            self.tracks[name] = replace(track, step=DRAINING, since=self.now)
            self.drain(name, self.tracks[name], seen)
            return
        if seen.container in ("running", "restarting", "created"):
            # What it holds now counts for its successor only once it is gone.
            if not track.stopping:
                self.act("stop", name, track.reason)
            self.tracks[name] = replace(track, stopping=True)
            return
        blocked = self.gate(service)
        if blocked is None:
            self.act("start", name, track.reason)
            self.tracks[name] = replace(
                track, step=STARTING, started=self.now, since=self.now, progress=-1, progressed=self.now, phases=()
            )
        elif not self.observation.memory_error and self.is_moving(service):
            # What it waits for is being taken or given back by us: the bound is for what others hold.
            self.tracks[name] = replace(track, since=self.now)
        elif self.observation.memory_error or self.now - track.since > self.limits.gate_timeout_s:
            self.tracks[name] = replace(track, step=FAILED, reason=blocked, ended=self.now, memory=True)

    # Following a start

    def follow(self, service: Service, track: Track, seen: Seen) -> Track:
        """A started container: ready, failed, or on its way."""
        now = self.now
        started = track.started if track.started is not None else now
        if seen.phase and (not track.phases or track.phases[-1][0] != seen.phase):
            track = replace(track, phases=(*track.phases, (seen.phase, now - started)))
        if seen.progress != track.progress:
            track = replace(track, progress=seen.progress, progressed=now)
        failed = self.why_failed(service, track, seen, started)
        if failed is not None:
            return replace(track, step=FAILED, reason=failed, ended=now, memory=seen.serves)
        if seen.serves:
            return replace(track, step=READY, ended=now, phases=(*track.phases, ("ready", now - started)))
        return track

    def why_failed(self, service: Service, track: Track, seen: Seen, started: float) -> str | None:
        """The reason that is known here; an empty one is to be read from the log."""
        now, limits = self.now, self.limits
        if seen.container in ("exited", "restarting") or (seen.container == "absent" and now - started > 10):
            return ""
        if seen.serves:
            return self.holds_too_much(service, seen)
        if seen.refusal:
            return f"it refuses to make one token: {seen.refusal}"
        if seen.dead:
            return "its engine died and it says so on /health."
        if now - started > limits.start_timeout_s:
            return f"no token after {limits.start_timeout_s:.0f} s (vllm_stack_timeout_s)."
        where = f"at {seen.phase}" if seen.phase else "before its first line"
        if now - track.progressed > limits.stall_timeout_s:
            return f"no line in its log and no byte read for {limits.stall_timeout_s:.0f} s, {where} (vllm_stack_stall_timeout_s)."
        entered = started + track.phases[-1][1] if track.phases else started
        longest = limits.phase_limits_s.get(seen.phase, limits.start_timeout_s)
        if now - entered > longest:
            return f"{longest:.0f} s {where} are too long (vllm_stack_phase_limits_s)."
        return None

    def holds_too_much(self, service: Service, seen: Seen) -> str | None:
        """The gate after a start, where NVML says what a process holds."""
        tolerance = self.limits.tolerance_bytes
        if tolerance is None or not seen.held_bytes:
            return None
        if seen.held_bytes > service.need_bytes + tolerance:
            return (
                f"it holds {gib(seen.held_bytes)}, more than the {gib(service.need_bytes)} planned and the tolerance "
                f"(vllm_stack_tolerance): this was learned, plan again by running the playbook again."
            )
        for uuid in service.gpus:
            free = self.observation.free_bytes.get(uuid)
            # Half of it may be gone: what a plan is off by counts against the other half before the start.
            if free is not None and free < self.limits.min_headroom_bytes // 2:
                return (
                    f"it leaves {gib(free)} free on card {uuid}, {gib(self.limits.min_headroom_bytes)} are to stay "
                    f"(vllm_stack_min_headroom): end what else holds memory there, or lower vllm_stack_preset."
                )
        return None

    def again(self, service: Service, track: Track, seen: Seen) -> Track:
        """A second try, once, for what another start or Docker itself has spoiled."""
        reason = ""
        restarted = self.observation.docker_restarted
        if track.retried or seen.container not in ("exited", "restarting", "absent"):
            return track
        if restarted is not None and restarted >= (track.started or 0.0):
            reason = "Docker was restarted while it started"
        elif seen.disturbed:
            reason = "something else gave memory back while it measured: once more"
        elif seen.memory_failure and self.limits.parallel > 1 and not self.state.alone and len(self.state.order) > 1:
            reason = "memory ran out while several started at once: once more, alone"
            self.alone = f"{service.name} ran out of memory while others started"
        if not reason:
            return track
        self.act("stop", service.name, reason)
        return Track(WAITING, track.reason or reason, self.now, stopping=True, surged=track.surged, retried=reason)

    # Gates

    def has_turn(self, service: Service, track: Track) -> bool:
        """One at a time on a card unless every start is exact; never more at once than allowed."""
        busy = [
            name
            for name, other in self.tracks.items()
            if name != service.name and other.step in (BESIDE, DRAINING, STARTING)
        ]
        parallel = 1 if self.alone else self.limits.parallel
        if len(busy) >= parallel > 1:
            return False
        if parallel > 1 and service.exact_kv and all(self.state.services[name].exact_kv for name in busy):
            return True
        return not any(set(service.gpus) & set(self.state.services[name].gpus) for name in busy)

    def is_moving(self, service: Service) -> bool:
        """Whether something else of ours is on its way on a card of this service."""
        return any(
            name != service.name
            and track.step in (*GROWING, DRAINING, RETIRING)
            and set(service.gpus) & set(self.state.services[name].gpus)
            for name, track in self.tracks.items()
        )

    def free(self, uuid: str) -> int | None:
        """Free on a card, less what started engines have still to take of their plan."""
        free = self.observation.free_bytes.get(uuid)
        if free is None:
            return None
        for name, track in self.tracks.items():
            service = self.state.services[name]
            if track.step in GROWING and uuid in service.gpus:
                where = self.observation.services if track.step == STARTING else self.observation.beside
                free -= max(0, service.need_bytes - where.get(name, Seen()).held_bytes)
        return free

    def fits_beside(self, service: Service, old: Seen) -> bool:
        """Whether old and new, and afterwards the new one twice, have room on every card."""
        if not service.surge or not service.exact_kv:
            return False
        for uuid in service.gpus:
            free = self.free(uuid)
            need = service.need_bytes + self.limits.min_headroom_bytes
            if free is None or free < need or free - service.need_bytes + old.held_bytes < need:
                return False
        return True

    def gate(self, service: Service) -> str | None:
        """Why a start must wait: too little memory, memory that moves, or a neighbour that will move it."""
        alone = not any(track.step in (*GROWING, DRAINING) for track in self.tracks.values())
        for uuid in service.gpus:
            free = self.free(uuid)
            where = "the host" if uuid == CPU_UUID else f"card {uuid}"
            if free is None:
                why = self.observation.memory_error or "no figure for it"
                return f"the memory of {where} can't be read: {why}."
            if uuid in self.observation.restless:
                return self.observation.restless[uuid]
            need = service.need_bytes + self.limits.min_headroom_bytes
            if free < need:
                return (
                    f"{where} has {gib(free)} free and {service.name} needs {gib(service.need_bytes)} with "
                    f"{gib(self.limits.min_headroom_bytes)} to spare: end what else holds memory there, or lower vllm_stack_preset."
                )
            if alone and self.now - self.still[uuid][1] < self.limits.settle_s:
                return f"the free memory of {where} keeps moving: something else is starting or ending there."
        return None


def _still(
    before: Mapping[str, tuple[int, float]], free_bytes: Mapping[str, int], now: float, limits: Limits
) -> dict[str, tuple[int, float]]:
    """For each card the value that free memory has stayed at, and since when."""
    found = {}
    for uuid, free in free_bytes.items():
        value, since = before.get(uuid, (free, now))
        tolerance = limits.still_bytes * (8 if uuid == CPU_UUID else 1)
        found[uuid] = (value, since) if abs(free - value) <= tolerance else (free, now)
    return found
