# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does what the state machine asks for: through Compose, Docker, and the files by which a gateway is told what gets nothing new.

The one place that stops and removes: what a container's labels don't give to this stack, and to the model that it is about, stays as it is.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    Action,
    ActionKind,
    Cause,
    assert_never,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.target import Target, Watched
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.compose import ENGINE_PORT, LABEL
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.docker import Docker, DockerError, compose
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic

# Docker has no code for these: they are told apart by its words, here and nowhere else.
_PORT = re.compile(r"port is already allocated|address already in use", re.IGNORECASE)
_NAME = re.compile(r"name .* is already in use", re.IGNORECASE)
# A container that does not end keeps no run from ending.
FINISH_S = 60.0


class NotOurs(DockerError):
    """A container bears a name of ours, and its labels say that it is somebody else's."""


@dataclass(frozen=True)
class Refusal:
    """An action that Docker would not do: its own words, and of what kind they are."""

    action: Action
    reason: str
    cause: Cause


def cause_of(error: DockerError) -> Cause:
    """Of what kind a refusal is."""
    if isinstance(error, NotOurs) or _NAME.search(str(error)):
        return Cause.FOREIGN
    return Cause.PORT if _PORT.search(str(error)) else Cause.REFUSED


class Executor:
    """The hands of one stack. Only containers that are named to it, and are its own, are ever touched."""

    def __init__(
        self,
        docker: Docker,
        project: str,
        compose_file: Path,
        drain_dir: Path,
        surge_offset: int,
        stop_grace_s: int,
    ) -> None:
        self._docker, self._project, self._compose_file = docker, project, compose_file
        self._drain_dir, self.surge_offset, self._stop_grace_s = drain_dir, surge_offset, stop_grace_s
        # An end takes its time, and nobody else's: looks go on meanwhile.
        self._pool = ThreadPoolExecutor(max_workers=16)
        self._ending: dict[str, tuple[Action, Future[None]]] = {}

    def do(self, target: Target, actions: Sequence[Action]) -> list[Refusal]:
        """All of these, in their order; what Docker would not do, of these and of ends that were asked for earlier."""
        refused = self._ended()
        for kind, group in itertools.groupby(actions, key=lambda action: action.kind):
            same = list(group)
            # Compose makes several at the price of one; where it can't, each is told apart.
            if kind is not ActionKind.CREATE or self._tried(target, same):
                for action in same:
                    if refusal := self._tried(target, [action]):
                        refused.append(refusal)
        return refused

    def _tried(self, target: Target, actions: Sequence[Action]) -> Refusal | None:
        """What Docker said where it would not; one that is gone is an error."""
        try:
            self._do(target, actions)
        except DockerError as error:
            if not self._docker.answers():
                raise
            return Refusal(actions[0], str(error), cause_of(error))
        return None

    def _do(self, target: Target, actions: Sequence[Action]) -> None:
        action = actions[0]
        match action.kind:
            case ActionKind.CREATE:
                for one in actions:
                    self._ours(container_of(target, one.name), one.name)
                self._create(*(one.name for one in actions))
            case ActionKind.START:
                self._start(action.name, container_of(target, action.name))
            case ActionKind.STOP | ActionKind.REMOVE:
                self._end(action, container_of(target, action.name), _model(action.name))
            case ActionKind.START_SURGE:
                self._start_surge(target.watched_as(action.name).surge(self.surge_offset))
            case ActionKind.REMOVE_SURGE:
                self._end(action, target.watched_as(action.name).surge(self.surge_offset).container, action.name)
            case ActionKind.DRAIN:
                self._drain(action.port)
            case ActionKind.UNDRAIN:
                self._undrain(self._drain_file(action.port))
            case _:
                assert_never(action.kind)

    # Starts

    def _create(self, *names: str) -> None:
        self._compose("up", "--no-start", "--no-deps", "--pull", "never", *names)

    def _start(self, name: str, container: str) -> None:
        self._await_end(container)
        found = self._ours(container, name)
        if found is not None and found["State"]["Status"] != "created":
            # Docker keeps one log over all runs of a container; what an earlier run said would be taken for this one's phases and failures.
            self._docker.remove(found["Id"])
            found = None
        if found is None:
            self._create(name)
        elif found["HostConfig"]["RestartPolicy"]["Name"] != "no":
            # One of an earlier run may have been allowed to come back by itself: not while it has to prove itself anew.
            self._docker.set_restart_policy(container, "no")
        self._docker.start(container)

    def _start_surge(self, surge: Watched) -> None:
        self._await_end(surge.container)
        self._remove(surge.container, surge.name)
        publish = f"127.0.0.1:{surge.port}:{ENGINE_PORT}"
        try:
            self._compose("run", "--detach", "--no-deps", "--name", surge.container, "--publish", publish, surge.name)
        except DockerError:
            # What Compose has made of it by then would be in the way of the next one.
            with contextlib.suppress(DockerError):
                self._remove(surge.container, surge.name)
            raise

    # Ends

    def _ours(self, container: str, model: str | None) -> Mapping[str, Any] | None:
        """What Docker knows of a container of this stack, and of this model where one is named; None where there is none."""
        found = self._docker.inspect(container)
        if found is None:
            return None
        labels = (found.get("Config") or {}).get("Labels") or {}
        if labels.get(f"{LABEL}.stack") != self._project or (model and labels.get(f"{LABEL}.model") != model):
            raise NotOurs(f"a container named {container} is there and is not ours: remove or rename it.")
        return found

    def _end(self, action: Action, container: str, model: str | None) -> None:
        """Have a container end, and go where that is asked for; what comes of it is known later."""
        if container in self._ending:
            return
        self._ours(container, model)
        work = self._stop if action.kind is ActionKind.STOP else self._remove
        self._ending[container] = (action, self._pool.submit(work, container, model))

    def _stop(self, container: str, model: str | None) -> None:
        # By its id: whoever takes the name meanwhile is not stopped for it.
        if (found := self._ours(container, model)) is not None:
            self._docker.stop(found["Id"], self._stop_grace_s)

    def _remove(self, container: str, model: str | None) -> None:
        if (found := self._ours(container, model)) is not None:
            if found["State"]["Status"] != "created":
                self._docker.stop(found["Id"], self._stop_grace_s)
            self._docker.remove(found["Id"])

    def _ended(self) -> list[Refusal]:
        """What came of ends that are through."""
        refused = []
        for container, (action, end) in list(self._ending.items()):
            if end.done():
                del self._ending[container]
                try:
                    end.result()
                except DockerError as error:
                    if not self._docker.answers():
                        raise
                    refused.append(Refusal(action, str(error), cause_of(error)))
        return refused

    def _await_end(self, container: str) -> None:
        """Let an end that was asked for be through before the same container is started again."""
        action_and_end = self._ending.pop(container, None)
        if action_and_end is not None:
            action_and_end[1].result()

    def finish(self) -> None:
        """Wait for all ends that were asked for, within a bound."""
        for _action, end in self._ending.values():
            with contextlib.suppress(DockerError, NotYet):
                end.result(self._stop_grace_s + FINISH_S)
        self._ending.clear()

    # Afterwards

    def keep_up(self, containers: Mapping[str, str]) -> None:
        """Have Docker start these again from now on, after a crash and after a boot; containers by model."""
        for model, container in containers.items():
            if self._ours(container, model) is not None:
                self._docker.set_restart_policy(container, "unless-stopped")

    def clear_drains(self, ports: Iterable[int]) -> None:
        """Whatever happened, no endpoint is left out of the gateway by us: neither one of these ports, nor what this stack once wrote."""
        files = {self._drain_file(port) for port in ports}
        with contextlib.suppress(OSError):
            files |= {path for path in self._drain_dir.iterdir() if path.read_text(encoding="utf-8") == self._mark}
        for path in files:
            self._undrain(path)

    @property
    def _mark(self) -> str:
        """What a file of ours says, so that one that somebody else put there is not taken for it."""
        return f"{self._project}\n"

    def _drain(self, port: int) -> None:
        # Where there is no folder there is no gateway; and one that can't be told keeps nobody from going on.
        with contextlib.suppress(OSError):
            if self._drain_dir.is_dir():
                atomic.write(self._drain_file(port), self._mark, 0o644)

    @staticmethod
    def _undrain(path: Path) -> None:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)

    def _drain_file(self, port: int) -> Path:
        return self._drain_dir / f"127.0.0.1:{port}"

    def _compose(self, *arguments: str) -> None:
        compose(self._project, str(self._compose_file), arguments)


def container_of(target: Target, name: str) -> str:
    """The container of a service, or of one that left the stack, which is named by it."""
    return name[1:] if name.startswith("/") else str(target.entries[name]["container"])


def _model(name: str) -> str | None:
    """The model that its label has to name; what left the stack may be anything of it."""
    return None if name.startswith("/") else name
