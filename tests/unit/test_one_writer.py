# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a host are written in one place, which knows how: nothing else in the plugins opens, renames or copies one by itself."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"
WRITER = PLUGINS / "module_utils" / "_io" / "storage"
# What writes: methods of modules and paths, by name.
WRITES = {
    "atomic_move",
    "write_text",
    "write_bytes",
    "mkstemp",
    "mkdtemp",
    "copy2",
    "copytree",
    "copyfile",
    "rename",
    "replace",
}
# Files that are tried and thrown away, in the module's own folder; two links of a set that are put back after a failure.
KNOWN = {
    ("deb_source.py", "mkdtemp"),
    ("docker_daemon_config.py", "mkstemp"),
    ("signatures.py", "write_text"),
    ("sets.py", "rename"),
}
FILES = sorted(path for path in PLUGINS.rglob("*.py") if not path.is_relative_to(WRITER))


def owner_of(call: ast.Call) -> str:
    """The name before the dot, where it is a plain one."""
    return call.func.value.id if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name) else ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nobody_else_writes(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name = node.func.attr
        # str.replace and dataclasses.replace are none of it.
        if name in WRITES and not (name == "replace" and owner_of(node) != "os"):
            assert (path.name, name) in KNOWN, (
                f"{path.name}:{node.lineno} writes by {name}: use _io/storage/atomic, or say in KNOWN why not"
            )


def test_the_exceptions_are_still_there() -> None:
    text = {path.name: path.read_text(encoding="utf-8") for path in FILES}
    assert all(name in text[file] for file, name in KNOWN)
