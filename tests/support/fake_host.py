# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host without Docker: the real bring-up, loop, hands and eyes work on containers and engines that are made up, by a clock that jumps."""

from __future__ import annotations

import json
import time as real_time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.listeners import Listener
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import secrets
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB
from ansible_collections.gpuserve.fleet.plugins.module_utils._io import listeners
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.docker import DockerError
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout import (
    bringup,
    executor,
    loop,
    observer,
)

LABEL = "fleet.gpuserve"
PROJECT = "gpuserve"


class Clock:
    """Time that goes by only where somebody waits for it."""

    def __init__(self) -> None:
        self.now = 1e6

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def strftime(self, form: str) -> str:
        return real_time.strftime(form)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class AtOnce:
    """A pool of threads that has none: where time jumps, what takes a moment for a thread takes minutes."""

    def __init__(self, **_bounds: Any) -> None:
        pass

    def submit(self, job: Callable[..., Any], *values: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(job(*values))
        except Exception as error:
            done.set_exception(error)
        return done

    def shutdown(self, **_how: Any) -> None:
        pass


@dataclass
class Container:
    """One container as Docker would know it, and what its engine does."""

    labels: dict[str, str]
    port: int
    gpus: list[str]
    used: int
    status: str = "created"
    policy: str = "no"
    started: float = 0.0
    pid: int = 0
    exit_code: int = 0
    log: list[str] = field(default_factory=list)
    key: str = ""
    secrets: str = ""  # the file that it has its key from
    silent: bool = False  # /v1/models takes longer than anybody waits
    figures: bool = True
    requests: int = 0


@dataclass(frozen=True)
class Model:
    """One entry of an inventory, as far as a bring-up sees it."""

    name: str
    gib: float
    gpu: str = "GPU-0"
    port: int = 0
    exact: bool = True
    version: str = "1"  # of everything else in it
    group: str = ""  # its part of one, such as 0/2


class FakeHost:
    """The containers, ports and cards of a host, and everything that a bring-up asks of them."""

    def __init__(self, folder: Path, cards: Mapping[str, float] | None = None) -> None:
        self.folder, self.clock = folder, Clock()
        self.gpus = {uuid: int(gib * GIB) for uuid, gib in (cards or {"GPU-0": 32}).items()}
        self.containers: dict[str, Container] = {}
        self.foreign_ports: set[int] = set()
        self.foreign_bytes: dict[str, int] = {}
        self.done: list[str] = []
        self.pids = 100
        self.key = ""  # that engines are started with
        self.fails: dict[str, str] = {}  # by container: the line that it ends with
        self.when: dict[str, Callable[[], None]] = {}  # what happens when something was done
        self.load_s = 5.0
        for name in ("stack", "state", "drain", "keys"):
            (folder / name).mkdir()

    def note(self, text: str) -> None:
        self.done.append(text)
        if text in self.when:
            self.when.pop(text)()

    def add(self, name: str, model: str, port: int, stack: str = PROJECT, **change: Any) -> Container:
        self.pids += 1
        labels = {f"{LABEL}.stack": stack, f"{LABEL}.model": model, f"{LABEL}.port": str(port)} if stack else {}
        self.containers[name] = Container(labels, port, [], 0, pid=self.pids, **change)
        return self.containers[name]

    def up(self, port: int) -> Container | None:
        """The engine that answers at a port."""
        found = [one for one in self.containers.values() if one.port == port and one.status == "running"]
        return found[0] if found and self.clock.now - found[0].started >= self.load_s else None

    def _listeners(self) -> tuple[Listener, ...]:
        """Return who listens, as the kernel's table would."""
        return tuple(Listener("0100007F", port, 0, "") for port in self.foreign_ports | set(self.running().values()))

    def running(self) -> dict[str, int]:
        return {name: one.port for name, one in self.containers.items() if one.status == "running"}

    def launch(self, name: str) -> None:
        one = self.containers[name]
        others = [other for other in self.containers.values() if other is not one and other.status == "running"]
        if one.port in self.foreign_ports or any(other.port == one.port for other in others):
            raise DockerError(f"{name} does not start (port is already allocated).")
        key = secrets.parse(Path(one.secrets).read_text()).get(secrets.API_KEY, "") if one.secrets else ""
        one.status, one.started, one.key = "running", self.clock.now, key
        if line := self.fails.get(name):
            one.status, one.exit_code, one.log = "exited", 1, [line]

    # Docker

    def answers(self) -> bool:
        return True

    def _name(self, container: str) -> str:
        return container.removeprefix("id-").partition("@")[0]

    def inspect(self, container: str) -> dict[str, Any] | None:
        one = self.containers.get(container)
        if one is None:
            return None
        bindings = {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(one.port)}]}
        devices = [{"DeviceIDs": [f"nvidia.com/gpu={uuid}" for uuid in one.gpus]}]
        return {
            "Id": f"id-{container}@{one.pid}",
            "Config": {"Labels": one.labels},
            "State": {
                "Status": one.status,
                "Pid": one.pid if one.status == "running" else 0,
                "ExitCode": one.exit_code,
                "StartedAt": f"2026-11-26T00:00:00.{int(one.started)}Z",
                "FinishedAt": "2026-11-26T00:00:00Z",
            },
            "HostConfig": {
                "RestartPolicy": {"Name": one.policy},
                "NetworkMode": "bridge",
                "PortBindings": bindings,
                "DeviceRequests": devices,
            },
            "Mounts": [{"Destination": "/run/gpuserve/env", "Source": one.secrets}] if one.secrets else [],
            "Image": "sha256:1",
        }

    def labelled(self, label: str) -> list[str]:
        key, _equals, value = label.partition("=")
        return [name for name, one in self.containers.items() if one.labels.get(key) == value]

    def labelled_entries(self, label: str) -> list[dict[str, Any]]:
        return []

    def has_image(self, image: str) -> bool:
        return True

    def log(self, container: str, lines: int = 0) -> list[str]:
        return self.containers[container].log if container in self.containers else []

    def timed_log(self, container: str) -> list[tuple[float, str]]:
        return []

    def start(self, container: str) -> None:
        self.note(f"start {container}")
        self.launch(container)

    def stop(self, container: str, grace_s: int) -> None:
        name = self._name(container)
        self.note(f"stop {name}")
        if self.containers[name].status == "running":
            self.containers[name].status = "exited"

    def remove(self, container: str) -> None:
        name = self._name(container)
        self.note(f"remove {name}")
        self.containers.pop(name, None)

    def set_restart_policy(self, container: str, policy: str) -> None:
        self.containers[container].policy = policy

    # Compose

    def compose(self, _project: str, file: str, words: Sequence[str], timeout_s: int = 300) -> None:
        services = json.loads(Path(file).read_text())["services"]
        if words[0] == "up":
            for name in words[words.index("never") + 1 :]:
                container = f"vllm-{name}"
                there = self.containers.get(container)
                if there is not None and not there.labels:
                    raise DockerError(f"The container name /{container} is already in use")
                if there is not None and there.status == "running":
                    raise AssertionError(f"{container} runs, and is made anew")
                self._make(container, services[name], services[name]["port"], Path(file).parent)
            return
        container, publish = words[words.index("--name") + 1], words[words.index("--publish") + 1]
        self.note(f"surge {container}")
        self._make(container, services[words[-1]], int(publish.split(":")[1]), Path(file).parent)
        self.launch(container)

    def _make(self, container: str, service: Mapping[str, Any], port: int, folder: Path) -> None:
        self.pids += 1
        one = Container(dict(service["labels"]), port, list(service["gpus"]), service["used"], pid=self.pids)
        if service["secrets"]:
            one.secrets = str(folder / service["secrets"])
        self.containers[container] = one

    # A run

    def render(self, *models: Model) -> dict[str, Any]:
        """What compose_stack and memory_plan hand over."""
        services, entries, planned = {}, [], []
        for at, one in enumerate(models):
            port, used = one.port or 8001 + at, int(one.gib * GIB)
            digest = f"{one.version}-{one.gib}-{port}-{one.gpu}-{self.key}"
            labels = {"stack": PROJECT, "model": one.name, "port": port, "digest": digest, "planned_bytes": used}
            part = {"group": one.group, "meets": "192.0.2.1:29501"} if one.group else {}
            labels |= part
            services[one.name] = {
                "labels": {f"{LABEL}.{name}": str(value) for name, value in labels.items()},
                "port": port,
                "gpus": [one.gpu],
                "used": used,
                "secrets": f"./{secrets.file_name(one.name, digest)}" if self.key else "",
            }
            if self.key:
                file = self.folder / "stack" / secrets.file_name(one.name, digest)
                file.parent.mkdir(exist_ok=True)
                file.write_text(secrets.render({secrets.API_KEY: self.key}))
            entry = {"name": one.name, "container": f"vllm-{one.name}", "image": "i", "port": port, "digest": digest}
            entries.append({**entry, **part, "network": "bridge"})
            sizes = {"total_bytes": used, "kv_cache_bytes": GIB, "exact_kv": one.exact, "gpu_uuids": [one.gpu]}
            rest = {"engine_args": [], "tensor_parallel_size": 1, "max_num_seqs": 1, "max_model_len": 1, "env": {}}
            planned.append({"name": one.name, "model": one.name, **sizes, **rest})
        (self.folder / "stack" / "compose.yml").write_text(json.dumps({"services": services}))
        gpus = [{"uuid": uuid, "name": "card", "models": []} for uuid in self.gpus]
        plan = {"gpus": [{**gpus[0], "models": planned}, *gpus[1:]], "image": "i"}
        return {"services": entries, "plan": plan, "endpoints": []}

    def bring(self, rendered: Mapping[str, Any], **change: Any) -> dict[str, Any]:
        """One run of the module; what was done before counts no more."""
        self.done.clear()
        (self.folder / "progress").unlink(missing_ok=True)
        return bringup.Bringup(self.params(rendered, **change), False).run()

    def params(self, rendered: Mapping[str, Any], **change: Any) -> dict[str, Any]:
        """What the role hands the module."""
        return {
            "rollback": False,
            "project_name": PROJECT,
            "project_dir": str(self.folder / "stack"),
            "state_dir": str(self.folder / "state"),
            "lock_dir": str(self.folder / "lock"),
            "drain_dir": str(self.folder / "drain"),
            "gateway_interval_s": 2.0,
            "keys_dir": str(self.folder / "keys"),
            "device": "cuda",
            "api_key": self.key,
            "mode": "auto",
            "max_parallel": 2,
            "order": "smallest_first",
            "surge_offset": 1000,
            "min_headroom_bytes": GIB // 2,
            "tolerance_bytes": GIB // 2,
            "settle_s": 0.1,
            "gate_timeout_s": 30.0,
            "start_timeout_s": 100.0,
            "stall_timeout_s": 50.0,
            "phase_limits_s": {},
            "token_timeout_s": 5.0,
            "drain_s": 20.0,
            "lock_wait_s": 2.0,
            "docker_wait_s": 2.0,
            "stop_grace_s": 1,
            "probe_only": False,
            "memory_seen": {},
            "anew": [],
            "peers_file": None,
            "progress_file": str(self.folder / "progress"),
            **rendered,
            **change,
        }

    def told(self) -> str:
        return (self.folder / "progress").read_text()

    def install(self, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
        """Put it in the place of Docker, of engines and of cards."""
        host = self
        for module in (bringup, loop, observer):
            monkeypatch.setattr(module, "time", self.clock)
        for module in (executor, observer):
            monkeypatch.setattr(module, "ThreadPoolExecutor", AtOnce)
        monkeypatch.setattr(bringup, "Docker", lambda: host)
        monkeypatch.setattr(bringup, "Gpus", lambda *_any: Gpus(host))
        monkeypatch.setattr(executor, "compose", self.compose)
        monkeypatch.setattr(observer, "Engine", lambda port, model, key="": Engine(host, port, model, key))
        monkeypatch.setattr(listeners, "read", self._listeners)
        monkeypatch.setattr(observer, "process_tree", lambda pid: [pid])
        monkeypatch.setattr(observer, "read_bytes", lambda _pids: int(self.clock.now * 1e9))
        monkeypatch.setattr(observer, "received_bytes", lambda _pid: 0)
        monkeypatch.setattr(observer, "age_s", lambda _pid: 1.0)
        monkeypatch.setattr(observer.Watch, "_has_moved", lambda *_any: False)
        return self


class Engine:
    """What answers at a port."""

    def __init__(self, host: FakeHost, port: int, model: str, key: str) -> None:
        self._host, self._port, self._model, self._key = host, port, model, key

    def _there(self) -> Container | None:
        return self._host.up(self._port)

    def health(self) -> int | None:
        return 200 if self._there() else None

    def names_model(self) -> bool:
        one = self._there()
        if one is None or one.silent or (one.key and one.key != self._key):
            return False
        return one.labels.get(f"{LABEL}.model") == self._model

    def proves(self, _task: str, _timeout_s: float) -> tuple[bool, str]:
        return self.names_model(), ""

    def figures(self) -> dict[str, float]:
        return {}

    def requests(self) -> int | None:
        one = self._there()
        return one.requests if one and one.figures else None

    def sleeps(self) -> bool:
        return False


class Gpus:
    """The memory of a host's cards."""

    error = ""

    def __init__(self, host: FakeHost) -> None:
        self._host = host

    def begin(self, _before: Mapping[str, Any]) -> None:
        pass

    def sample(self) -> None:
        pass

    def last(self) -> dict[str, Any]:
        return {}

    def ours(self, _pids: Sequence[int]) -> None:
        pass

    def tells_apart(self) -> bool:
        return True

    def free_bytes(self) -> dict[str, int]:
        host = self._host
        used = {
            uuid: sum(one.used for one in host.containers.values() if one.status == "running" and uuid in one.gpus)
            for uuid in host.gpus
        }
        return {uuid: size - used[uuid] - host.foreign_bytes.get(uuid, 0) for uuid, size in host.gpus.items()}

    def still_s(self) -> dict[str, float]:
        return dict.fromkeys(self._host.gpus, 99.0)

    foreign_still_s = still_s

    def used_by(self, pids: Sequence[int]) -> dict[str, int]:
        found: dict[str, int] = {}
        for one in self._host.containers.values():
            if one.pid in pids and one.status == "running":
                found |= dict.fromkeys(one.gpus, one.used)
        return found

    def foreign_processes(self) -> dict[int, tuple[str, int]]:
        return {}
