# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines of several hosts as one: what their bring-ups tell each other, and what that makes of the part that this host has.

Only a token of the first host says that a group serves: /health of an engine stays 200 when another one of its group has died, and that
one has no API at all. So a part is proved by the first host's token, and lost with any other part of the same attempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import (
    Container,
    News,
    Observation,
    Seen,
    Stage,
    Told,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    PROVED,
    Part,
    Service,
    State,
    Step,
    Track,
)

# Hosts that are not heard of for this long are out of reach, or nobody carries their words any more.
SILENT_S = 300.0
# Until what one host tells is known on the others: it is carried every few seconds.
CARRIED_S = 30.0


@dataclass(frozen=True)
class Others:
    """What the other hosts of one group tell, by host."""

    told: Mapping[str, tuple[News, Told]] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, part: Part, news: Mapping[str, News]) -> Others:
        """Return those who tell of this group, but for this host itself."""
        found = {host: (one, one.parts[part.group]) for host, one in news.items() if part.group in one.parts}
        return cls({host: (one, told) for host, (one, told) in found.items() if told.rank != part.rank})

    def at(self, attempt: int) -> dict[str, Told]:
        """Return who is at the same attempt."""
        return {host: told for host, (one, told) in self.told.items() if one.attempt == attempt}

    def lost(self, attempt: int) -> str:
        """Return why the group can't come to serve in this attempt; nothing while it can."""
        for host, (one, told) in self.told.items():
            if one.attempt == attempt and told.stage is Stage.FAILED:
                return f"{host}, with which it serves together, failed: {told.reason}"
            if one.attempt > attempt:
                return f"{host}, with which it serves together, went back to what it had before{': ' if told.reason else '.'}{told.reason}"
            if one.has_ended and not (one.attempt == attempt and one.is_done):
                return f"{host}, with which it serves together, ended its bring-up without it."
        return ""

    def is_proved(self, attempt: int) -> bool:
        """Whether the first host made a token in this attempt."""
        return any(told.rank == 0 and told.stage is Stage.PROVED for told in self.at(attempt).values())


def observed(state: State, observation: Observation) -> Observation:
    """Return a probe in which each part of a group is seen with what its other hosts tell."""
    parts = {name: service.part for name, service in state.services.items() if service.part is not None}
    if not parts:
        return observation
    seen = {
        name: _seen(part, state.tracks[name], observation.services.get(name, Seen()), state.attempt, observation)
        for name, part in parts.items()
    }
    return replace(observation, services={**observation.services, **seen})


def _seen(part: Part, track: Track, seen: Seen, attempt: int, observation: Observation) -> Seen:
    others = Others.of(part, observation.news)
    if part.is_headless:
        # It has no API: it runs, and whether it is of use is for the first host to say.
        running = seen.container is Container.RUNNING
        seen = replace(seen, healthy=running, serves=running and others.is_proved(attempt))
    if track.step in (Step.KEPT, Step.FAILED) or not track.reason:
        return seen
    lost = others.lost(attempt)
    if not lost and track.step not in PROVED and (observation.news_age_s or 0.0) > SILENT_S:
        lost = f"nothing was heard of its other hosts for {SILENT_S:.0f} s: the controller is away."
    if track.step is not Step.STARTING:
        return replace(seen, lost=lost)
    told = others.at(attempt)
    waiting = len(told) < part.hosts - 1 or any(one.stage is Stage.WAITING for one in told.values())
    # The group gets on while any of its parts does.
    progress = hash((seen.progress, *(told[host].progress for host in sorted(told))))
    return replace(seen, lost=lost, awaits=waiting, progress=progress)


def missing(service: Service, state_attempt: int, observation: Observation) -> str:
    """Return why a part must not start yet: an engine that waits for others which never come holds its cards for nothing."""
    part = service.part
    if part is None:
        return ""
    here = len(Others.of(part, observation.news).at(state_attempt)) + 1
    if here >= part.hosts:
        return ""
    return f"{part.hosts} hosts serve it together, and {here} of them {'is' if here == 1 else 'are'} about to start it."


def news(state: State, observation: Observation, is_done: bool) -> News:
    """Return what this host tells the others."""
    parts = {
        service.part.group: _told(service.part, state.tracks[name], observation.services.get(name, Seen()))
        for name, service in state.services.items()
        if service.part is not None
    }
    return News(state.attempt, parts, is_done)


def carried(before: News, now: News) -> News:
    """Return what is told now, with the groups that are in the set no more, and with why an attempt before failed.

    Whoever waits for this host's part of a group has to know, however late it hears of it.
    """
    left = {
        name: Told(told.rank, Stage.FAILED, reason="it went back to what it had before.")
        for name, told in before.parts.items()
        if name not in now.parts
    }
    reasons = {
        name: told.reason or (before.parts[name].reason if name in before.parts else "")
        for name, told in now.parts.items()
    }
    return replace(
        now, parts={**left, **{name: replace(told, reason=reasons[name]) for name, told in now.parts.items()}}
    )


def _told(part: Part, track: Track, seen: Seen) -> Told:
    if track.step is Step.FAILED:
        return Told(part.rank, Stage.FAILED, reason=track.reason or "its engine ended.")
    if track.step in PROVED:
        return Told(part.rank, Stage.PROVED)
    if track.step is Step.STARTING:
        # Its own progress, and not what it makes of everybody's.
        return Told(part.rank, Stage.STARTING, progress=seen.progress)
    return Told(part.rank, Stage.WAITING)


def is_waited_for(state: State, observation: Observation) -> bool:
    """Return whether another host of a group that was started here has yet to say that all of its own is proved."""
    if (observation.news_age_s or 0.0) > SILENT_S:
        return False
    for name, service in state.services.items():
        if service.part is None or state.tracks[name].step is not Step.READY:
            continue
        others = Others.of(service.part, observation.news)
        if not all(one.is_done for one, _told in others.told.values() if one.attempt == state.attempt):
            return True
        if len(others.at(state.attempt)) < service.part.hosts - 1:
            return True
    return False


def data(told: News) -> dict[str, Any]:
    """Return it as plain data."""
    parts = {
        group: {"rank": one.rank, "stage": one.stage.value, "progress": one.progress, "reason": one.reason}
        for group, one in told.parts.items()
    }
    return {"attempt": told.attempt, "parts": parts, "is_done": told.is_done, "has_ended": told.has_ended}


def read(found: Any) -> News | None:
    """Return it from plain data; what has another shape is none."""
    try:
        parts = {
            str(group): Told(int(one["rank"]), Stage(one["stage"]), int(one["progress"]), str(one["reason"]))
            for group, one in found["parts"].items()
        }
        return News(int(found["attempt"]), parts, found["is_done"] is True, found["has_ended"] is True)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
