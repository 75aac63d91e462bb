# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`-e vllm_stack_fetch=no` is a text, and a text is true to Jinja: where a flag decides, it is read as a person means it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

COLLECTION = Path(__file__).parents[2]
FILES = sorted([*COLLECTION.glob("roles/*/tasks/*.yml"), *COLLECTION.glob("roles/*/vars/*.yml")])
CONDITIONS = ("when", "that", "failed_when", "changed_when", "until")
FLAGS = sorted(
    name
    for path in COLLECTION.glob("roles/*/meta/argument_specs.yml")
    for name, spec in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"].items()
    if spec.get("type") == "bool"
)
AS_WRITTEN = re.compile(rf"\b({'|'.join(FLAGS)})\b(?!\s*\|\s*bool\b)")


def expressions(node: Any, is_condition: bool = False, is_argument: bool = False) -> Iterator[str]:
    """Return what Jinja evaluates below a node; a module's argument that is one variable is read by the module."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from expressions(value, key in CONDITIONS, True)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value, is_condition)
    elif isinstance(node, str) and (is_condition or "{{" in node):
        alone = re.fullmatch(r"\{\{ \w+ \}\}", node)
        if is_condition:
            yield node
        elif not (alone and is_argument):
            yield from re.findall(r"\{\{.*?\}\}", node, re.DOTALL)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(COLLECTION)))
def test_a_flag_that_decides_is_read_as_one(path: Path) -> None:
    found = [text for text in expressions(yaml.safe_load(path.read_text(encoding="utf-8"))) if AS_WRITTEN.search(text)]
    assert found == []


def test_there_are_flags() -> None:
    assert "vllm_stack_fetch" in FLAGS
