# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of tasks that another one names is there: Ansible would notice only on a host that comes that way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

COLLECTION = Path(__file__).parents[2]
ROLES = COLLECTION / "roles"
FILES = sorted(
    [
        *ROLES.glob("*/tasks/*.yml"),
        *ROLES.glob("*/handlers/*.yml"),
        *COLLECTION.glob("playbooks/*.yml"),
        *COLLECTION.glob("playbooks/tasks/*.yml"),
    ]
)


def mappings(node: Any) -> Iterator[dict[str, Any]]:
    """Walk over every mapping below a node."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from mappings(value)
    elif isinstance(node, list):
        for value in node:
            yield from mappings(value)


def named(path: Path) -> Iterator[Path]:
    """Name the files that a file's tasks take in, but for names that are made on the way."""
    for task in mappings(yaml.safe_load(path.read_text(encoding="utf-8"))):
        for word in ("include", "import"):
            tasks = task.get(f"ansible.builtin.{word}_tasks")
            if tasks:
                # Handlers name files of their role's tasks.
                folder = path.parents[1] / "tasks" if path.parent.name == "handlers" else path.parent
                yield folder / str(tasks["file"] if isinstance(tasks, dict) else tasks)
            role = task.get(f"ansible.builtin.{word}_role")
            if role and role["name"].startswith("gpuserve.fleet."):
                yield ROLES / role["name"].rpartition(".")[2] / "tasks" / role.get("tasks_from", "main.yml")


def test_every_file_that_tasks_name_is_there() -> None:
    found = {(path, file) for path in FILES for file in named(path) if "{{" not in str(file)}
    assert len(found) > 100
    gone = sorted(f"{path.relative_to(COLLECTION)}: {file.name}" for path, file in found if not file.is_file())
    assert gone == []


def test_no_file_of_a_role_s_tasks_is_left_that_nothing_names() -> None:
    text = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("roles", "playbooks", "plugins", "tests", "molecule")
        for kind in ("*.yml", "*.py")
        for path in (COLLECTION / folder).rglob(kind)
    )
    # Files by the family of a host's distribution.
    families = ("_debian.yml", "_redhat.yml")
    unnamed = [
        path.relative_to(COLLECTION).as_posix()
        for path in ROLES.glob("*/tasks/*.yml")
        if path.name != "main.yml" and not path.name.endswith(families) and path.stem not in text
    ]
    assert unnamed == []
