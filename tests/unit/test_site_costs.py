# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host costs the controller of site.yml: a process for each task, and for each inclusion more than one.

A host that is as the last run left it has the first play's tasks alone; one that is looked at whole has those of a rollout's step, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

COLLECTION = Path(__file__).parents[2]
# As measured in docs/performance.md: what Ansible's controller does for a task of a host, 25 ms of its processors.
MOST_TASKS = 42
MOST_OF_A_HOST_AS_BEFORE = 3
FIRST, LAYER = "Check which hosts have anything to do", "Install the host's part of the stack"


def tasks_of(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Walk over what a host is asked where nothing is due: what is imported is taken in, what has a condition is one task."""
    yield from walked(yaml.safe_load(path.read_text(encoding="utf-8")) or [], path)


def walked(tasks: list[dict[str, Any]], path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for task in tasks:
        if "block" in task:
            yield from walked([*task["block"], *task.get("always", [])], path)
        elif "ansible.builtin.import_tasks" in task:
            yield from tasks_of(path.parent / task["ansible.builtin.import_tasks"])
        elif role := task.get("ansible.builtin.import_role"):
            folder = COLLECTION / "roles" / role["name"].removeprefix("gpuserve.fleet.") / "tasks"
            yield from tasks_of(folder / role.get("tasks_from", "main.yml"))
        elif not task.get("run_once") and "ansible.builtin.meta" not in task:
            yield path.relative_to(COLLECTION).as_posix(), task


def of_a_host(
    names: tuple[str, ...] = (FIRST, LAYER, "Start what serves, step by step", "Give the hosts of a rollout back"),
) -> list[tuple[str, dict[str, Any]]]:
    plays = {
        play["name"]: play for play in yaml.safe_load((COLLECTION / "playbooks/site.yml").read_text(encoding="utf-8"))
    }
    return [one for name in names for one in walked(plays[name]["tasks"], COLLECTION / "playbooks/site.yml")]


def test_what_is_included_for_each_host_has_a_condition() -> None:
    included = [
        (file, task)
        for file, task in of_a_host()
        if any(f"ansible.builtin.{word}" in task for word in ("include_role", "include_tasks"))
    ]
    assert included, "nothing was walked over"
    assert [(file, task["name"]) for file, task in included if "when" not in task] == []


def test_a_host_has_few_tasks() -> None:
    assert len(of_a_host()) <= MOST_TASKS
    assert len(of_a_host((FIRST,))) <= MOST_OF_A_HOST_AS_BEFORE
