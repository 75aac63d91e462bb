# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What serves is never lost: a failure belongs to one container, and what was proved is followed to the end."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.machine import refuse
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import FOREIGN, Container, Seen
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    Action,
    ActionKind,
    Cause,
    Limits,
    Service,
    Step,
    begin,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB
from ansible_collections.gpuserve.fleet.tests.support.worlds.hand import BEGAN, CARD, LARGE, SERVES, SMALL, World

USED = {CARD: 4 * GIB}
OLD = replace(SERVES, digest="old", used_bytes=USED, start_id="old", port=8001, restart_policy="unless-stopped")
NEW = replace(SERVES, used_bytes=USED, start_id="new", port=8001)
SURGE = replace(SERVES, used_bytes=USED, start_id="surge", port=9001)
SURGING = replace(SMALL, surge=True)
LIMITS = Limits(settle_s=0)
ENDED = Seen(Container.EXITED, "d1", exit_code=1)


def kinds(world: World) -> list[str]:
    return [action.kind.value for action in world.done]


def surging(limits: Limits = LIMITS) -> World:
    """A surge instance of `small` is on its way beside the old one."""
    world = World(SURGING, limits=limits)
    world.step(small=OLD)
    assert kinds(world) == ["start_surge"]
    return world


def draining() -> World:
    """It is proved, and the old one ends its requests."""
    world = surging()
    world.surges["small"] = SURGE
    world.step(small=replace(OLD, requests=3))
    assert world.steps()["small"] is Step.DRAINING
    world.step()
    assert kinds(world) == ["start_surge", "drain"]
    return world


def retiring() -> World:
    """The service itself is proved, and its surge instance ends its requests."""
    world = draining()
    world.step(small=OLD)
    world.until(lambda: "start" in kinds(world))
    world.surges["small"] = replace(SURGE, requests=2)
    world.step(small=NEW)
    assert world.steps()["small"] is Step.RETIRING
    return world


UNPROVED = replace(OLD, restart_policy="no")  # as an interrupted run leaves one that serves


def test_one_that_has_answered_in_this_run_is_not_just_stopped_when_it_falls_silent() -> None:
    """Nobody has proved it, but it served: its requests end first, and not before its successor could start."""
    silent = replace(UNPROVED, healthy=False, serves=False, requests=None)
    for healthy_first, first_act in ((True, "drain"), (False, "stop")):
        world = World(SMALL, LARGE, limits=Limits(settle_s=0, drain_s=20), free=20 * GIB, order="largest_first")
        world.step(small=UNPROVED if healthy_first else silent)
        world.until(lambda world=world: world.steps()["large"] is Step.STARTING)  # type: ignore[misc]
        world.step(small=silent)
        world.step(large=replace(SERVES, digest="d2"))
        world.until(lambda world=world: len(kinds(world)) > 1, bound=20)  # type: ignore[misc]
        assert kinds(world)[:2] == ["start", first_act]


def test_one_that_was_kept_and_falls_silent_is_not_just_stopped_either() -> None:
    kept = replace(UNPROVED, digest="d1")
    world = World(SMALL, LARGE, limits=LIMITS)
    world.step(small=kept)
    assert world.steps()["small"] is Step.KEPT
    silent = replace(kept, healthy=False, serves=False, asked=True)
    world.seen["small"] = silent
    world.until(lambda: world.steps()["large"] is Step.STARTING)
    world.step(20)
    world.step(large=replace(SERVES, digest="d2"))
    world.until(lambda: len(kinds(world)) > 1, bound=30)
    assert kinds(world)[:2] == ["start", "drain"]


# 1. A failure belongs to one container


def test_a_surge_instance_that_docker_has_no_port_or_name_for_is_done_without() -> None:
    for cause in (Cause.PORT, Cause.FOREIGN):
        world = surging()
        world.state = refuse(world.state, world.done[0], "port is already allocated", world.now, cause)
        world.until(lambda world=world: "start" in kinds(world))  # type: ignore[misc]
        assert kinds(world) == ["start_surge", "drain", "stop", "start"]


def test_a_surge_instance_that_docker_refuses_otherwise_leaves_the_old_one_alone() -> None:
    world = surging()
    world.state = refuse(world.state, world.done[0], "no space left on device", world.now)
    world.surges.clear()
    world.step()
    track = world.state.tracks["small"]
    assert (track.step, track.reason, track.cause) == (Step.FAILED, "no space left on device", Cause.REFUSED)
    assert world.state.done
    assert kinds(world) == ["start_surge"], "there is nothing to remove, and nothing is stopped"


def test_a_surge_instance_that_vanishes_is_done_without() -> None:
    for seen in (Seen(), Seen(Container.RUNNING, foreign=True)):
        world = surging()
        world.surges["small"] = seen
        world.step(20)
        world.until(lambda world=world: "start" in kinds(world))  # type: ignore[misc]
        assert kinds(world)[-3:] == ["drain", "stop", "start"]


def test_an_old_one_is_stopped_only_while_its_surge_instance_is_alive() -> None:
    world = draining()
    world.surges["small"] = ENDED
    world.step(small=OLD)
    assert kinds(world) == ["start_surge", "drain", "undrain"]
    assert world.state.tracks["small"].reason == "its surge instance ended 2 s after it was ready."
    world.step()
    assert kinds(world)[-1] == "remove_surge", "after its log was read"
    assert world.state.done


def test_a_surge_instance_that_vanishes_while_the_old_one_drains() -> None:
    world = draining()
    world.surges.clear()
    world.step()
    assert kinds(world) == ["start_surge", "drain", "undrain", "drain"]
    world.step(small=OLD)
    assert kinds(world)[-1] == "stop"


def test_a_surge_instance_that_was_started_again_is_not_the_one_that_was_proved() -> None:
    world = draining()
    world.surges["small"] = replace(SURGE, start_id="another")
    world.step(small=OLD)
    assert world.steps()["small"] is Step.FAILED


def test_a_surge_instance_serves_on_where_the_service_itself_fails() -> None:
    world = draining()
    world.step(small=OLD)
    world.until(lambda: "start" in kinds(world))
    world.step(small=ENDED)
    assert world.steps()["small"] is Step.FAILED
    world.step()
    assert world.state.done
    assert "remove_surge" not in kinds(world)
    assert world.state.serving == ["small"], "by its surge instance"
    assert kinds(world)[-1] == "undrain"


def test_a_start_that_finds_its_port_taken_is_tried_once_more_and_no_other() -> None:
    for cause, step in ((Cause.PORT, Step.WAITING), (Cause.REFUSED, Step.FAILED)):
        world = World(SMALL, limits=LIMITS)
        world.until(lambda world=world: bool(world.started))  # type: ignore[misc]
        action = Action(ActionKind.START, "small")
        world.state = refuse(world.state, action, "words", world.now, cause)
        assert world.steps()["small"] is step
    world = World(SMALL, limits=LIMITS)
    world.until(lambda: bool(world.started))
    for _time in range(2):
        world.seen["small"] = Seen(Container.CREATED, "d1")
        world.state = refuse(world.state, action, "words", world.now, Cause.PORT)
        world.step()
    assert world.state.tracks["small"].reason == "words"


def test_what_docker_refuses_to_remove_fails_nothing() -> None:
    world = retiring()
    for kind in (ActionKind.REMOVE_SURGE, ActionKind.DRAIN, ActionKind.UNDRAIN):
        assert refuse(world.state, Action(kind, "small"), "words", world.now) == world.state


# 2. A port has an owner


def test_drains_go_to_the_port_that_the_running_container_has() -> None:
    world = World(SMALL, limits=LIMITS)
    world.listeners = {7001: "small"}
    world.step(small=replace(OLD, port=7001))
    world.step()
    assert [(action.kind.value, action.port) for action in world.done] == [("drain", 7001), ("stop", 0)]
    world.listeners = {}
    world.step()
    assert [(one.kind.value, one.port) for one in world.done[2:]] == [("undrain", 7001), ("start", 0)]


def test_a_port_of_one_that_left_is_asked_for_and_waited_for() -> None:
    leaver = Service("/vllm-gone", "", 8001, (CARD,), 0, exact_kv=True, leaves=True)
    world = World(SMALL, leaver, limits=replace(LIMITS, gate_timeout_s=10))
    world.listeners = {8001: leaver.name}
    gone = replace(OLD, digest="gone", requests=2)
    world.seen[leaver.name] = gone
    world.step()
    assert [(one.kind.value, one.name, one.port) for one in world.done] == [("drain", leaver.name, 8001)]
    world.step(20)
    assert kinds(world) == ["drain"], "its requests are ended first, however long the gate is"
    world.seen[leaver.name] = replace(gone, requests=0)
    world.step()
    assert kinds(world) == ["drain", "remove"]
    del world.seen[leaver.name]
    world.listeners = {}
    world.step()
    assert kinds(world) == ["drain", "remove", "undrain", "start"]
    world.step(small=NEW)
    assert world.state.done


def test_one_that_left_serves_until_all_others_are_proved() -> None:
    leaver = Service("/vllm-gone", "", 8005, (CARD,), 0, exact_kv=True, leaves=True)
    world = World(SMALL, leaver, limits=LIMITS)
    world.seen[leaver.name] = OLD
    world.step()
    assert kinds(world) == ["start"]
    world.step(20)
    assert not world.state.done
    world.step(small=NEW)
    assert kinds(world)[-1] == "drain"
    failing = World(SMALL, leaver, limits=LIMITS)
    failing.seen[leaver.name] = OLD
    failing.step()
    failing.step(small=ENDED)
    failing.step()
    assert failing.state.done
    assert kinds(failing) == ["start"], "it serves on, as before"


def test_one_that_left_may_go_by_itself_or_lose_its_name() -> None:
    leaver = Service("/vllm-gone", "", 8005, (CARD,), 0, exact_kv=True, leaves=True)
    world = World(SMALL, leaver, limits=LIMITS)
    world.step(small=NEW)
    assert world.steps()[leaver.name] is Step.GONE
    world = World(SMALL, leaver, limits=LIMITS)
    world.seen[leaver.name] = replace(OLD, requests=1)
    world.step(small=NEW)
    assert world.steps()[leaver.name] is Step.DRAINING
    world.seen[leaver.name] = Seen(Container.RUNNING, foreign=True)
    world.step()
    assert world.steps()[leaver.name] is Step.GONE
    assert kinds(world) == ["drain", "undrain"]


def test_a_foreign_port_is_known_before_a_surge_instance_is_started() -> None:
    world = World(SURGING, limits=replace(LIMITS, gate_timeout_s=5))
    world.step(small=replace(OLD, port=7001, healthy=False, serves=False, restart_policy="unless-stopped", digest="d1"))
    world.listeners = {8001: FOREIGN}
    world.seen["small"] = replace(OLD, port=7001)
    for _turn in range(12):
        world.step()
    assert "start_surge" not in kinds(world)


# 4. Not knowing is not knowing


def test_doubts_that_pass_leave_no_trace() -> None:
    world = World(SMALL, limits=LIMITS)
    silent = replace(NEW, serves=False, restart_policy="unless-stopped", healthy=False)
    for _turn in range(4):
        world.step(small=silent)
        assert world.steps()["small"] is Step.WAITING
    world.step(small=NEW)
    assert world.steps()["small"] is Step.KEPT
    assert world.done == []


def test_one_bad_reading_of_memory_ends_no_long_wait() -> None:
    world = World(LARGE, limits=replace(LIMITS, gate_timeout_s=120), free=GIB)
    old = replace(OLD, port=8002)
    for _turn in range(60):
        world.step(large=old)
    world.memory_error = "NVML: unknown error"
    world.step()
    assert world.steps()["large"] is Step.WAITING
    world.memory_error = ""
    world.step()
    world.memory_error = "NVML: driver/library version mismatch"
    for _turn in range(7):
        world.step()
    assert world.steps()["large"] is Step.FAILED, "a driver that is gone is not waited for"
    assert world.state.tracks["large"].cause is Cause.UNREADABLE
    assert world.done == []


def test_nothing_that_serves_is_stopped_for_memory_that_was_read_free_once() -> None:
    world = World(LARGE, limits=Limits(), free=GIB)
    for _turn in range(10):
        world.step(large=replace(OLD, port=8002))
    world.free = 30 * GIB
    world.step()
    world.free = GIB
    world.step()
    assert world.done == []
    world.free = 30 * GIB
    for _turn in range(3):
        world.step()
    assert kinds(world) == ["drain", "stop"]


def test_a_probe_missed_long_ago_and_one_missed_now_are_two_doubts() -> None:
    world = World(LARGE, SMALL, limits=LIMITS, order="listed")
    old = replace(OLD, restart_policy="no", port=8002)
    silent = replace(old, healthy=False, serves=False, requests=None)
    world.step(large=silent)
    assert kinds(world) == ["start"], "small has its turn meanwhile"
    world.step(20, large=old)
    world.step(20, large=silent, small=NEW)
    assert kinds(world) == ["start"]
    world.step(1, large=old)
    assert kinds(world) == ["start", "drain"]


def test_one_that_was_proved_and_is_silent_gets_its_time_to_end() -> None:
    world = World(SMALL, limits=replace(LIMITS, drain_s=30))
    silent = replace(OLD, serves=False, healthy=False, requests=None)
    world.step(small=silent)
    assert kinds(world) == ["drain"]
    world.step(29)
    assert kinds(world) == ["drain"], "nobody knows what it is at"
    world.step(1)
    assert kinds(world) == ["drain", "stop"]


def test_one_that_never_served_is_stopped_once_that_is_sure() -> None:
    world = World(SMALL, limits=LIMITS)
    loading = replace(OLD, serves=False, healthy=False, restart_policy="no")
    for second in range(6):
        world.step(small=loading)
        assert kinds(world) == ([] if second < 5 else ["stop"])
    again = World(SMALL, limits=LIMITS)
    for _second in range(20):
        again.step(4, small=loading)
        again.step(1, small=replace(loading, healthy=True, requests=1))
        assert "stop" not in kinds(again), "it answers now and then"
        if kinds(again):
            break
    assert kinds(again) == ["drain"]


def test_a_card_that_reads_too_full_for_a_moment_stops_nothing() -> None:
    world = World(SMALL, limits=replace(LIMITS, tolerance_bytes=GIB // 2))
    world.until(lambda: bool(world.started))
    world.free = 100 << 20
    world.step(small=NEW)
    world.free = 20 * GIB
    world.step(2)
    assert world.steps()["small"] is Step.READY


# 6. What was proved is followed


def test_a_kept_one_that_ends_is_started_once_more() -> None:
    world = World(LARGE, SMALL, limits=replace(LIMITS, parallel=2))
    world.step(small=NEW)
    assert world.steps()["small"] is Step.KEPT
    world.step(small=ENDED)
    assert ("start", "small") in [(one.kind.value, one.name) for one in world.done]
    world.step(small=NEW)
    assert world.steps()["small"] is Step.READY
    world.step(small=ENDED)
    assert world.steps()["small"] is Step.FAILED


def test_a_kept_one_whose_name_is_usurped_has_failed() -> None:
    world = World(LARGE, SMALL, limits=LIMITS)
    world.step(small=NEW)
    world.step(small=Seen(Container.RUNNING, foreign=True))
    assert world.steps()["small"] is Step.FAILED
    assert world.state.tracks["small"].reason.startswith("a container named vllm-small is there and is not ours")


def test_a_proof_counts_for_one_start_of_one_container() -> None:
    for proved, step in ((retiring, Step.RETIRING), (retiring, Step.READY)):
        world = proved()
        if step is Step.READY:
            world.surges["small"] = SURGE
            world.step()
            world.surges["small"] = Seen()
            world.step()
        assert world.steps()["small"] is step
        world.step(small=replace(NEW, start_id="again", serves=False, healthy=False, age_s=3.0))
        assert world.steps()["small"] is Step.STARTING
        assert world.state.tracks["small"].started == world.now - 3
        world.step(small=replace(NEW, start_id="again"))
        assert world.steps()["small"] in (Step.RETIRING, Step.READY)


def test_memory_of_a_surge_instance_is_there_for_others_once_it_is_gone() -> None:
    world = retiring()
    world.surges["small"] = SURGE
    world.step()
    assert kinds(world)[-1] == "remove_surge"
    world.step(20)
    assert world.steps()["small"] is Step.RETIRING, "it was told to go, and is still there"
    assert kinds(world).count("remove_surge") == 1
    world.surges["small"] = Seen()
    world.step()
    assert world.steps()["small"] is Step.READY
    stuck = retiring()
    stuck.surges["small"] = SURGE
    stuck.step()
    stuck.step(stuck.limits.stop_s + 1)
    assert stuck.steps()["small"] is Step.READY, "one that does not go keeps nobody waiting for ever"


def test_one_that_ends_beside_its_surge_instance_leaves_that_to_serve() -> None:
    world = retiring()
    world.step(small=ENDED)
    assert world.steps()["small"] is Step.FAILED
    world.step()
    assert world.state.done
    assert world.state.serving == ["small"]
    assert "remove_surge" not in kinds(world)


def test_docker_that_restarts_after_a_proof_costs_a_second_start() -> None:
    for end in (False, True):
        world = retiring()
        if end:
            world.surges["small"] = SURGE
            world.step()
        world.docker_restarted = world.now + 1
        world.step(small=ENDED)
        assert world.steps()["small"] in (Step.WAITING, Step.STARTING)
        assert world.state.tracks["small"].retried == "Docker was restarted after it was ready"


def test_a_last_look_finds_what_hangs() -> None:
    world = World(SMALL, limits=LIMITS)
    world.step(small=NEW)
    assert world.state.done
    hangs = replace(NEW, asked=True, healthy=False, serves=False)
    world.step(small=hangs)
    assert not world.state.done, "asked again first"
    world.step(5)
    assert world.state.tracks["small"].reason == "it answers no more on /health"
    assert not world.state.done
    calm = World(SMALL, limits=LIMITS)
    calm.step(small=NEW)
    calm.step(small=hangs)
    calm.step(2, small=replace(NEW, asked=True))
    assert calm.state.done
    assert calm.steps()["small"] is Step.KEPT


# 7. Both victims of a race for memory


def test_every_victim_of_a_race_for_memory_gets_its_second_try() -> None:
    world = World(LARGE, SMALL, limits=replace(LIMITS, parallel=2))
    world.until(lambda: len(world.started) == 2)
    spoiled = Seen(Container.EXITED, exit_code=1, memory_failure=True)
    world.step(small=spoiled)
    world.step(large=spoiled)
    assert Step.FAILED not in world.steps().values()
    world.until(lambda: world.state.done, {"small": 3, "large": 3})
    assert set(world.steps().values()) == {Step.READY}


def test_one_that_was_started_alone_has_nobody_else_to_blame() -> None:
    world = World(LARGE, SMALL, limits=replace(LIMITS, parallel=2))
    world.state = replace(world.state, alone="x")
    world.until(lambda: bool(world.started))
    world.step(small=Seen(Container.EXITED, exit_code=1, memory_failure=True))
    assert world.steps()["small"] is Step.FAILED


def test_a_second_try_that_finds_the_card_full_is_no_failed_start() -> None:
    world = World(LARGE, SMALL, limits=replace(LIMITS, parallel=2, gate_timeout_s=5))
    world.until(lambda: len(world.started) == 2)
    world.free = GIB
    world.step(small=NEW, large=Seen(Container.EXITED, exit_code=1, memory_failure=True))
    world.until(lambda: world.state.done, bound=20)
    track = world.state.tracks["large"]
    assert (track.step, track.cause, track.memory, track.started) == (Step.FAILED, Cause.MEMORY, True, None)


# 9. Nobody waits for ever


def test_a_container_that_does_not_end_is_told_again_and_then_named() -> None:
    world = World(SMALL, limits=replace(LIMITS, stop_s=40))
    world.step(small=OLD)
    world.step()
    assert kinds(world) == ["drain", "stop"]
    for _second in range(40):
        world.step(small=OLD)  # Docker said yes, and it runs on
    assert kinds(world) == ["drain", "stop", "stop", "stop"]
    assert not world.state.done
    world.step(small=OLD)
    assert world.state.tracks["small"].reason.startswith("its container does not end, 40 s after it was told to")
    world.step()
    assert world.state.done
    assert kinds(world)[-1] == "undrain"


def test_a_name_usurped_in_the_middle_ends_in_a_sentence_at_once() -> None:
    for reach in (surging, draining, retiring):
        world = reach()
        before = len(world.done)
        world.step(small=Seen(Container.RUNNING, foreign=True))
        assert world.state.tracks["small"].reason.startswith("a container named vllm-small is there and is not ours")
        world.step()
        touched = [one for one in kinds(world)[before:] if one not in ("undrain", "remove_surge")]
        assert touched == []


def test_everything_is_timed_from_when_it_began() -> None:
    state = begin([SMALL], "listed", BEGAN)
    assert {track.since for track in state.tracks.values()} == {BEGAN}
