# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at a stack's containers and engines, and puts what it saw into the words of `_core.rollout_state`."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import diagnosis, log
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout import state as rollout
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.target import Watched
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import compose
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.text import harmless
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.docker import Docker, DockerError
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.proc import (
    process_tree,
    read_bytes,
    received_bytes,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.engine_http import Engine
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.gpu_memory import Cards

LOG_LINES = 300
DOCKER_PID = Path("/run/docker.pid")
# What a process reads without loading anything: our own questions, and what runtimes do in the background.
NOISE_BYTES = 8 << 20
# A look waits this long for a proof that it has asked for: most tokens come sooner.
PROOF_S = 0.2
# Between two looks something small is asked this often: has one ended, does one answer now?
GLANCE_S = 0.25


class Watch:
    """Looks. What takes long (a token) is asked for in the background, so that no engine hides another."""

    def __init__(
        self, docker: Docker | None, cards: Cards, project: str, api_key: str, token_timeout_s: float, surge_offset: int
    ) -> None:
        self._docker, self._cards, self._project = docker, cards, project
        self._key, self._token_timeout_s, self._surge_offset = api_key, token_timeout_s, surge_offset
        self._pool = ThreadPoolExecutor(max_workers=32)
        self._proofs: dict[str, Future[tuple[bool, str]]] = {}
        # What the last look saw of those that start: (first process, whether it answered), by container.
        self._starting: dict[str, tuple[Watched, int, bool]] = {}
        self._docker_pid = self._docker_started()
        self.docker_restarted: float | None = None

    # One look at everything

    def observe(self, services: Sequence[Watched], state: rollout.State | None) -> rollout.Observation:
        """What `advance` wants to know. Without a state it is a first look, at everything there is to know."""
        steps = {name: track.step for name, track in state.tracks.items()} if state else {}
        standing_in = [
            one.beside(self._surge_offset)
            for one in services
            if steps.get(one.name) in (rollout.BESIDE, rollout.DRAINING, rollout.RETIRING)
        ]
        self._cards.sample()
        waiting = not steps or rollout.WAITING in steps.values()
        self._starting = {}
        jobs = {
            one.container: self._pool.submit(self.look, one, steps.get(one.name, ""), waiting)
            for one in [*services, *standing_in]
        }
        seen = {container: job.result() for container, job in jobs.items()}
        self._notice_docker()
        return rollout.Observation(
            services={one.name: seen[one.container] for one in services},
            free_bytes=self._cards.free_bytes(),
            still_s=self._cards.still_s(),
            foreign_still_s=self._cards.foreign_still_s(),
            beside={one.name: seen[one.container] for one in standing_in},
            restless=self._restless(services) if waiting else {},
            memory_error=self._cards.error,
            docker_restarted=self.docker_restarted,
        )

    def look(self, one: Watched, step: str, waiting: bool = True) -> rollout.Seen:
        """One container. `step` is where its service is in a bring-up, empty at the first look; `waiting`: somebody wants to start."""
        image = bool(self._docker and self._docker.has_image(one.image)) if not step else True
        found = self._docker.inspect(one.container) if self._docker else None
        asked_port = not step or step == rollout.WAITING
        if found is None:
            return rollout.Seen(port_taken=asked_port and listens(one.port), image_present=image)
        labels = found["Config"]["Labels"] or {}
        if labels.get(f"{compose.LABEL}.stack") != self._project:
            return rollout.Seen(container="running", foreign=True)
        status = found["State"]["Status"]
        running = status == "running"
        starting = step in rollout.GROWING
        pids = process_tree(found["State"]["Pid"]) if running and (starting or not step) else []
        self._cards.ours(pids)
        facts, progress, cause = self._log(one, found, pids, running) if starting else (log.LogFacts(), 0, None)
        engine = Engine(one.port, one.name, self._key)
        health = engine.health() if running and (starting or not step) else None
        if starting and running:
            self._starting[one.container] = (one, found["State"]["Pid"], health is not None)
        rests = (step == rollout.KEPT and waiting) or (not step and health == 200)
        sleeping = running and rests and engine.sleeps()
        serves, refusal = (False, "") if health != 200 or sleeping else self._proof(one, engine, starting)
        busy = running and (not step or step in (rollout.DRAINING, rollout.RETIRING, rollout.WAITING))
        figures = engine.figures() if busy else {}
        planned = int(labels.get(f"{compose.LABEL}.planned_bytes", 0))
        return rollout.Seen(
            container=status if status in ("running", "restarting", "created") else "exited",
            digest=labels.get(f"{compose.LABEL}.digest", ""),
            exit_code=found["State"].get("ExitCode"),
            restart_policy=found["HostConfig"]["RestartPolicy"]["Name"],
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
            held_bytes=self._cards.held_by(pids) if pids else dict.fromkeys(one.gpus if running else (), planned),
            memory_failure=cause is not None and cause.memory,
            disturbed=cause is not None and cause.id == "profiling_race",
            port_taken=asked_port and not running and listens(one.port),
            image_present=image,
        )

    def _log(
        self, one: Watched, found: Mapping[str, Any], pids: Sequence[int], running: bool
    ) -> tuple[log.LogFacts, int, diagnosis.Cause | None]:
        """What a start's log says, a number that changes with its progress, and the cause where it has ended."""
        lines = self._docker.log(one.container, LOG_LINES) if self._docker else []
        moved = read_bytes(pids)
        if found["HostConfig"].get("NetworkMode") != "host":
            moved += received_bytes(pids[0]) if pids else 0
        progress = hash((tuple(lines[-3:]), moved // NOISE_BYTES))
        cause = None if running else diagnosis.diagnose(lines, found["State"].get("ExitCode"))
        return log.read(lines), progress, cause

    def _proof(self, one: Watched, engine: Engine, starting: bool) -> tuple[bool, str]:
        """A token or an embedding; while a start is followed one that takes long is waited for elsewhere."""
        if not starting:
            return self._prove(one, engine)
        asked = self._proofs.get(one.container)
        if asked is None:
            asked = self._proofs[one.container] = self._pool.submit(self._prove, one, engine)
        try:
            found = asked.result(PROOF_S)
        except NotYet:
            return False, ""
        del self._proofs[one.container]
        return found

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

    # Until the next one

    def wait(self, bound_s: float) -> None:
        """Return after this time, or sooner: once one that starts has ended, answers for the first time, or has made its token."""
        until = time.monotonic() + bound_s
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(GLANCE_S, left))
            if any(self._has_moved(*one) for one in self._starting.values()):
                return

    def _has_moved(self, one: Watched, pid: int, answered: bool) -> bool:
        proof = self._proofs.get(one.container)
        if proof is not None:
            return proof.done()
        if not Path(f"/proc/{pid}").exists():
            return True
        return not answered and Engine(one.port, one.name, self._key).health() is not None

    # What one container holds

    def measured(self, one: Watched) -> dict[str, int]:
        """What one engine holds now, by card; nothing where it does not run or memory can't be read."""
        found = self._docker.inspect(one.container) if self._docker else None
        if found is None or found["State"]["Status"] != "running":
            return {}
        self._cards.sample()
        return self._cards.held_by(process_tree(found["State"]["Pid"]))

    def know(self, containers: Sequence[str]) -> None:
        """These containers are ours: what their processes hold is not a stranger's."""
        for container in containers:
            found = self._docker.inspect(container) if self._docker else None
            if found and found["State"].get("Pid"):
                self._cards.ours(process_tree(found["State"]["Pid"]))

    # Around

    def _restless(self, services: Sequence[Watched]) -> dict[str, str]:
        """By card of these services: which container of another stack of ours is about to move its memory."""
        found: dict[str, str] = {}
        if self._docker is None:
            return found
        ours = {uuid for one in services for uuid in one.gpus}
        # Engines alone: a gateway is no neighbour on a card, and does not answer well while an engine of its host is down.
        for other in self._docker.labelled_entries(f"{compose.LABEL}.model"):
            labels = other["Labels"]
            if labels[f"{compose.LABEL}.stack"] == self._project or other["State"] not in ("running", "restarting"):
                continue
            inspected = self._docker.inspect(other["Names"][0].lstrip("/"))
            on = cards_of(inspected or {}) & ours if inspected and cards_of(inspected) else ours
            what = self._unrest(other["State"], labels) if on else ""
            for uuid in on if what else ():
                name = other["Names"][0].lstrip("/")
                found[uuid] = f"{name} of the stack {labels[f'{compose.LABEL}.stack']} {what}"
        return found

    def _unrest(self, state: str, labels: Mapping[str, str]) -> str:
        if state == "restarting":
            return "crashes over and over on this host: stop or mend it first."
        engine = Engine(
            int(labels.get(f"{compose.LABEL}.port", 0)), labels.get(f"{compose.LABEL}.model", ""), self._key
        )
        if engine.health() != 200:
            return "is starting or ending on this host: wait for it, or stop it."
        return "sleeps and will take its memory back: wake it (POST /wake_up) or stop it." if engine.sleeps() else ""

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


def cards_of(inspected: Mapping[str, Any]) -> set[str]:
    """The UUIDs of the cards that a container was given by CDI; empty where it does not say."""
    requests = (inspected.get("HostConfig") or {}).get("DeviceRequests") or []
    names = [str(name) for request in requests for name in request.get("DeviceIDs") or []]
    return {name.partition("=")[2] for name in names if name.partition("=")[2].startswith("GPU-")}


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
        return harmless(Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip())
    except OSError:
        return "ended by now"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
