# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bring-up as a state machine: what was seen and what time it is go in, what to do next comes out.

Nothing here sleeps, asks a clock or talks to anything. One call of `advance` is one probe of the world.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout import group
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.moving import move, unlock
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.noticing import notice
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import Observation
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    GROWING,
    SETTLED,
    Action,
    ActionKind,
    Cause,
    Limits,
    State,
    Step,
    assert_never,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.turn import Turn, stepped

# Every change of a step there is, and when it happens. The diagram in docs/reliability.md is made from this table, and no other change
# is possible.
TRANSITIONS = {
    (Step.WAITING, Step.KEPT): "it serves, unchanged",
    (Step.WAITING, Step.STARTING): "gate open, or begun by an interrupted run",
    (Step.WAITING, Step.SURGING): "old and new fit together",
    (Step.WAITING, Step.DRAINING): "the new one fits once the old one is gone",
    (Step.WAITING, Step.STOPPING): "the old one crashes or never served",
    (Step.WAITING, Step.FAILED): "refused, its group is lost, or the gate stayed closed",
    (Step.SURGING, Step.DRAINING): "the surge instance is proved",
    (
        Step.SURGING,
        Step.WAITING,
    ): "the surge instance could not be, was spoiled, or serves until another leaves its port",
    (Step.SURGING, Step.FAILED): "the surge instance failed: the old one serves on",
    (Step.DRAINING, Step.STOPPING): "idle, or drain_s over",
    (Step.DRAINING, Step.WAITING): "the surge instance vanished",
    (Step.DRAINING, Step.FAILED): "the surge instance ended: the old one serves on",
    (Step.DRAINING, Step.GONE): "it left, and its name is somebody else's",
    (Step.STOPPING, Step.WAITING): "ended",
    (Step.STOPPING, Step.GONE): "it left, and is removed",
    (Step.STOPPING, Step.FAILED): "it does not end",
    (Step.STARTING, Step.READY): "proved",
    (Step.STARTING, Step.RETIRING): "proved, beside its surge instance",
    (Step.STARTING, Step.WAITING): "spoiled by another: a second try",
    (Step.STARTING, Step.FAILED): "failed",
    (Step.RETIRING, Step.READY): "the surge instance is gone",
    (Step.RETIRING, Step.WAITING): "Docker was restarted",
    (Step.RETIRING, Step.STARTING): "started again by somebody",
    (Step.RETIRING, Step.FAILED): "it ended: its surge instance serves on",
    (Step.WAITING, Step.YIELDING): "its port is free, and its surge instance holds the memory that it needs",
    (Step.YIELDING, Step.WAITING): "the surge instance is gone",
    (Step.YIELDING, Step.FAILED): "its name is somebody else's",
    (Step.READY, Step.WAITING): "Docker was restarted",
    (Step.READY, Step.STARTING): "started again by somebody",
    (Step.READY, Step.FAILED): "it ended, or its group is lost",
    (Step.KEPT, Step.WAITING): "it ended",
    (Step.KEPT, Step.STARTING): "started again by somebody",
    (Step.KEPT, Step.FAILED): "it ended for the second time or as one of a group, or its name is somebody else's",
    (Step.LEAVING, Step.DRAINING): "all others are proved, or its memory or port is needed",
    (Step.LEAVING, Step.GONE): "removed by somebody",
}

# Between two probes: while something loads, and while a moment decides (memory gets still, an old engine goes).
PROBE_S, SOON_S = 1.0, 0.25
# A moment that decides does not last; what waits longer is probed like everything else.
DECIDES_S = 5.0


def advance(state: State, observation: Observation, now: float, limits: Limits) -> tuple[State, list[Action]]:
    """One step. The actions are to be done before the next probe."""
    observation = group.observed(state, observation)
    gpus = {uuid for service in state.services.values() if not service.leaves for uuid in service.gpus}
    unreadable = None if gpus <= set(observation.free_bytes) else now if state.unreadable is None else state.unreadable
    state = replace(state, unreadable=unreadable)
    turn = Turn(state, observation, now, limits, TRANSITIONS)
    for name in state.everything:
        notice(turn, name)
    for name in state.everything:
        move(turn, name)
    unlock(turn)
    return replace(state, tracks=turn.tracks, alone=turn.alone), turn.actions


def refuse(state: State, action: Action, reason: str, now: float, cause: Cause = Cause.REFUSED) -> State:
    """Docker would not do what was asked for, and said why; PORT and FOREIGN are causes of its own that are told apart."""
    track = state.tracks[action.name]
    if track.step in (*SETTLED, Step.GONE):
        # What is left over is seen, and removed, by the next run.
        return state
    failed = {"reason": reason, "cause": cause, "ended": now}
    change: dict[str, Any]
    match action.kind:
        case ActionKind.START_SURGE if cause in (Cause.PORT, Cause.FOREIGN):
            # Nothing is known against the new one: the old one is replaced without it.
            step, change = Step.WAITING, {"surged": False, "surge_off": True}
        case ActionKind.START_SURGE:
            step, change = Step.FAILED, {**failed, "surge_failed": True}
        case ActionKind.START if cause is Cause.PORT and not track.retried:
            # A port can be let go a moment late.
            step, change = Step.WAITING, {"retried": reason, "committed": now}
        case ActionKind.CREATE | ActionKind.START | ActionKind.STOP | ActionKind.REMOVE:
            step, change = Step.FAILED, {**failed, "committed": None}
        case ActionKind.DRAIN | ActionKind.UNDRAIN | ActionKind.REMOVE_SURGE:
            return state
        case _:
            assert_never(action.kind)
    moved = stepped(action.name, track, step, now, TRANSITIONS, **change)
    return replace(state, tracks={**state.tracks, action.name: moved})


def next_probe_s(state: State, now: float) -> float:
    """Seconds until the next probe."""
    moments = (Step.WAITING, Step.DRAINING, Step.STOPPING, Step.RETIRING, Step.YIELDING)
    decides = any(track.step in moments and now - track.since < DECIDES_S for track in state.tracks.values())
    growing = any(track.step in GROWING for track in state.tracks.values())
    return SOON_S if decides and not growing else PROBE_S
