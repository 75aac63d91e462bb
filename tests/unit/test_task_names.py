# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible prints is read, searched and used with --start-at-task: a task is a verb and its object, once in its role."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

COLLECTION = Path(__file__).parents[2]
ROLES = sorted(path.name for path in (COLLECTION / "roles").iterdir() if path.is_dir())
VERBS = {
    *("Check", "Read", "Assert", "Install", "Configure", "Render", "Start", "Stop", "Reload"),
    *("Wait", "Remove", "Fail", "Show", "Enable", "Disable", "Validate"),
}
PRONOUNS = re.compile(r"\b(it|its|itself|they|them|their|this|these|those|one|ones|each other|we|our|ours)\b", re.I)
PLAYBOOKS = sorted([*(COLLECTION / "playbooks").glob("*.yml"), *(COLLECTION / "playbooks/tasks").glob("*.yml")])


def task_names(role: str) -> Iterator[str]:
    """Return the names of a role's tasks and handlers; a handler's listen words are not printed."""
    for folder in ("tasks", "handlers"):
        for path in sorted((COLLECTION / "roles" / role / folder).glob("*.yml")):
            yield from _names(yaml.safe_load(path.read_text()) or [])


def play_task_names(playbook: Path) -> Iterator[str]:
    """Return the names of the tasks of a playbook, or of a file of tasks; a play is named in words of its own."""
    for play in yaml.safe_load(playbook.read_text()):
        if "hosts" not in play:
            yield from _names([play])
        for part in ("pre_tasks", "tasks", "post_tasks"):
            yield from _names(play.get(part) or [])


def _names(tasks: list[dict[str, Any]]) -> Iterator[str]:
    for task in tasks:
        if "name" in task:
            yield str(task["name"])
        for part in ("block", "rescue", "always"):
            yield from _names(task.get(part) or [])


@pytest.mark.parametrize("role", ROLES)
def test_tasks_are_named_by_the_rule(role: str) -> None:
    names = list(task_names(role))
    assert [name for name in names if name.split()[0] not in VERBS] == []
    assert [name for name in names if PRONOUNS.search(name)] == []
    assert [name for name, count in Counter(names).items() if count > 1] == []


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.name)
def test_tasks_of_playbooks_are_named_by_the_rule(path: Path) -> None:
    names = list(play_task_names(path))
    assert [name for name in names if name.split()[0] not in VERBS] == []
    assert [name for name in names if PRONOUNS.search(name)] == []
