# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of one package, instrumented so that each test tells which blocks it reaches, and changed in place for one mutant."""

from __future__ import annotations

import ast
import builtins
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

from .operators import Mutant, blocks

COLLECTION = "ansible_collections.gpuserve.fleet."
CORE_NAME = f"{COLLECTION}plugins.module_utils._core."
CORE = Path(__file__).parents[3] / "plugins" / "module_utils" / "_core"
HITS = "__mutation_hits__"


def module_name(path: str) -> str:
    """Return the name that a file of the core is imported by."""
    return CORE_NAME + path.removesuffix(".py").replace("/", ".")


def hits() -> set[str]:
    """Return what was reached since it was last cleared: `path:line` of each block."""
    found: set[str] = builtins.__dict__.setdefault(HITS, set())
    return found


def instrumented(path: str, tree: ast.Module) -> ast.Module:
    """Add to each block of each function a note that it was reached. The tree is changed."""
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        for node in ast.walk(function):
            for _kind, body in blocks(node):
                note = ast.parse(f"{HITS}.add({f'{path}:{body[0].lineno}'!r})").body[0]
                first = body[0]
                if not (
                    isinstance(first, ast.Expr)
                    and isinstance(getattr(first.value, "func", None), ast.Attribute)
                    and HITS in ast.unparse(first)
                ):
                    body.insert(0, note)
    return ast.fix_missing_locations(tree)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads some files of the core from code that is at hand instead of from the disk."""

    def __init__(self, codes: dict[str, CodeType]) -> None:
        self.codes = codes

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self.codes:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=self.codes[fullname].co_filename)

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = self.codes[module.__name__].co_filename
        exec(self.codes[module.__name__], module.__dict__)


def install(codes: dict[str, CodeType]) -> None:
    """Have these modules loaded from these codes from now on."""
    sys.meta_path.insert(0, Finder(codes))


def change_in_place(mutant: Mutant, original: ast.Module, changed: ast.Module) -> bool:
    """Put a mutant into modules that are loaded; False where only loading them anew can show it."""
    module = sys.modules.get(module_name(mutant.path))
    if module is None:
        return False
    if mutant.block:
        return _change_function(module, mutant, changed)
    return _change_table(module, mutant, original, changed)


def _change_function(module: ModuleType, mutant: Mutant, changed: ast.Module) -> bool:
    function = _function(module, mutant.scope)
    code = _code(compile(changed, str(CORE / mutant.path), "exec"), mutant.scope)
    if function is None or code is None or function.__code__.co_freevars != code.co_freevars:
        return False
    function.__code__ = code
    return True


def _function(module: ModuleType, scope: str) -> FunctionType | None:
    found: object = module
    for name in scope.split("."):
        found = inspect.getattr_static(found, name, None)
    for _time in range(5):
        if isinstance(found, FunctionType) and not hasattr(found, "__wrapped__"):
            return found
        inner = [getattr(found, field, None) for field in ("__wrapped__", "__func__", "fget", "func")]
        found = next((value for value in inner if value is not None), None)
    return None


def _code(module: CodeType, scope: str) -> CodeType | None:
    todo = [module]
    while todo:
        code = todo.pop()
        if code.co_qualname == scope and code is not module:
            return code
        todo += [inner for inner in code.co_consts if isinstance(inner, CodeType)]
    return None


def _change_table(module: ModuleType, mutant: Mutant, original: ast.Module, changed: ast.Module) -> bool:
    """Run the changed assignment anew, and those that use its names; put what comes out wherever the name was imported."""
    pairs = zip(original.body, changed.body, strict=True)
    place = next((n for n, (old, new) in enumerate(pairs) if ast.dump(old) != ast.dump(new)), None)
    if place is None or not isinstance(changed.body[place], ast.Assign | ast.AnnAssign):
        return False
    before = dict(module.__dict__)
    renewed: set[str] = set()
    for statement in changed.body[place:]:
        names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
        if isinstance(statement, ast.Assign | ast.AnnAssign) and (names & renewed or not renewed):
            exec(compile(ast.Module([statement], []), str(CORE / mutant.path), "exec"), module.__dict__)
            renewed |= {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    for name in renewed & set(before):
        for other in [found for key, found in sys.modules.items() if key.startswith((COLLECTION, "tests."))]:
            if other.__dict__.get(name) is before[name]:
                other.__dict__[name] = module.__dict__[name]
    return True


def forget_results() -> None:
    """Empty every cache of results in modules of ours."""
    for module in [found for name, found in sys.modules.items() if name.startswith(COLLECTION)]:
        for value in list(vars(module).values()):
            clear: Callable[[], None] | None = getattr(value, "cache_clear", None)
            if clear is not None and not isinstance(value, type):
                clear()
