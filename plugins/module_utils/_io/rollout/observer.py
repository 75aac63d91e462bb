# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at a stack's containers and engines, and says what it saw as plain data."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import diagnosis, log
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import (
    FOREIGN,
    Container,
    Observation,
    Seen,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.probes import Probes, probes, surge_probes
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import SETTLED, State, Step, Track
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.target import Watched
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import address, compose
from ansible_collections.gpuserve.fleet.plugins.module_utils._io import listeners
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.docker import Docker, DockerError
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.proc import (
    process_tree,
    read_bytes,
    received_bytes,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout import engine_keys
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.engine_http import Engine
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.gpu_memory import Gpus

LOG_LINES = 300
DOCKER_PID = Path("/run/docker.pid")
# What a process reads without loading anything: our own questions, and what runtimes do in the background.
NOISE_BYTES = 8 << 20
# A probe waits this long for a proof that it has asked for: most tokens come sooner.
PROOF_S = 0.2
# Between two probes something small is asked this often: has one ended, does one answer now?
GLANCE_S = 0.25
MAY_LEAD_TO_A_START = (Step.WAITING, Step.STOPPING, Step.DRAINING, Step.SURGING, Step.RETIRING, Step.YIELDING)


class Watch:
    """Looks. What takes long (a token) is asked for in the background, so that no engine hides another."""

    def __init__(
        self, docker: Docker | None, gpus: Gpus, project: str, api_key: str, token_timeout_s: float, surge_offset: int
    ) -> None:
        self._docker, self._gpus, self._project = docker, gpus, project
        self._key, self._token_timeout_s, self._surge_offset = api_key, token_timeout_s, surge_offset
        self._pool = ThreadPoolExecutor(max_workers=32)
        # By container and start: what one start was asked counts for no other.
        self._proofs: dict[tuple[str, str], Future[tuple[bool, str]]] = {}
        # By container: the lines of its last log, and what they say. A start is silent for most of its time.
        self._read: dict[str, tuple[list[str], log.LogFacts]] = {}
        # What the last probe saw of those that start: (its engine, first process, whether it answered), by container.
        self._starting: dict[str, tuple[Watched, Engine, str, int, bool]] = {}
        self._docker_pid = self._docker_started()
        self.docker_restarted: float | None = None

    # One probe of everything

    def observe(self, services: Sequence[Watched], state: State | None, over: bool = False) -> Observation:
        """What `advance` wants to know, of services and of what left the stack. Without a state it is a first probe, at everything there
        is to know; `over` is the last one, at everything that is settled."""
        tracks = state.tracks if state else {}
        # Whatever ends in this turn may have another start in it.
        waiting = not tracks or any(track.step in MAY_LEAD_TO_A_START for track in tracks.values())
        self._gpus.sample()
        self._starting = {}
        jobs = {
            one.key: self._pool.submit(
                self.probe, one, probes(tracks.get(one.key), waiting=waiting, over=over), tracks.get(one.key)
            )
            for one in services
        }
        surges = {}
        for one in services:
            asked = surge_probes(tracks[one.key]) if one.key in tracks else None
            if asked is not None:
                surges[one.key] = self._pool.submit(self.probe, one.surge(self._surge_offset), asked, tracks[one.key])
        seen = {name: job.result() for name, job in jobs.items()}
        seen_surges = {name: job.result() for name, job in surges.items()}
        self._notice_docker()
        return Observation(
            services=seen,
            free_bytes=self._gpus.free_bytes(),
            still_s=self._gpus.still_s(),
            foreign_still_s=self._gpus.foreign_still_s(),
            surges=seen_surges,
            restless=self._restless(services) if waiting else {},
            listeners=self._listeners(services, seen, seen_surges),
            memory_error=self._gpus.error,
            tells_apart=self._gpus.tells_apart(),
            docker_restarted=self.docker_restarted,
        )

    def _listeners(
        self, services: Sequence[Watched], seen: Mapping[str, Seen], surges: Mapping[str, Seen]
    ) -> dict[int, str]:
        """Who listens on the ports that matter here: containers of ours by their labels, else somebody else."""
        ours = {
            one.port: name
            for found in (seen, surges)
            for name, one in found.items()
            if one.port and one.container is Container.RUNNING
        }
        wanted = {one.port + offset for one in services for offset in (0, self._surge_offset) if not one.socket}
        return dict.fromkeys({one.port for one in listeners.read()} & wanted, FOREIGN) | ours

    def probe(self, one: Watched, asked: Probes, track: Track | None = None) -> Seen:
        """One container, asked as much as its place in a bring-up needs."""
        image = bool(self._docker and self._docker.has_image(one.image)) if asked.image and not one.left else True
        found = self._docker.inspect(one.container) if self._docker else None
        if found is None:
            return Seen(image_present=image)
        labels = found["Config"]["Labels"] or {}
        if labels.get(f"{compose.LABEL}.stack") != self._project:
            return Seen(container=Container.RUNNING, foreign=True)
        headless = compose.is_headless(labels)
        if headless:
            # It answers nowhere: what listens at its model's port is somebody else.
            asked = replace(asked, health=False, token=False, figures=False, sleep=False)
        if track is None and (one.anew or one.digest not in ("", labels.get(f"{compose.LABEL}.digest", ""))):
            # It is replaced whether or not it makes a token, and one that hangs would be waited for.
            asked = replace(asked, token=False)
        container = state_of(found["State"]["Status"])
        running = container is Container.RUNNING
        matters = track is None or track.step not in SETTLED
        pids = process_tree(found["State"]["Pid"]) if running and (matters or asked.log) else []
        self._gpus.ours(pids)
        facts, progress, cause = self._log(one, found, pids, running) if asked.log else (log.LogFacts(), 0, None)
        where = where_of(found, one)
        # While the key is renewed some were started with the old one.
        engine, start_id = Engine(where, one.name, engine_keys.of_container(found) or self._key), start_id_of(found)
        health = engine.health() if running and asked.health else None
        if asked.log and running:
            self._starting[one.container] = (
                one,
                engine,
                start_id,
                found["State"]["Pid"],
                headless or health is not None,
            )
        sleeping = running and asked.sleep and (health == 200 or not asked.health) and engine.sleeps()
        proved, refusal = (False, "")
        if asked.token and health == 200 and not sleeping:
            proved, refusal = self._proof(one, start_id, engine, asked.log)
        planned = int(labels.get(f"{compose.LABEL}.planned_bytes", 0))
        return Seen(
            container=container,
            digest=labels.get(f"{compose.LABEL}.digest", ""),
            start_id=start_id if running else "",
            port=where if isinstance(where, int) and not headless else 0,
            exit_code=found["State"].get("ExitCode"),
            restart_policy=found["HostConfig"]["RestartPolicy"]["Name"],
            asked=asked.health,
            healthy=health == 200,
            dead=health is not None and health >= 500,
            serves=proved,
            refusal=refusal,
            sleeping=sleeping,
            phase=facts.phase,
            percent=facts.percent,
            progress=progress,
            age_s=age_s(found["State"]["Pid"]) if running else None,
            requests=engine.requests() if running and asked.figures else None,
            used_bytes=self._used(one, found, pids, planned) if running and matters else {},
            memory_failure=cause is not None and cause.memory,
            disturbed=cause is not None and cause.id == "profiling_race",
            image_present=image,
        )

    def _used(self, one: Watched, found: Mapping[str, Any], pids: Sequence[int], planned: int) -> Mapping[str, int]:
        """What a container holds on each card: read, or planned where that can't be, on the cards that it was given."""
        if pids and self._gpus.tells_apart():
            return self._gpus.used_by(pids)
        return dict.fromkeys(gpus_of(found) or one.gpus, planned)

    def _log(
        self, one: Watched, found: Mapping[str, Any], pids: Sequence[int], running: bool
    ) -> tuple[log.LogFacts, int, diagnosis.Cause | None]:
        """What a start's log says, a number that changes with its progress, and the cause where it has ended."""
        lines = self._docker.log(one.container, LOG_LINES) if self._docker else []
        known = self._read.get(one.container)
        if known is None or known[0] != lines:
            known = self._read[one.container] = lines, log.read(lines)
        moved = read_bytes(pids)
        if found["HostConfig"].get("NetworkMode") != "host":
            moved += received_bytes(pids[0]) if pids else 0
        progress = hash((tuple(lines[-3:]), moved // NOISE_BYTES))
        cause = None if running else diagnosis.diagnose(lines, found["State"].get("ExitCode"))
        return known[1], progress, cause

    def _proof(self, one: Watched, start_id: str, engine: Engine, starting: bool) -> tuple[bool, str]:
        """A token or an embedding; while a start is followed one that takes long is waited for elsewhere."""
        if not starting:
            return self._prove(one, engine)
        key = (one.container, start_id)
        asked = self._proofs.get(key)
        if asked is None:
            asked = self._proofs[key] = self._pool.submit(self._prove, one, engine)
        try:
            found = asked.result(PROOF_S)
        except NotYet:
            return False, ""
        del self._proofs[key]
        return found

    def _prove(self, one: Watched, engine: Engine) -> tuple[bool, str]:
        if not engine.names_model():
            return False, ""
        before = engine.figures().get("generation_tokens_total", 0.0)
        proved, refusal = engine.proves(one.task, self._token_timeout_s)
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

    def _has_moved(self, one: Watched, engine: Engine, start_id: str, pid: int, answered: bool) -> bool:
        proof = self._proofs.get((one.container, start_id))
        if proof is not None:
            return proof.done()
        if not Path(f"/proc/{pid}").exists():
            return True
        return not answered and engine.answers()

    # What one container holds

    def measured(self, one: Watched) -> dict[str, int]:
        """What one engine holds now, by card; nothing where it does not run or memory can't be read."""
        found = self._docker.inspect(one.container) if self._docker else None
        if found is None or found["State"]["Status"] != "running":
            return {}
        self._gpus.sample()
        return self._gpus.used_by(process_tree(found["State"]["Pid"]))

    def know(self, containers: Sequence[str]) -> None:
        """These containers are ours: what their processes hold is not foreign."""
        for container in containers:
            found = self._docker.inspect(container) if self._docker else None
            if found and found["State"].get("Pid"):
                self._gpus.ours(process_tree(found["State"]["Pid"]))

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
            on = gpus_of(inspected or {}) & ours if inspected and gpus_of(inspected) else ours
            name = other["Names"][0].lstrip("/")
            what = self._unrest(other["State"], name, labels) if on else ""
            for uuid in on if what else ():
                found[uuid] = f"{name} of the stack {labels[f'{compose.LABEL}.stack']} {what}"
        return found

    def _unrest(self, state: str, container: str, labels: Mapping[str, str]) -> str:
        if state == "restarting":
            return "crashes over and over on this host: stop or mend it first."
        where = address.where(container, labels, int(labels.get(f"{compose.LABEL}.port", 0)))
        engine = Engine(where, labels.get(f"{compose.LABEL}.model", ""), self._key)
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


def gpus_of(inspected: Mapping[str, Any]) -> set[str]:
    """The UUIDs of the cards that a container was given by CDI; empty where it does not say."""
    requests = (inspected.get("HostConfig") or {}).get("DeviceRequests") or []
    names = [str(name) for request in requests for name in request.get("DeviceIDs") or []]
    return {name.partition("=")[2] for name in names if name.partition("=")[2].startswith("GPU-")}


def state_of(status: str) -> Container:
    """What Docker's word for a state means here."""
    try:
        return Container(status)
    except ValueError:
        return Container.EXITED  # paused, dead, removing


def start_id_of(found: Mapping[str, Any]) -> str:
    """What tells one start of one container from every other."""
    return f"{found.get('Id', '')}/{found['State'].get('StartedAt', '')}"


def where_of(found: Mapping[str, Any], one: Watched) -> int | str:
    """Where a container of ours answers: as it was made, not as it should be."""
    return address.where(one.container, address.labels_of(found), address.port_of(found, one.port))


def leaver_of(container: str, found: Mapping[str, Any], gpus: Sequence[str]) -> Watched:
    """A container of this stack that is no longer in it, as one to probe; `gpus` is where it may be, if it doesn't say."""
    labels = found["Config"]["Labels"] or {}
    planned = int(labels.get(f"{compose.LABEL}.planned_bytes", 0) or 0)
    model = labels.get(f"{compose.LABEL}.model") or compose.model_of(container)
    one = Watched(model, container, "", 0, tuple(sorted(gpus_of(found))) or tuple(gpus), planned, left=True)
    where = where_of(found, one)
    return replace(one, port=address.port_of(found), socket=where if isinstance(where, str) else "")


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


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
