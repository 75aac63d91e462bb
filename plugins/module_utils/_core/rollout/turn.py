# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One turn of the state machine: copies of what is known, and the only way to change a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.gates import Closed, Gates
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import Observation, Seen
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    Action,
    ActionKind,
    Cause,
    Limits,
    Service,
    State,
    Step,
    Track,
)

Transitions = Mapping[tuple[Step, Step], str]


def stepped(name: str, track: Track, step: Step, now: float, transitions: Transitions, **change: Any) -> Track:
    """Return a track in another step: the one way to change it, along the table of transitions."""
    if track.step is not step and (track.step, step) not in transitions:
        raise AssertionError(f"{name} can't go from {track.step.value} to {step.value}")
    # One that waits again has no start of its own: what speaks of it is not the log of what ran there before.
    fresh = {"started": None, "ended": None} if step is Step.WAITING else {}
    # A surge instance that was told to go counts for nothing any more.
    gone = {} if track.surge_ending is None else {"surged": False, "surge_ending": None}
    return replace(track, **{"step": step, "since": now, "doubted": None, **fresh, **gone, **change})


class Turn:
    """The work of one turn."""

    def __init__(
        self, state: State, observation: Observation, now: float, limits: Limits, transitions: Transitions
    ) -> None:
        self.state, self.observation, self.now, self.limits = state, observation, now, limits
        self.tracks = dict(state.tracks)
        self.gates = Gates(state.services, self.tracks, observation, limits)
        self.alone = state.alone
        self.actions: list[Action] = []
        self.closed: dict[str, Closed] = {}  # who waits at a gate, by name
        self._transitions = transitions

    def of(self, name: str) -> tuple[Track, Seen, Service]:
        """A service's track, its container and itself."""
        return self.tracks[name], self.gates.seen(name), self.state.services[name]

    def surge(self, name: str) -> Seen:
        return self.gates.surge(name)

    def act(self, kind: ActionKind, name: str, reason: str = "", port: int = 0) -> None:
        self.actions.append(Action(kind, name, reason, port))

    def note(self, name: str, **change: Any) -> None:
        """Change what is known of a service, but not its step."""
        self.tracks[name] = replace(self.tracks[name], **change)

    def to(self, name: str, step: Step, **change: Any) -> None:
        """Change its step, along the table of transitions."""
        self.tracks[name] = stepped(name, self.tracks[name], step, self.now, self._transitions, **change)

    def begin(self, name: str, step: Step, **change: Any) -> None:
        """Have a start begin: what is followed of it begins anew."""
        self.to(
            name,
            step,
            started=self.now,
            progress=-1,
            progressed=self.now,
            phases=(),
            start_id="",
            alone=bool(self.alone),
            **change,
        )

    def fail(self, name: str, reason: str, cause: Cause, **change: Any) -> None:
        """Give a service up; what it leaves to undo is undone in the next turn, once its log has been read."""
        self.to(name, Step.FAILED, **{"reason": reason, "cause": cause, "ended": self.now, **change})

    def undrain(self, name: str) -> None:
        """Let a gateway send to the container that it was kept from."""
        track = self.tracks[name]
        if track.drained_port:
            self.act(ActionKind.UNDRAIN, name, port=track.drained_port)
            self.note(name, drained_port=0, drained=None)

    def starts_overlapped(self, name: str) -> bool:
        """Whether another start of this run was under way while this one was."""
        began = self.tracks[name].started or 0.0
        others = (track for other, track in self.tracks.items() if other != name and track.started is not None)
        return any(track.ended is None or track.ended > began for track in others)

    def doubts(self, name: str) -> bool:
        """Note that something speaks against a service; whether it has for long enough."""
        since = self.tracks[name].doubted
        if since is None:
            self.note(name, doubted=self.now)
            return self.limits.doubt_s <= 0
        return self.now - since >= self.limits.doubt_s
