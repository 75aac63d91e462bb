# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tag that is printed runs alone: there is one for each role of site.yml, and the checks run under every one of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

COLLECTION = Path(__file__).parents[2]
PARTS = ("site.yml", "tasks/serve.yml", "tasks/before_serving.yml", "tasks/after_serving.yml")
SITE = [COLLECTION / "playbooks" / name for name in PARTS]
ROLES = {"nvidia_driver", "docker_engine", "nvidia_container_toolkit", "vllm_stack", "gateway"}


def tagged(node: Any) -> Iterator[tuple[dict[str, Any], set[str]]]:
    """Return every mapping below a node that bears tags, and them."""
    if isinstance(node, dict):
        if "tags" in node:
            yield node, set(node["tags"])
        for value in node.values():
            yield from tagged(value)
    elif isinstance(node, list):
        for value in node:
            yield from tagged(value)


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_site_has_one_tag_a_role() -> None:
    found = set().union(*(tags for path in SITE for _node, tags in tagged(read(path))))
    assert found - {"always"} == ROLES


def test_tasks_of_roles_have_no_tag_but_their_role_s() -> None:
    for path in COLLECTION.glob("roles/*/tasks/*.yml"):
        role = path.parents[1].name
        for node, tags in tagged(read(path)):
            assert tags == {role}, f"{path.name}: {node.get('name')}"


def test_every_task_of_site_is_for_a_role_or_for_all_of_them() -> None:
    for path in SITE:
        tasks = [task for one in read(path) for task in one.get("tasks", [one] if "hosts" not in one else [])]
        # A block's own tags would be those of all that is in it.
        parts = [part for task in tasks if "block" in task for part in (*task["block"], *task.get("always", []))]
        assert not any(task.get("tags") for task in tasks if "block" in task)
        for task in [task for task in tasks if "block" not in task] + parts:
            # What is imported has tags of its own.
            if "ansible.builtin.import_playbook" in task or "ansible.builtin.import_tasks" in task:
                continue
            assert task.get("tags"), task["name"]
            # A tag selects an include; only what it applies selects the tasks in it.
            include = task.get("ansible.builtin.include_role")
            assert not include or include["apply"]["tags"] == task["tags"], task["name"]
