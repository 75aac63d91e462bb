# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop around the state machine: probe, advance, act, tell, until every service is settled."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout import failure, group, machine
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import Observation
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.progress import Narrator, shown
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    Action,
    Limits,
    State,
    Step,
    Track,
    begin,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.target import Target, Watched
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.docker import Docker, DockerError, seconds_of
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.proc import command_of
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.executor import Executor, Refusal
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.gpu_memory import Gpus
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.observer import Watch
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.peers import Peers
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.state_dir import StateDir
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic

LOCK_TRIES, LOCK_TRY_S = 20, 0.05


class Progress:
    """Lines for whoever watches, into a file that the action plugin reads; it is locked for as long as this process lives."""

    def __init__(self, path: str | None, narrator: Narrator) -> None:
        self._path, self.narrator = path, narrator
        self._lock: int | None = None
        if path:
            # By this lock who watches knows that somebody is at work; the kernel drops it with the process.
            with contextlib.suppress(OSError):
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                self._lock = os.open(path, flags, 0o600)
                self._hold(self._lock)

    @staticmethod
    def _hold(handle: int) -> None:
        """Take the lock; who asks whether it is taken, has it for a moment."""
        for _try in range(LOCK_TRIES):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(LOCK_TRY_S)

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
        gpus: Gpus,
        executor: Executor,
        state_dir: StateDir,
        progress: Progress,
        docker_wait_s: float,
        peers: Peers,
    ) -> None:
        self._docker, self._watch, self._gpus, self.executor = docker, watch, gpus, executor
        self._state_dir, self._progress, self._docker_wait_s = state_dir, progress, docker_wait_s
        self._peers = peers
        self.failures: dict[str, dict[str, Any]] = {}
        self.kept_up: list[str] = []  # proved ones of an earlier run that Docker starts again only from now on
        self._foreign: dict[int, tuple[str, int]] = {}

    def begin(self, containers: Sequence[str]) -> None:
        """Who holds memory before anything is done; what these containers hold is ours."""
        self._watch.know(containers)
        self._gpus.sample()
        self._foreign = self._gpus.foreign_processes()

    def announce(self, target: Target, attempt: int = 1) -> None:
        """Tell the other hosts of groups that this one is about to start its parts: a first probe may take its time."""
        self._peers.tell(begin(target.services, "listed", 0.0, attempt), Observation({}, {}), False)

    def drive(
        self,
        target: Target,
        limits: Limits,
        order: str,
        leavers: Sequence[Watched],
        *,
        stop_at_failure: bool,
        surge: bool,
        attempt: int = 1,
    ) -> State:
        """Bring one target up. Told to stop at a failure, it leaves others on their way."""
        watched = [*target.watched, *leavers]
        seen = self._probe(watched, None, over=False)
        offset = self.executor.surge_offset if surge else 0
        services = target.services_with_surge(offset, seen.listeners, leavers)
        state = begin([*services, *(one.leaver() for one in leavers)], order, time.monotonic(), attempt)
        over = is_done = False
        while True:
            now = time.monotonic()
            state, actions = machine.advance(state, seen, now, limits)
            self._progress.tell(self._progress.narrator.lines(state, seen, now))
            for refusal in self._do(target, actions):
                state = machine.refuse(state, refusal.action, refusal.reason, now, refusal.cause)
            self.explain(target, state)
            is_done = is_done or (state.done and over)
            self._peers.tell(state, seen, is_done)
            if state.failed and stop_at_failure and state.clean:
                break
            # Once all is settled, everything is probed once more: what died meanwhile is no part of a proved set.
            if state.done and over and not group.is_waited_for(state, seen):
                break
            over = state.done
            self._watch.wait(machine.SOON_S if over and not is_done else machine.next_probe_s(state, now))
            seen = self._probe(watched, state, over)
        self.executor.finish()
        self._keep_up(target, state, seen)
        return state

    def _probe(self, watched: Sequence[Watched], state: State | None, over: bool) -> Observation:
        try:
            seen = self._watch.observe(watched, state, over)
        except DockerError:
            self._wait_for_docker()
            seen = self._watch.observe(watched, state, over)
        return self._peers.heard(seen)

    def _do(self, target: Target, actions: Sequence[Action]) -> list[Refusal]:
        try:
            return self.executor.do(target, actions)
        except DockerError:
            # What was not done shows at the next probe.
            self._wait_for_docker()
            return []

    def _wait_for_docker(self) -> None:
        self._progress.note("Docker does not answer; waiting for it")
        self._watch.wait_for_docker(self._docker_wait_s)

    def _keep_up(self, target: Target, state: State, seen: Observation) -> None:
        """Have Docker start the proved ones again: those that may be in any order, since their caches depend on nobody."""
        # An engine of a group can't come back alone.
        exact = [name for name in state.order if target.planned[name]["exact_kv"] and state.services[name].part is None]
        ready = [name for name in exact if state.tracks[name].step is Step.READY]
        self.kept_up = [
            name
            for name in exact
            if state.tracks[name].step is Step.KEPT and seen.services[name].restart_policy == "no"
        ]
        self.executor.keep_up({name: str(target.entries[name]["container"]) for name in [*ready, *self.kept_up]})

    # Failing

    def explain(self, target: Target, state: State) -> None:
        """Find out why what failed did, once for each, before anything of it is removed."""
        for name in state.failed:
            if name not in self.failures:
                self.failures[name] = self._failure(target, name, state.tracks[name])

    def _failure(self, target: Target, name: str, track: Track) -> dict[str, Any]:
        """Keep the first true cause and the log."""
        foreign_process = self._foreign_process()
        if track.started is None:
            return failure.refused(shown(name), track, foreign_process if track.memory else "")
        one = target.watched_as(name)
        container = one.surge(self.executor.surge_offset).container if track.surge_failed else one.container
        found = self._docker.inspect(container)
        status = found["State"]["Status"] if found else "absent"
        if status in ("absent", "created"):
            return failure.refused(name, track, "")
        lines = self._docker.log(container)
        ended = seconds_of(found["State"]["FinishedAt"]) if found else None
        noticed_s = round(time.time() - ended, 1) if ended and ended > 0 else None
        code = found["State"].get("ExitCode") if found and status != "running" else None
        told = failure.ended(name, track, lines, code, noticed_s, foreign_process)
        return {**told, "log_file": self._state_dir.keep_log(name, lines)}

    def _foreign_process(self) -> str:
        now = self._gpus.foreign_processes()
        return failure.foreign_growth(self._foreign, now, {pid: command_of(pid) for pid in now})
