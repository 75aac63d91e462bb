# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was seen in one probe: containers, engines, memory, ports, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.log import Phase

# Who listens on a port where it is nobody of this stack.
FOREIGN = ""


class Container(Enum):
    """What Docker says of a container; one that is paused, dead or being removed counts as ended."""

    ABSENT = "absent"
    CREATED = "created"
    RUNNING = "running"
    RESTARTING = "restarting"
    EXITED = "exited"


UP = (Container.RUNNING, Container.RESTARTING)


class Stage(Enum):
    """How far another host is with its part of a group."""

    WAITING = "waiting"
    STARTING = "starting"
    PROVED = "proved"
    FAILED = "failed"


@dataclass(frozen=True)
class Told:
    """What a host tells of its part of a group; `progress` changes while its start gets on."""

    rank: int
    stage: Stage
    progress: int = 0
    reason: str = ""


@dataclass(frozen=True)
class News:
    """What one host tells the others of its groups, by group: of which attempt, whether all is proved there, whether it has ended."""

    attempt: int
    parts: Mapping[str, Told]
    is_done: bool = False
    has_ended: bool = False


@dataclass(frozen=True)
class Seen:
    """One probe of one container. `serves` is /health, then /v1/models naming the model, then one generated token."""

    container: Container = Container.ABSENT
    digest: str = ""
    foreign: bool = False
    start_id: str = ""  # of this start of this container: a proof counts for one
    port: int = 0  # that it was made for
    exit_code: int | None = None
    restart_policy: str = ""
    asked: bool = False  # /health was asked for, in this probe
    healthy: bool = False
    serves: bool = False
    refusal: str = ""  # what it said where it answers and will not make one token
    dead: bool = False  # the engine says itself that it is (an HTTP error on /health)
    sleeping: bool = False
    phase: Phase | None = None
    percent: int | None = None  # of the weights, where the log has it
    progress: int = 0  # changes with every line of the log, every byte read or received
    age_s: float | None = None  # since its container started
    requests: int | None = None  # that it is at, or that wait in it; None where it does not say
    used_bytes: Mapping[str, int] = field(default_factory=dict)  # on each card now, or planned where that can't be read
    memory_failure: bool = False  # its log says that memory was the reason
    disturbed: bool = False  # ... since somebody else gave some back while it measured
    image_present: bool = True
    lost: str = ""  # why its group of hosts can't come to serve
    awaits: bool = False  # another host of its group has yet to start

    @property
    def all_used_bytes(self) -> int:
        return sum(self.used_bytes.values())

    @property
    def was_proved(self) -> bool:
        """Whether an earlier run found it to serve: only then Docker may start it again."""
        return self.restart_policy not in ("", "no")


@dataclass(frozen=True)
class Observation:
    """One probe of everything.

    `still_s` is for how long the free memory of each card has not moved, `foreign_still_s` the same of what nobody of ours holds there;
    a card is missing in the latter where nobody can tell who holds what. `restless` names, by card, what of ours elsewhere keeps memory
    from being still. `listeners` has who listens on a port: a service by its name, or FOREIGN.
    """

    services: Mapping[str, Seen]
    free_bytes: Mapping[str, int]
    still_s: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    foreign_still_s: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    surges: Mapping[str, Seen] = field(default_factory=lambda: MappingProxyType({}))
    restless: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    listeners: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    tells_apart: bool = True  # used_bytes of containers were read; else they are what was planned
    memory_error: str = ""  # why memory can't be read
    docker_restarted: float | None = None  # when Docker was last seen to come back
    news: Mapping[str, News] = field(
        default_factory=lambda: MappingProxyType({})
    )  # what other hosts of a group tell, by host
    news_age_s: float | None = None  # since that was last brought
