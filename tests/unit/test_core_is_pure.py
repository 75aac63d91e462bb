# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_core decides and does nothing: no Ansible, no I/O, no clock."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

CORE = Path(__file__).parents[2] / "plugins" / "module_utils" / "_core"
FORBIDDEN = {
    "ansible",
    "os",
    "subprocess",
    "time",
    "socket",
    "requests",
    "pathlib",
    "docker",
    "pynvml",
    "shutil",
    "random",
    "http",
    "urllib",
}
OURS = "ansible_collections.gpuserve.fleet.plugins.module_utils._core"


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda path: path.name)
def test_core_imports_nothing_that_acts(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            assert name.partition(".")[0] not in FORBIDDEN, f"{path.name} imports {name}"
            if name.startswith("ansible_collections"):
                assert name.startswith(OURS), f"{path.name} reaches outside of _core: {name}"


def test_core_opens_no_file() -> None:
    for path in CORE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"open", "print", "input", "exec", "eval"}, f"{path.name}:{node.lineno}"
