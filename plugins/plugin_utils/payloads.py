# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What files a module of Ansible is sent with: each task that is the first to send one reads the imports of all of them anew.

A module goes to a host with some 50 files of Ansible's own, and with those of this collection that it imports. Which these are Ansible
finds by parsing each of them, 0.2 s a module, thirteen times in a run of site.yml. Here the process that tasks are forked from parses
Ansible's own once, and its forks find what came of it. Versions of ansible-core that look otherwise parse as before.
"""

from __future__ import annotations

import ast
import inspect
import io
import zipfile
from collections.abc import Callable
from datetime import datetime
from typing import Any

# What every module is sent with.
_COMMON = b"from ansible.module_utils.basic import AnsibleModule\n"
# Files that modules share are named by where they are imported from; a module itself is named as in a task.
_SHARED = ("ansible.module_utils", "ansible_collections.")


def remember() -> bool:
    """Have this process read what every module is sent with, and its forks know it; tell whether this ansible-core is known."""
    try:
        from ansible._internal._ansiballz import _builder
        from ansible.executor import module_common

        engine: Any = module_common
        # From 2.21 on what finds imports parses by itself, faster, and looks for more than imports.
        if "tree" not in inspect.signature(engine.ModuleDepFinder).parameters:
            return False
        engine._compile_module_ast = remembered(engine._compile_module_ast)
    except (ImportError, AttributeError):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(), "w") as nowhere:
            extensions = _builder.ExtensionManager.create(task_vars={})
            module_common.recursive_finder("common", "common", _COMMON, nowhere, datetime.now(), extensions)
    except Exception:
        # Whatever it is, the first module that is sent says it, with its own name.
        return False
    return True


def remembered(parse: Callable[[str, Any], ast.Module]) -> Callable[[str, Any], ast.Module]:
    """Return what parses a module as before, and of a file that modules share the imports alone, once."""
    known: dict[tuple[str, Any], ast.Module] = {}

    def parsed(module_name: str, source_code: Any) -> ast.Module:
        if not module_name.startswith(_SHARED):
            return parse(module_name, source_code)
        key = (module_name, source_code)
        if key not in known:
            known[key] = imports(parse(module_name, source_code))
        return known[key]

    return parsed


def imports(tree: ast.Module) -> ast.Module:
    """Return the imports of a file: those at its top, which it can't do without, and below a condition all others."""
    found = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    top = {id(node) for node in tree.body}
    needed: list[ast.stmt] = [node for node in found if id(node) in top]
    others: list[ast.stmt] = [node for node in found if id(node) not in top]
    return ast.Module([*needed, ast.If(ast.Constant(True), others, [])], [])
