# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Following one start: it is ready, it failed and why, or it is on its way; bounded by phase and by progress, not by one number."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.gates import Gates
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import UP, Container, Seen
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import Limits, Service, Track

# A container that was told to start and is not there after this long never will be.
APPEARS_S = 10.0


class Outcome(Enum):
    """What one more probe of a start says."""

    GOES_ON = "goes_on"
    PROVED = "proved"
    FAILED = "failed"


def follow(service: Service, track: Track, seen: Seen, now: float, gates: Gates) -> tuple[Track, Outcome]:
    """The track after one more probe of a container that was started, its reason where it failed."""
    started = track.started if track.started is not None else now
    if track.start_id and seen.start_id and seen.start_id != track.start_id:
        # Somebody else started it once more: what was seen of the start before says nothing about this one.
        started = now - (seen.age_s or 0.0)
        track = replace(track, started=started, progress=-1, progressed=now, phases=(), doubted=None)
    phase = seen.phase.value if seen.phase else ""
    entered = phase and (not track.phases or track.phases[-1][0] != phase)
    track = replace(
        track,
        start_id=seen.start_id or track.start_id,
        phases=(*track.phases, (phase, now - started)) if entered else track.phases,
        progress=seen.progress,
        progressed=now if seen.progress != track.progress else track.progressed,
    )
    if seen.awaits:
        track = replace(track, progressed=now)
    if seen.container is Container.RUNNING and seen.serves and not seen.lost:
        too_much = gates.holds_too_much(service, seen)
        if too_much is None:
            phases = (*track.phases, ("ready", now - started))
            return replace(track, ended=now, phases=phases, doubted=None), Outcome.PROVED
        # A reading can be off, and a neighbour's peak can pass: what serves is not stopped for one probe.
        if track.doubted is None:
            return replace(track, doubted=now), Outcome.GOES_ON
        if now - track.doubted < gates.limits.doubt_s:
            return track, Outcome.GOES_ON
        return replace(track, reason=too_much, ended=now, memory=True, doubted=None), Outcome.FAILED
    # What a part without an API does last is no phase of its own: the first host's log has those.
    failed = why_failed(track, seen, started, now, gates.limits, has_phases=not service.is_headless)
    if failed is not None:
        return replace(track, reason=failed, ended=now, memory=False, doubted=None), Outcome.FAILED
    return track, Outcome.GOES_ON


def why_failed(
    track: Track, seen: Seen, started: float, now: float, limits: Limits, has_phases: bool = True
) -> str | None:
    """The reason that is known here; an empty one is to be read from the log, None is that it goes on."""
    if seen.container in (Container.EXITED, Container.RESTARTING):
        return ""
    if seen.container not in UP and now - started > APPEARS_S:
        return (
            "its container is gone: somebody removed it."
            if seen.container is Container.ABSENT
            else "Docker did not start its container."
        )
    if seen.lost:
        return seen.lost
    if seen.refusal:
        return f"it refuses to make one token: {seen.refusal}"
    if seen.dead:
        return "its engine died and it says so on /health."
    if now - started > limits.start_timeout_s:
        return f"no token after {limits.start_timeout_s:.0f} s (vllm_stack_timeout_s)."
    where = f"at {seen.phase.value}" if seen.phase else "before its first line"
    if now - track.progressed > limits.stall_timeout_s:
        return f"no line in its log and no byte read for {limits.stall_timeout_s:.0f} s, {where} (vllm_stack_stall_timeout_s)."
    # One that was begun by an earlier run is timed from when it was taken on.
    entered = max(track.since, started + track.phases[-1][1]) if track.phases else max(track.since, started)
    longest = limits.phase_limits_s.get(seen.phase, limits.start_timeout_s)
    if has_phases and now - entered > longest:
        return f"{longest:.0f} s {where} are too long (vllm_stack_phase_limits_s)."
    return None
