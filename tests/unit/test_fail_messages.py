# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What roles and playbooks say when they fail: one shape, through one filter.

Ansible makes an assertion's fail_msg whether or not the assertion holds: it must not take an element of a list that is empty then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

COLLECTION = Path(__file__).parents[2]
FILES = sorted([*COLLECTION.glob("roles/*/tasks/*.yml"), *COLLECTION.glob("playbooks/**/*.yml")])
# An element by its place, with nothing that stands in for it; what split returns is never empty.
ELEMENT = re.compile(r"(?:\[\d+\]|(?<!split\('\\n'\) )\|\s*(?:first|last)\b)(?!\s*\|\s*default)")


SHAPE = re.compile(r"\{\{ (\w+) \| gpuserve\.fleet\.failure \}\}")


def tasks(node: Any) -> Iterator[dict[str, Any]]:
    """Return every task below a node."""
    if isinstance(node, dict):
        yield node
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from tasks(value)


def failures(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Return every task of a file that may fail with words of its own, and these."""
    for task in tasks(yaml.safe_load(path.read_text(encoding="utf-8"))):
        for module, key in (("assert", "fail_msg"), ("fail", "msg")):
            arguments = task.get(f"ansible.builtin.{module}")
            if isinstance(arguments, dict):
                yield task, str(arguments.get(key, ""))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(COLLECTION)))
def test_failures_say_where_what_and_the_remedy(path: Path) -> None:
    for task, text in failures(path):
        shape = SHAPE.fullmatch(text)
        assert shape, f"{task['name']}: its words go through gpuserve.fleet.failure"
        parts = task.get("vars", {}).get(shape[1])
        assert isinstance(parts, dict) and set(parts) == {"where", "what", "remedy"}, task["name"]
        assert parts["what"] and parts["remedy"], task["name"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(COLLECTION)))
def test_no_message_needs_an_element_that_may_not_be_there(path: Path) -> None:
    for task, _text in failures(path):
        if "ansible.builtin.assert" in task:
            for message in task.get("vars", {}).values():
                assert not ELEMENT.search(str(message)), message
