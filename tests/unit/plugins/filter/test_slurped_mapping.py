# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of JSON that went bad count as absent."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.filter.slurped_mapping import FilterModule

read = FilterModule().filters()["slurped_mapping"]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b'{"starts": {}}', {"starts": {}}),
        (b"", {}),
        (b"[]", {}),
        (b"5", {}),
        (b"null", {}),
        (b'{"starts": {', {}),
        (b"\x00\xff", {}),
    ],
)
def test_what_a_file_holds(content: bytes, found: dict[str, Any]) -> None:
    assert read({"content": base64.b64encode(content).decode()}) == found


@pytest.mark.parametrize("result", [{}, {"failed": True, "msg": "file not found"}, None, {"content": "no base64!"}])
def test_what_was_not_fetched(result: Any) -> None:
    assert read(result) == {}
