# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hosts that serve a model together: both of them serve or none, by what their bring-ups tell each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout import group
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.decide import Verdict, decide
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import (
    FOREIGN,
    Container,
    News,
    Seen,
    Stage,
    Told,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    ActionKind,
    Cause,
    Limits,
    Part,
    Service,
    Step,
    begin,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB
from ansible_collections.gpuserve.fleet.tests.support.worlds.hand import CARD, SMALL, World

GROUP = "large@192.0.2.1:29501"
HEAD = Service("large", "d1", 8001, (CARD,), 10 * GIB, exact_kv=True, part=Part(GROUP, 0, 2))
MEMBER = replace(HEAD, digest="d2", part=Part(GROUP, 1, 2))
RUNS = Seen(Container.RUNNING, "d2", start_id="one")
ANSWERS = Seen(Container.RUNNING, "d1", start_id="one", healthy=True, serves=True, requests=0)


class Two:
    """Two hosts, and what one tells the other; a host that is absent tells nothing."""

    def __init__(self, *others: Service, limits: Limits | None = None) -> None:
        self.head, self.member = World(HEAD, limits=limits), World(MEMBER, *others, limits=limits)
        self.absent = False
        self.done: set[str] = set()

    def step(self, seconds: float = 1.0) -> None:
        """One probe of each, after what the other said in the one before."""
        told = {
            name: group.news(world.state, world.probe(), name in self.done)
            for name, world in (("gpu1", self.head), ("gpu2", self.member))
        }
        if not self.absent:
            self.head.news = {"gpu2": told["gpu2"]} if told["gpu2"] else {}
        self.member.news = {"gpu1": told["gpu1"]} if told["gpu1"] else {}
        self.head.step(seconds)
        self.member.step(seconds)

    def steps(self, count: int, seconds: float = 1.0) -> None:
        for _step in range(count):
            self.step(seconds)

    @property
    def at(self) -> tuple[Step, Step]:
        return self.head.steps()["large"], self.member.steps()["large"]

    def up(self) -> None:
        """Both engines run, and the first one makes a token."""
        self.steps(6)
        assert self.at == (Step.STARTING, Step.STARTING)
        self.member.seen["large"] = RUNS
        self.head.seen["large"] = ANSWERS
        self.steps(2)


def did(world: World, kind: ActionKind) -> int:
    return sum(action.kind is kind for action in world.done)


def test_a_member_is_ready_once_the_first_host_has_made_a_token() -> None:
    two = Two()
    two.steps(60)
    assert two.at == (Step.STARTING, Step.STARTING), "it runs, and that proves nothing"
    two.head.seen["large"] = ANSWERS
    two.steps(3)
    assert two.at == (Step.READY, Step.READY)
    assert not two.head.state.failed and not two.member.state.failed


def test_no_engine_starts_before_all_hosts_of_its_group_are_there() -> None:
    # However short memory is waited for: another host may have to stop what it has first.
    limits = Limits(gate_timeout_s=0.0, stop_s=10.0)
    two = Two(limits=limits)
    two.absent = True
    two.steps(35)
    assert did(two.head, ActionKind.START) == 0
    two.absent = False
    two.steps(3)
    assert did(two.head, ActionKind.START) == 1

    alone = Two(limits=limits)
    alone.absent = True
    alone.steps(60)
    track = alone.head.state.tracks["large"]
    assert (track.step, track.cause) == (Step.FAILED, Cause.GROUP)
    assert track.reason == "2 hosts serve it together, and 1 of them is about to start it."
    assert did(alone.head, ActionKind.START) == 0


def test_what_serves_is_not_stopped_before_all_hosts_are_there() -> None:
    world = World(HEAD, limits=Limits(gate_timeout_s=30.0, stop_s=10.0))
    old = replace(ANSWERS, digest="d0", restart_policy="unless-stopped")
    for _step in range(60):
        world.step(large=old)
    assert world.steps() == {"large": Step.FAILED}
    assert did(world, ActionKind.STOP) == did(world, ActionKind.DRAIN) == 0


@pytest.mark.parametrize("proved", [False, True])
def test_a_member_that_dies_takes_the_group_with_it(proved: bool) -> None:
    two = Two()
    if proved:
        two.up()
        assert two.at == (Step.READY, Step.READY)
    else:
        two.steps(6)
    two.member.seen["large"] = Seen(Container.EXITED, "d2", exit_code=1)
    two.steps(4)
    assert two.at == (Step.FAILED, Step.FAILED)
    # A head whose member is gone answers /health on and on.
    assert two.head.state.tracks["large"].reason.startswith("gpu2, with which it serves together, failed:")
    assert did(two.head, ActionKind.STOP) == 1
    assert did(two.member, ActionKind.START) == 1, "nobody starts one part alone again"


def test_a_head_that_dies_takes_its_members_with_it() -> None:
    two = Two()
    two.steps(6)
    two.head.seen["large"] = Seen(Container.EXITED, "d1", exit_code=1)
    two.steps(4)
    assert two.at == (Step.FAILED, Step.FAILED)
    assert two.member.state.tracks["large"].reason == "gpu1, with which it serves together, failed: its engine ended."
    assert did(two.member, ActionKind.STOP) == 1


def test_a_host_that_goes_back_to_its_set_before_takes_the_others_back() -> None:
    two = Two()
    two.up()
    two.member.news = {"gpu1": News(2, {})}
    two.member.step()
    assert two.member.steps() == {"large": Step.READY}, "of a set without the group nothing is told"
    two.member.news = {"gpu1": News(2, {GROUP: Told(0, Stage.WAITING)})}
    two.member.step()
    assert two.member.state.tracks["large"].reason == (
        "gpu1, with which it serves together, went back to what it had before."
    )


def test_a_host_that_goes_back_tells_the_groups_that_it_leaves_and_why_it_failed() -> None:
    other = "wide@192.0.2.1:29502"
    before = News(1, {GROUP: Told(1, Stage.FAILED, reason="no memory."), other: Told(0, Stage.STARTING, 7)})
    now = group.carried(before, News(2, {GROUP: Told(1, Stage.WAITING)}))
    assert now.parts[GROUP] == Told(1, Stage.WAITING, reason="no memory.")
    assert now.parts[other].stage is Stage.FAILED
    two = Two()
    two.up()
    two.head.news = {"gpu2": now}
    two.head.step()
    assert two.head.state.tracks["large"].reason == (
        "gpu2, with which it serves together, went back to what it had before: no memory."
    )


def test_a_bring_up_that_ended_without_the_group_fails_it_and_one_that_ended_with_it_does_not() -> None:
    for is_done, step in ((True, Step.READY), (False, Step.FAILED)):
        two = Two()
        two.up()
        parts = {GROUP: Told(0, Stage.PROVED)}
        two.member.news = {"gpu1": News(1, parts, is_done=is_done, has_ended=True)}
        two.member.step()
        assert two.member.steps() == {"large": step}


def test_a_bring_up_ends_once_all_hosts_of_its_groups_are_through() -> None:
    two = Two()
    two.up()
    assert group.is_waited_for(two.head.state, two.head.probe())
    two.done.add("gpu2")
    two.step()
    assert not group.is_waited_for(two.head.state, two.head.probe())
    assert group.is_waited_for(two.member.state, two.member.probe())
    two.done.add("gpu1")
    two.step()
    assert not group.is_waited_for(two.member.state, two.member.probe())
    # What is not of a group waits for nobody.
    alone = World(SMALL)
    assert not group.is_waited_for(alone.state, alone.probe())


def test_without_the_controller_a_start_is_given_up_and_what_serves_is_not() -> None:
    two = Two()
    two.steps(6)
    two.head.news_age_s = two.member.news_age_s = group.SILENT_S + 1
    two.steps(2)
    assert two.at == (Step.FAILED, Step.FAILED)
    assert "the controller is away" in two.member.state.tracks["large"].reason

    two = Two()
    two.up()
    two.head.news_age_s = two.member.news_age_s = group.SILENT_S + 1
    two.steps(2)
    assert two.at == (Step.READY, Step.READY)
    assert not group.is_waited_for(two.head.state, two.head.probe())


def test_a_head_is_not_stalled_while_another_host_has_yet_to_start() -> None:
    # On the second host another model has the card until it is through.
    limits = Limits(stall_timeout_s=20.0)
    two = Two(limits=limits)
    two.steps(3)
    waiting = {"gpu2": News(1, {GROUP: Told(1, Stage.WAITING)})}
    for _step in range(60):
        two.head.news = waiting
        two.head.step()
    assert two.head.steps() == {"large": Step.STARTING}
    starting = {"gpu2": News(1, {GROUP: Told(1, Stage.STARTING, progress=1)})}
    for at in range(60):
        two.head.news = {"gpu2": replace(starting["gpu2"], parts={GROUP: Told(1, Stage.STARTING, at)})}
        two.head.step()
    assert two.head.steps() == {"large": Step.STARTING}, "the group gets on"
    for _step in range(30):
        two.head.news = starting
        two.head.step()
    assert two.head.steps() == {"large": Step.FAILED}
    assert "no line in its log" in two.head.state.tracks["large"].reason


def test_parts_of_groups_start_first_and_in_one_order_everywhere() -> None:
    other = replace(HEAD, name="wide", need_bytes=GIB, part=Part("wide@192.0.2.1:29502", 1, 2))
    for order in ("smallest_first", "largest_first", "listed"):
        for listed in ([SMALL, other, HEAD], [HEAD, other, SMALL]):
            assert begin(listed, order, 0.0).order == ("large", "wide", "small")


def test_a_part_is_kept_unless_another_host_starts_its_own_anew() -> None:
    limits = Limits()
    assert decide(MEMBER, RUNS, limits).verdict is Verdict.KEEP
    assert decide(HEAD, ANSWERS, limits).verdict is Verdict.KEEP
    for service, seen in ((MEMBER, RUNS), (HEAD, ANSWERS)):
        decision = decide(replace(service, anew=True), seen, limits)
        assert (decision.verdict, decision.cause) == (Verdict.START, Cause.GROUP)
    # One without an API needs no port.
    absent, listeners = Seen(), {8001: FOREIGN}
    assert decide(MEMBER, absent, limits, listeners).verdict is Verdict.START
    assert decide(HEAD, absent, limits, listeners).verdict is Verdict.REFUSE
    # A start that was interrupted is begun again with the others.
    begun = replace(ANSWERS, healthy=False, serves=False, age_s=5.0)
    assert decide(replace(HEAD, part=None), begun, limits).verdict is Verdict.FOLLOW
    assert decide(HEAD, begun, limits, doubted_s=limits.doubt_s).verdict is Verdict.START


def test_a_part_that_somebody_starts_again_has_left_its_group() -> None:
    two = Two()
    two.up()
    two.member.seen["large"] = replace(RUNS, start_id="two")
    two.steps(3)
    assert two.at == (Step.FAILED, Step.FAILED)
    assert two.member.state.tracks["large"].reason == "it was started again without its group."


def test_a_kept_part_that_ends_is_not_started_alone() -> None:
    world = World(MEMBER)
    world.step(large=RUNS)
    assert world.steps() == {"large": Step.KEPT}
    world.step(large=Seen(Container.EXITED, "d2"))
    assert world.steps() == {"large": Step.FAILED} and did(world, ActionKind.START) == 0


@pytest.mark.parametrize(
    "found", [None, [], {}, {"parts": 3}, {"parts": {"a": {}}, "attempt": 1, "is_done": True, "has_ended": True}]
)
def test_news_of_another_shape_is_none(found: Any) -> None:
    assert group.read(found) is None


def test_news_is_read_as_it_was_told() -> None:
    told = News(2, {GROUP: Told(1, Stage.FAILED, 7, "no memory")}, is_done=True)
    assert group.read(group.data(told)) == told
