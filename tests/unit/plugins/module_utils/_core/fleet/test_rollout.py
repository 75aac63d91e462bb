# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout in steps: who goes first, how many at once, when it stops, where it goes on."""

from __future__ import annotations

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.claim import Claim
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.rollout import (
    Journal,
    Step,
    begun,
    bound,
    check_alone,
    end_screen,
    is_stopped,
    parse_steps,
    plan,
    steps_of,
    unfinished,
)

USUAL = parse_steps([1, "25%", "100%"])
FORTY = [f"gpu{at:02d}" for at in range(40)]


def test_steps_are_numbers_and_shares() -> None:
    assert parse_steps([1, "25%", "100%"]) == (Step(hosts=1), Step(percent=25), Step(percent=100))
    assert parse_steps("25 %") == (Step(percent=25),)
    assert parse_steps("3") == (Step(hosts=3),)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (["0%"], "gpuserve_rollout_steps[0]: a step of 0 % changes no host, and would never end."),
        ([1, 0], "gpuserve_rollout_steps[1]: a step of 0 hosts changes none, and would never end."),
        (["101%"], "gpuserve_rollout_steps[0]: 101 % is more than all hosts."),
        ([-1], "gpuserve_rollout_steps[0]: -1 is no step."),
        ([True], "gpuserve_rollout_steps[0]: True is no step."),
        (["half"], "gpuserve_rollout_steps[0]: 'half' is no step."),
        ([], "gpuserve_rollout_steps: it is empty."),
        ([{}], "gpuserve_rollout_steps[0]: {} is no step."),
    ],
)
def test_what_is_no_step_is_refused(written: object, said: str) -> None:
    with pytest.raises(FleetError) as refused:
        parse_steps(written)
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize(
    ("hosts", "steps", "batches"),
    [
        (40, [1, "25%", "100%"], (1, 10, 29)),
        (1, [1, "25%", "100%"], (1,)),
        (3, [1, "25%", "100%"], (1, 1, 1)),
        (10, [2], (2, 2, 2, 2, 2)),
        (10, ["30%"], (3, 3, 3, 1)),
        (2, ["1%"], (1, 1)),
        (5, [100], (5,)),
        (0, [1], ()),
    ],
)
def test_every_host_is_in_one_step(hosts: int, steps: list[object], batches: tuple[int, ...]) -> None:
    found = plan(FORTY[:hosts], parse_steps(steps))
    assert found.batches == batches
    assert found.hosts == tuple(FORTY[:hosts])


def test_canaries_go_first() -> None:
    found = plan(FORTY, USUAL, {"gpu31", "gpu07"})
    assert found.hosts[:3] == ("gpu07", "gpu31", "gpu00")
    assert sorted(found.hosts) == FORTY


@pytest.mark.parametrize(
    ("steps", "canaries", "together", "hosts", "batches"),
    [
        # The canary is one of two hosts that serve a model together: both are.
        ([1, "100%"], {"d"}, [{"b", "d"}], "bdacef", (2, 4)),
        # A step without room for both takes neither, and the next one does.
        ([3], (), [{"c", "d"}, {"e", "f"}], "abcdef", (2, 2, 2)),
        (["50%"], (), [{"b", "f"}], "abfcde", (3, 3)),
        # A host of two groups has three change together.
        ([1], (), [{"a", "c"}, {"c", "e"}], "acebdf", (3, 1, 1, 1)),
        # Who is not of this run binds nobody.
        ([1], (), [{"a", "z"}], "abcdef", (1, 1, 1, 1, 1, 1)),
    ],
)
def test_hosts_that_serve_a_model_together_are_never_in_two_steps(
    steps: list[object], canaries: set[str], together: list[set[str]], hosts: str, batches: tuple[int, ...]
) -> None:
    found = plan("abcdef", parse_steps(steps), canaries, together=together)
    assert ("".join(found.hosts), found.batches) == (hosts, batches)


def test_a_resumed_rollout_takes_a_group_again_unless_all_of_it_is_done() -> None:
    asked = dict.fromkeys("abcd", "v2")
    journal = Journal({"a": "v2", "b": "v2"}, {"c": "no token"}, tuple("abcd"))
    found = plan("abcd", parse_steps([1]), (), journal, asked, [{"b", "c"}])
    assert (found.skipped, found.hosts, found.batches) == (("a",), ("b", "c", "d"), (2, 1))
    assert plan("abcd", parse_steps([1]), (), journal, asked, [{"a", "b"}]).skipped == ("a", "b")


def test_bound_hosts_stand_where_the_first_of_them_does() -> None:
    assert bound("dcba", [{"a", "c"}]) == [("d",), ("c", "a"), ("b",)]
    assert bound("abc", []) == [("a",), ("b",), ("c",)]


def test_a_resumed_rollout_goes_on_with_the_step_that_it_stopped_in() -> None:
    asked = dict.fromkeys(FORTY, "v2")
    done = Journal(dict.fromkeys(FORTY[:4], "v2"), {"gpu04": "no token"}, tuple(FORTY))
    assert done.is_unfinished
    found = plan(FORTY, USUAL, (), done, asked)
    assert found.hosts == tuple(FORTY[4:]) and found.skipped == tuple(FORTY[:4])
    assert found.batches == (7, 29), "the canary and three hosts of the second step are done"
    # A host that is asked for something else by now is changed again, and is a canary again.
    other = plan(FORTY, USUAL, (), done, {**asked, "gpu00": "v3"})
    assert other.hosts[0] == "gpu00" and sum(other.batches) == 37
    assert plan(FORTY[:4], USUAL, (), done, asked).batches == ()


def test_a_limit_keeps_what_is_done() -> None:
    journal = Journal({"gpu00": "v2"}, {}, tuple(FORTY))
    assert plan(["gpu00", "gpu09"], USUAL, (), journal, dict.fromkeys(FORTY, "v2")).hosts == ("gpu09",)


def test_it_stops_after_more_failures_than_are_allowed() -> None:
    failed = Journal({}, {"gpu01": "no token"}, tuple(FORTY))
    assert is_stopped(failed, 0)
    assert not is_stopped(failed, 1)
    assert not is_stopped(Journal(), 0)


def test_one_screen_says_what_failed_who_has_what_and_how_to_go_on() -> None:
    journal = Journal(dict.fromkeys(FORTY[:11], "v2"), {"gpu31": "qwen did not start:\nno memory"}, tuple(FORTY))
    assert end_screen(journal, 0) == [
        "stopped: 1 failure, and gpuserve_max_failed allows 0.",
        "  gpu31        qwen did not start: no memory",
        "11 hosts with the new set, 1 failed, 28 not touched.",
        "Go on: -e gpuserve_resume=true     Back: playbooks/rollback.yml -l HOSTS, for those with the new set",
    ]
    many = Journal({"gpu00": "v2"}, dict.fromkeys(FORTY[1:9], "no"), tuple(FORTY[:10]))
    lines = end_screen(many, 8)
    assert lines[0] == "ended: 8 failures, which gpuserve_max_failed (8) allows." and "  and 2 more" in lines
    assert "1 host with the new set, 8 failed, 1 not touched." in lines


@pytest.mark.parametrize("kept", [None, [], {}, {"hosts": 3}, "text"])
def test_a_journal_of_another_shape_counts_as_none(kept: object) -> None:
    assert Journal.read(kept) == Journal()


def test_a_journal_is_read_as_it_was_written() -> None:
    journal = Journal({"a": "v1"}, {"b": "no"}, ("a", "b"), ("a", "b"))
    assert Journal.read(journal.data()) == journal
    assert not Journal({"a": "v1"}, {}, ("a",)).is_unfinished


def test_a_host_fails_or_is_done_and_one_that_ended_in_neither_failed_too() -> None:
    journal = Journal(hosts=("a", "b", "c")).with_started("ab")
    assert journal.lost == ("a", "b") and journal.after([["a", "b"]], 0).failed.keys() == {"a", "b"}
    # One of the step that was not there before its turn did not fail in it.
    assert journal.after([["a", "b", "c"]], 0).failed.keys() == {"a", "b"}
    journal = journal.with_failed("a", "no token").with_done("ab", {"a": "v2", "b": "v2"})
    assert journal.after([["a", "b"]], 0) == journal and journal.lost == ()
    assert (journal.done, journal.failed) == ({"b": "v2"}, {"a": "no token"})
    assert journal.with_failed("b", "later").done == {}


def test_a_step_that_none_of_its_hosts_began_proved_nothing() -> None:
    journal = Journal(hosts=tuple("abcd"))
    steps = [["a"], ["b"], ["c", "d"]]
    # A canary that was not there is a failure, and whoever comes after it was not touched.
    failed = journal.after(steps, 0)
    assert failed.failed == {"a": "it was not there when its turn came: out of reach before, or failed before."}
    assert end_screen(failed, 0)[-2] == "0 hosts with the new set, 1 failed, 3 not touched."
    # Where that is allowed, the others have their turn.
    assert journal.with_started("b").with_done("b", {"b": "v2"}).with_started("c").after(steps, 1).failed.keys() == {
        "a",
        "c",
    }
    assert journal.after(steps, 1).failed.keys() == {"a", "b"}
    assert journal.after([], 0) == journal


def test_the_steps_before_the_one_of_a_host_are_over() -> None:
    assert steps_of("abcd", [1, 2, 1]) == [["a"], ["b", "c"], ["d"]]
    assert steps_of("abcd", [1, 2, 1], "c") == [["a"]] and steps_of("abcd", [1, 2, 1], "a") == []
    assert steps_of("", [1]) == steps_of("ab", []) == []


def test_a_rollout_that_reached_no_end_is_told_with_whoever_came_to_none() -> None:
    journal = Journal({"a": "v2"}, {}, tuple("abc"), ("a", "b"))
    said = (
        "A rollout before is unfinished (1 of 3 hosts done, b came to no end): -e gpuserve_resume=true goes on there."
    )
    assert unfinished(journal) == said
    assert unfinished(journal.with_failed("b", "no")) == said.replace(", b came to no end", "")


def test_a_run_begins_its_journal_anew_unless_it_goes_on_or_is_for_some_hosts_only() -> None:
    before = Journal({"a": "v1", "b": "v1"}, {"c": "no"}, ("a", "b", "c", "d"), ("a", "b", "c"))
    asked = dict.fromkeys("abcd", "v1")
    assert begun(before, "abcd", asked, False, False) == Journal(hosts=("a", "b", "c", "d"))
    resumed = begun(before, "abcd", {**asked, "b": "v2"}, True, False)
    assert resumed == Journal({"a": "v1"}, {}, ("a", "b", "c", "d"))
    limited = begun(before, "ae", {**asked, "e": "v1"}, False, True)
    assert limited == Journal({"b": "v1"}, {}, ("a", "b", "c", "d", "e"))


def test_two_runs_of_one_controller_are_not_at_one_journal() -> None:
    mine, theirs = Claim("aaaa", "operator-a", "desk-1", 11), Claim("bbbb", "operator-b", "desk-1", 12, "noon")
    journal = Journal.read({"hosts": ["a"], "run": theirs.data()})
    assert journal.run == theirs and Journal.read(journal.data()) == journal
    with pytest.raises(FleetError) as refused:
        check_alone(journal, mine, lambda _run: False)
    assert str(refused.value).startswith(
        "these hosts are being changed by a run of operator-b on desk-1, since noon (process 12)."
    )
    # It is no more; of another controller, where a process of that number is somebody else's; mine; nobody's.
    check_alone(journal, mine, lambda _run: True)
    check_alone(journal, Claim("aaaa", "operator-a", "desk-2"), lambda _run: False)
    check_alone(journal, theirs, lambda _run: False)
    check_alone(Journal(hosts=("a",)), mine, lambda _run: False)
