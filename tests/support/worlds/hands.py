# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bring-up sees of a made-up host, and what its hands do there: as the observer and the executor of the real one."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.log import Phase
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import (
    UP,
    Container,
    Observation,
    Seen,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.probes import Probes, probes, surge_probes
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    Action,
    ActionKind,
    Cause,
    Service,
    State,
    Step,
    assert_never,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB
from ansible_collections.gpuserve.fleet.tests.support.worlds.host import Box, Host


@dataclass(frozen=True)
class Manners:
    """How engines, Docker and probes behave: shares of 1, and seconds."""

    bad: float = 0.0  # starts that end ill
    refused: float = 0.0  # starts that Docker refuses
    missed: float = 0.0  # probes without an answer
    load_s: tuple[float, float] = (5.0, 60.0)
    warm_s: tuple[float, float] = (1.0, 40.0)
    stop_s: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0)
    act_s: float = 0.5
    excess_bytes: tuple[int, ...] = (0,)
    stuck: float = 0.0  # containers that do not end when they are told to


class Hands:
    """Eyes and hands on one host."""

    def __init__(self, host: Host, manners: Manners, surge_offset: int) -> None:
        self.host, self.manners, self.offset = host, manners, surge_offset
        self.rng: random.Random = host.rng

    # Looking

    def probe(self, state: State | None, over: bool) -> Observation:
        """One probe of everything."""
        host = self.host
        tracks = state.tracks if state else {}
        waiting = not tracks or any(track.step in (Step.WAITING, Step.STOPPING) for track in tracks.values())
        surges = {}
        for name, track in tracks.items():
            asked = surge_probes(track)
            if asked is not None:
                surges[name] = self._see(host.surge[name], asked)
        bad = host.now < host.nvml_bad_until
        known = () if bad else host.gpus
        free = {} if bad else host.all_free()
        if host.misread is not None and not bad:
            free, host.misread = dict.fromkeys(free, host.misread), None
            host.moved = dict.fromkeys(host.gpus, host.now)
            host.foreign_moved = dict.fromkeys(host.gpus, host.now)
        return Observation(
            {
                name: self._see(box, probes(tracks.get(name), waiting=waiting, over=over))
                for name, box in host.main.items()
            },
            free,
            {uuid: host.now - host.moved[uuid] for uuid in known},
            {uuid: host.now - host.foreign_moved[uuid] for uuid in known if host.tells_foreign},
            surges,
            listeners=host.listeners(),
            memory_error="nvml" if bad else "",
            tells_apart=host.tells_apart,
            docker_restarted=host.docker_restarted,
        )

    def _answers(self) -> bool:
        return self.rng.random() >= self.manners.missed

    def _see(self, box: Box, asked: Probes) -> Seen:
        host = self.host
        if box.foreign:
            return Seen(Container.RUNNING, foreign=True)
        if box.state is Container.ABSENT:
            return Seen()
        running = box.state is Container.RUNNING
        up = running and not box.hang and box.ready_at is not None and host.now >= box.ready_at
        healthy = up and asked.health and self._answers()
        serves = healthy and asked.token and not box.sleeping and not box.refuses and self._answers()
        figures = up and asked.figures and self._answers()
        if figures and self.rng.random() < 0.3:
            box.requests = max(0, box.requests - 1)
        # Where it can't be read what a container holds, it is what was planned for it.
        size = 0 if not running else host.used(box) if host.tells_apart else box.hold_bytes
        return Seen(
            box.state,
            box.digest,
            start_id=box.start_id,
            port=box.port,
            exit_code=box.exit_code,
            restart_policy=box.policy,
            asked=asked.health,
            healthy=healthy,
            serves=serves,
            refusal="400 no" if healthy and asked.token and box.refuses else "",
            sleeping=asked.sleep and running and box.sleeping,
            phase=(Phase.LISTENING if up else Phase.LOADING) if asked.log and running else None,
            progress=int(host.now - box.started) if asked.log and not box.hang else 0,
            age_s=host.now - box.started if running else None,
            requests=box.requests if figures else None,
            used_bytes=dict.fromkeys(box.gpus, size) if size else {},
            memory_failure=box.memory_failure and not running,
            disturbed=box.disturbed and not running,
        )

    # Doing

    def do(self, action: Action, service: Service) -> tuple[str, Cause]:
        """Do one thing; what Docker said where it would not, and of what kind that is."""
        host, name = self.host, action.name
        box = host.main[name]
        match action.kind:
            case ActionKind.CREATE:
                return self._create(service)
            case ActionKind.START:
                host.tick(self.manners.act_s)
                return self._start(service, service.port, host.main)
            case ActionKind.START_SURGE:
                host.tick(self.manners.act_s)
                return self._start(service, service.port + self.offset, host.surge)
            case ActionKind.STOP:
                self._stop(box, remove=False)
            case ActionKind.REMOVE:
                self._stop(box, remove=True)
            case ActionKind.REMOVE_SURGE:
                self._stop(host.surge[name], remove=True)
            case ActionKind.DRAIN:
                host.drained.add(action.port)
            case ActionKind.UNDRAIN:
                host.drained.discard(action.port)
            case _:
                assert_never(action.kind)
        return "", Cause.REFUSED

    def _create(self, service: Service) -> tuple[str, Cause]:
        box = self.host.main[service.name]
        self.host.tick(self.manners.act_s)
        box = self.host.main[service.name]
        if box.foreign:
            return "the name is taken", Cause.FOREIGN
        if box.state not in UP and box.digest != service.digest:
            self.host.main[service.name] = Box(Container.CREATED, service.digest, service.port, gpus=service.gpus)
        return "", Cause.REFUSED

    def _start(self, service: Service, port: int, boxes: dict[str, Box]) -> tuple[str, Cause]:
        host, rng, manners = self.host, self.rng, self.manners
        before = boxes.get(service.name, Box())
        if before.foreign:
            return "the name is taken", Cause.FOREIGN
        if port in host.listeners() and host.listeners()[port] != service.name:
            return "port is already allocated", Cause.PORT
        if rng.random() < manners.refused:
            boxes[service.name] = Box(Container.CREATED, service.digest, port, gpus=service.gpus)
            return "docker says no", Cause.REFUSED
        box = boxes[service.name] = Box(
            Container.CREATED, service.digest, port, gpus=service.gpus, exact=service.exact_kv
        )
        box.hold_bytes = service.need_bytes + rng.choice(manners.excess_bytes) * MIB
        load_s = rng.uniform(*manners.load_s)
        host.run(box, load_s, load_s + rng.uniform(*manners.warm_s))
        self._behave(box)
        return "", Cause.REFUSED

    def _behave(self, box: Box) -> None:
        """What becomes of a start, decided as it begins."""
        rng, bad, ready = self.rng, self.manners.bad, box.ready_at or 0.0
        lot = rng.random()
        if lot < bad * 0.25:
            box.die_at, box.dies_of_memory = box.started + rng.uniform(0.1, 90), rng.random() < 0.4
        elif lot < bad * 0.45:
            box.hang, box.ready_at = True, None
        elif lot < bad * 0.6:
            box.refuses = True
        elif lot < bad:
            box.die_at = ready + rng.uniform(0, 60)

    def _stop(self, box: Box, remove: bool) -> None:
        if box.stop_at is None and not box.foreign:
            stuck = self.rng.random() < self.manners.stuck
            seconds = 1e9 if stuck else self.rng.choice(self.manners.stop_s)
            box.stop_at = self.host.now + (seconds if box.state in UP else 0.0)
        box.remove = box.remove or remove
