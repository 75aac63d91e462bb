# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bring-up says that it would do, before it does anything."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.concurrency import Mode
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.decide import Decision, Verdict
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.dry_run import (
    decisions,
    fits,
    forecast,
    is_doubtful,
    is_settled,
    of_unserved,
    starting,
    unkept,
    unserved,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import (
    FOREIGN,
    Container,
    Observation,
    Seen,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import Cause, Limits, Service
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.target import Target
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB

ONE, TWO = "GPU-1", "GPU-2"
NAMES = ("new", "changed", "kept", "nopull", "usurped", "begun", "silent")


def target(*names: str, gpus: dict[str, list[str]] | None = None, inexact: tuple[str, ...] = ()) -> Target:
    services = [
        {"name": name, "digest": name, "port": 8001 + at, "container": f"vllm-{name}", "image": "i"}
        for at, name in enumerate(names)
    ]
    models = [
        {
            "name": name,
            "gpu_uuids": (gpus or {}).get(name, [ONE]),
            "total_bytes": 4 * GIB,
            "exact_kv": name not in inexact,
            "kv_cache_bytes": 1,
        }
        for name in names
    ]
    return Target.of({"services": services, "plan": {"gpus": [{"models": models}]}})


def serving(name: str, **change: Any) -> Seen:
    return Seen(Container.RUNNING, name, healthy=True, serves=True, restart_policy="unless-stopped", **change)


FIRST = Observation(
    {
        "new": Seen(),
        "changed": serving("old", used_bytes={ONE: 3 * GIB}),
        "kept": serving("kept"),
        "nopull": Seen(image_present=False),
        "usurped": Seen(Container.RUNNING, foreign=True),
        "begun": Seen(Container.RUNNING, "begun", age_s=10.0),
        "silent": Seen(Container.RUNNING, "silent", healthy=True),
    },
    {ONE: 10 * GIB, TWO: GIB},
)
MODE = Mode("parallel", "why")
START = Decision(Verdict.START, Cause.NEW, "it is new")


def test_a_forecast_names_each_model_what_is_done_with_it_and_why() -> None:
    aim = target(*NAMES)
    found = forecast(aim, FIRST, decisions(aim, FIRST, Limits()), ["vllm-gone"], MODE, GIB)
    assert found["models"] == [
        {"name": "new", "action": "start", "reason": "it is new"},
        {"name": "changed", "action": "start", "reason": "its settings changed"},
        {"name": "kept", "action": "kept", "reason": "it serves, and nothing of it changed"},
        {"name": "nopull", "action": "start", "reason": "it is new"},
        {
            "name": "usurped",
            "action": "failed",
            "reason": "a container named vllm-usurped is there and is not ours: remove or rename it, or rename the model.",
        },
        {"name": "begun", "action": "starting", "reason": "an earlier run began its start"},
        {"name": "silent", "action": "kept", "reason": "it runs and did not answer: asked again"},
    ]
    assert found["changed"] is True
    assert found["mode"] == {"mode": "parallel", "reason": "why"}
    assert found["serving"] == ["kept", "silent"]
    assert found["report"] == []
    assert found["diff"] == {
        "before": "",
        "after": (
            "- gone: stopped and removed, it left the inventory\n"
            "+ new: started, it is new\n"
            "+ changed: replaced, its settings changed\n"
            "+ nopull: started, it is new\n"
            "= GPU-1: needs 12.00 GiB, 10.00 GiB free and 3.00 GiB given back by what is replaced: fits\n"
        ),
    }


def test_who_is_without_a_server_is_said_before() -> None:
    aim = target("a", "b", "c", "d", "e")
    services = [replace(one, surge=one.name != "b") for one in aim.services]
    old = serving("old", used_bytes={ONE: 4 * GIB})
    seen = {"a": old, "b": old, "c": serving("c"), "d": Seen(Container.EXITED, "old"), "e": replace(old, healthy=False)}
    limits = Limits(min_headroom_bytes=GIB)
    # b can have none; a and e, which missed an answer, need 5 GiB beside the old one.
    assert unserved(services, Observation(seen, {ONE: 5 * GIB}), limits) == ["b"]
    assert unserved(services, Observation(seen, {ONE: 5 * GIB - 1}), limits) == ["a", "b", "e"]
    leaves = Service("/vllm-x", "", 9, (ONE,), 0, exact_kv=True, leaves=True)
    with_it = Observation({**seen, "/vllm-x": serving("x", used_bytes={ONE: GIB})}, {ONE: 4 * GIB})
    assert unserved([*services, leaves], with_it, limits) == ["b"], "what leaves makes room"
    assert unserved(
        services, Observation({**seen, "a": replace(old, restart_policy="no", healthy=False)}, {}), limits
    ) == [
        "b",
        "e",
    ], "one that never served is missed by nobody"


def test_what_is_said_of_them() -> None:
    assert of_unserved([], {"a": 3}) == ""
    said = of_unserved(["a", "b"], {"a": 81.6})
    assert said.startswith("nobody serves a (about 82 s), b while the new one starts, since no surge instance fits")
    found = forecast(target("a"), Observation({"a": Seen()}, {}), {"a": START}, [], MODE, GIB, said)
    assert (found["gap"], found["diff"]["after"].splitlines()[-1]) == (said, f"! {said}")


def test_where_nothing_is_to_be_done_nothing_is_said() -> None:
    aim = target("kept")
    found = forecast(aim, FIRST, decisions(aim, FIRST, Limits()), [], MODE, GIB)
    assert (found["changed"], found["diff"]) == (False, {"before": "", "after": ""})


@pytest.mark.parametrize(
    ("name", "leftovers", "policy"), [("new", [], ""), ("kept", ["vllm-x"], "unless-stopped"), ("kept", [], "no")]
)
def test_each_kind_of_change_is_a_change(name: str, leftovers: list[str], policy: str) -> None:
    aim = target(name)
    seen = FIRST.services[name]
    first = Observation({name: Seen(**{**vars(seen), "restart_policy": policy})}, FIRST.free_bytes)
    found = forecast(aim, first, decisions(aim, first, Limits()), leftovers, MODE, GIB)
    assert found["changed"] is True
    assert len(found["diff"]["after"].splitlines()) == (2 if name == "new" else 1)


def test_what_an_interrupted_run_left_is_given_its_policy_where_docker_may_start_it() -> None:
    aim = target("a", "b", "c", "d", inexact=("b",))
    seen = {name: Seen(Container.RUNNING, name, healthy=True, serves=True, restart_policy="no") for name in "abc"}
    first = Observation({**seen, "c": serving("c"), "d": Seen(Container.EXITED, "d", restart_policy="no")}, {})
    decided = decisions(aim, first, Limits())
    assert unkept(aim, first, decided) == ["a"]
    lines = forecast(aim, first, decided, [], MODE, GIB)["diff"]["after"].splitlines()
    assert "~ a: Docker starts it again from now on" in lines


def test_a_made_container_is_started_and_one_that_ran_is_replaced() -> None:
    aim = target("a", "b")
    first = Observation({"a": Seen(Container.CREATED, "a"), "b": Seen(Container.EXITED, "b")}, {})
    lines = forecast(aim, first, decisions(aim, first, Limits()), [], MODE, GIB)["diff"]["after"].splitlines()
    assert lines == ["+ a: started, it was made and never started", "+ b: replaced, its container is exited"]


@pytest.mark.parametrize(("free", "verdict"), [(5 * GIB, "fits"), (5 * GIB - GIB // 2, "is short by 0.50 GiB")])
def test_a_card_fits_to_the_byte(free: int, verdict: str) -> None:
    first = Observation({"a": Seen()}, {ONE: free})
    assert fits(target("a"), first, {"a"}, GIB)[0].endswith(verdict)
    short = Observation({"a": Seen()}, {ONE: 5 * GIB - 1})
    assert "is short by" in fits(target("a"), short, {"a"}, GIB)[0]


def test_only_cards_on_which_something_starts_and_that_can_be_read_have_a_line() -> None:
    aim = target("a", "b", "c", gpus={"b": [TWO], "c": ["GPU-3"]})
    first = Observation({name: Seen() for name in "abc"}, {ONE: 9 * GIB, TWO: 9 * GIB})
    assert [line.split(":")[0] for line in fits(aim, first, {"a", "c"}, GIB)] == [f"= {ONE}"]
    assert fits(aim, first, set(), GIB) == []


def test_what_starts_and_when_nothing_is_left_to_wait_for() -> None:
    aim = target(*NAMES)
    assert [one.name for one in starting(aim, FIRST, Limits())] == ["new", "changed"]
    found = decisions(aim, FIRST, Limits())
    for name, settled, doubtful in (
        ("new", False, False),
        ("kept", True, False),
        ("usurped", True, False),
        ("begun", False, False),
        ("silent", False, True),
    ):
        assert (is_settled({name: found[name]}), is_doubtful({name: found[name]})) == (settled, doubtful), name
    assert not is_settled({name: found[name] for name in ("kept", "new")})
    assert is_doubtful({name: found[name] for name in ("kept", "silent")})


def test_decisions_know_who_listens() -> None:
    aim = target("new")
    first = Observation({"new": Seen()}, {}, listeners={8001: FOREIGN})
    assert decisions(aim, first, Limits())["new"] == Decision(
        Verdict.REFUSE,
        Cause.PORT,
        "port 8001 is in use by a process that is not ours: end it, or give new another port.",
    )
