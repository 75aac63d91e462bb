# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible makes an assertion's fail_msg whether or not the assertion holds: it must not take an element of a list that is empty then."""

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


def messages(node: Any) -> Iterator[str]:
    """Return every fail_msg below a node."""
    if isinstance(node, dict):
        yield from (str(value) for key, value in node.items() if key == "fail_msg")
        for value in node.values():
            yield from messages(value)
    if isinstance(node, list):
        for value in node:
            yield from messages(value)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(COLLECTION)))
def test_no_message_needs_an_element_that_may_not_be_there(path: Path) -> None:
    for message in messages(yaml.safe_load(path.read_text(encoding="utf-8"))):
        assert not ELEMENT.search(message), message
