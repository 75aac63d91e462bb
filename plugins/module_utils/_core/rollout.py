# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bring-up as a state machine: what was seen and what time it is go in, what to do next comes out.

Nothing here sleeps, asks a clock or talks to anything. One call of `advance` is one look at the world.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import CPU_UUID
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB, gib

WAITING, STARTING, READY, KEPT, FAILED = "waiting", "starting", "ready", "kept", "failed"
SETTLED = (READY, KEPT, FAILED)


@dataclass(frozen=True)
class Service:
    """One engine as it should be."""

    name: str
    digest: str
    port: int
    gpus: tuple[str, ...]
    need_bytes: int
    exact_kv: bool


@dataclass(frozen=True)
class Limits:
    """Bounds of a bring-up."""

    parallel: int = 1
    settle_s: float = 2.0
    gate_timeout_s: float = 120.0
    start_timeout_s: float = 1800.0
    stall_timeout_s: float = 600.0
    min_headroom_bytes: int = 512 * MIB
    still_bytes: int = 64 * MIB


@dataclass(frozen=True)
class Seen:
    """One look at one service. `serves` is /health, then /v1/models naming the model, then one generated token."""

    container: str = "absent"  # absent | created | running | restarting | exited
    digest: str = ""
    foreign: bool = False
    exit_code: int | None = None
    healthy: bool = False
    serves: bool = False
    refusal: str = ""  # what it said where it answers and will not make one token
    dead: bool = False  # the engine says itself that it is (an HTTP error on /health)
    phase: str = ""
    progress: int = 0  # grows with every byte of the log
    port_taken: bool = False
    image_present: bool = True


@dataclass(frozen=True)
class Observation:
    """One look at everything: the services, and the free memory of each card."""

    services: Mapping[str, Seen]
    free_bytes: Mapping[str, int]


@dataclass(frozen=True)
class Action:
    """What to do: stop a container, start a service, or settle one that has proved itself."""

    kind: str  # stop | start | settle
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


@dataclass(frozen=True)
class State:
    """The whole bring-up."""

    order: tuple[str, ...]
    services: Mapping[str, Service]
    tracks: Mapping[str, Track]
    still: Mapping[str, tuple[int, float]] = field(default_factory=lambda: MappingProxyType({}))

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


def decide(service: Service, seen: Seen) -> Track | str:
    """At first sight: keep it, refuse it, or the reason why it has to start."""
    if seen.foreign:
        return Track(
            FAILED,
            f"a container named vllm-{service.name} is there and is not ours: remove or rename it, or rename the model.",
        )
    if seen.container == "running" and seen.digest == service.digest and seen.serves:
        return Track(KEPT, "it serves, and nothing of it changed")
    if seen.port_taken:
        return Track(
            FAILED,
            f"port {service.port} is in use by a process that is not ours: end it, or give {service.name} another port.",
        )
    if not seen.image_present:
        return Track(FAILED, "its image is not on the host: pull it (vllm_stack_engine_image).")
    if seen.container == "absent":
        return "it is new"
    if seen.digest != service.digest:
        return "its settings changed"
    if seen.container != "running":
        return f"its container is {seen.container}"
    return "it runs and does not serve"


def advance(state: State, observation: Observation, now: float, limits: Limits) -> tuple[State, list[Action]]:
    """One step. The actions are to be done before the next look."""
    still = _still(state.still, observation.free_bytes, now, limits)
    tracks = dict(state.tracks)
    actions: list[Action] = []
    for name in state.order:
        track, seen = tracks[name], observation.services.get(name, Seen())
        if track.step == STARTING:
            tracks[name] = _follow(state.services[name], track, seen, now, limits)
            if tracks[name].step == READY:
                actions.append(Action("settle", name))
        elif track.step == WAITING and not track.reason:
            decision = decide(state.services[name], seen)
            tracks[name] = replace(track, reason=decision, since=now) if isinstance(decision, str) else decision
    for name in state.order:
        track, service = tracks[name], state.services[name]
        if track.step != WAITING:
            continue
        seen = observation.services.get(name, Seen())
        if not _has_turn(service, tracks, state, limits):
            tracks[name] = replace(track, since=now)
            continue
        if seen.container in ("running", "restarting", "created"):
            # What it holds now counts for its successor only once it is gone.
            if not track.stopping:
                actions.append(Action("stop", name, track.reason))
            tracks[name] = replace(track, stopping=True)
            continue
        blocked = _gate(service, observation.free_bytes, still, now, limits, alone=_alone(tracks))
        if blocked is None:
            tracks[name] = replace(track, step=STARTING, started=now, since=now, progressed=now)
            actions.append(Action("start", name, track.reason))
        elif now - track.since > limits.gate_timeout_s:
            tracks[name] = replace(track, step=FAILED, reason=blocked, ended=now)
    return replace(state, tracks=tracks, still=still), actions


def _follow(service: Service, track: Track, seen: Seen, now: float, limits: Limits) -> Track:
    """A started service: ready, failed, or on its way."""
    started = track.started if track.started is not None else now
    if seen.phase and (not track.phases or track.phases[-1][0] != seen.phase):
        track = replace(track, phases=(*track.phases, (seen.phase, now - started)))
    if seen.progress != track.progress:
        track = replace(track, progress=seen.progress, progressed=now)
    if seen.container in ("exited", "restarting") or (seen.container == "absent" and now - started > 10):
        return replace(track, step=FAILED, reason="", ended=now)
    if seen.serves:
        return replace(track, step=READY, ended=now, phases=(*track.phases, ("ready", now - started)))
    if seen.refusal:
        return replace(track, step=FAILED, reason=f"it refuses to make one token: {seen.refusal}", ended=now)
    if seen.dead:
        return replace(track, step=FAILED, reason="its engine died and it says so on /health.", ended=now)
    if now - started > limits.start_timeout_s:
        return replace(track, step=FAILED, reason=f"no token after {limits.start_timeout_s:.0f} s.", ended=now)
    if now - track.progressed > limits.stall_timeout_s:
        where = seen.phase or "its first line"
        text = f"no line in its log for {limits.stall_timeout_s:.0f} s, at {where}."
        return replace(track, step=FAILED, reason=text, ended=now)
    return track


def _has_turn(service: Service, tracks: Mapping[str, Track], state: State, limits: Limits) -> bool:
    """One at a time on a card unless every start is exact; never more at once than allowed."""
    busy = [name for name, track in tracks.items() if track.step == STARTING]
    if len(busy) >= limits.parallel and limits.parallel > 1:
        return False
    if limits.parallel > 1 and service.exact_kv and all(state.services[name].exact_kv for name in busy):
        return True
    return not any(set(service.gpus) & set(state.services[name].gpus) for name in busy)


def _alone(tracks: Mapping[str, Track]) -> bool:
    return not any(track.step == STARTING for track in tracks.values())


def _gate(
    service: Service,
    free_bytes: Mapping[str, int],
    still: Mapping[str, tuple[int, float]],
    now: float,
    limits: Limits,
    alone: bool,
) -> str | None:
    """Why a start must wait: too little memory, or memory that moves. None lets it go."""
    for uuid in service.gpus:
        free = free_bytes.get(uuid)
        where = "the host" if uuid == CPU_UUID else f"card {uuid}"
        if free is None:
            return f"the memory of {where} can't be read."
        need = service.need_bytes + limits.min_headroom_bytes
        if free < need:
            return (
                f"{where} has {gib(free)} free and {service.name} needs {gib(service.need_bytes)} with "
                f"{gib(limits.min_headroom_bytes)} to spare: end what else holds memory there, or lower vllm_stack_preset."
            )
        if alone and now - still[uuid][1] < limits.settle_s:
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
