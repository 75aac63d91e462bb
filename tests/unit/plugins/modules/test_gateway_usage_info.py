# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What clients used, read from a folder as the gateway leaves it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.modules import gateway_usage_info

LINE = json.dumps({"day": "2027-01-30", "key": "team-a", "model": "qwen", "requests": 3, "prompt_tokens": 30})


def rows(folder: Path, **asked: str) -> list[tuple[str, str, int]]:
    given = {"folder": str(folder), "by": "month", "since": "", "until": "", "key": "", **asked}
    return [(row["span"], row["key"], row["requests"]) for row in gateway_usage_info.run(given)["rows"]]


def test_files_of_all_months_and_keys(tmp_path: Path) -> None:
    (tmp_path / "usage-2027-01-team-a.jsonl").write_text(f"{LINE}\nhalf a li\n{LINE}\n")
    (tmp_path / "usage-2027-02-b.jsonl").write_text(LINE.replace("-01-", "-02-").replace("team-a", "b"))
    (tmp_path / "notes.txt").write_text(LINE)
    (tmp_path / "usage-2027-03-b.jsonl").mkdir()
    assert rows(tmp_path) == [("2027-01", "team-a", 6), ("2027-02", "b", 3)]
    assert rows(tmp_path, by="day", until="2027-01") == [("2027-01-30", "team-a", 6)]
    assert rows(tmp_path, key="b") == [("2027-02", "b", 3)]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(LINE)
    folder = tmp_path / "usage"
    folder.mkdir()
    (folder / "usage-2027-01-team-a.jsonl").symlink_to(tmp_path / "secret")
    assert rows(folder) == []


def test_where_no_gateway_was_nothing_was_used(tmp_path: Path) -> None:
    assert rows(tmp_path / "none") == []


def test_what_nobody_can_ask_for(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match="usage_since: 'soon' is no day"):
        rows(tmp_path, since="soon")
