# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module is sent with the same files whether their imports are remembered or not, and what is remembered is parsed once."""

from __future__ import annotations

import ast
import io
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import ansible
import pytest
from ansible._internal._ansiballz import _builder
from ansible.executor import module_common

from ansible_collections.gpuserve.fleet.plugins.plugin_utils import payloads

MODULES = Path(ansible.__file__).parent / "modules"
ENGINE: Any = module_common


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what was parsed."""
    names: list[str] = []
    parse = ENGINE._compile_module_ast

    def noted(name: str, source: Any) -> ast.Module:
        names.append(name)
        tree: ast.Module = parse(name, source)
        return tree

    monkeypatch.setattr(module_common, "_compile_module_ast", noted)
    # No collection is loaded in a unit test: none of them says that a file is elsewhere by now.
    monkeypatch.setattr(module_common, "_get_collection_metadata", lambda _name: {})
    return names


def sent(module: str) -> list[str]:
    """Return which files a module of Ansible is sent with."""
    with zipfile.ZipFile(io.BytesIO(), "w") as archive:
        extensions = _builder.ExtensionManager.create(task_vars={})
        name = f"ansible.modules.{module}"
        source = (MODULES / f"{module}.py").read_bytes()
        module_common.recursive_finder(module, name, source, archive, datetime.now(), extensions)
        return sorted(archive.namelist())


@pytest.mark.parametrize("module", ["slurp", "get_url", "setup"])
def test_a_module_is_sent_with_what_it_was_sent_with(module: str, parsed: list[str]) -> None:
    before = sent(module)
    parsed.clear()
    assert payloads.remember()
    common = set(parsed)
    assert "ansible.module_utils.basic" in common
    parsed.clear()
    assert sent(module) == before
    # The module and its own files; of those that are for every module none.
    assert module in parsed and not common & set(parsed)
    parsed.clear()
    assert sent(module) == before and parsed == [module]


def test_an_import_below_a_condition_may_be_missing() -> None:
    tree = payloads.imports(
        ast.parse(
            "import ansible.module_utils.a\ntry:\n    import ansible.module_utils.b\nexcept ImportError:\n    b = None\n"
        )
    )
    finder = module_common.ModuleDepFinder("ansible.module_utils.common", tree)
    assert finder.submodules == {("ansible", "module_utils", "a"), ("ansible", "module_utils", "b")}
    assert finder.optional_imports == {("ansible", "module_utils", "b")}


def test_an_ansible_core_that_finds_imports_in_another_way_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        """As of 2.21: it is given the text."""

        def __init__(self, module_fqn: str, module_data: bytes) -> None:
            self.given = (module_fqn, module_data)

    monkeypatch.setattr(module_common, "ModuleDepFinder", Finder)
    before = ENGINE._compile_module_ast
    assert not payloads.remember() and ENGINE._compile_module_ast is before
