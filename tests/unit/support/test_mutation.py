# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mutation runner: what it changes, and what it leaves alone. A run of it is `make mutation`."""

from __future__ import annotations

import ast

import pytest

from ansible_collections.gpuserve.fleet.tests.support.io_coverage import by_package
from ansible_collections.gpuserve.fleet.tests.support.mutation import operators
from ansible_collections.gpuserve.fleet.tests.support.mutation.modules import Finder, instrumented
from ansible_collections.gpuserve.fleet.tests.support.mutation.operators import mutants

SOURCE = '''
"""Words."""
LIMIT = 8

def f(a, b=0):
    """Words."""
    if a < b and not a:
        raise ValueError(f"no {a}")
    return {"k": a + 1}
'''


def outcomes(source: str) -> set[str]:
    tree = ast.parse(source)
    changed = [mutant.applied(tree) for mutant in mutants("x.py", tree)]
    return {ast.unparse(one) for one in changed if one is not None}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b", {"x = a <= b"}),
        ("x = a and b", {"x = a or b", "x = b", "x = a"}),
        ("x = 8", {"x = 9", "x = 7"}),
        ("x = -a", {"x = +a"}),
        ("x = min(a, b)", {"x = max(a, b)"}),
        ("x = a // b", {"x = a * b", "x = a * 1"}),
        ("x = f(k=a)", {"x = f()"}),
        ("x = (a, b)", {"x = (b,)", "x = (a,)"}),
        ("x = [a for a in b if a]", {"x = [a for a in b]"}),
        ("x = 'a b|c d'", {"x = 'c d'", "x = 'a b'"}),
        ("x = '(a|b) c'", set()),
        ("x = '--flag'", {"x = '--flag-spoiled'"}),
        ("x = a if b else c", {"x = a if True else c", "x = a if False else c"}),
        ("x: Literal['a', 'b'] = a", set()),
        ("Kind = Literal['aa', 'bb']", set()),
        ("@dataclass(frozen=True)\nclass A:\n    pass", set()),
        ("def f():\n    return a", {"def f():\n    return None"}),
        ("def f():\n    g()", {"def f():\n    pass"}),
    ],
)
def test_what_is_changed(source: str, expected: set[str]) -> None:
    assert outcomes(source) == expected


def test_each_has_a_name_of_its_own_and_says_where_it_is() -> None:
    found = mutants("x.py", ast.parse(SOURCE))
    assert len({mutant.key for mutant in found}) == len(found)
    assert {(mutant.scope, mutant.block) for mutant in found} == {("", 0), ("f", 0), ("f", 6)}


def test_the_blocks_that_are_reached_are_noted() -> None:
    code = compile(instrumented("x.py", ast.parse(SOURCE)), "x.py", "exec")
    hits: set[str] = set()
    room: dict[str, object] = {"__mutation_hits__": hits}
    exec(code, room)
    assert hits == set()
    room["f"](1, 0)  # type: ignore[operator]
    assert hits == {"x.py:6"}
    with pytest.raises(ValueError, match="no 0"):
        room["f"](0, 1)  # type: ignore[operator]
    assert hits == {"x.py:6", "x.py:8"}


def test_only_the_files_that_are_handed_over_are_loaded_from_it() -> None:
    finder = Finder({"one": compile("x = 1", "one.py", "exec")})
    assert finder.find_spec("two", None) is None
    spec = finder.find_spec("one", None)
    assert spec is not None
    assert spec.origin == "one.py"


def test_alternatives_are_those_of_the_top_level() -> None:
    assert operators._alternatives(r"a\|b|[c|d]|(e|f)") == [r"a\|b", "[c|d]", "(e|f)"]


def test_coverage_is_counted_by_package() -> None:
    room = "plugins/module_utils/_io/"
    files = {
        f"{room}host/a.py": {"summary": {"covered_lines": 3, "num_statements": 4}},
        f"{room}host/b.py": {"summary": {"covered_lines": 1, "num_statements": 6}},
        f"{room}proc.py": {"summary": {"covered_lines": 2, "num_statements": 2}},
        "plugins/modules/c.py": {"summary": {"covered_lines": 9, "num_statements": 9}},
    }
    assert by_package({"files": files}) == {"host": (4, 10), "proc": (2, 2)}
