# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a mutant changes: one decision of one file, each kind small enough that a test which asserts it must fail."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
}
SWAPPED = {"min": "max", "max": "min", "any": "all", "all": "any"}
# Flags, keys and names are facts; sentences are looked at by people.
WORD = re.compile(r"[-A-Za-z0-9_./:=%*]{2,}")

Change = Callable[[ast.AST], None]


@dataclass(frozen=True)
class Mutant:
    """One change of one file: where, what, and the node (by its number in ast.walk) that it changes."""

    path: str
    scope: str
    line: int
    what: str
    node: int
    change: Change
    block: int

    @property
    def key(self) -> str:
        """Return what names it as long as its file is not changed."""
        return f"{self.path}:{self.line}:{self.node}: {self.what}"

    def applied(self, tree: ast.Module) -> ast.Module | None:
        """Return a changed copy of the file's tree, or None where nothing changes."""
        changed = copy.deepcopy(tree)
        self.change(next(node for number, node in enumerate(ast.walk(changed)) if number == self.node))
        ast.fix_missing_locations(changed)
        return None if ast.dump(changed) == ast.dump(tree) else changed


def mutants(path: str, tree: ast.Module) -> list[Mutant]:
    """Return every mutant of a file, in the order of its lines."""
    scopes, blocks, silent = _scopes(tree), block_of(tree), _silent(tree)
    made = [
        Mutant(path, scopes[id(node)], getattr(node, "lineno", 0), what, number, change, blocks[id(node)])
        for number, node in enumerate(ast.walk(tree))
        if id(node) not in silent
        for what, change in _changes(node)
    ]
    return sorted(made, key=lambda mutant: (mutant.line, mutant.node, mutant.what))


def blocks(node: ast.AST) -> Iterator[tuple[str, list[ast.stmt]]]:
    """Return the lists of statements that a node holds, by the field they are in."""
    for field in ("body", "orelse", "finalbody"):
        found = getattr(node, field, None)
        if isinstance(found, list) and found and isinstance(found[0], ast.stmt):
            yield field, found


def block_of(tree: ast.Module) -> dict[int, int]:
    """Return for each node the first line of the block of statements that it is in; 0 outside of functions."""
    owner: dict[int, int] = {}

    def visit(node: ast.AST, block: int, inside: bool) -> None:
        owner[id(node)] = block
        inner = inside or isinstance(node, ast.FunctionDef)
        held = {id(statement): body[0].lineno for _kind, body in blocks(node) for statement in body} if inner else {}
        for child in ast.iter_child_nodes(node):
            visit(child, held.get(id(child), block), inner)

    visit(tree, 0, False)
    return owner


def _scopes(tree: ast.Module) -> dict[int, str]:
    """Return the qualified name of the outermost function (or of the class, or "") that each node is in."""
    names: dict[int, str] = {}

    def visit(node: ast.AST, scope: str, inside: bool) -> None:
        names[id(node)] = scope
        for child in ast.iter_child_nodes(node):
            if not inside and isinstance(child, ast.ClassDef | ast.FunctionDef):
                name = f"{scope}.{child.name}" if scope else child.name
                visit(child, name, isinstance(child, ast.FunctionDef))
            else:
                visit(child, scope, inside)

    visit(tree, "", False)
    return names


def _silent(tree: ast.Module) -> set[int]:
    """Return what decides nothing: documentation, annotations, decorators, imports, asserts for the type checker, messages."""
    found: set[int] = set()
    for node in ast.walk(tree):
        parts: list[ast.AST | None] = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        parts += getattr(node, "decorator_list", [])
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            parts.append(node)
        if isinstance(node, ast.Assert | ast.Import | ast.ImportFrom | ast.JoinedStr):
            parts += (
                [node]
                if not isinstance(node, ast.JoinedStr)
                else [v for v in node.values if isinstance(v, ast.Constant)]
            )
        if isinstance(node, ast.FormattedValue):
            parts.append(node.format_spec)
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("assert_never", "cast", "TypeVar")
        ):
            parts.append(node)
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Subscript)
            and ast.unparse(node.value.value) == "Literal"
        ):
            parts.append(node)
        found |= {id(inner) for part in parts if part is not None for inner in ast.walk(part)}
    return found


def _short(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _set(field: str, value: object) -> Change:
    return lambda node: setattr(node, field, value)


def _without(field: str, index: int) -> Change:
    return lambda node: getattr(node, field).pop(index)


def _changes(node: ast.AST) -> Iterator[tuple[str, Change]]:
    yield from _statements(node)
    match node:
        case ast.Compare(ops=[first, *_]) if type(first) in COMPARISONS:
            other = COMPARISONS[type(first)]
            name = f"{type(first).__name__}->{other.__name__} in `{_short(node)}`"
            yield name, lambda n, other=other: n.ops.__setitem__(0, other())  # type: ignore[misc]
        case ast.BoolOp():
            yield f"and<->or in `{_short(node)}`", _set("op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
            for index, value in enumerate(node.values):
                yield f"dropped operand {index} `{_short(value)}`", _without("values", index)
        case ast.UnaryOp(op=ast.Not()):
            yield f"dropped not of `{_short(node)}`", _not_twice
        case ast.UnaryOp(op=ast.USub()):
            yield f"dropped the sign of `{_short(node)}`", _set("op", ast.UAdd())
        case ast.BinOp() if type(node.op) in ARITHMETIC:
            swapped = ARITHMETIC[type(node.op)]
            yield f"{type(node.op).__name__}->{swapped.__name__} in `{_short(node)}`", _set("op", swapped())
            yield f"left only of `{_short(node)}`", _left_only
        case ast.Constant(value=bool() as truth):
            yield f"{truth}->{not truth}", _set("value", not truth)
        case ast.Constant(value=int() | float() as size):
            step = 1 if isinstance(size, int) else size / 10 or 0.1
            yield f"{size}->{size + step}", _set("value", size + step)
            yield f"{size}->{size - step}", _set("value", size - step)
        case ast.Constant(value=str() as text):
            yield from _words(text)
        case ast.Call():
            if isinstance(node.func, ast.Name) and node.func.id in SWAPPED and len(node.args) + len(node.keywords) > 0:
                other_name = SWAPPED[node.func.id]
                if node.func.id not in ("min", "max") or not any(word.arg == "default" for word in node.keywords):
                    yield (
                        f"{node.func.id}->{other_name} in `{_short(node)}`",
                        _set("func", ast.Name(other_name, ast.Load())),
                    )
            for index, keyword in enumerate(node.keywords):
                if keyword.arg != "strict":
                    yield f"dropped {_short(keyword)} of `{_short(node.func)}`", _without("keywords", index)
        case ast.Return(value=ast.AST() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield f"return None for `{_short(value)}`", _set("value", ast.Constant(None))
        case ast.If() | ast.IfExp() | ast.While():
            yield f"condition True for `{_short(node.test)}`", _set("test", ast.Constant(True))
            yield f"condition False for `{_short(node.test)}`", _set("test", ast.Constant(False))
        case ast.comprehension():
            for index, test in enumerate(node.ifs):
                yield f"dropped filter {index} `{_short(test)}`", _without("ifs", index)
        case ast.Tuple(ctx=ast.Load()) | ast.List(ctx=ast.Load()) | ast.Set() if len(node.elts) > 1:
            for index, element in enumerate(node.elts):
                yield f"dropped element {index} `{_short(element)}`", _without("elts", index)
        case ast.Dict():
            for index, name_node in enumerate(node.keys):
                yield f"dropped key {index} {_short(name_node) if name_node else '**'}", _drop_key(index)


def _words(text: str) -> Iterator[tuple[str, Change]]:
    if WORD.fullmatch(text):
        yield f"spoiled {text[:40]!r}", _set("value", f"{text}-spoiled")
    parts = _alternatives(text)
    for part in parts if len(parts) > 1 else ():
        yield (
            f"dropped alternative {part[:40]!r}",
            _set("value", "|".join(other for other in parts if other is not part)),
        )


def _alternatives(pattern: str) -> list[str]:
    """Return a pattern's alternatives at its top level."""
    parts, depth = [""], 0
    for before, letter in zip(f" {pattern}", pattern, strict=False):
        if before != "\\":
            depth += (letter in "([") - (letter in ")]")
        if letter == "|" and depth == 0 and before != "\\":
            parts.append("")
        else:
            parts[-1] += letter
    return parts if all(parts) else [pattern]


def _statements(node: ast.AST) -> Iterator[tuple[str, Change]]:
    if isinstance(node, ast.Module | ast.ClassDef):
        return
    for field, body in blocks(node):
        for index, statement in enumerate(body):
            plain = isinstance(statement, ast.Expr) and not isinstance(statement.value, ast.Constant)
            if plain or isinstance(statement, ast.Assign | ast.AugAssign | ast.Raise | ast.Continue | ast.Break):
                yield f"removed {field} {index} `{_short(statement)}`", _pass(field, index)


def _pass(field: str, index: int) -> Change:
    return lambda node: getattr(node, field).__setitem__(index, ast.Pass())


def _not_twice(node: ast.AST) -> None:
    assert isinstance(node, ast.UnaryOp)
    node.operand = ast.UnaryOp(ast.Not(), node.operand)


def _left_only(node: ast.AST) -> None:
    assert isinstance(node, ast.BinOp)
    node.op, node.right = ast.Mult(), ast.Constant(1)


def _drop_key(index: int) -> Change:
    def change(node: ast.AST) -> None:
        assert isinstance(node, ast.Dict)
        del node.keys[index], node.values[index]

    return change
