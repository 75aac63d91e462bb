# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Following one start: it is ready, it failed and why, or it is on its way; bounded by phase and by progress, not by one number."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.gates import Gates
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    FAILED,
    READY,
    Limits,
    Seen,
    Service,
    Track,
)

# A container that was told to start and is not there after this long never will be.
APPEARS_S = 10.0


def follow(service: Service, track: Track, seen: Seen, now: float, gates: Gates) -> Track:
    """The track after one more look at a container that was started."""
    started = track.started if track.started is not None else now
    if seen.phase and (not track.phases or track.phases[-1][0] != seen.phase):
        track = replace(track, phases=(*track.phases, (seen.phase, now - started)))
    if seen.progress != track.progress:
        track = replace(track, progress=seen.progress, progressed=now)
    failed = gates.holds_too_much(service, seen) if seen.serves else why_failed(track, seen, started, now, gates.limits)
    if failed is not None:
        return replace(track, step=FAILED, reason=failed, ended=now, memory=seen.serves)
    if seen.serves:
        return replace(track, step=READY, ended=now, phases=(*track.phases, ("ready", now - started)))
    return track


def why_failed(track: Track, seen: Seen, started: float, now: float, limits: Limits) -> str | None:
    """The reason that is known here; an empty one is to be read from the log, None is that it goes on."""
    if seen.container in ("exited", "restarting"):
        return ""
    if seen.container in ("absent", "created") and now - started > APPEARS_S:
        return "" if seen.container == "absent" else "Docker did not start its container."
    if seen.refusal:
        return f"it refuses to make one token: {seen.refusal}"
    if seen.dead:
        return "its engine died and it says so on /health."
    if now - started > limits.start_timeout_s:
        return f"no token after {limits.start_timeout_s:.0f} s (vllm_stack_timeout_s)."
    where = f"at {seen.phase}" if seen.phase else "before its first line"
    if now - track.progressed > limits.stall_timeout_s:
        return f"no line in its log and no byte read for {limits.stall_timeout_s:.0f} s, {where} (vllm_stack_stall_timeout_s)."
    entered = started + track.phases[-1][1] if track.phases else started
    longest = limits.phase_limits_s.get(seen.phase, limits.start_timeout_s)
    if now - entered > longest:
        return f"{longest:.0f} s {where} are too long (vllm_stack_phase_limits_s)."
    return None
