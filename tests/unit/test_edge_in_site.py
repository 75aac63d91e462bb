# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where playbooks tell edges of a host: before its engines change or stop, once it is proved, and whatever fails in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

COLLECTION = Path(__file__).parents[2]
ALONE, BY_STEPS = "Start what serves on a host alone", "Start what serves, step by step"


def read(path: str) -> Any:
    return yaml.safe_load((COLLECTION / path).read_text(encoding="utf-8"))


def calls(tasks: list[dict[str, Any]]) -> Iterator[str]:
    """Name what each task takes in, or its module."""
    for task in tasks:
        role = task.get("ansible.builtin.include_role") or task.get("ansible.builtin.import_role")
        if role:
            yield f"{role['name']} {role.get('tasks_from', 'main.yml')}"
        elif "ansible.builtin.include_tasks" in task:
            included = task["ansible.builtin.include_tasks"]
            yield str(included["file"] if isinstance(included, dict) else included)
        else:
            yield next((name for name in task if "." in name), task["name"])


def gives_back(tasks: list[dict[str, Any]]) -> bool:
    return "gpuserve.fleet.gateway return.yml" in list(calls(tasks))


def test_a_host_is_given_back_once_it_is_proved() -> None:
    order = list(calls(read("playbooks/tasks/serve.yml")))
    after = order.index("after_serving.yml")
    order[after : after + 1] = calls(read("playbooks/tasks/after_serving.yml"))
    back = order.index("gpuserve.fleet.gateway return.yml")
    assert order.index("gpuserve.fleet.vllm_stack start.yml") < order.index("gpuserve.fleet.gateway main.yml") < back
    # What measures it comes before, what a person does with a host that serves after.
    assert (
        order.index("acceptance.yml")
        < back
        < next(at for at, name in enumerate(order) if "gpuserve_after_host" in name)
    )


def test_a_host_that_fails_is_given_back() -> None:
    block = next(task for task in read("playbooks/tasks/rollout_step.yml") if "rescue" in task)
    assert gives_back(block["rescue"])
    plays = {play["name"]: play for play in read("playbooks/site.yml")}
    alone = plays[ALONE]["tasks"][0]
    assert gives_back(alone["always"])


def test_a_host_is_kept_out_right_before_its_engines_change_and_only_then() -> None:
    role = "roles/vllm_stack/tasks"
    start, announced = read(f"{role}/bringup.yml")[:2]
    # Held and then begun are one task: what is begun is what was looked for.
    (engines,) = read(f"{role}/engines.yml")
    told, begun = read(f"{role}/announced.yml")
    assert start["ansible.builtin.import_tasks"] == begun["ansible.builtin.import_tasks"] == "engines.yml"
    assert engines["gpuserve.fleet.bringup"]["probe_only"] == "{{ _vllm_stack_holds }}"
    assert begun["vars"] == {"_vllm_stack_holds": False} and "vars" not in start
    assert announced["ansible.builtin.include_tasks"] == "announced.yml"
    assert announced["when"] == f"_vllm_stack_holds and {engines['register']}.work | default(false)"
    assert told["ansible.builtin.include_role"]["name"] == "{{ _vllm_stack_before_change.name }}"
    plays = {play["name"]: play for play in read("playbooks/site.yml")}
    for name in (ALONE, BY_STEPS):
        assert "'gpuserve.fleet.gateway', 'tasks_from': 'drain.yml'" in plays[name]["vars"]["_vllm_stack_before_change"]
    assert (COLLECTION / "roles/gateway/tasks/drain.yml").exists()


@pytest.mark.parametrize("playbook", ["rollback", "upgrade", "teardown"])
def test_a_host_that_another_playbook_changed_is_given_back_in_any_case(playbook: str) -> None:
    block = next(task for task in read(f"playbooks/{playbook}.yml")[-1]["tasks"] if "always" in task)
    assert gives_back(block["always"])


def test_a_rollback_keeps_the_host_out_as_a_rollout_does() -> None:
    step = next(play for play in read("playbooks/site.yml") if play["name"] == BY_STEPS)
    rollback = read("playbooks/rollback.yml")[-1]
    assert rollback["vars"]["_vllm_stack_before_change"] == step["vars"]["_vllm_stack_before_change"]


@pytest.mark.parametrize(
    ("tasks", "stop"),
    [
        (read("playbooks/tasks/upgrade_change.yml"), "Stop the gateway once requests are finished"),
        (read("playbooks/teardown.yml")[-1]["tasks"], "Remove the gateway"),
    ],
    ids=["upgrade", "teardown"],
)
def test_a_host_is_kept_out_before_its_gateway_stops(tasks: list[dict[str, Any]], stop: str) -> None:
    block = next(task for task in tasks if "block" in task)["block"]
    order = list(calls(block))
    assert order.index("gpuserve.fleet.gateway drain.yml") < [task["name"] for task in block].index(stop)


def test_edges_change_after_the_boxes_and_one_by_one() -> None:
    names = [play["name"] for play in read("playbooks/site.yml")]
    assert names.index(BY_STEPS) < names.index("Configure the edges")
    assert names.index("Configure the edges") < names.index("Tell how the run ended")
    edges = next(play for play in read("playbooks/site.yml") if play["name"] == "Configure the edges")
    assert edges["serial"] == 1
