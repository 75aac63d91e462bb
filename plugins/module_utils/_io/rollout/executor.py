# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does what `_core.rollout` asks for: through Compose, Docker, and the files by which a gateway is told what gets nothing new."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import Action
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.target import Target
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.compose import ENGINE_PORT
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.docker import Docker, DockerError, compose


@dataclass(frozen=True)
class Executor:
    """The hands of one stack. Only containers that are named to it are ever touched."""

    docker: Docker
    project: str
    compose_file: Path
    drain_dir: Path
    surge_offset: int
    stop_grace_s: int

    def do(self, target: Target, actions: Sequence[Action]) -> dict[str, str]:
        """All of these, in their order; what Docker would not do, by service, in its own words."""
        refused: dict[str, str] = {}
        for kind, group in itertools.groupby(actions, key=lambda action: action.kind):
            names = [action.name for action in group]
            # Compose makes several at the price of one; where it can't, each is told apart.
            if kind != "create" or self._tried(target, kind, names):
                for name in names:
                    if why := self._tried(target, kind, [name]):
                        refused[name] = why
        return refused

    def _tried(self, target: Target, kind: str, names: Sequence[str]) -> str:
        """What Docker said where it would not; one that is gone is an error."""
        try:
            self._do(target, kind, names)
        except DockerError as error:
            if not self.docker.answers():
                raise
            return str(error)
        return ""

    def _do(self, target: Target, kind: str, names: Sequence[str]) -> None:
        entry = target.entries[names[0]]
        container, port = str(entry["container"]), int(entry["port"])
        beside = target.watched_as(names[0]).beside(self.surge_offset)
        if kind == "create":
            self._compose("up", "--no-start", "--no-deps", "--pull", "never", *names)
        elif kind == "start":
            self._start(names[0], container)
        elif kind == "stop":
            self.docker.stop(container, self.stop_grace_s)
        elif kind == "start_beside":
            self.docker.remove(beside.container)
            publish = f"127.0.0.1:{beside.port}:{ENGINE_PORT}"
            self._compose("run", "--detach", "--no-deps", "--name", beside.container, "--publish", publish, names[0])
        elif kind == "remove_beside":
            self.remove([beside.container])
        elif kind == "drain":
            self._drain_file(port).touch() if self.drain_dir.is_dir() else None
        elif kind == "undrain":
            self._drain_file(port).unlink(missing_ok=True)

    def _start(self, name: str, container: str) -> None:
        found = self.docker.inspect(container)
        if found is not None and found["State"]["Status"] != "created":
            # Docker keeps one log over all runs of a container; what an earlier run said would be taken for this one's phases and failures.
            self.docker.remove(container)
            found = None
        if found is None:
            self._compose("up", "--no-start", "--no-deps", "--pull", "never", name)
        elif found["HostConfig"]["RestartPolicy"]["Name"] != "no":
            # One of an earlier run may have been allowed to come back by itself: not while it has to prove itself anew.
            self.docker.set_restart_policy(container, "no")
        self.docker.start(container)

    def remove(self, containers: Sequence[str]) -> None:
        """Stop and remove what is no longer wanted."""
        for name in containers:
            self.docker.stop(name, self.stop_grace_s)
            self.docker.remove(name)

    def keep_up(self, containers: Sequence[str]) -> None:
        """Have Docker start these again from now on, after a crash and after a boot."""
        for name in containers:
            self.docker.set_restart_policy(name, "unless-stopped")

    def undrain(self, target: Target) -> None:
        """Whatever happened, no endpoint is left out of the gateway by us."""
        for entry in target.entries.values():
            self._drain_file(int(entry["port"])).unlink(missing_ok=True)

    def _drain_file(self, port: int) -> Path:
        return self.drain_dir / f"127.0.0.1:{port}"

    def _compose(self, *arguments: str) -> None:
        compose(self.project, str(self.compose_file), arguments)
