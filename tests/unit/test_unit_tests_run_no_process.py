# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The quick tier stays quick: what starts a process, Ansible's own included, is an integration test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

UNIT = Path(__file__).parent
STARTERS = {"run", "Popen", "call", "check_call", "check_output", "system", "spawnl", "fork"}


@pytest.mark.parametrize("path", sorted(UNIT.rglob("test_*.py")), ids=lambda path: str(path.relative_to(UNIT)))
def test_a_unit_test_starts_no_process(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in STARTERS:
            owner = node.func.value
            assert not (isinstance(owner, ast.Name) and owner.id in {"subprocess", "os"}), f"line {node.lineno}"


def test_every_integration_suite_is_run_by_the_whole_test() -> None:
    whole = (UNIT.parent / "support/lab/whole.py").read_text(encoding="utf-8")
    folders = {path.parent.name for path in (UNIT.parent / "integration").glob("*/test_*.py")}
    # The gateway's are run by its scenario; a whole proof takes a quarter of an hour, and is run by make test-proof. A group of
    # hosts is in the scenario fleet; make test-group shows its bring-up alone.
    assert (
        sorted(name for name in folders - {"gateway", "proof", "group"} if f'"tests/integration/{name}"' not in whole)
        == []
    )
