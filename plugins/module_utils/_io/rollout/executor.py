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

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import sockets
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    Action,
    ActionKind,
    Cause,
    assert_never,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.target import Target, Watched
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import SURGE_SUFFIX
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import address
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.compose import (
    ENGINE_PORT,
    LABEL,
    SURGE_VARIABLE,
    instance_of,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.docker import Docker, DockerError, compose
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.engine_keys import EngineKeys
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic, ownership

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
        drain_dir: Path | None,
        surge_offset: int,
        stop_grace_s: int,
        keys: EngineKeys,
    ) -> None:
        self._docker, self._project, self._compose_file = docker, project, compose_file
        self._drain_dir, self.surge_offset, self._stop_grace_s = drain_dir, surge_offset, stop_grace_s
        self.keys = keys
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
                self._create(target, *(one.name for one in actions))
            case ActionKind.START:
                self._start(target, action.name, container_of(target, action.name))
            case ActionKind.STOP | ActionKind.REMOVE:
                self._end(action, container_of(target, action.name), _model(action.name))
            case ActionKind.START_SURGE:
                self._start_surge(target, target.watched_as(action.name).surge(self.surge_offset))
            case ActionKind.REMOVE_SURGE:
                self._end(action, target.watched_as(action.name).surge(self.surge_offset).container, action.name)
            case ActionKind.DRAIN:
                self._drain(self._endpoint(container_of(target, action.name), action.port))
            case ActionKind.UNDRAIN:
                for endpoint in endpoints_of(container_of(target, action.name), action.port):
                    if self._drain_dir is not None:
                        self._undrain(self._drain_dir / sockets.drain_name(endpoint))
            case _:
                assert_never(action.kind)

    # Starts

    def _create(self, target: Target, *names: str) -> None:
        for name in names:
            self._make_socket_folder(target.watched_as(name))
        self._compose("up", "--no-start", "--no-deps", "--pull", "never", *names)

    def _start(self, target: Target, name: str, container: str) -> None:
        self._await_end(container)
        found = self._ours(container, name)
        if found is not None and found["State"]["Status"] != "created":
            # Docker keeps one log over all runs of a container; what an earlier run said would be taken for this one's phases and failures.
            self._docker.remove(found["Id"])
            found = None
        self._make_socket_folder(target.watched_as(name))
        if found is None:
            self._create(target, name)
        elif found["HostConfig"]["RestartPolicy"]["Name"] != "no":
            # One of an earlier run may have been allowed to come back by itself: not while it has to prove itself anew.
            self._docker.set_restart_policy(container, "no")
        self._tell_key(target, target.watched_as(name))
        self._docker.start(container)

    def _start_surge(self, target: Target, surge: Watched) -> None:
        self._await_end(surge.container)
        self._remove(surge.container, surge.name)
        self._make_socket_folder(surge)
        publish = () if surge.socket else ("--publish", f"127.0.0.1:{surge.port}:{ENGINE_PORT}")
        variables = {SURGE_VARIABLE: SURGE_SUFFIX} if surge.socket else None
        self._tell_key(target, surge)
        words = ("run", "--detach", "--no-deps", "--name", surge.container, *publish, surge.name)
        try:
            self._compose(*words, environment=variables)
        except DockerError:
            # What Compose has made of it by then would be in the way of the next one.
            with contextlib.suppress(DockerError):
                self._remove(surge.container, surge.name)
            raise

    def _tell_key(self, target: Target, one: Watched) -> None:
        self.keys.tell(address.endpoint(one.where), one.name, str(target.entries[one.name]["digest"]))

    @staticmethod
    def _make_socket_folder(one: Watched) -> None:
        """Have the folder of its socket there, which Docker mounts: all its container sees of those of engines."""
        if not one.socket:
            return
        folder = Path(one.socket).parent
        try:
            ownership.check(sockets.ROOT)
            atomic.make_folder(sockets.ROOT, 0o700)
            atomic.make_folder(sockets.FOLDER, 0o755)
            atomic.make_folder(folder, sockets.INSTANCE_MODE)
        except OSError as error:
            raise DockerError(f"{folder} can't be made for its socket ({error.strerror}).") from error

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

    def clear_drains(self, engines: Iterable[Watched]) -> None:
        """Whatever happened, no endpoint is left out of the gateway by us: neither one of these, nor what this stack once wrote."""
        if self._drain_dir is None:
            return
        files = {
            self._drain_dir / sockets.drain_name(endpoint)
            for one in engines
            for endpoint in endpoints_of(one.container, one.port)
        }
        with contextlib.suppress(OSError):
            files |= {path for path in self._drain_dir.iterdir() if path.read_text(encoding="utf-8") == self._mark}
        for path in files:
            self._undrain(path)

    @property
    def _mark(self) -> str:
        """What a file of ours says, so that one that somebody else put there is not taken for it."""
        return f"{self._project}\n"

    def _endpoint(self, container: str, port: int) -> str:
        """Where a container answers that runs now; what replaces it may answer elsewhere."""
        labels = address.labels_of(self._docker.inspect(container) or {})
        return address.endpoint(address.where(container, labels, port))

    def _drain(self, endpoint: str) -> None:
        # Where there is no folder there is no gateway; and one that can't be told keeps nobody from going on.
        with contextlib.suppress(OSError):
            if self._drain_dir is not None and self._drain_dir.is_dir():
                atomic.write(self._drain_dir / sockets.drain_name(endpoint), self._mark, 0o644)

    @staticmethod
    def _undrain(path: Path) -> None:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)

    def _compose(self, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        if environment:
            compose(self._project, str(self._compose_file), arguments, environment=environment)
        else:
            compose(self._project, str(self._compose_file), arguments)


def endpoints_of(container: str, port: int) -> tuple[str, ...]:
    """Every endpoint that a container of this name and port can have had."""
    return address.endpoint(port), address.endpoint(sockets.path(instance_of(container)))


def container_of(target: Target, name: str) -> str:
    """The container of a service, or of one that left the stack, which is named by it."""
    return name[1:] if name.startswith("/") else str(target.entries[name]["container"])


def _model(name: str) -> str | None:
    """The model that its label has to name; what left the stack may be anything of it."""
    return None if name.startswith("/") else name
