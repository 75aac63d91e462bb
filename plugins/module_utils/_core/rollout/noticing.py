# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has happened to each service since the last turn."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.decide import Verdict, decide, foreign_name
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.follow import Outcome, follow
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import UP, Container, Seen
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    ActionKind,
    Cause,
    Step,
    assert_never,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.turn import Turn

# One that was told to end and has not is told again this often.
TOLD_AGAIN_S = 15.0


def notice(turn: Turn, name: str) -> None:
    """Take in what was seen of one service."""
    track, seen, _service = turn.of(name)
    if seen.foreign and track.step not in (Step.FAILED, Step.GONE):
        _usurped(turn, name)
        return
    if seen.healthy and not track.answered and track.step in (Step.WAITING, Step.KEPT):
        turn.note(name, answered=True)
    match track.step:
        case Step.WAITING:
            if not track.reason:
                _first_sight(turn, name)
            elif track.surged and track.committed is None:
                _bridge_lives(turn, name)
        case Step.SURGING:
            _surging(turn, name)
        case Step.DRAINING:
            if track.surged:
                _surge_lives(turn, name)
        case Step.STOPPING:
            _stopping(turn, name)
        case Step.STARTING:
            _starting(turn, name)
        case Step.RETIRING | Step.READY | Step.KEPT:
            _proved(turn, name)
        case Step.FAILED:
            _clean(turn, name)
        case Step.LEAVING:
            if seen.container is Container.ABSENT:
                turn.to(name, Step.GONE)
        case Step.YIELDING | Step.GONE:
            pass
        case _:
            assert_never(track.step)


def _usurped(turn: Turn, name: str) -> None:
    """Its name is somebody else's by now: never to be touched by us."""
    track, _seen, service = turn.of(name)
    turn.undrain(name)
    if service.leaves:
        turn.to(name, Step.GONE)
    else:
        turn.fail(name, foreign_name(name), Cause.FOREIGN, surge_failed=track.step is Step.SURGING)


def _first_sight(turn: Turn, name: str) -> None:
    track, seen, service = turn.of(name)
    doubted_s = 0.0 if track.doubted is None else turn.now - track.doubted
    decision = decide(service, seen, turn.limits, turn.observation.listeners, doubted_s)
    match decision.verdict:
        case Verdict.KEEP:
            turn.to(name, Step.KEPT, reason=decision.reason, cause=decision.cause, start_id=seen.start_id)
        case Verdict.START:
            turn.to(name, Step.WAITING, reason=decision.reason, cause=decision.cause)
        case Verdict.FOLLOW:
            started = turn.now - (seen.age_s or 0.0)
            turn.to(
                name, Step.STARTING, reason=decision.reason, cause=decision.cause, started=started, progressed=turn.now
            )
        case Verdict.REFUSE:
            turn.fail(name, decision.reason, decision.cause, ended=None)
        case Verdict.ASK_AGAIN:
            turn.doubts(name)
        case _:
            assert_never(decision.verdict)


# Starts


def _starting(turn: Turn, name: str) -> None:
    track, seen, service = turn.of(name)
    followed, outcome = follow(service, track, seen, turn.now, turn.gates)
    turn.tracks[name] = followed
    match outcome:
        case Outcome.GOES_ON:
            pass
        case Outcome.PROVED:
            turn.undrain(name)
            turn.to(name, Step.RETIRING if track.surged else Step.READY, committed=None, bridges=False)
        case Outcome.FAILED:
            again = _second_try(turn, name, seen)
            if again:
                turn.to(
                    name, Step.WAITING, retried=again, reason=track.reason or again, committed=turn.now, start_id=""
                )
            else:
                turn.fail(
                    name,
                    followed.reason,
                    Cause.TOO_MUCH if followed.memory else Cause.ENDED,
                    stop_failed=seen.container in UP,
                    committed=None,
                )
        case _:
            assert_never(outcome)


def _second_try(turn: Turn, name: str, seen: Seen) -> str:
    """Why a start is tried once more: for what another start or Docker itself has spoiled; empty where it is not."""
    track, restarted = turn.tracks[name], turn.observation.docker_restarted
    if track.retried or seen.container in UP or turn.state.services[name].part is not None:
        return ""
    if restarted is not None and restarted >= (track.started or 0.0):
        return "Docker was restarted while it started"
    if seen.disturbed:
        return "something else gave memory back while it measured: once more"
    if seen.memory_failure and not track.alone and (turn.alone or turn.starts_overlapped(name)):
        turn.alone = turn.alone or f"{name} ran out of memory while others started"
        return "memory ran out while several started at once: once more, alone"
    return ""


def _surging(turn: Turn, name: str) -> None:
    track, old, service = turn.of(name)
    seen = turn.surge(name)
    if seen.foreign:
        turn.to(name, Step.WAITING, surged=False, surge_off=True)
        return
    followed, outcome = follow(service, track, seen, turn.now, turn.gates)
    turn.tracks[name] = followed
    match outcome:
        case Outcome.GOES_ON:
            pass
        case Outcome.PROVED if old.container in UP:
            turn.to(name, Step.DRAINING, surge_id=followed.start_id, start_id="", ended=None)
        case Outcome.PROVED:
            # What it was started in place of is gone: it serves until the service itself can have its port.
            turn.to(name, Step.WAITING, surge_id=followed.start_id, start_id="", committed=None)
        case Outcome.FAILED:
            again = _second_try(turn, name, seen)
            if again:
                turn.act(ActionKind.REMOVE_SURGE, name, again)
                turn.to(name, Step.WAITING, surged=False, retried=again, reason=track.reason, start_id="")
            elif seen.container in (Container.ABSENT, Container.CREATED):
                # It did not fail, it could not be: what it was to replace is replaced without it.
                turn.act(ActionKind.REMOVE_SURGE, name, followed.reason)
                turn.to(name, Step.WAITING, surged=False, surge_off=True, reason=track.reason, start_id="")
            else:
                # The old one serves on, untouched, where it had not made room.
                turn.fail(name, followed.reason, Cause.ENDED, surge_failed=True, committed=None)
        case _:
            assert_never(outcome)


def _bridge_lives(turn: Turn, name: str) -> None:
    """One whose surge instance serves until its port is free is in a hurry again once that has ended."""
    track, surge = turn.tracks[name], turn.surge(name)
    if surge.container is Container.RUNNING and surge.start_id == track.surge_id and not surge.foreign:
        return
    if not surge.foreign and surge.container is not Container.ABSENT:
        turn.act(ActionKind.REMOVE_SURGE, name, "it ended")
    turn.note(name, surged=False, surge_off=True, committed=turn.now)


def _surge_lives(turn: Turn, name: str) -> None:
    """An old one is stopped only while its surge instance is alive."""
    track, surge = turn.tracks[name], turn.surge(name)
    if surge.container is Container.RUNNING and surge.start_id == track.surge_id and not surge.foreign:
        return
    turn.undrain(name)
    if surge.container is Container.ABSENT or surge.foreign:
        turn.to(name, Step.WAITING, surged=False, surge_off=True, drained=None)
    else:
        reason = f"its surge instance ended {turn.now - track.since:.0f} s after it was ready."
        turn.fail(name, reason, Cause.ENDED, surge_failed=True)


# Ends


def _stopping(turn: Turn, name: str) -> None:
    track, seen, service = turn.of(name)
    if seen.container is Container.ABSENT or (seen.container not in UP and not service.leaves):
        if track.drained_port != service.port or service.leaves:
            # Its port may be somebody else's from now on.
            turn.undrain(name)
        if service.leaves:
            turn.to(name, Step.GONE)
        else:
            turn.to(name, Step.WAITING, drained=None)
    elif turn.now - track.since > turn.limits.stop_s:
        turn.fail(
            name,
            f"its container does not end, {turn.limits.stop_s:.0f} s after it was told to: see `docker ps` and the kernel's log.",
            Cause.STUCK,
            started=None,
        )
    elif turn.now - (track.doubted or track.since) >= TOLD_AGAIN_S:
        turn.act(ActionKind.REMOVE if service.leaves else ActionKind.STOP, name, track.reason)
        turn.note(name, doubted=turn.now)


def _proved(turn: Turn, name: str) -> None:
    """One that serves is followed to the end: what died meanwhile is no part of a proved set."""
    track, seen, service = turn.of(name)
    kept = track.step is Step.KEPT
    if service.part is not None and _is_lost(turn, name):
        return
    if seen.container is not Container.RUNNING:
        restarted = turn.observation.docker_restarted
        spoiled = restarted is not None and restarted >= (track.ended or track.since)
        if not track.retried and (kept or spoiled):
            reason = "Docker was restarted after it was ready" if spoiled else "it ended while others started"
            turn.to(
                name, Step.WAITING, reason=reason, cause=Cause.ENDED, retried=reason, start_id="", committed=turn.now
            )
        else:
            reason = f"it ended {turn.now - (track.ended or turn.now):.0f} s after it was ready."
            turn.fail(name, reason, Cause.ENDED)
    elif track.start_id and seen.start_id and seen.start_id != track.start_id:
        # A proof counts for one start of one container.
        started = turn.now - (seen.age_s or 0.0)
        reason = track.reason if track.retried else "it was started again meanwhile"
        turn.to(
            name, Step.STARTING, reason=reason, started=started, progressed=turn.now, phases=(), start_id=seen.start_id
        )
    elif seen.asked and not seen.healthy:
        if not turn.doubts(name):
            return
        if kept and not track.retried:
            reason = "it answers no more on /health"
            turn.to(name, Step.WAITING, reason=reason, cause=Cause.NOT_SERVING, retried=reason, start_id="")
        else:
            turn.fail(name, "it answers no more on /health.", Cause.NOT_SERVING, stop_failed=True)
    elif track.doubted is not None:
        turn.note(name, doubted=None)


def _is_lost(turn: Turn, name: str) -> bool:
    """Whether a part of a group is given up: nobody but all of its hosts together starts it again."""
    track, seen, _service = turn.of(name)
    ended_s = turn.now - (track.ended or turn.now)
    if seen.container is not Container.RUNNING:
        turn.fail(name, f"it ended {ended_s:.0f} s after it was ready, and its group with it.", Cause.ENDED)
    elif track.start_id and seen.start_id and seen.start_id != track.start_id:
        turn.fail(name, "it was started again without its group.", Cause.GROUP, stop_failed=True)
    elif seen.lost:
        turn.fail(name, seen.lost, Cause.GROUP, stop_failed=True)
    else:
        return False
    return True


def _clean(turn: Turn, name: str) -> None:
    """Undo what one that failed left, but for what serves in its place."""
    track, seen, _service = turn.of(name)
    turn.undrain(name)
    if track.stop_failed and seen.container in UP and not seen.foreign:
        turn.act(ActionKind.STOP, name, track.reason)
    if track.surged:
        surge = turn.surge(name)
        alive = surge.container is Container.RUNNING and not surge.foreign and surge.start_id == track.surge_id
        old = seen.container is Container.RUNNING and not seen.foreign and not track.stop_failed
        keeps = alive and bool(track.surge_id) and not old
        if not keeps and not surge.foreign and surge.container is not Container.ABSENT:
            turn.act(ActionKind.REMOVE_SURGE, name, track.reason)
        turn.note(name, surge_serves=keeps)
    turn.tracks[name] = replace(turn.tracks[name], surged=False, stop_failed=False)
