# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What decides is typed code that unit tests see: no statement of Jinja in a role's variables and tasks, or in a playbook."""

from __future__ import annotations

from pathlib import Path

import pytest

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
