# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts without Docker that serve a model together: a thread a host, one time for all, and the real action plugin that carries news."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.action import bringup as action
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout import failure
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.progress import NEWS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import compose
from ansible_collections.gpuserve.fleet.plugins.module_utils._io import listeners
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout import (
    bringup,
    executor,
    loop,
    observer,
    peers,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import this_run
from ansible_collections.gpuserve.fleet.tests.support import fake_host
from ansible_collections.gpuserve.fleet.tests.support.fake_host import LABEL, Clock, Container, FakeHost

# Somebody waits for ever: a thread is never that slow.
STUCK_S = 60.0
CARRIED_EVERY_S = 2.0


class OneTime:
    """The time of several hosts: none goes on before the others have come as far."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._at: dict[SharedClock, float] = {}

    def join(self, clock: SharedClock) -> None:
        self._at[clock] = clock.now

    def leave(self, clock: SharedClock) -> None:
        with self._changed:
            del self._at[clock]
            self._changed.notify_all()

    def pass_until(self, clock: SharedClock, wake: float) -> None:
        with self._changed:
            self._at[clock] = wake
            self._changed.notify_all()
            others = [one for one in self._at if one is not clock]
            if not self._changed.wait_for(
                lambda: all(self._at.get(one, wake) >= wake for one in others), timeout=STUCK_S
            ):
                raise AssertionError("another host does not come to wait")


class SharedClock(Clock):
    """The clock of one of them."""

    def __init__(self, time: OneTime, host: GroupHost) -> None:
        super().__init__()
        self._time, self._host = time, host

    def sleep(self, seconds: float) -> None:
        self._time.pass_until(self, self.now + seconds)
        self.now += seconds
        self._host.live()


class GroupHost(FakeHost):
    """A host that serves together with others, and the action plugin of its bring-up."""

    def __init__(self, name: str, folder: Path, time: OneTime) -> None:
        folder.mkdir()
        super().__init__(folder)
        self.name = name
        self.clock: SharedClock = SharedClock(time, self)
        self.others: list[GroupHost] = []
        self.at: dict[float, Any] = {}  # what happens after so many seconds
        self.began = self.clock.now
        self.carried = self.clock.now
        self.is_carried = True
        self.task: Action | None = None
        self.result: dict[str, Any] = {}

    def live(self) -> None:
        """What happens meanwhile, and what the controller does."""
        for after in [after for after in self.at if self.clock.now - self.began >= after]:
            self.at.pop(after)()
        if self.task and self.is_carried and self.clock.now - self.carried >= CARRIED_EVERY_S:
            self.carried = self.clock.now
            self.task.carry()

    def running(self) -> dict[str, int]:
        """A part without an API listens nowhere."""
        found = super().running()
        return {name: port for name, port in found.items() if not compose.is_headless(self.containers[name].labels)}

    def part(self, model: str = "large") -> Container:
        return self.containers[f"vllm-{model}"]

    def dies(self, model: str = "large", why: str = "torch.OutOfMemoryError: CUDA out of memory.") -> None:
        self.part(model).status, self.part(model).exit_code, self.part(model).log = "exited", 1, [why]

    def is_whole(self, model: str) -> bool:
        """Whether all engines of a group run that found together: those that began within its start."""
        parts = [host.containers.get(f"vllm-{model}") for host in (self, *self.others)]
        if not all(part is not None and part.status == "running" for part in parts):
            return False
        versions = {part.labels[f"{LABEL}.digest"].partition("-")[0] for part in parts if part}
        starts = [part.started for part in parts if part]
        return len(versions) == 1 and max(starts) - min(starts) < STUCK_S


class Engine(fake_host.Engine):
    """One that makes a token only while all of its group are there; its /health never says so."""

    def proves(self, task: str, timeout_s: float) -> tuple[bool, str]:
        one = self._there()
        host = self._host
        if one is None or not isinstance(host, GroupHost) or f"{LABEL}.group" not in one.labels:
            return super().proves(task, timeout_s)
        if not host.is_whole(one.labels[f"{LABEL}.model"]):
            # It hangs as long as anybody waits.
            host.clock.sleep(timeout_s)
            return False, ""
        return self.names_model(), ""


class Action(action.ActionModule):
    """The action plugin of a host, with the module run in its place."""

    def __init__(self, host: GroupHost, rendered: Mapping[str, Any], change: Mapping[str, Any]) -> None:
        self._host, self._rendered, self._change = host, rendered, change
        self._name = host.name
        self._read_to = 0

    def bring(self) -> dict[str, Any]:
        """As its run, but for what Ansible itself does."""
        first = self._bringup({"probe_only": True})
        if first.get("failures"):
            first |= {"failed": True, "msg": failure.message(first["failures"], [], first["serving"])}
        work = self._together if first.get("groups") else self._begin
        return work({}, first, {})

    def _bringup(self, more: Mapping[str, Any]) -> dict[str, Any]:
        return bringup.Bringup(self._host.params(self._rendered, **{**self._change, **more}), False).run()

    def _in_background(
        self, arguments: dict[str, Any], first: dict[str, Any], task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        try:
            return self._bringup({"peers_file": self._peers, **arguments})
        finally:
            self.carry()

    @property
    def _peers(self) -> str:
        return str(self._host.folder / "peers")

    def carry(self) -> None:
        """Take what the module told, and bring it what others did."""
        if self._board is None:
            return
        told = self._host.folder / "progress"
        lines = told.read_text().splitlines() if told.exists() else []
        for line in lines[self._read_to :]:
            if line.startswith(NEWS):
                self._board.tell(line.removeprefix(NEWS))
        self._read_to = len(lines)
        # The text that the host's shell would print into it.
        atomic.write(self._peers, shlex.split(self._board.command(self._peers))[4])

    def _say(self, verbosity: int, line: str) -> None:
        pass


class Hosts:
    """Some hosts, and one run of a task on all of them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        self.one_time = OneTime()
        self._local = threading.local()
        self._folder = folder
        self.hosts = [GroupHost(name, folder / name, self.one_time) for name in names]
        for host in self.hosts:
            host.others = [other for other in self.hosts if other is not host]
        for module in (bringup, loop, observer, peers, action):
            monkeypatch.setattr(module, "time", self)
        for module in (executor, observer):
            monkeypatch.setattr(module, "ThreadPoolExecutor", fake_host.AtOnce)
        monkeypatch.setattr(this_run, "folder", lambda name: folder / name)
        monkeypatch.setattr(bringup, "Docker", lambda: self.here)
        monkeypatch.setattr(bringup, "Gpus", lambda *_any: fake_host.Gpus(self.here))
        monkeypatch.setattr(executor, "compose", self._compose)
        monkeypatch.setattr(observer, "Engine", lambda port, model, key="": Engine(self.here, port, model, key))
        monkeypatch.setattr(listeners, "read", lambda *_any: self.here._listeners())
        monkeypatch.setattr(observer, "process_tree", lambda pid: [pid])
        # A part that waits for others reads nothing.
        monkeypatch.setattr(observer, "read_bytes", lambda _pids: 0)
        monkeypatch.setattr(observer, "received_bytes", lambda _pid: 0)
        monkeypatch.setattr(observer, "age_s", lambda _pid: 1.0)
        monkeypatch.setattr(observer.Watch, "_has_moved", lambda *_any: False)

    @property
    def here(self) -> GroupHost:
        """The host whose thread asks."""
        host: GroupHost = self._local.host
        return host

    def _compose(self, *words: Any, **more: Any) -> None:
        self.here.compose(*words, **more)

    # In the place of time

    def monotonic(self) -> float:
        return self.here.clock.monotonic()

    def sleep(self, seconds: float) -> None:
        self.here.clock.sleep(seconds)

    def time(self) -> float:
        return self.here.clock.time()

    def strftime(self, form: str) -> str:
        return self.here.clock.strftime(form)

    # A run

    def bring(self, **rendered: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Bring hosts up at the same time; what each one's task returned, by host."""
        errors: list[BaseException] = []
        now = max(host.clock.now for host in self.hosts)

        def work(host: GroupHost) -> None:
            self._local.host = host
            try:
                assert host.task is not None
                host.result = host.task.bring()
            except BaseException as error:
                errors.append(error)
            finally:
                self.one_time.leave(host.clock)

        taking_part = [host for host in self.hosts if host.name in rendered]
        for host in taking_part:
            host.clock = SharedClock(self.one_time, host)
            host.clock.now = host.began = host.carried = now
            self.one_time.join(host.clock)
            host.done.clear()
            (host.folder / "progress").unlink(missing_ok=True)
            host.task = Action(host, rendered[host.name], {"gateway_interval_s": 0.0, "token_timeout_s": 60.0})
        threads = [threading.Thread(target=work, args=(host,), daemon=True) for host in taking_part]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * STUCK_S)
            assert not thread.is_alive(), "a bring-up does not end"
        if errors:
            raise errors[0]
        return {host.name: host.result for host in taking_part}
