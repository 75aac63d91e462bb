# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A made-up world that a test moves by hand: services, what is seen of them, and a clock that is a number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.machine import advance
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import (
    Container,
    News,
    Observation,
    Seen,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.settling import History, Sample
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    Action,
    ActionKind,
    Limits,
    Service,
    State,
    Step,
    begin,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB

# No world begins at zero: what takes a moment for a duration shows.
BEGAN = 1e6
CARD = "GPU-1"
SMALL = Service("small", "d1", 8001, (CARD,), 4 * GIB, exact_kv=True)
LARGE = Service("large", "d2", 8002, (CARD,), 10 * GIB, exact_kv=True)
SERVES = Seen(Container.RUNNING, "d1", healthy=True, serves=True, requests=0)


class World:
    """Services that come up a while after their start, and memory that they take."""

    def __init__(
        self, *services: Service, limits: Limits | None = None, free: int = 30 * GIB, order: str = "smallest_first"
    ):
        self.services = {service.name: service for service in services}
        self.limits = limits or Limits()
        self.free = free
        self.now = BEGAN
        self.state: State = begin(services, order, self.now)
        self.seen: dict[str, Seen] = {}
        self.surges: dict[str, Seen] = {}
        self.listeners: dict[int, str] = {}
        self.docker_restarted: float | None = None
        self.memory_error = ""
        self.done: list[Action] = []
        self.made: list[Action] = []  # containers ahead of their start
        self.started: dict[str, float] = {}
        self.history = History()
        self.news: dict[str, News] = {}
        self.news_age_s: float | None = None

    def probe(self) -> Observation:
        """What the edges would say of this world now; nobody can tell there who holds what."""
        if self.memory_error:
            self.history.clear()
        else:
            self.history.add(Sample(self.now, {CARD: self.free}, None))
        return Observation(
            self.seen,
            {} if self.memory_error else {CARD: self.free},
            {CARD: self.history.still_s(CARD, self.now)},
            memory_error=self.memory_error,
            surges=self.surges,
            docker_restarted=self.docker_restarted,
            listeners=self.listeners,
            news=self.news,
            news_age_s=self.news_age_s,
        )

    @property
    def past(self) -> float:
        """Seconds since this world began."""
        return self.now - BEGAN

    def step(self, seconds: float = 1.0, **seen: Seen) -> list[Action]:
        self.now += seconds
        self.seen.update(seen)
        self.state, actions = advance(self.state, self.probe(), self.now, self.limits)
        for action in actions:
            (self.made if action.kind is ActionKind.CREATE else self.done).append(action)
            if action.kind is ActionKind.CREATE:
                self.seen[action.name] = Seen(container=Container.CREATED, digest=self.services[action.name].digest)
            if action.kind is ActionKind.START:
                self.started[action.name] = self.now
                self.seen[action.name] = Seen(container=Container.RUNNING, digest=self.services[action.name].digest)
            if action.kind is ActionKind.START_SURGE:
                self.surges[action.name] = Seen(container=Container.RUNNING, digest=self.services[action.name].digest)
            if action.kind is ActionKind.STOP:
                self.seen[action.name] = Seen(container=Container.EXITED)
        return [action for action in actions if action.kind is not ActionKind.CREATE]

    def until(self, met: Callable[[], bool], ready_after: Mapping[str, float] | None = None, bound: int = 3000) -> None:
        for _step in range(bound):
            if met():
                return
            for name, after in (ready_after or {}).items():
                if (
                    name in self.started
                    and self.now - self.started[name] >= after
                    and self.seen[name].container is Container.RUNNING
                ):
                    self.seen[name] = replace(self.seen[name], healthy=True, serves=True, requests=0)
            self.step()
        raise AssertionError(f"never happened; {self.state.tracks}")

    def steps(self) -> dict[str, Step]:
        return {name: track.step for name, track in self.state.tracks.items()}
