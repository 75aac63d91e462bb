# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole bring-ups of two made-up hosts that serve a model together: what serves, and what is back where it does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout import failure
from ansible_collections.gpuserve.fleet.tests.support.fake_group import Hosts
from ansible_collections.gpuserve.fleet.tests.support.fake_host import Model

LARGE, SMALL = Model("large", 10), Model("small", 4, port=8005)


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    return Hosts(tmp_path, monkeypatch, "gpu1", "gpu2")


def bring(two: Hosts, *models: Model, elsewhere: tuple[Model, ...] = ()) -> dict[str, dict[str, Any]]:
    """A run on both; `elsewhere` is what the second one serves besides."""
    first, second = two.hosts
    return two.bring(
        gpu1=first.render(*(replace(one, group="0/2" if one.name != "small" else "") for one in models)),
        gpu2=second.render(*(replace(one, group="1/2" if one.name != "small" else "") for one in models), *elsewhere),
    )


def serving(result: dict[str, dict[str, Any]]) -> list[list[str]]:
    return [sorted(result[host]["serving"]) for host in ("gpu1", "gpu2")]


def said(result: dict[str, Any]) -> str:
    return failure.message(result["failures"], result["restored"], result["serving"], result["missing"])


def actions(two: Hosts) -> list[list[str]]:
    return [host.done for host in two.hosts]


def works(two: Hosts) -> bool:
    return all(host.is_whole("large") for host in two.hosts)


def test_from_nothing_and_again(two: Hosts) -> None:
    result = bring(two, LARGE)
    assert serving(result) == [["large"], ["large"]] and works(two)
    assert [host.part().policy for host in two.hosts] == ["no", "no"], "no part of a group comes back alone"
    assert result["gpu1"]["generating"] == ["large"] and result["gpu2"]["generating"] == []
    assert [len(result[host]["report"]) for host in ("gpu1", "gpu2")] == [1, 0]
    again = bring(two, LARGE)
    assert serving(again) == [["large"], ["large"]] and actions(two) == [[], []]
    assert not any(one["changed"] for one in again.values())


def test_a_change_replaces_all_parts_and_no_surge_instance_is_tried(two: Hosts) -> None:
    bring(two, LARGE)
    result = bring(two, replace(LARGE, version="2"))
    assert serving(result) == [["large"], ["large"]] and works(two)
    for done in actions(two):
        assert [text for text in done if not text.startswith("remove")] == ["stop vllm-large", "start vllm-large"]


@pytest.mark.parametrize("dead", [0, 1])
def test_a_group_of_which_one_has_died_is_started_again_whole(two: Hosts, dead: int) -> None:
    bring(two, LARGE)
    two.hosts[dead].dies()
    result = bring(two, LARGE)
    assert serving(result) == [["large"], ["large"]] and works(two)
    assert all("start vllm-large" in done for done in actions(two))


@pytest.mark.parametrize("fails", [0, 1])
def test_where_one_part_fails_both_hosts_have_the_set_before(two: Hosts, fails: int) -> None:
    bring(two, LARGE)
    host = two.hosts[fails]
    host.fails["vllm-large"] = "torch.OutOfMemoryError: CUDA out of memory."
    # Only the new one fails.
    host.when["start vllm-large"] = lambda: host.at.update({5.0: host.fails.clear})
    result = bring(two, replace(LARGE, version="2"))
    assert serving(result) == [["large"], ["large"]] and works(two)
    assert [one.part().labels["fleet.gpuserve.digest"][0] for one in two.hosts] == ["1", "1"]
    assert [result[name]["restored"] for name in ("gpu1", "gpu2")] == [["large"], ["large"]]
    other = ("gpu1", "gpu2")[1 - fails]
    told = said(result[other])
    assert f"{host.name}, with which it serves together" in told and "its engine ended" in told
    assert "memory" in said(result[host.name]), "the host that failed knows why"


def test_one_that_dies_once_all_are_ready_takes_both_back(two: Hosts) -> None:
    bring(two, LARGE)
    # The second host is at another model when the group is ready.
    two.hosts[1].fails["vllm-small"] = "vllm: error: unrecognized arguments: --nope"
    result = bring(two, replace(LARGE, version="2"), elsewhere=(SMALL,))
    assert serving(result) == [["large"], ["large"]] and works(two)
    assert [one.part().labels["fleet.gpuserve.digest"][0] for one in two.hosts] == ["1", "1"]
    assert "gpu2, with which it serves together, went back to what it had before" in said(result["gpu1"])
    assert "--nope" in said(result["gpu2"])


def test_from_nothing_a_part_that_fails_leaves_no_other_one_running(two: Hosts) -> None:
    two.hosts[1].fails["vllm-large"] = "vllm: error: unrecognized arguments: --nope"
    result = bring(two, LARGE)
    assert serving(result) == [[], []]
    assert "running" not in [host.part().status for host in two.hosts]


def test_a_host_that_changes_something_else_leaves_the_group_alone(two: Hosts) -> None:
    bring(two, LARGE)
    result = bring(two, LARGE, elsewhere=(SMALL,))
    assert serving(result) == [["large"], ["large", "small"]]
    assert actions(two) == [[], ["start vllm-small"]]
    two.hosts[1].fails["vllm-small"] = "vllm: error: unrecognized arguments: --nope"
    result = bring(two, LARGE, elsewhere=(replace(SMALL, version="2"),))
    two.hosts[1].fails.clear()
    assert "large" in result["gpu2"]["serving"] and works(two)
    assert not any("large" in text for done in actions(two) for text in done)


def test_a_host_whose_others_do_not_come_changes_nothing(two: Hosts) -> None:
    result = two.bring(gpu1=two.hosts[0].render(replace(LARGE, group="0/2")))["gpu1"]
    assert result["failed"] is True
    assert result["msg"].startswith("2 hosts serve large together, and 1 came within 600 s.")
    assert two.hosts[0].done == [] and two.hosts[0].containers == {}


def test_without_anybody_who_carries_news_no_part_starts(two: Hosts) -> None:
    for host in two.hosts:
        host.is_carried = False
    result = bring(two, LARGE)
    assert serving(result) == [[], []] and actions(two) == [[], []]
    assert "2 hosts serve it together, and 1 of them is about to start it." in said({**result["gpu1"]})
