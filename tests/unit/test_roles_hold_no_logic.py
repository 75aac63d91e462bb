# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What decides is typed code that unit tests see: no statement of Jinja in a role's variables and tasks, or in a playbook."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

COLLECTION = Path(__file__).parents[2]
ROLES = sorted(path.name for path in (COLLECTION / "roles").iterdir() if path.is_dir())


def statements(path: Path) -> list[str]:
    """Return the lines that hold a statement of Jinja; raw blocks only shield braces from it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [
        f"{path.name}:{number}: {line.strip()}"
        for number, line in enumerate(lines, start=1)
        if "{%" in line and "{% raw %}" not in line and not line.lstrip().startswith("#")
    ]


@pytest.mark.parametrize("role", ROLES)
def test_a_role_holds_chains_of_filters_and_no_program(role: str) -> None:
    for folder in ("vars", "tasks", "handlers", "defaults"):
        for path in (COLLECTION / "roles" / role / folder).rglob("*.yml"):
            assert statements(path) == []


@pytest.mark.parametrize("path", sorted((COLLECTION / "playbooks").rglob("*.yml")), ids=lambda path: path.name)
def test_a_playbook_holds_no_program(path: Path) -> None:
    assert statements(path) == []


PLAYED = sorted(path for folder in ("roles", "playbooks") for path in (COLLECTION / folder).rglob("tasks/**/*.yml"))


def tasks(nodes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every task of a file, those in blocks too."""
    for node in nodes:
        yield node
        for part in ("block", "rescue", "always"):
            yield from tasks(node.get(part) or [])


@pytest.mark.parametrize("path", PLAYED, ids=lambda path: str(path.relative_to(COLLECTION)))
def test_no_task_has_its_arguments_from_one_template(path: Path) -> None:
    """Ansible warns whoever runs it: what a host says could become an argument."""
    named = [
        key
        for task in tasks(yaml.safe_load(path.read_text(encoding="utf-8")) or [])
        for key, value in task.items()
        if ("." in key or key == "args") and str(value).startswith("{{")
    ]
    assert named == []


def test_docker_is_asked_the_same_before_and_with_a_simulation() -> None:
    folder = COLLECTION / "roles/docker_engine/tasks"
    asked = [
        task["gpuserve.fleet.docker_engine_info"]
        for name in ("preflight.yml", "packages_debian.yml")
        for task in tasks(yaml.safe_load((folder / name).read_text(encoding="utf-8")))
        if "gpuserve.fleet.docker_engine_info" in task
    ]
    # What is refused before anything changes is not refused again in words of its own; apt's files are for what comes before packages.
    once = {name: value for name, value in asked[0].items() if name not in ("addresses", "apt_files", "refuse")}
    assert asked[1] == {**once, "simulate": True}
