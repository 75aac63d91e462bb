# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a host counts as what the last run left: never where anything is not known."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.last_applied import (
    MOST_AGE_S,
    NO_RECORD,
    OTHER_WISH,
    TOO_OLD,
    Record,
    difference,
)

FOUND = {"/opt/gpuserve/stack/compose.yml": "a", "container vllm-qwen": "b"}
RECORD = Record("asked", FOUND, 1000.0, {"url": "http://127.0.0.1:8000"}, {"port": 8000})


def test_what_is_kept_is_read_again() -> None:
    assert Record.read(RECORD.data()) == RECORD


@pytest.mark.parametrize(
    "changed",
    [
        {"asked": ""},
        {"asked": None},
        {"found": ["a"]},
        {"at": "yesterday"},
        {"at": True},
        {"gateway": None},
        {"access": "open"},
    ],
    ids=str,
)
def test_what_has_another_shape_is_no_record(changed: dict[str, Any]) -> None:
    assert Record.read({**RECORD.data(), **changed}) is None
    assert Record.read("nothing") is None


@pytest.mark.parametrize(
    ("record", "asked", "found", "now", "why"),
    [
        (RECORD, "asked", FOUND, 1000.0, ""),
        (RECORD, "asked", FOUND, 1000.0 + MOST_AGE_S, ""),
        (None, "asked", FOUND, 1000.0, NO_RECORD),
        (RECORD, "another", FOUND, 1000.0, OTHER_WISH),
        # Whoever can't tell what is asked for does not ask for the same.
        (Record("", FOUND, 1000.0), "", FOUND, 1000.0, OTHER_WISH),
        (RECORD, "asked", FOUND, 1001.0 + MOST_AGE_S, TOO_OLD),
        # A clock that went back tells no age.
        (RECORD, "asked", FOUND, 999.0, TOO_OLD),
        (RECORD, "asked", {**FOUND, "container vllm-qwen": "c"}, 1000.0, "container vllm-qwen differs from"),
        (RECORD, "asked", {"container vllm-qwen": "b"}, 1000.0, "/opt/gpuserve/stack/compose.yml differs from"),
        (RECORD, "asked", {**FOUND, "/opt/gpuserve/stack/more": "c"}, 1000.0, "/opt/gpuserve/stack/more differs from"),
        (RECORD, "asked", {}, 1000.0, "/opt/gpuserve/stack/compose.yml and 1 more differs from"),
    ],
)
def test_whatever_differs_is_said(
    record: Record | None, asked: str, found: dict[str, str], now: float, why: str
) -> None:
    told = difference(record, asked, found, now)
    assert told.startswith(why)
    assert bool(told) == bool(why)
