# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A playbook for hosts of the inventory begins with its check, and what it tells a person is shown whatever the callback."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

COLLECTION = Path(__file__).parents[2]
PLAYBOOKS = sorted((COLLECTION / "playbooks").glob("*.yml"))
TASKS = sorted([*COLLECTION.glob("roles/*/tasks/*.yml"), *COLLECTION.glob("playbooks/**/*.yml")])
FOLDER = re.compile(r"(\w+) \| default\('(/[^']*)'")


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.name)
def test_no_host_is_touched_before_the_inventory_is_checked(path: Path) -> None:
    plays = yaml.safe_load(path.read_text(encoding="utf-8"))
    if path.name == "inventory_check.yml" or not any("gpuserve_hosts" in str(play.get("hosts")) for play in plays):
        return
    assert plays[0].get("ansible.builtin.import_playbook") == "inventory_check.yml"


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.name)
def test_files_on_the_controller_are_meant_from_where_it_was_called(path: Path) -> None:
    """A task there begins in the playbook's folder, where nobody looks for a file that was named on the command line."""
    for play in yaml.safe_load(path.read_text(encoding="utf-8")):
        for task in play.get("tasks") or []:
            local = task.get("delegate_to") == "localhost" or play.get("connection") == "local"
            if not local and "ansible.builtin.fetch" not in task:
                continue
            for module in (value for value in task.values() if isinstance(value, dict)):
                for name in ("dest", "path", "read"):
                    text = str(module.get(name, "controller_path"))
                    # By way of the play's own variables.
                    text += "".join(str(value) for own, value in (play.get("vars") or {}).items() if own in text)
                    assert "controller_path" in text or "inventory_dir" in text, f"{task['name']}: {name}"


@pytest.mark.parametrize("path", TASKS, ids=lambda path: str(path.relative_to(COLLECTION)))
def test_no_task_lets_ansible_search_for_another_python_than_the_inventory_names(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        assert "ansible_python_interpreter:" not in line or "auto" not in line, line


@pytest.mark.parametrize(
    "path", sorted((COLLECTION / "playbooks").glob("**/*.yml")), ids=lambda path: str(path.relative_to(COLLECTION))
)
def test_where_things_are_by_default_is_written_in_the_role_alone(path: Path) -> None:
    """Whoever needs a folder reads the role's defaults, or leaves it to a module's own."""
    roles = [yaml.safe_load(one.read_text(encoding="utf-8")) for one in COLLECTION.glob("roles/*/defaults/main.yml")]
    folders = {name for role in roles for name, value in role.items() if str(value).startswith("/")}
    written = {name for name, _path in FOLDER.findall(path.read_text(encoding="utf-8"))}
    assert not written & folders


@pytest.mark.parametrize("path", TASKS, ids=lambda path: str(path.relative_to(COLLECTION)))
def test_what_changes_nothing_is_shown_and_no_debug(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").split("\n- name:")
    for task in [part for whole in lines for part in whole.split("\n    - name:")]:
        # One that stands for a change is reported as one.
        assert "ansible.builtin.debug:" not in task or "changed_when: true" in task, task
