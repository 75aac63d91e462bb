# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One world brought up by the state machine, with everything that must hold on the way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.machine import (
    TRANSITIONS,
    advance,
    next_probe_s,
    refuse,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import (
    UP,
    Container,
    Observation,
    Seen,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    GROWING,
    PROVED,
    SETTLED,
    Action,
    ActionKind,
    Cause,
    State,
    Step,
    begin,
)
from ansible_collections.gpuserve.fleet.tests.support.worlds.hands import Hands
from ansible_collections.gpuserve.fleet.tests.support.worlds.host import Box, Host
from ansible_collections.gpuserve.fleet.tests.support.worlds.kinds import SURGE_OFFSET, World

# What takes something that serves away, or begins something.
TOUCHING = (
    ActionKind.CREATE,
    ActionKind.START,
    ActionKind.STOP,
    ActionKind.START_SURGE,
    ActionKind.REMOVE,
    ActionKind.DRAIN,
)
# What an engine's own failure is, as against one of the machine's.
OF_THE_ENGINE = (Cause.ENDED, Cause.TOO_MUCH, Cause.NOT_SERVING)


@dataclass
class Report:
    """What came of one world."""

    seed: int
    broken: list[tuple[str, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0
    ports_change_hands: bool = False  # a model is to have the port that another one still has
    gap_over_start: float = 0.0  # the longest time without a server, over its own start and drain
    changes: Counter[tuple[Step, Step]] = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)


class Run:
    """A bring-up in a world."""

    def __init__(self, world: World, trace: bool = False) -> None:
        self.world, self.host, self.trace = world, world.host, trace
        self.hands = Hands(world.host, world.manners, SURGE_OFFSET)
        self.report = Report(world.seed)
        self.began = world.host.now
        old_ports = {box.port: name for name, box in world.host.main.items() if box.state in UP}
        self.report.ports_change_hands = any(
            old_ports.get(service.port, service.name) != service.name for service in world.host.services
        )
        self.state = begin(world.host.services, world.order, self.began)
        self.served = {name for name in self.state.order if self.host.serves(self.host.main[name])}
        self.stopped: dict[str, float] = {}
        self.own: dict[str, float] = {}  # seconds of a service's own drain, end and start
        self.probed_at = self.began

    def broken(self, rule: str, text: str) -> None:
        self.report.broken.append((rule, f"{self.host.now - self.began:.1f} s: {text}"))

    @property
    def bound_s(self) -> float:
        """No bring-up takes longer, whatever happens."""
        limits, many = self.world.limits, len(self.state.everything)
        each = limits.gate_timeout_s + 2 * (limits.start_timeout_s + limits.drain_s * 2 + limits.stop_s) + 60
        return many * (each + limits.start_timeout_s) + 400

    def go(self) -> Report:
        """Bring it up, and judge it."""
        over = False
        seen = self.hands.probe(None, False)
        while True:
            before = self.state
            self.state, actions = advance(before, seen, self.host.now, self.world.limits)
            self._compare(before)
            self._tell(before, actions)
            for action in actions:
                self._judge(action, before, seen)
                self._do(action)
            if self.state.done:
                if over:
                    break
                over = True
            else:
                over = False
            if self.host.now - self.began > self.bound_s:
                steps = {name: track.step.value for name, track in self.state.tracks.items()}
                self.broken("no end", f"longer than {self.bound_s:.0f} s: {steps}")
                break
            self.host.tick(next_probe_s(self.state, self.host.now))
            self.probed_at = self.host.now
            seen = self.hands.probe(self.state, over)
        self._judge_end()
        return self.report

    def _do(self, action: Action) -> None:
        why, cause = self.hands.do(action, self.state.services[action.name])
        if why:
            before = self.state
            self.state = refuse(self.state, action, why, self.host.now, cause)
            self._compare(before)

    def _compare(self, before: State) -> None:
        """Count the changes of steps, and time what each service itself takes."""
        for name, track in self.state.tracks.items():
            old = before.tracks[name]
            if old.step is not track.step:
                if (old.step, track.step) in TRANSITIONS:
                    self.report.changes[old.step, track.step] += 1
                else:
                    # Two changes in one turn: it waited for nothing in between.
                    self.report.changes[old.step, Step.WAITING] += 1
                    self.report.changes[Step.WAITING, track.step] += 1
                times = (Step.STARTING, Step.DRAINING, Step.STOPPING, Step.SURGING, Step.YIELDING)
                served = old.step is Step.SURGING and self.host.main[name].state in UP
                if old.step in times and not served and not (old.step is Step.DRAINING and old.surged):
                    self.own[name] = self.own.get(name, 0.0) + self.host.now - old.since
            if track.step is Step.FAILED and old.step is not Step.FAILED and not track.reason:
                box = (self.host.surge if track.surge_failed else self.host.main)[name]
                if box.state in (Container.ABSENT, Container.CREATED):
                    self.broken("no reason", f"{name}: nothing is left to read a log from")

    def _tell(self, before: State, actions: list[Action]) -> None:
        if not self.trace:
            return
        at = f"{self.host.now - self.began:7.2f}"
        for name, track in self.state.tracks.items():
            old = before.tracks[name]
            if old.step is not track.step or old.reason != track.reason:
                self.report.trace.append(
                    f"{at} {name} {old.step.value} -> {track.step.value} [{track.reason}] {track.retried}"
                )
        self.report.trace += [f"{at}   {one.kind.value} {one.name} {one.port or ''} ({one.reason})" for one in actions]

    # What must hold of each action

    def _judge(self, action: Action, before: State, seen: Observation) -> None:
        name, host = action.name, self.host
        old, new, service = before.tracks[name], self.state.tracks[name], self.state.services[name]
        settled = old.step in SETTLED and new.step in SETTLED
        if settled and action.kind in TOUCHING and not (action.kind is ActionKind.STOP and old.stop_failed):
            self.broken("settled", f"{action.kind.value} {name} while {old.step.value}")
        if seen.services.get(name, Seen()).foreign and action.kind in TOUCHING:
            self.broken("foreign", f"{action.kind.value} {name}")
        if action.kind in (ActionKind.START, ActionKind.START_SURGE):
            self._judge_start(action, seen)
        box = host.main[name]
        if action.kind is ActionKind.CREATE and box.state in UP and not box.foreign:
            self.broken("created over a running one", name)
        if action.kind in (ActionKind.STOP, ActionKind.REMOVE) and host.serves(box) and box.stop_at is None:
            self._judge_stop(name, before, box)
            self.stopped[name] = host.now
        if action.kind is ActionKind.REMOVE_SURGE and host.serves(host.surge[name]) and new.step is Step.READY:
            main = host.main[name]
            if not host.serves(main) and main.state in UP:
                self.broken("surge removed", f"{name}: the service itself does not serve")
        if action.kind in (ActionKind.START, ActionKind.START_SURGE) and service.leaves:
            self.broken("left", f"{name} is started")

    def _judge_start(self, action: Action, seen: Observation) -> None:
        service = self.state.services[action.name]
        for name, track in self.state.tracks.items():
            other = self.state.services[name]
            shared = set(service.gpus) & set(other.gpus)
            if name != service.name and track.step in GROWING and shared and not (service.exact_kv and other.exact_kv):
                self.broken("two at once", f"{service.name} starts while {name} measures")
        for uuid in service.gpus:
            need = service.need_bytes + self.world.limits.min_headroom_bytes
            if seen.free_bytes.get(uuid, 0) < need:
                self.broken("start short", f"{service.name}: {seen.free_bytes.get(uuid, 0)} free, {need} needed")

    def _judge_stop(self, name: str, before: State, box: Box) -> None:
        track = before.tracks[name]
        if track.step is Step.STARTING or track.stop_failed:
            return
        if track.step is not Step.DRAINING or track.drained is None:
            self.broken("stopped undrained", f"{name} while {track.step.value}: {track.reason}")
        surge = self.host.surge.get(name, Box())
        if track.surged and not self.host.serves(surge) and (surge.die_at or self.host.now) >= self.probed_at:
            # One that ended since the probe can't be known to have.
            ended = surge.state is Container.EXITED
            if not ended:
                self.broken("stopped without its surge instance", name)

    # What must hold at the end

    def _judge_end(self) -> None:
        host, state, report = self.host, self.state, self.report
        report.failed, report.seconds = state.failed, host.now - self.began
        if host.drained:
            self.broken("drained for ever", str(sorted(host.drained)))
        for name in state.order:
            self._judge_service(name)
        if not state.failed and any(state.tracks[name].step is not Step.GONE for name in state.leavers):
            self.broken("left over", str(state.leavers))
        gaps = {
            name: host.served.get(name, 0.0) / self.own[name]
            for name in self.served
            if self.own.get(name) and state.tracks[name].step in PROVED
        }
        report.gap_over_start = max(gaps.values(), default=0.0)

    def _judge_service(self, name: str) -> None:
        host, track = self.host, self.state.tracks[name]
        box, surge = host.main[name], host.surge[name]
        if track.step in PROVED and not (box.state is Container.RUNNING and not box.foreign):
            self.broken("proved and dead", f"{name} {track.step.value}: {box.state.value}")
        pending = surge.stop_at is not None
        if surge.state is Container.RUNNING and not surge.foreign and not pending and not track.surge_serves:
            self.broken("surge left", f"{name} {track.step.value} {track.reason}")
        if track.surge_serves and not host.serves(surge) and surge.state is not Container.EXITED:
            self.broken("surge serves and does not", name)
        lost = name in self.served and not host.serves(box) and not host.serves(surge)
        befell = host.befell - {"misread"}
        ours = track.cause not in OF_THE_ENGINE and not befell and not self.world.manners.refused
        if track.step is Step.FAILED and lost and name in self.stopped and ours:
            self.broken("reduced", f"{name}: {track.cause} {track.reason}")
        victim = box.memory_failure and box.state is Container.EXITED and not track.alone and not track.reason
        if (
            track.step is Step.FAILED
            and victim
            and self._starts_overlapped(name)
            and not track.retried
            and not track.surge_failed
        ):
            self.broken("victim not tried again", f"{name}: {track.reason}")

    def _starts_overlapped(self, name: str) -> bool:
        """Whether the last start of another was under way during that of this one."""
        track = self.state.tracks[name]
        began, ended = track.started or 0.0, track.ended or self.host.now
        others = [other for one, other in self.state.tracks.items() if one != name and other.started is not None]
        return any((other.started or 0.0) < ended and (other.ended is None or other.ended > began) for other in others)


def run(world: World, trace: bool = False) -> Report:
    """Bring one world up."""
    return Run(world, trace).go()


__all__ = ["Host", "Report", "run"]
