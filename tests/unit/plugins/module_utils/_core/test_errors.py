# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures have one shape, and every one of ours is made in the one place that gives it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail

PLUGINS = Path(__file__).parents[5] / "plugins"


@pytest.mark.parametrize(
    ("where", "message"),
    [("gateway_port", "gateway_port: 80 is taken."), ("", "80 is taken.")],
    ids=["variable", "host"],
)
def test_a_failure_says_where_what_and_the_remedy(where: str, message: str) -> None:
    with pytest.raises(FleetError) as caught:
        fail(where, "80 is taken.", "Choose another.")
    assert (caught.value.where, caught.value.what, caught.value.remedy) == (where, "80 is taken.", "Choose another.")
    assert caught.value.message == message
    assert str(caught.value) == f"{message} Choose another."


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Walk over what makes a failure."""
    for path in sorted(PLUGINS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("fail", "FleetError")
            ):
                yield f"{path.relative_to(PLUGINS)}:{node.lineno}", node


def ends(node: ast.expr) -> str:
    """Return how a text ends, as far as it is written there."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=[*_, last]):
            return ends(last)
        case ast.BinOp(op=ast.Add(), right=right):
            return ends(right)
    return "."


def starts(node: ast.expr) -> str:
    """Return how a text begins, as far as it is written there."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=[first, *_]):
            return starts(first)
        case ast.BinOp(op=ast.Add(), left=left):
            return starts(left)
    return "X"


def test_every_failure_is_three_things_and_each_a_sentence() -> None:
    found = []
    for place, call in calls():
        if len(call.args) != 3 or call.keywords:
            found.append(f"{place}: where, what and the remedy, in this order")
            continue
        _where, what, remedy = call.args
        if not ends(what).endswith((".", "?")) and not isinstance(what, ast.Call):
            found.append(f"{place}: what is wrong is no sentence")
        text = starts(remedy)
        if text and not (text[0].isupper() or text[0] in "`'\"{"):
            found.append(f"{place}: the remedy is no sentence")
    assert not found, found
