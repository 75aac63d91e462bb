# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person reads while engines start: a line for each change, and where everything is every few seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.log import Phase
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import Observation, Seen
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    GROWING,
    SETTLED,
    State,
    Step,
    Track,
    assert_never,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import gib

SUMMARY_S = 5.0
# The last line of a bring-up's progress, for the program that reads it.
ENDED = "__bringup_has_ended__"
# How a line begins that is for the other hosts of a group, and for no person.
NEWS = "__bringup_tells__ "
# What a phase of the log means to somebody who waits for it.
PHASES = {
    Phase.CREATED: "engine created, weights come next",
    Phase.LOADING: "weights",
    Phase.LOADED: "weights loaded, compiling and measuring",
    Phase.PROFILED: "measured, KV cache comes next",
    Phase.CACHE: "KV cache made, capturing graphs",
    Phase.GRAPHS: "graphs captured",
    Phase.INITIALIZED: "engine initialized",
    Phase.LISTENING: "listening, first token comes next",
}


def clock(seconds: float) -> str:
    """Minutes and seconds as 1:07."""
    whole = int(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


@dataclass
class Narrator:
    """Keeps what was said last, so that nothing is said twice. `expected_s` is what earlier starts took, by name."""

    began: float
    expected_s: Mapping[str, float] = field(default_factory=dict)
    _steps: dict[str, tuple[Step, Phase | str | None]] = field(default_factory=dict)
    _said_at: float = field(init=False)

    def __post_init__(self) -> None:
        self._said_at = self.began

    def line(self, now: float, text: str) -> str:
        self._said_at = now
        return f"{clock(now - self.began):>5}  {text}"

    def lines(self, state: State, observation: Observation, now: float) -> list[str]:
        """The lines that this probe is worth; none while nothing changes, a summary every few seconds."""
        width = max((len(shown(name)) for name in state.everything), default=0)
        told = []
        for name in state.everything:
            track, seen = state.tracks[name], watched(state.tracks[name], observation, name)
            key = (track.step, seen.phase if track.step in GROWING else track.retried)
            if self._steps.get(name) != key:
                self._steps[name] = key
                text = describe(track, seen, now)
                if text:
                    told.append(self.line(now, f"{shown(name):<{width}}  {text}"))
        if not told and now - self._said_at >= SUMMARY_S:
            moving = [
                f"{name} {self.where(name, state.tracks[name], watched(state.tracks[name], observation, name), now)}"
                for name in state.order
                if state.tracks[name].step not in SETTLED
            ]
            if moving:
                told.append(self.line(now, "; ".join(moving)))
        return told

    def where(self, name: str, track: Track, seen: Seen, now: float) -> str:
        """One service in a summary: its phase, for how long, and how long it took last time."""
        if track.step is Step.WAITING:
            return "waits"
        if track.step in (Step.DRAINING, Step.YIELDING):
            return f"ends {'its' if seen.requests is None else seen.requests} requests"
        if track.step not in GROWING:
            return str(track.step.value)
        phase = PHASES[seen.phase].split(",")[0] if seen.phase else "container started"
        percent = f" {seen.percent} %" if seen.phase is Phase.LOADING and seen.percent is not None else ""
        expected = self.expected_s.get(name)
        last = f" of about {expected:.0f} s" if expected else " s"
        return f"{phase}{percent}, {now - (track.started or now):.0f}{last}"


def shown(name: str) -> str:
    """A service as a person knows it; one that left the stack is known by its container."""
    return name.removeprefix("/vllm-").removeprefix("/")


def watched(track: Track, observation: Observation, name: str) -> Seen:
    """The container that a track is about now."""
    where = observation.surges if track.step in (Step.SURGING, Step.RETIRING, Step.YIELDING) else observation.services
    return where.get(name, Seen())


def describe(track: Track, seen: Seen, now: float) -> str:
    """A change, as a person would say it; an empty text is worth no line."""
    match track.step:
        case Step.WAITING:
            return f"again: {track.retried}" if track.retried else ""
        case Step.SURGING | Step.STARTING:
            if not seen.phase:
                surge = " as a surge instance" if track.step is Step.SURGING else ""
                return f"starts{surge}: {track.reason}"
            percent = f" {seen.percent} %" if seen.phase is Phase.LOADING and seen.percent is not None else ""
            return f"{PHASES[seen.phase]}{percent}"
        case Step.DRAINING:
            return "its surge instance serves, the old one ends its requests" if track.surged else "ends its requests"
        case Step.READY:
            used = f", {gib(seen.all_used_bytes)}" if seen.all_used_bytes else ""
            return f"ready: first token {(track.ended or now) - (track.started or now):.0f} s after its start{used}"
        case Step.FAILED:
            return f"failed: {track.reason or 'its container ended'}"
        case Step.YIELDING:
            return "its port is free: its surge instance ends its requests"
        case Step.RETIRING:
            return "ready, its surge instance ends its requests"
        case Step.GONE:
            return "stopped: it left the inventory"
        case Step.STOPPING | Step.KEPT | Step.LEAVING:
            return ""
        case _:
            assert_never(track.step)
