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


# The order of import, from design.md: a room may import those of the floors above it and itself. plan and rollout do not know
# each other; host and gateway are leaves that know nothing of serving.
BASE = {
    "units",
    "errors",
    "text",
    "listeners",
    "spelling",
    "yaml_words",
    "sockets",
    "credentials",
    "entry_values",
    "access_keys",
    "image_pin",
}
WORDS = BASE | {"gpu", "ports", "placement_rule", "distributed_rule", "spec"}
MAY_IMPORT = {
    "units": BASE,
    "errors": BASE,
    "text": BASE,
    "listeners": BASE,
    "spelling": BASE,
    "yaml_words": BASE,
    "sockets": BASE,
    "credentials": BASE,
    "entry_values": BASE,
    "access_keys": BASE,
    "image_pin": BASE,
    "closing": BASE,
    "backup": BASE,
    "gpu": WORDS,
    "ports": BASE,
    "placement_rule": BASE,
    "distributed_rule": BASE | {"placement_rule"},
    "spec": WORDS,
    "spec_reference": WORDS,
    "models": WORDS,
    "engine": WORDS | {"models"},
    "stack": WORDS | {"models", "engine"},
    "plan": WORDS | {"models", "engine", "stack"},
    "rollout": WORDS | {"models", "engine", "stack"},
    "host": BASE,
    "gateway": BASE,
    "fleet": WORDS,
    "inventory": BASE,
    # What is wrong with a host that serves: the one room that knows the host and the engines.
    "diagnose": BASE | {"engine", "host"},
    # A leaf: it asks what serves, whoever planned and started it.
    "benchmark": BASE,
    # A leaf likewise: it goes through playbooks and compares what they left.
    "proof": BASE,
}


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda path: str(path.relative_to(CORE)))
def test_nothing_imports_upward(path: Path) -> None:
    parts = path.relative_to(CORE).parts
    room = parts[0].removesuffix(".py")
    assert room in MAY_IMPORT, (
        f"{room} has no place in the order of import: say which in this test and in architecture.md"
    )
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith(OURS):
            continue
        rest = (node.module or "").removeprefix(OURS).strip(".")
        for room_imported in [rest.split(".")[0]] if rest else [alias.name for alias in node.names]:
            assert room_imported in MAY_IMPORT[room] | {room}, f"{path.name}: {room} imports {room_imported}"


def test_core_opens_no_file() -> None:
    for path in CORE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"open", "print", "input", "exec", "eval"}, f"{path.name}:{node.lineno}"


def test_failures_are_raised_by_fail() -> None:
    plugins = CORE.parents[1]
    raised = [
        f"{path.relative_to(plugins)}:{number}"
        for path in sorted(plugins.rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if "raise FleetError(" in line and path.name != "errors.py"
    ]
    assert not raised, f"fail(where, what, remedy) raises it: {raised}"
