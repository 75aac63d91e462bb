# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole bring-ups on a made-up host: whatever changes in a list of models, nothing that serves is lost for it."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout import failure
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout import bringup
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout import lock as lock_module
from ansible_collections.gpuserve.fleet.tests.support.fake_host import FakeHost, Model
from tests.support.disk import FillsAt

A, B = Model("a", 4), Model("b", 6)
MEMORY = "torch.OutOfMemoryError: CUDA out of memory."
ARGUMENT = "vllm: error: unrecognized arguments: --nope"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    return FakeHost(tmp_path).install(monkeypatch)


def served(host: FakeHost, *models: Model, **change: Any) -> dict[str, Any]:
    """A set that serves, and nothing that went wrong on the way."""
    result = host.bring(host.render(*models), **change)
    assert "failures" not in result or result["failures"] == [], failure.message(result["failures"], [], [])
    assert sorted(result["serving"]) == sorted(one.name for one in models)
    assert list((host.folder / "drain").iterdir()) == [], "every drain is undone"
    return result


def changed(model: Model) -> Model:
    return replace(model, version="2")


def said(result: dict[str, Any]) -> str:
    return failure.message(result["failures"], result["restored"], result["serving"], result["missing"])


# Ordinary changes


def test_a_part_of_a_group_whose_other_hosts_tell_nothing_takes_no_other_s_place(host: FakeHost) -> None:
    served(host, A)
    result = host.bring(host.render(replace(changed(A), group="0/2")))
    assert "2 hosts serve it together, and 1 of them is about to start it." in said(result)
    assert result["serving"] == result["restored"] == ["a"] and host.done == []


def test_from_nothing_and_again(host: FakeHost) -> None:
    assert served(host, A, B)["changed"]
    before = dict(host.containers)
    again = served(host, A, B)
    assert (again["changed"], host.done) == (False, [])
    assert host.containers == before


def test_a_set_that_took_another_s_place_is_told_so(host: FakeHost) -> None:
    assert not served(host, A)["replaced"], "there is nothing to go back to"
    assert served(host, changed(A))["replaced"]
    assert not served(host, changed(A))["replaced"], "the one before this set is of an earlier run"


def test_the_first_of_two_leaves_and_the_other_takes_its_port(host: FakeHost) -> None:
    served(host, A, B)
    result = served(host, B)
    assert host.running() == {"vllm-b": 8001}
    assert {"name": "a", "action": "stopped", "reason": "it left the inventory"} in result["models"]
    assert host.done.index("stop vllm-a") < host.done.index("start vllm-b")


def test_two_models_change_places(host: FakeHost) -> None:
    served(host, A, B)
    served(host, B, A)
    assert host.running() == {"vllm-a": 8002, "vllm-b": 8001}


def test_a_model_is_renamed_and_its_port_stays(host: FakeHost) -> None:
    served(host, A, B)
    served(host, A, replace(B, name="z"))
    assert host.running() == {"vllm-a": 8001, "vllm-z": 8002}


def test_a_new_model_is_put_first(host: FakeHost) -> None:
    served(host, A, B)
    served(host, Model("c", 3), A, B)
    assert host.running() == {"vllm-c": 8001, "vllm-a": 8002, "vllm-b": 8003}


def test_two_models_change_cards_that_are_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost(tmp_path, {"GPU-0": 16, "GPU-1": 16}).install(monkeypatch)
    one, two = Model("one", 14, "GPU-0"), Model("two", 14, "GPU-1")
    served(host, one, two)
    served(host, replace(one, gpu="GPU-1"), replace(two, gpu="GPU-0"))
    assert [host.containers[f"vllm-{name}"].gpus for name in ("one", "two")] == [["GPU-1"], ["GPU-0"]]


def test_three_of_eight_gibibytes_are_upgraded_without_a_failure(host: FakeHost) -> None:
    models = [Model(name, 8) for name in ("a", "b", "c")]
    host.gpus["GPU-0"] = int(31.4 * (1 << 30))
    served(host, *models)
    served(host, *map(changed, models), mode="serial")
    for name in "abc":
        # Each is without a server only while it is itself replaced.
        stop = host.done.index(f"stop vllm-{name}")
        between = host.done[stop : host.done.index(f"start vllm-{name}")]
        assert not [other for other in between if other.startswith("stop") and other != f"stop vllm-{name}"]


@pytest.mark.parametrize("mode", ["serial", "parallel"])
def test_models_that_exchange_ports_on_a_full_card_are_each_without_a_server_for_their_own_start(
    host: FakeHost, mode: str
) -> None:
    host.gpus["GPU-0"], host.load_s = 21 * (1 << 30), 40.0
    names = "abc"
    served(host, *(Model(name, 6 + at / 2, port=8001 + at) for at, name in enumerate(names)))
    models = [Model(name, 6 + at / 2, port=8001 + (at + 1) % 3) for at, name in enumerate(names)]
    served(host, *models, mode=mode)
    assert host.running() == {"vllm-a": 8002, "vllm-b": 8003, "vllm-c": 8001}
    # The first one serves on another port meanwhile, and each of the others starts before one more is stopped.
    order = [one for one in host.done if one.split()[0] in ("stop", "start", "surge", "remove")]
    assert order.index("stop vllm-a") < order.index("surge vllm-a-surge") < order.index("start vllm-c")
    assert order.index("stop vllm-c") < order.index("start vllm-c") < order.index("start vllm-a")
    assert not served(host, *models)["changed"]


def test_a_surge_instance_of_an_older_version_is_removed_by_its_label(host: FakeHost) -> None:
    served(host, A, B)
    host.add("vllm-b-beside", "b", 9002, status="running")
    result = served(host, A, B)
    assert host.running() == {"vllm-a": 8001, "vllm-b": 8002}
    assert result["changed"]
    assert [one["name"] for one in result["models"]] == ["a", "b"], "it is no model that left the inventory"


# Surge instances


def test_a_surge_instance_that_could_not_be_is_done_without(host: FakeHost) -> None:
    served(host, A, B)
    host.when["surge vllm-b-surge"] = lambda: host.foreign_ports.add(9002)
    served(host, A, changed(B))
    assert host.running() == {"vllm-a": 8001, "vllm-b": 8002}


def test_a_foreign_container_by_the_name_of_a_surge_instance_is_left_alone(host: FakeHost) -> None:
    served(host, A, B)
    theirs = host.add("vllm-a-surge", "", 5555, stack="", status="running")
    served(host, changed(A), B)
    assert host.containers["vllm-a-surge"] is theirs
    assert not [one for one in host.done if "-surge" in one and not one.startswith("surge")]


def test_a_surge_instance_that_fails_is_explained_and_the_old_one_serves(host: FakeHost) -> None:
    served(host, A, B)
    host.fails["vllm-b-surge"] = ARGUMENT
    result = host.bring(host.render(A, changed(B)))
    assert "does not know an argument it was given: --nope" in said(result)
    assert "The set before is back and proved. Serving now: a, b." in said(result)
    assert (host.folder / "state" / "failed" / "b.log").read_text() == f"{ARGUMENT}\n"
    assert host.running() == {"vllm-a": 8001, "vllm-b": 8002}
    assert "stop vllm-b" not in host.done


def test_a_port_too_high_for_a_surge_instance_is_known_before(host: FakeHost) -> None:
    high = replace(B, port=64801)
    served(host, A, high)
    served(host, A, changed(high))
    assert not [one for one in host.done if one.startswith("surge")]


# Doubts


def test_a_new_key_is_an_ordinary_change(host: FakeHost) -> None:
    host.key = "old"
    served(host, A, B)
    host.key = "new"
    served(host, A, B)
    for name in "ab":
        assert host.done.index(f"surge vllm-{name}-surge") < host.done.index(f"stop vllm-{name}")


def told_of_keys(host: FakeHost) -> dict[str, str]:
    """What a gateway reads of each port's key."""
    return {path.name.partition(":")[2]: path.read_text().split("\n")[0] for path in (host.folder / "keys").iterdir()}


def test_a_gateway_learns_of_a_new_key_with_the_endpoint_that_asks_for_it(host: FakeHost) -> None:
    host.key = "old"
    served(host, A, B)
    assert told_of_keys(host) == {"8001": "old", "8002": "old"}
    host.key = "new"
    seen: list[dict[str, str]] = []
    host.when["surge vllm-a-surge"] = lambda: seen.append(told_of_keys(host))
    host.when["start vllm-a"] = lambda: seen.append(told_of_keys(host))
    served(host, A, B)
    assert seen[0] == {"8001": "old", "8002": "old", "9001": "new"}
    assert (seen[1]["8001"], seen[1]["9001"]) == ("new", "new")
    assert told_of_keys(host) == {"8001": "new", "8002": "new"}
    host.key = ""
    served(host, A)
    assert told_of_keys(host) == {"8001": ""}


def test_a_key_that_can_t_be_renewed_leaves_what_serves_alone(host: FakeHost) -> None:
    host.key = "old"
    served(host, A, B)
    host.key, host.fails["vllm-a-surge"] = "new", ARGUMENT
    result = host.bring(host.render(A, B))
    assert result["restored"] == ["a", "b"]
    assert not [one for one in host.done if one in ("stop vllm-a", "stop vllm-b")]
    assert {one.key for one in host.containers.values()} == {"old"}


def test_a_new_key_where_no_surge_instance_fits_is_said_before_and_costs_each_its_own_start(host: FakeHost) -> None:
    host.gpus["GPU-0"], host.load_s, host.key = 11 * (1 << 30), 40.0, "old"
    served(host, A, B)
    host.key = "new"
    host.containers["vllm-a"].requests = 2
    first = host.bring(host.render(A, B), probe_only=True)
    assert (
        "nobody serves a (about 40 s), b (about 40 s) while the new one starts, since no surge instance" in first["gap"]
    )
    assert f"! {first['gap']}" in first["diff"]["after"].splitlines()
    assert host.done == [], "it is said before anything is done"
    at: dict[str, float] = {}
    drained: dict[str, set[str]] = {}

    def noted(key: str) -> None:
        at[key], drained[key] = host.clock.now, {path.name for path in (host.folder / "drain").iterdir()}

    for what in ("stop vllm-a", "start vllm-a", "stop vllm-b", "start vllm-b"):
        host.when[what] = partial(noted, what.replace("vllm-", ""))
    began = host.clock.now
    served(host, A, B, mode="serial")
    assert {one.key for one in host.containers.values()} == {"new"}
    # What is at work ends first, for as long as it may take; one that is idle goes at once.
    assert at["stop a"] - began >= 20
    assert (drained["stop a"], drained["stop b"]) == ({"127.0.0.1:8001"}, {"127.0.0.1:8002"})
    # Nobody waits for another's start without a server.
    assert at["start a"] < at["stop b"]
    assert at["start a"] - at["stop a"] < 5 and at["start b"] - at["stop b"] < 5
    assert told_of_keys(host) == {"8001": "new", "8002": "new"}


def test_nothing_is_said_where_a_surge_instance_serves_meanwhile(host: FakeHost) -> None:
    served(host, A, B)
    assert host.bring(host.render(changed(A), B), probe_only=True)["gap"] == ""
    # What leaves makes room for it.
    host.gpus["GPU-0"] = int(12.5 * (1 << 30))
    assert host.bring(host.render(changed(A)), probe_only=True)["gap"] == ""
    assert "nobody serves a (about 5 s) while" in host.bring(host.render(changed(A), B), probe_only=True)["gap"]


def test_a_slow_answer_at_the_first_look_changes_nothing(host: FakeHost) -> None:
    served(host, A, B)
    host.containers["vllm-b"].silent = True
    probes: list[float] = []

    def sleep(seconds: float) -> None:
        host.clock.now += seconds
        probes.append(seconds)
        if len(probes) == 2:
            host.containers["vllm-b"].silent = False

    host.clock.sleep = sleep  # type: ignore[method-assign]
    assert not served(host, A, B)["changed"]
    assert host.done == []


def test_an_old_one_that_tells_no_figures_gets_all_its_time(host: FakeHost) -> None:
    host.gpus["GPU-0"] = 11 << 30
    served(host, A, B)
    host.containers["vllm-b"].figures = False
    began: list[float] = []
    host.when["stop vllm-b"] = lambda: began.append(host.clock.now)
    before = host.clock.now
    served(host, A, changed(B))
    assert began[0] - before >= 20, "drain_s, since nobody knows what it is at"


# What was left, and what comes back


def test_drain_files_of_a_run_that_was_killed_are_gone_after_the_next(host: FakeHost) -> None:
    served(host, replace(A, exact=False))
    (host.folder / "drain" / "127.0.0.1:8001").touch()
    served(host, replace(A, exact=False))
    assert host.done == []


def test_what_left_the_stack_serves_on_where_the_rest_fails(host: FakeHost) -> None:
    served(host, A, B)
    host.fails["vllm-c"] = MEMORY
    result = host.bring(host.render(replace(A, port=8001), Model("c", 3, port=8003)))
    assert result["restored"] == ["a", "b"]
    assert host.running() == {"vllm-a": 8001, "vllm-b": 8002}
    assert not [one for one in host.done if one.startswith(("stop vllm-b", "stop vllm-a"))]


def test_the_set_before_comes_back_on_cards_that_the_new_one_does_not_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = FakeHost(tmp_path, {"GPU-0": 32, "GPU-1": 32}).install(monkeypatch)
    served(host, A, Model("b", 26, "GPU-1"))

    def mended() -> None:
        host.fails.clear()

    def fails_once() -> None:
        host.fails["vllm-b"] = ARGUMENT
        host.when["start vllm-b"] = mended

    host.when["start vllm-b"] = fails_once
    locks: list[str] = []
    real = lock_module.GpuLock

    def lock(folder: str, uuid: str, *rest: Any) -> Any:
        locks.append(uuid)
        return real(folder, uuid, *rest)

    monkeypatch.setattr(bringup, "GpuLock", lock)
    result = host.bring(host.render(A, Model("b", 26, "GPU-0")))
    assert locks[:2] == ["GPU-0", "GPU-1"]
    assert result["restored"] == ["a", "b"]
    assert host.containers["vllm-b"].gpus == ["GPU-1"]


def test_a_partial_restore_says_what_is_missing(host: FakeHost) -> None:
    host.gpus["GPU-0"] = 11 << 30
    served(host, A, B)
    host.fails["vllm-b"] = MEMORY
    result = host.bring(host.render(A, changed(B)))
    assert result["restored"] == ["a"]
    assert "Of the set before b did not come back: b did not start: the card's memory ran out." in said(result)
    assert "is back and proved" not in said(result)


def test_back_and_forth(host: FakeHost) -> None:
    served(host, A, B)
    served(host, A, changed(B))
    (host.folder / "drain" / "127.0.0.1:9999").write_text("by hand\n")
    host.bring({"services": [], "plan": {}, "endpoints": []}, rollback=True)
    assert host.containers["vllm-b"].labels["fleet.gpuserve.digest"].startswith("1-")
    host.bring({"services": [], "plan": {}, "endpoints": []}, rollback=True)
    assert host.containers["vllm-b"].labels["fleet.gpuserve.digest"].startswith("2-")
    assert (host.folder / "drain" / "127.0.0.1:9999").exists()


def test_one_that_dies_while_others_start_is_no_part_of_a_proved_set(host: FakeHost) -> None:
    served(host, A)
    kept = host.containers["vllm-a"]
    host.when["start vllm-b"] = lambda: setattr(kept, "status", "exited")
    served(host, A, B)
    assert "it ended while others started" in host.told()
    assert host.running() == {"vllm-a": 8001, "vllm-b": 8002}


@pytest.mark.parametrize(
    ("claims", "seconds"),
    [
        ({"gateway_interval_s": 2.0}, 5.0),
        ({"gateway_interval_s": 10.0}, 21.0),
        ({"drain_dir": None}, 0.0),
        ({"drain_dir": "/nonexistent/of/another"}, 0.0),
    ],
    ids=["as it is", "a slow gateway", "no gateway", "a gateway that is not there yet"],
)
def test_a_replacement_waits_for_as_long_as_the_gateway_takes(
    host: FakeHost, claims: dict[str, Any], seconds: float
) -> None:
    assert bringup.Bringup(host.params(host.render(A), **claims), True).limits().switch_s == seconds


# Several things at once


def test_two_models_exchange_ports_and_get_a_new_image_and_a_new_key_at_once(host: FakeHost) -> None:
    host.key, host.load_s = "old", 40.0  # an engine that listens late
    served(host, replace(A, port=8001), replace(B, port=8002))
    host.key = "new"
    served(host, replace(A, port=8002, version="2"), replace(B, port=8001, version="2"))
    assert host.running() == {"vllm-a": 8002, "vllm-b": 8001}
    assert {one.key for one in host.containers.values()} == {"new"}
    assert told_of_keys(host) == {"8001": "new", "8002": "new"}
    assert not served(host, replace(A, port=8002, version="2"), replace(B, port=8001, version="2"))["changed"]


def test_all_ports_change_at_once(host: FakeHost) -> None:
    host.load_s = 40.0
    names = "abcd"
    served(host, *(Model(name, 2, port=8001 + at) for at, name in enumerate(names)))
    # Each gets the port of the next, the last one that of the first.
    served(host, *(Model(name, 2, port=8001 + (at + 1) % 4) for at, name in enumerate(names)))
    assert host.running() == {f"vllm-{name}": 8001 + (at + 1) % 4 for at, name in enumerate(names)}
    # ... and all of them new ones.
    served(host, *(Model(name, 2, port=8011 + at) for at, name in enumerate(names)))
    assert host.running() == {f"vllm-{name}": 8011 + at for at, name in enumerate(names)}


def test_a_foreign_container_takes_the_name_of_a_surge_instance_in_the_middle(host: FakeHost) -> None:
    served(host, A, B)

    def usurp() -> None:
        host.add("vllm-b-surge", "b", 9999, stack="", status="running")

    host.when["surge vllm-a-surge"] = usurp
    served(host, changed(A), changed(B))
    assert host.running() == {"vllm-a": 8001, "vllm-b": 8002, "vllm-b-surge": 9999}
    assert "stop vllm-b-surge" not in host.done and "remove vllm-b-surge" not in host.done


# 8. Files that go bad


def kept(host: FakeHost) -> tuple[list[Any], list[Any]]:
    """The services of the proved set, and those of the compose file that stands."""
    record = json.loads((host.folder / "stack/proved/plan.json").read_text())
    compose = json.loads((host.folder / "stack/compose.yml").read_text())
    digests = sorted(one["labels"]["fleet.gpuserve.digest"] for one in compose["services"].values())
    return sorted(one["digest"] for one in record["services"]), digests


@pytest.mark.long
@pytest.mark.parametrize("stays", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("fails", [False, True], ids=["an upgrade", "an upgrade that fails"])
def test_a_disk_that_is_full_at_every_write_in_turn_is_never_fatal(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, fails: bool, stays: bool
) -> None:
    # One that stays full is another disk for every write; a few of them are enough beside each write alone.
    for at in itertools.count(1, 5 if stays else 1):
        with monkeypatch.context() as patch:
            host = FakeHost(tmp_path_factory.mktemp("host")).install(patch)
            host.key = "a-key"
            served(host, A, B)
            before = kept(host)[0]
            rendered = host.render(changed(A), changed(B))
            host.fails = {"vllm-b-surge": ARGUMENT} if fails else {}
            with patch.context() as full:
                disk = FillsAt(full, at, stays=stays)
                result = host.bring(rendered)
            # A set that can't be put back leaves a surge instance that was on its way; the next run removes it.
            left = {"vllm-a-surge": 9001} if fails and stays and "vllm-a-surge" in host.running() else {}
            assert host.running() == {"vllm-a": 8001, "vllm-b": 8002, **left}, f"write {at}"
            assert sorted(result["serving"]) == ["a", "b"], f"write {at}"
            assert bool(result.get("failures")) is fails
            if fails:
                assert "does not know an argument it was given" in said(result), f"write {at}"
                proved, stands = kept(host)
                # On a disk without room for a name the rendered set stays, and no engine is started by it.
                assert proved == before and (stands == before or stays), f"write {at}"
            if not disk.refused:
                break
            # With room again the next run has nothing to start, and the set that it keeps is the one that runs.
            host.fails = {}
            served(host, *((A, B) if fails else (changed(A), changed(B))))
            assert not {f"{what} vllm-{name}" for what in ("start", "stop") for name in "ab"} & set(host.done), (
                f"write {at}"
            )
            assert kept(host)[0] == kept(host)[1]
    assert at > 10
