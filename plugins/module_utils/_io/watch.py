# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at a stack's containers, engines and cards, and puts what it saw into the words of `_core.rollout`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import compose, diagnosis, engine_log, rollout
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import CPU_UUID
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.docker import Docker, DockerError
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.engine_http import Engine
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hostmem import (
    meminfo,
    process_tree,
    proportional_bytes,
    read_bytes,
    received_bytes,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.nvml import Nvml, NvmlError

LOG_LINES = 300
DOCKER_PID = Path("/run/docker.pid")
# What a process reads without loading anything: our own questions, and what runtimes do in the background.
NOISE_BYTES = 8 << 20


@dataclass(frozen=True)
class Watched:
    """One engine to look at: its container, where it answers, what was planned for it."""

    name: str
    container: str
    image: str
    port: int
    gpus: tuple[str, ...]
    planned_bytes: int
    generates: bool  # makes tokens, not embeddings


class Watch:
    """Looks. What takes long (a token) is asked for in the background, so that no engine hides another."""

    def __init__(self, docker: Docker | None, project: str, device: str, api_key: str, token_timeout_s: float) -> None:
        self._docker, self._project, self._cpu = docker, project, device == "cpu"
        self._key, self._token_timeout_s = api_key, token_timeout_s
        self._pool = ThreadPoolExecutor(max_workers=32)
        self._proofs: dict[str, Future[tuple[bool, str]]] = {}
        self._held: Mapping[str, Mapping[int, int]] = {}
        self._docker_pid = self._docker_started()
        self.docker_restarted: float | None = None

    # One look at everything

    def observe(
        self,
        services: Sequence[Watched],
        state: rollout.State | None,
        beside: Callable[[Watched], Watched],
    ) -> rollout.Observation:
        """What `advance` wants to know. Without a state it is a first look, at everything there is to know."""
        steps = {name: track.step for name, track in state.tracks.items()} if state else {}
        standing_in = [
            beside(one)
            for one in services
            if steps.get(one.name) in (rollout.BESIDE, rollout.DRAINING, rollout.RETIRING)
        ]
        free, error = self.memory(sorted({uuid for one in services for uuid in one.gpus}))
        jobs = {
            one.container: self._pool.submit(self.look, one, steps.get(one.name, ""))
            for one in [*services, *standing_in]
        }
        seen = {container: job.result() for container, job in jobs.items()}
        self._notice_docker()
        return rollout.Observation(
            services={one.name: seen[one.container] for one in services},
            free_bytes=free,
            beside={one.name: seen[one.container] for one in standing_in},
            restless=self._restless(services, {one.name: seen[one.container] for one in services}),
            memory_error=error,
            docker_restarted=self.docker_restarted,
        )

    def look(self, one: Watched, step: str) -> rollout.Seen:
        """One container. `step` is where its service is in a bring-up, empty at the first look."""
        image = bool(self._docker and self._docker.has_image(one.image)) if not step else True
        found = self._docker.inspect(one.container) if self._docker else None
        if found is None:
            return rollout.Seen(port_taken=not step and listens(one.port), image_present=image)
        labels = found["Config"]["Labels"] or {}
        if labels.get(f"{compose.LABEL}.stack") != self._project:
            return rollout.Seen(container="running", foreign=True)
        status = found["State"]["Status"]
        running = status == "running"
        starting = step in rollout.GROWING
        pids = process_tree(found["State"]["Pid"]) if running and (starting or not step) else []
        facts, progress, cause = engine_log.LogFacts(), 0, None
        if starting and self._docker:
            lines = self._docker.log(one.container, LOG_LINES)
            facts = engine_log.read(lines)
            moved = read_bytes(pids)
            if found["HostConfig"].get("NetworkMode") != "host":
                moved += received_bytes(pids[0]) if pids else 0
            progress = hash((tuple(lines[-3:]), moved // NOISE_BYTES))
            if not running:
                cause = diagnosis.diagnose(lines, found["State"].get("ExitCode"))
        engine = Engine(one.port, one.name, self._key)
        health = engine.health() if running and (starting or not step) else None
        sleeping = health == 200 and not step and engine.sleeps()
        serves, refusal = (False, "") if health != 200 or sleeping else self._proof(one, engine, starting)
        busy = running and (not step or step in (rollout.DRAINING, rollout.RETIRING, rollout.WAITING))
        figures = engine.figures() if busy else {}
        return rollout.Seen(
            container=status if status in ("running", "restarting", "created") else "exited",
            digest=labels.get(f"{compose.LABEL}.digest", ""),
            exit_code=found["State"].get("ExitCode"),
            healthy=health == 200,
            dead=health is not None and health >= 500,
            # One that waits to be replaced makes no token for us; that it answers is enough to let it end its requests.
            serves=serves or (step == rollout.WAITING and bool(figures)),
            refusal=refusal,
            sleeping=sleeping,
            phase=facts.phase,
            percent=facts.percent,
            progress=progress,
            age_s=age_s(found["State"]["Pid"]) if running else None,
            requests=int(figures.get("num_requests_running", 0) + figures.get("num_requests_waiting", 0)),
            held_bytes=self._held_by(one, pids) if pids else int(labels.get(f"{compose.LABEL}.planned_bytes", 0)),
            memory_failure=cause is not None and cause.memory,
            disturbed=cause is not None and cause.id == "profiling_race",
            port_taken=not running and not step and listens(one.port),
            image_present=image,
        )

    def _proof(self, one: Watched, engine: Engine, starting: bool) -> tuple[bool, str]:
        """A token or an embedding; while a start is followed the answer is waited for elsewhere."""
        if not starting:
            return self._prove(one, engine)
        waiting = self._proofs.get(one.container)
        if waiting is None:
            self._proofs[one.container] = self._pool.submit(self._prove, one, engine)
            return False, ""
        if not waiting.done():
            return False, ""
        del self._proofs[one.container]
        return waiting.result()

    def _prove(self, one: Watched, engine: Engine) -> tuple[bool, str]:
        if not engine.names_model():
            return False, ""
        before = engine.figures().get("generation_tokens_total", 0.0)
        proved, refusal = (
            engine.generates(self._token_timeout_s) if one.generates else engine.embeds(self._token_timeout_s)
        )
        if not proved and not refusal:
            # Our token waits in its queue while it makes those of others: it serves, and is busy.
            proved = engine.figures().get("generation_tokens_total", 0.0) > before > 0
        return proved, refusal

    # Memory

    def memory(self, uuids: Sequence[str]) -> tuple[dict[str, int], str]:
        """Free bytes by card, and why they can't be read where no waiting will mend it."""
        if self._cpu:
            return {CPU_UUID: meminfo()["MemAvailable"]}, ""
        try:
            with Nvml() as nvml:
                self._held = {uuid: nvml.process_bytes(uuid) for uuid in uuids}
                return {uuid: nvml.free_bytes(uuid) for uuid in uuids}, ""
        except NvmlError as error:
            return {}, str(error)

    def _held_by(self, one: Watched, pids: Sequence[int]) -> int:
        if self._cpu:
            return proportional_bytes(pids)
        return sum(size for uuid in one.gpus for pid, size in self._held.get(uuid, {}).items() if pid in pids)

    def measured_bytes(self, one: Watched) -> int | None:
        """What one engine holds now."""
        found = self._docker.inspect(one.container) if self._docker else None
        if found is None or found["State"]["Status"] != "running":
            return None
        if not self._cpu and self.memory(one.gpus)[1]:
            return None
        return self._held_by(one, process_tree(found["State"]["Pid"]))

    def strangers(self, uuids: Sequence[str], ours: Sequence[str]) -> dict[int, tuple[str, str, int]]:
        """Processes on these cards that are in none of the containers: (card, command, bytes) by pid."""
        if self._cpu or self.memory(uuids)[1]:
            return {}
        known = set()
        for container in ours:
            found = self._docker.inspect(container) if self._docker else None
            if found and found["State"].get("Pid"):
                known.update(process_tree(found["State"]["Pid"]))
        return {
            pid: (uuid, command_of(pid), size)
            for uuid, held in self._held.items()
            for pid, size in held.items()
            if pid not in known
        }

    # Around

    def _restless(self, services: Sequence[Watched], seen: Mapping[str, rollout.Seen]) -> dict[str, str]:
        found: dict[str, str] = {}
        for one in services:
            if seen[one.name].sleeping:
                for uuid in one.gpus:
                    found[uuid] = (
                        f"{one.name} sleeps on card {uuid} and will take its memory back: wake it (POST /wake_up) or stop it."
                    )
        for name, project in self._others():
            for uuid in {uuid for one in services for uuid in one.gpus}:
                found[uuid] = (
                    f"{name} of the stack {project} crashes over and over on this host: stop or mend it first."
                )
        return found

    def _others(self) -> list[tuple[str, str]]:
        """Containers of other stacks of ours that are between two crashes."""
        if self._docker is None:
            return []
        listed = self._docker.restarting(f"{compose.LABEL}.stack")
        return [(name, project) for name, project in listed if project != self._project]

    @staticmethod
    def _docker_started() -> float | None:
        try:
            return DOCKER_PID.stat().st_mtime
        except OSError:
            return None

    def _notice_docker(self) -> None:
        started = self._docker_started()
        if started != self._docker_pid:
            self._docker_pid, self.docker_restarted = started, time.monotonic()

    def wait_for_docker(self, bound_s: float) -> None:
        """Return once Docker answers again; raise what it says where it does not in time."""
        until = time.monotonic() + bound_s
        while True:
            try:
                Docker()
            except DockerError:
                if time.monotonic() >= until:
                    raise
                time.sleep(0.5)
                continue
            self._docker_pid, self.docker_restarted = self._docker_started(), time.monotonic()
            return


def listens(port: int) -> bool:
    """Whether anything on this host listens on a port."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and fields[1].endswith(f":{port:04X}"):
                return True
    return False


def age_s(pid: int) -> float | None:
    """Seconds since a process started, by the kernel's count: the wall clock may have been set in between."""
    try:
        ticks = int(
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        )
        uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return max(0.0, uptime - ticks / os.sysconf("SC_CLK_TCK"))


def command_of(pid: int) -> str:
    """The name of a process, as ps shows it."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "ended by now"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
