# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that could be: cards with memory, containers that load and end, somebody else's processes, and a clock that is a number."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import NoReturn

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import FOREIGN, UP, Container
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import Service
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB, MIB

BEGAN = 1e6
TICK_S = 1.0


@dataclass
class Box:
    """One container: what it is, what it will do, and what became of it."""

    state: Container = Container.ABSENT
    digest: str = ""
    port: int = 0
    foreign: bool = False
    gpus: tuple[str, ...] = ()
    exact: bool = True
    policy: str = "no"
    start_id: str = ""
    started: float = 0.0
    load_s: float = 1.0
    ready_at: float | None = None
    hold_bytes: int = 0
    requests: int = 0
    sleeping: bool = False
    hang: bool = False
    refuses: bool = False
    die_at: float | None = None
    dies_of_memory: bool = False
    exit_code: int | None = None
    memory_failure: bool = False
    disturbed: bool = False
    stop_at: float | None = None  # told to end, and when it will have
    remove: bool = False  # ... and to go then


@dataclass(frozen=True)
class Event:
    """Something that befalls a host."""

    at: float
    kind: str  # take | give | port | vanish | usurp | hand | nvml | misread | docker
    where: str = ""
    size: int = 0


@dataclass
class Host:
    """The whole of it. Boxes of services are `main` and `surge`, by service; what left the stack is in `main`, too."""

    rng: random.Random
    services: tuple[Service, ...] = ()
    gpus: tuple[str, ...] = ("GPU-0",)
    total: dict[str, int] = field(default_factory=dict)
    foreign: dict[str, int] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    main: dict[str, Box] = field(default_factory=dict)
    surge: dict[str, Box] = field(default_factory=dict)
    ports: set[int] = field(default_factory=set)  # somebody else's
    drained: set[int] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)
    befell: set[str] = field(default_factory=set)
    live_restore: bool = True
    tells_foreign: bool = True  # whether it can be read what others hold on a card
    tells_apart: bool = True  # ... and what each of our containers does
    docker_restarted: float | None = None
    nvml_bad_until: float = 0.0
    misread: int | None = None  # what NVML says is free on every card, the next time that it is asked
    moved: dict[str, float] = field(default_factory=dict)
    foreign_moved: dict[str, float] = field(default_factory=dict)
    now: float = BEGAN
    served: dict[str, float] = field(default_factory=dict)  # seconds without anybody, by service
    starts: int = 0
    _free: dict[str, int] = field(default_factory=dict)

    def boxes(self) -> list[Box]:
        return [*self.main.values(), *self.surge.values()]

    def used(self, box: Box) -> int:
        """What a container holds on each of its cards now."""
        if box.state is not Container.RUNNING or box.foreign:
            return 0
        if box.sleeping:
            return GIB // 2
        loaded_s = self.now - box.started
        return box.hold_bytes if loaded_s >= box.load_s else int(box.hold_bytes * loaded_s / box.load_s)

    def free(self, uuid: str) -> int:
        return self.total[uuid] - self.foreign[uuid] - sum(self.used(box) for box in self.boxes() if uuid in box.gpus)

    def all_free(self) -> dict[str, int]:
        """The same of every card."""
        free = {uuid: self.total[uuid] - self.foreign[uuid] for uuid in self.gpus}
        for box in self.boxes():
            if box.state is Container.RUNNING and (used := self.used(box)):
                for uuid in box.gpus:
                    free[uuid] -= used
        return free

    def serves(self, box: Box) -> bool:
        """Whether requests to it are answered."""
        up = (
            box.state is Container.RUNNING and not box.foreign and not box.hang and not box.refuses and not box.sleeping
        )
        return up and box.ready_at is not None and self.now >= box.ready_at

    def answers(self, name: str) -> bool:
        """Whether a gateway has somebody to send a request for a model to."""
        box, surge = self.main[name], self.surge.get(name)
        if self.serves(box) and box.port not in self.drained:
            return True
        return surge is not None and self.serves(surge) and surge.port not in self.drained

    def listeners(self) -> dict[int, str]:
        found = dict.fromkeys(self.ports, FOREIGN)
        for boxes in (self.main, self.surge):
            found |= {
                box.port: name for name, box in boxes.items() if box.state is Container.RUNNING and not box.foreign
            }
        return found

    # Time

    def tick(self, seconds: float) -> None:
        """Let time go by, with what befalls meanwhile."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            step = min(TICK_S, end - self.now)
            self.now += step
            while self.events and self.events[0].at <= self.now:
                self._befall(self.events.pop(0))
            for name, box in self.main.items():
                if self._ended(box) and box.remove:
                    self.main[name] = Box()
            for name, box in self.surge.items():
                if self._ended(box) and box.remove:
                    self.surge[name] = Box()
            self._run_out_of_memory()
            self._watch_memory()
            for service in self.services:
                if not self.answers(service.name):
                    self.served[service.name] = self.served.get(service.name, 0.0) + step

    def _ended(self, box: Box) -> bool:
        """Let one end whose time has come; whether it was told to and did."""
        if box.stop_at is None and box.die_at is None:
            return False
        if box.stop_at is not None and self.now >= box.stop_at and not box.foreign:
            if box.state in UP:
                self.end(box, 0)
            box.stop_at = None
            return True
        if box.die_at is not None and self.now >= box.die_at and box.state is Container.RUNNING and not box.foreign:
            box.die_at, box.memory_failure = None, box.dies_of_memory
            self.end(box, 1)
            if box.policy != "no":
                box.state = Container.RESTARTING
        return False

    def end(self, box: Box, code: int) -> None:
        box.state, box.exit_code = Container.EXITED, code

    def run(self, box: Box, load_s: float, ready_s: float) -> None:
        """Start a container, by whomever."""
        self.starts += 1
        box.state, box.started, box.start_id = Container.RUNNING, self.now, f"start-{self.starts}"
        box.load_s, box.ready_at = load_s, self.now + ready_s
        box.exit_code, box.memory_failure, box.disturbed, box.sleeping = None, False, False, False

    def _run_out_of_memory(self) -> None:
        for uuid, free in self.all_free().items():
            if free >= 0:
                continue
            growing = [
                box
                for box in self.boxes()
                if uuid in box.gpus and self.used(box) and self.now - box.started <= box.load_s
            ]
            if growing:
                youngest = max(growing, key=lambda box: box.started)
                youngest.memory_failure = True
                self.end(youngest, 1)

    def _watch_memory(self) -> None:
        for uuid, free in self.all_free().items():
            if abs(free - self._free.get(uuid, free)) > 16 * MIB:
                self.moved[uuid] = self.now
            self._free[uuid] = free

    # What befalls

    def _befall(self, event: Event) -> None:
        self.befell.add(event.kind)
        match event.kind:
            case "take":
                size = min(event.size, max(0, self.free(event.where) - 64 * MIB))
                self.taken[event.where] = self.taken.get(event.where, 0) + size
                self.foreign[event.where] += size
                self.moved[event.where] = self.foreign_moved[event.where] = self.now
            case "give":
                size = self.taken.pop(event.where, 0)
                self.foreign[event.where] -= size
                self.moved[event.where] = self.foreign_moved[event.where] = self.now
                for box in self.boxes() if size else ():
                    # An engine that measures takes what others give back for its own.
                    measures = box.state is Container.RUNNING and not box.exact and event.where in box.gpus
                    if measures and box.ready_at is not None and self.now < box.ready_at:
                        box.memory_failure = box.disturbed = True
                        self.end(box, 1)
            case "port":
                if event.size not in self.listeners():
                    self.ports.add(event.size)
            case "vanish":
                if not self.main[event.where].foreign:
                    self.main[event.where] = Box()
            case "usurp":
                if self.main[event.where].state is Container.ABSENT:
                    self.main[event.where] = Box(Container.RUNNING, foreign=True)
            case "hand":
                box = self.main[event.where]
                if box.state is Container.EXITED and not box.foreign and box.port not in self.listeners():
                    self.run(box, 30.0, 35.0)
            case "nvml":
                self.nvml_bad_until = self.now + event.size
            case "misread":
                self.misread = event.size
                self.moved = dict.fromkeys(self.gpus, self.now)
                self.foreign_moved = dict.fromkeys(self.gpus, self.now)
            case "docker":
                self._restart_docker()
            case _:
                unknown(event.kind)

    def _restart_docker(self) -> None:
        self.docker_restarted = self.now
        for box in self.boxes():
            if self.live_restore or box.state is not Container.RUNNING:
                continue
            if box.policy == "no" or box.foreign:
                self.end(box, 0)
            else:
                self.run(box, box.load_s, box.load_s + 5)


def unknown(kind: object) -> NoReturn:
    """A world that asks for something that there is not is a mistake of the test."""
    raise AssertionError(f"{kind!r} is nothing that could happen")
