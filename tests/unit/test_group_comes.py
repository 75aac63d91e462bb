# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""By what a host of a group is known to come: the action looks for results that the role's tasks before it register, by their names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment

TASKS = Path(__file__).parents[2] / "roles" / "vllm_stack" / "tasks"
FETCHES = "_vllm_stack_fetches"


def read(name: str) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = yaml.safe_load((TASKS / name).read_text(encoding="utf-8"))
    return tasks


def flat(tasks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for task in tasks:
        yield task
        for part in ("block", "rescue", "always"):
            yield from flat(task.get(part, []))


def file_of(task: dict[str, Any]) -> str:
    """Return the file of the role that a task of start.yml takes in; of the two that fetch, the one that both come to."""
    taken = task.get("ansible.builtin.include_tasks") or task["ansible.builtin.import_tasks"]
    file = str(taken["file"] if isinstance(taken, dict) else taken)
    return "fetch.yml" if file == "{{ _vllm_stack_fetch_file }}" else file


def before_bringup() -> list[dict[str, Any]]:
    """Return what start.yml takes in before engines start."""
    tasks = read("start.yml")
    return tasks[: [file_of(task) for task in tasks].index("bringup.yml")]


def came_by(*, rollback: bool, fetches: bool) -> list[str]:
    (engines,) = read("engines.yml")
    values = {"_vllm_stack_rollback": rollback, FETCHES: fetches}
    return [*NativeEnvironment().from_string(engines["gpuserve.fleet.bringup"]["came_by"]).render(values)]


@pytest.mark.parametrize("fetches", [False, True])
def test_what_a_host_is_known_to_come_by_is_registered_before_its_engines_start(fetches: bool) -> None:
    registered = {
        task["register"]
        for taken in before_bringup()
        # What is fetched is behind the very condition by which its result is looked for.
        if taken.get("when") is None or (taken["when"] == FETCHES and fetches)
        for task in flat(read(file_of(taken)))
        if "register" in task
    }
    names = came_by(rollback=False, fetches=fetches)
    assert names and set(names) <= registered
    # The last that can fail before engines change is among them.
    assert any(task.get("register") == names[-1] for task in flat(read("fetch.yml" if fetches else "render.yml")))


def test_each_of_these_results_is_of_one_task() -> None:
    everything = [task.get("register") for path in TASKS.glob("*.yml") for task in flat(read(path.name) or [])]
    for name in came_by(rollback=False, fetches=True):
        assert everything.count(name) == 1, name


def test_a_rollback_which_renders_nothing_looks_for_none() -> None:
    assert came_by(rollback=True, fetches=True) == []
