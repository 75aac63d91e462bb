# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be done for each service now."""

from __future__ import annotations

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout import bridges, group
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.gates import IN_FLIGHT, Closed, Fit
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import Container, Seen
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    PROVED,
    ActionKind,
    Cause,
    Service,
    Step,
    assert_never,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.turn import Turn


def move(turn: Turn, name: str) -> None:
    """Do the next thing for one service."""
    track = turn.tracks[name]
    match track.step:
        case Step.WAITING:
            if track.reason:
                _wait(turn, name)
        case Step.DRAINING:
            _drain(turn, name)
        case Step.RETIRING:
            _retire(turn, name)
        case Step.YIELDING:
            _yield(turn, name)
        case Step.LEAVING:
            others = [turn.tracks[one] for one in turn.state.order]
            if all(one.step in PROVED and one.doubted is None for one in others):
                leave(turn, name)
        case Step.SURGING | Step.STOPPING | Step.STARTING | Step.READY | Step.KEPT | Step.FAILED | Step.GONE:
            pass
        case _:
            assert_never(track.step)


def leave(turn: Turn, name: str) -> None:
    """Have one that left the stack end its requests."""
    turn.to(name, Step.DRAINING)
    _drain(turn, name)


def _drain(turn: Turn, name: str) -> None:
    """Nothing new for the old one, once its surge instance is known; then it ends what it is at."""
    track, seen, service = turn.of(name)
    if track.drained is None:
        if not track.surged or turn.now - track.since >= turn.limits.switch_s:
            port = seen.port or service.port
            turn.act(ActionKind.DRAIN, name, track.reason, port)
            turn.note(name, drained=turn.now, drained_port=port)
    elif _has_ended(turn, seen, track.drained):
        turn.act(ActionKind.REMOVE if service.leaves else ActionKind.STOP, name, track.reason)
        turn.to(name, Step.STOPPING, committed=None if service.leaves else turn.now)


def _retire(turn: Turn, name: str) -> None:
    """The surge instance ends its requests and goes. Until it is gone its memory is not there for others, and still moves."""
    track, surge = turn.tracks[name], turn.surge(name)
    if track.surge_ending is None:
        if _has_ended(turn, surge, track.since):
            turn.act(ActionKind.REMOVE_SURGE, name, "its service is proved")
            turn.note(name, surge_ending=turn.now)
    elif surge.foreign or surge.container is Container.ABSENT or turn.now - track.surge_ending > turn.limits.stop_s:
        turn.to(name, Step.READY)


def _yield(turn: Turn, name: str) -> None:
    """The surge instance that served until the port was free ends its requests and goes, where the service has no room beside it."""
    track, surge = turn.tracks[name], turn.surge(name)
    if track.drained is None:
        turn.undrain(name)
        turn.act(ActionKind.DRAIN, name, track.reason, surge.port)
        turn.note(name, drained=turn.now, drained_port=surge.port)
    elif track.surge_ending is None:
        if _has_ended(turn, surge, track.drained):
            turn.act(ActionKind.REMOVE_SURGE, name, "its service has its port")
            turn.note(name, surge_ending=turn.now)
    elif surge.foreign or surge.container is Container.ABSENT or turn.now - track.surge_ending > turn.limits.stop_s:
        turn.undrain(name)
        turn.to(name, Step.WAITING, surge_off=True)


def _has_ended(turn: Turn, seen: Seen, since: float) -> bool:
    """Whether a container that gets nothing new may go: it is idle, gone, or has had its time."""
    waited = turn.now - since
    # What was seen as it was drained says nothing about what came in just before.
    idle = seen.requests == 0 and waited > 0 and waited >= turn.limits.switch_s
    return idle or waited >= turn.limits.drain_s or seen.container is not Container.RUNNING or seen.dead


def _wait(turn: Turn, name: str) -> None:
    track, seen, service = turn.of(name)
    if seen.lost:
        turn.fail(name, seen.lost, Cause.GROUP, committed=None)
        return
    if seen.healthy and track.doubted is not None:
        # What spoke against it is over, whoever's turn it is.
        turn.note(name, doubted=None)
    if seen.container is Container.RESTARTING:
        # One that crashes over and over spoils every measurement on its card, whoever's turn it is.
        turn.act(ActionKind.STOP, name, track.reason)
        turn.to(name, Step.STOPPING)
        return
    made = seen.container is Container.CREATED and seen.digest == service.digest
    can_make = seen.container is not Container.RUNNING and not turn.observation.memory_error
    if can_make and not track.created and not made:
        # Made ahead, it only has to be started once its turn has come.
        turn.act(ActionKind.CREATE, name, track.reason)
        turn.note(name, created=True)
    if not turn.gates.has_turn(service, bool(turn.alone)):
        turn.note(name, since=turn.now)
    elif absent := group.missing(service, turn.state.attempt, turn.observation):
        _wait_at_gate(turn, name, Closed(Cause.GROUP, absent))
    elif seen.container is Container.RUNNING:
        _replace(turn, name)
    elif (closed := turn.gates.closed(service)) is not None:
        if not _is_bridged(turn, name, closed):
            _wait_at_gate(turn, name, closed)
    else:
        turn.act(ActionKind.START, name, track.reason)
        turn.begin(name, Step.STARTING)


def _is_bridged(turn: Turn, name: str, closed: Closed) -> bool:
    """Whether a surge instance begins, or ends, for one whose old container is gone."""
    track, _seen, service = turn.of(name)
    if bridges.is_wanted(turn.gates, service, closed):
        turn.act(ActionKind.START_SURGE, name, track.reason)
        turn.begin(name, Step.SURGING, surged=True)
        return True
    if bridges.is_in_the_way(turn.gates, service, closed):
        turn.to(name, Step.YIELDING, committed=turn.now)
        return True
    if track.surged and closed.cause is Cause.PORT:
        # It is served: nothing is kept for it until its port is free.
        turn.note(name, committed=None)
    return False


def _replace(turn: Turn, name: str) -> None:
    """The old one runs: a surge instance first where both fit, else it ends its requests. Not before a gate that stays closed."""
    track, seen, service = turn.of(name)
    if not seen.healthy and not seen.was_proved:
        if not turn.doubts(name):
            return
        if not track.answered:
            # It never served, as far as anybody knows: it was asked a while longer, and is just stopped.
            turn.act(ActionKind.STOP, name, track.reason)
            turn.to(name, Step.STOPPING, committed=turn.now)
            return
    fit = turn.gates.fit(service, seen) if service.surge and not track.surge_off else Fit.NEVER
    match fit:
        case Fit.NOW:
            closed = turn.gates.closed_behind_surge(service) or turn.gates.memory_closed(service)
            if closed is not None:
                _wait_at_gate(turn, name, closed)
                return
            turn.act(ActionKind.START_SURGE, name, track.reason)
            turn.begin(name, Step.SURGING, surged=True)
        case Fit.LATER:
            _have_leavers_go(turn, service)
            turn.note(name, since=turn.now)
        case Fit.NEVER:
            closed = turn.gates.closed_to_successor(service, seen)
            if closed is not None:
                _wait_at_gate(turn, name, closed)
                return
            turn.to(name, Step.DRAINING)
            _drain(turn, name)
        case _:
            assert_never(fit)


def _have_leavers_go(turn: Turn, service: Service) -> bool:
    """Have what left the stack go from the cards and the port of a service; whether there was anything."""
    owner = turn.gates.owner(service.port)
    going = [owner] if owner in turn.state.leavers and turn.tracks[owner].step is Step.LEAVING else []
    going += [name for uuid in service.gpus for name in turn.gates.leavers_on(uuid) if name not in going]
    for name in dict.fromkeys(going):
        leave(turn, name)
    return bool(going)


def _wait_at_gate(turn: Turn, name: str, closed: Closed) -> None:
    """A bounded wait. What we take or give back ourselves is waited for without that bound: it is for what others do."""
    track, _seen, service = turn.of(name)
    turn.closed[name] = closed
    if closed.cause in (Cause.PORT, Cause.MEMORY) and _have_leavers_go(turn, service):
        turn.note(name, since=turn.now)
        return
    since, bound_s = track.since, turn.limits.gate_timeout_s
    if closed.cause is Cause.GROUP:
        # Another host may have to stop what it has first.
        bound_s = max(bound_s, turn.limits.stop_s + group.CARRIED_S)
    elif closed.cause is Cause.UNREADABLE and track.committed is None:
        # One bad answer is asked again, however long the wait was by then; a driver that is gone is not waited for.
        since, bound_s = turn.state.unreadable or since, min(bound_s, turn.limits.doubt_s)
    elif turn.gates.is_moving(service) or _others_come(turn, service, closed):
        turn.note(name, since=turn.now)
        return
    if turn.now - since > bound_s:
        memory = closed.cause in (Cause.MEMORY, Cause.MOVING, Cause.UNREST, Cause.UNREADABLE)
        turn.fail(name, closed.reason, closed.cause, memory=memory, committed=None)


def _others_come(turn: Turn, service: Service, closed: Closed) -> bool:
    """Whether those of ours that have its port or its memory have yet to be replaced, and others are on their way before them."""
    if not any(track.step in IN_FLIGHT for track in turn.tracks.values()):
        return False
    owner = turn.tracks.get(turn.gates.owner(service.port) or "")
    if closed.cause is Cause.PORT:
        return owner is not None and owner.step is Step.WAITING
    return closed.cause is Cause.MEMORY and any(turn.gates.blockers(service)) and turn.gates.could_all_start(service)


def unlock(turn: Turn) -> None:
    """Where everybody waits for a port or for memory that another's old container holds, have those go first that make room.

    Models that change places on their cards or ports are such a ring: one after the other, none of them could begin. A ring of ports is
    taken apart by one model that serves on the port of a surge instance meanwhile.
    """
    if any(track.step in IN_FLIGHT for track in turn.tracks.values()) or not turn.closed:
        return
    if any(closed.cause not in (Cause.PORT, Cause.MEMORY) for closed in turn.closed.values()):
        return
    if any(track.step is Step.WAITING and track.is_coming_bridge for track in turn.tracks.values()):
        return
    if not all(turn.gates.is_believed(turn.state.services[name]) for name in turn.closed):
        # Memory was given back a moment ago, or one reading was off: who can begin is known once the figures have held.
        return
    if bridge := bridges.first(turn.gates, turn.closed):
        turn.to(bridge, Step.DRAINING, bridges=True)
        _drain(turn, bridge)
        return
    for name in turn.closed:
        track, _seen, service = turn.of(name)
        ring = list(turn.gates.blockers(service))
        if track.step is not Step.WAITING or not ring or not turn.gates.could_all_start(service):
            continue
        for one in [name, *ring]:
            if turn.gates.seen(one).container is Container.RUNNING:
                turn.to(one, Step.DRAINING)
                _drain(turn, one)
        return
