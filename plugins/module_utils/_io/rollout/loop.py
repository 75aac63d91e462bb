# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop around the state machine: look, advance, act, tell, until every service is settled."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout import failure, machine
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.dry_run import fits_with_leftovers
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.progress import Narrator
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    KEPT,
    READY,
    Action,
    Limits,
    Observation,
    Service,
    State,
    Track,
    begin,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.target import Target
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.docker import Docker, DockerError, seconds_of
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.executor import Executor
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.gpu_memory import Cards
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.observer import Watch, command_of, listens
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.state_dir import StateDir
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic


class Progress:
    """Lines for whoever watches, into a file that the action plugin reads."""

    def __init__(self, path: str | None, narrator: Narrator) -> None:
        self._path, self.narrator = path, narrator

    def tell(self, lines: Sequence[str]) -> None:
        if lines and self._path:
            # Who watches misses a line on a full disk; the work goes on.
            with contextlib.suppress(OSError):
                atomic.append(self._path, "".join(f"{line}\n" for line in lines))

    def note(self, text: str) -> None:
        self.tell([self.narrator.line(time.monotonic(), text)])


class RolloutLoop:
    """Drives targets one after the other, and keeps why what failed did."""

    def __init__(
        self,
        docker: Docker,
        watch: Watch,
        cards: Cards,
        executor: Executor,
        state_dir: StateDir,
        progress: Progress,
        docker_wait_s: float,
    ) -> None:
        self._docker, self._watch, self._cards, self.executor = docker, watch, cards, executor
        self._state_dir, self._progress, self._docker_wait_s = state_dir, progress, docker_wait_s
        self.failures: dict[str, dict[str, Any]] = {}
        self.kept_up: list[str] = []  # proved ones of an earlier run that Docker starts again only from now on
        self._strangers: dict[int, tuple[str, int]] = {}

    def begin(self, containers: Sequence[str]) -> None:
        """Who holds memory before anything is done; what these containers hold is ours."""
        self._watch.know(containers)
        self._cards.sample()
        self._strangers = self._cards.strangers()

    def drive(
        self,
        target: Target,
        limits: Limits,
        order: str,
        leftovers: Sequence[str],
        seen: Observation,
        *,
        stop_at_failure: bool,
        surge: bool,
    ) -> State:
        """Bring one target up, of which `seen` was the first look. Told to stop at a failure, it leaves others on their way."""
        services = [self._with_surge(target, one) if surge else one for one in target.services]
        state = begin(services, order, time.monotonic())
        if leftovers and not fits_with_leftovers(target, seen, limits.min_headroom_bytes):
            self.executor.remove(leftovers)
        while True:
            now = time.monotonic()
            state, actions = machine.advance(state, seen, now, limits)
            self._progress.tell(self._progress.narrator.lines(state, seen, now))
            for name, reason in self._do(target, actions).items():
                state = machine.refuse(state, name, reason, now)
            self.explain(target, state)
            if state.done or (state.failed and stop_at_failure):
                break
            self._watch.wait(machine.look_again_s(state, now))
            seen = self._look(target, state)
        self._keep_up(target, state, seen)
        if not state.failed:
            self.executor.remove(leftovers)
        return state

    def _with_surge(self, target: Target, service: Service) -> Service:
        """Whether a stand-in of it could listen."""
        offset, entry = self.executor.surge_offset, target.entries[service.name]
        possible = offset > 0 and entry.get("network", "bridge") == "bridge" and not listens(service.port + offset)
        return replace(service, surge=possible)

    def _look(self, target: Target, state: State) -> Observation:
        try:
            return self._watch.observe(target.watched, state)
        except DockerError:
            self._wait_for_docker()
            return self._watch.observe(target.watched, state)

    def _do(self, target: Target, actions: Sequence[Action]) -> dict[str, str]:
        try:
            return self.executor.do(target, actions)
        except DockerError:
            # What was not done shows at the next look.
            self._wait_for_docker()
            return {}

    def _wait_for_docker(self) -> None:
        self._progress.note("Docker does not answer; waiting for it")
        self._watch.wait_for_docker(self._docker_wait_s)

    def _keep_up(self, target: Target, state: State, seen: Observation) -> None:
        """Have Docker start the proved ones again: those that may be in any order, since their caches depend on nobody."""
        exact = [name for name in state.order if target.planned[name]["exact_kv"]]
        ready = [name for name in exact if state.tracks[name].step == READY]
        self.kept_up = [
            name for name in exact if state.tracks[name].step == KEPT and seen.services[name].restart_policy == "no"
        ]
        self.executor.keep_up([str(target.entries[name]["container"]) for name in [*ready, *self.kept_up]])

    # Failing

    def explain(self, target: Target, state: State) -> None:
        """Find out why what failed did, once for each."""
        for name in state.failed:
            if name not in self.failures:
                self.failures[name] = self._failure(target, name, state.tracks[name])

    def _failure(self, target: Target, name: str, track: Track) -> dict[str, Any]:
        """Keep the first true cause and the log, and stop the engine so that it disturbs nobody."""
        thief = self._thief()
        if track.started is None:
            return failure.refused(name, track, thief if track.memory else "")
        one = target.watched_as(name)
        container = one.beside(self.executor.surge_offset).container if track.surge_failed else one.container
        found = self._docker.inspect(container)
        status = found["State"]["Status"] if found else "absent"
        if status in ("absent", "created"):
            return failure.refused(name, track, "")
        lines = self._docker.log(container)
        ended = seconds_of(found["State"]["FinishedAt"]) if found else None
        noticed_s = round(time.time() - ended, 1) if ended and ended > 0 else None
        code = found["State"].get("ExitCode") if found and status != "running" else None
        told = failure.ended(name, track, lines, code, noticed_s, thief)
        self._docker.stop(container, 10)
        return {**told, "log_file": self._state_dir.keep_log(name, lines)}

    def _thief(self) -> str:
        now = self._cards.strangers()
        return failure.theft(self._strangers, now, {pid: command_of(pid) for pid in now})
