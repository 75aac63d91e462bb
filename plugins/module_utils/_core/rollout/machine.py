# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bring-up as a state machine: what was seen and what time it is go in, what to do next comes out.

Nothing here sleeps, asks a clock or talks to anything. One call of `advance` is one look at the world.
"""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.follow import follow
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.gates import Gates
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    BESIDE,
    DRAINING,
    FAILED,
    GROWING,
    KEPT,
    READY,
    RETIRING,
    STARTING,
    WAITING,
    Action,
    Limits,
    Observation,
    Seen,
    Service,
    State,
    Track,
)

# Between two looks: while something loads, and while a moment decides (memory gets still, an old engine goes).
LOOK_S, SOON_S = 1.0, 0.25
# A moment that decides does not last; what waits longer is looked at like everything else.
DECIDES_S = 5.0


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
    if seen.container == "created":
        return "it was made and never started"
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
    return replace(state, tracks=turn.tracks, alone=turn.alone), turn.actions


def refuse(state: State, name: str, reason: str, now: float) -> State:
    """Docker would not do what a step asked for: the service has failed with what Docker said."""
    track = replace(state.tracks[name], step=FAILED, reason=reason, ended=now)
    return replace(state, tracks={**state.tracks, name: track})


def look_again_s(state: State, now: float) -> float:
    """Seconds until the next look."""
    decides = any(
        track.step in (WAITING, DRAINING, RETIRING) and now - track.since < DECIDES_S for track in state.tracks.values()
    )
    growing = any(track.step in GROWING for track in state.tracks.values())
    return SOON_S if decides and not growing else LOOK_S


class _Turn:
    """The work of one step, on copies."""

    def __init__(self, state: State, observation: Observation, now: float, limits: Limits) -> None:
        self.state, self.observation, self.now, self.limits = state, observation, now, limits
        self.tracks = dict(state.tracks)
        self.gates = Gates(state.services, self.tracks, observation, limits)
        self.alone = state.alone
        self.actions: list[Action] = []

    def seen(self, name: str) -> Seen:
        return self.observation.services.get(name, Seen())

    def act(self, kind: str, name: str, reason: str = "") -> None:
        self.actions.append(Action(kind, name, reason))

    # What has happened to a service since the last step

    def look(self, name: str) -> None:
        track, seen, service = self.tracks[name], self.seen(name), self.state.services[name]
        if track.step == WAITING and not track.reason:
            decision = decide(service, seen, self.now, self.limits)
            self.tracks[name] = (
                replace(track, reason=decision, since=self.now) if isinstance(decision, str) else decision
            )
        elif track.step == STARTING:
            followed = follow(service, track, seen, self.now, self.gates)
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
            followed = follow(service, track, self.observation.beside.get(name, Seen()), self.now, self.gates)
            if followed.step == READY:
                followed = replace(followed, step=DRAINING, since=self.now, ended=None)
            elif followed.step == FAILED:
                # The old one serves on, untouched.
                self.act("remove_beside", name)
                followed = replace(followed, surge_failed=True)
            self.tracks[name] = followed

    def again(self, service: Service, track: Track, seen: Seen) -> Track:
        """A second try, once, for what another start or Docker itself has spoiled."""
        reason = ""
        restarted = self.observation.docker_restarted
        if track.retried or seen.container not in ("exited", "restarting", "absent", "created"):
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

    # What can be done for a service now

    def move(self, name: str) -> None:
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
        made = seen.container == "created" and seen.digest == service.digest
        can_make = seen.container in ("absent", "exited", "created") and not self.observation.memory_error
        if can_make and not track.created and not made:
            # Made ahead, it only has to be started once its turn has come.
            self.act("create", name, track.reason)
            self.tracks[name] = track = replace(track, created=True)
        if not self.gates.has_turn(service, bool(self.alone)):
            self.tracks[name] = replace(track, since=self.now)
            return
        if seen.container == "running" and seen.serves and not track.stopping:
            self.replace_serving(name, track, seen, service)
            return
        if seen.container in ("running", "restarting"):
            # What it holds now counts for its successor only once it is gone.
            if not track.stopping:
                self.act("stop", name, track.reason)
            self.tracks[name] = replace(track, stopping=True)
            return
        self.start(name, track, seen, service)

    def replace_serving(self, name: str, track: Track, seen: Seen, service: Service) -> None:
        """The old one serves: a stand-in beside it where both fit, else it ends its requests first. Not before a gate that stays closed."""
        beside = self.gates.fits_beside(service, seen)
        closed = self.gates.closed(service, seen) if beside else self.gates.closed_to_successor(service, seen)
        if closed is not None:
            self.wait_at_gate(name, track, service, closed, memory=True)
        elif beside:
            self.act("start_beside", name, track.reason)
            self.tracks[name] = replace(
                track, step=BESIDE, surged=True, started=self.now, since=self.now, progressed=self.now
            )
        else:
            self.tracks[name] = replace(track, step=DRAINING, since=self.now)
            self.drain(name, self.tracks[name], seen)

    def start(self, name: str, track: Track, seen: Seen, service: Service) -> None:
        closed = self.gates.closed(service, seen)
        if closed is not None:
            self.wait_at_gate(name, track, service, closed, memory=not seen.port_taken)
            return
        self.act("start", name, track.reason)
        self.tracks[name] = replace(
            track, step=STARTING, started=self.now, since=self.now, progress=-1, progressed=self.now, phases=()
        )

    def wait_at_gate(self, name: str, track: Track, service: Service, closed: str, memory: bool) -> None:
        """A bounded wait. What we take or give back ourselves is waited for without that bound: it is for what others do."""
        unreadable = bool(self.observation.memory_error)
        if not unreadable and self.gates.is_moving(service):
            self.tracks[name] = replace(track, since=self.now)
        elif unreadable or self.now - track.since > self.limits.gate_timeout_s:
            self.tracks[name] = replace(track, step=FAILED, reason=closed, ended=self.now, memory=memory)
