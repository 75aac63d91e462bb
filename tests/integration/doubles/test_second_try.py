# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole test's second try, with a real pytest."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.tests.support.lab import whole


def test_what_failed_is_tried_once_more_alone_and_named_where_it_passes_then(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(whole, "LOGS", tmp_path / "log")
    monkeypatch.setattr(whole, "TALLY", tmp_path / "tally")
    monkeypatch.setattr(whole, "TIMES", tmp_path / "times.json")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_it.py").write_text(
        "from pathlib import Path\n"
        f"MARK = Path({str(tmp_path / 'mark')!r})\n"
        "def test_good(): assert not MARK.exists()\n"
        "def test_by_chance():\n    there = MARK.exists()\n    MARK.touch()\n    assert there\n"
        "def test_bad(): assert False\n"
    )
    tally = whole.Tally()
    whole._suite(tally, "some", str(tmp_path / "tests"), False)
    assert (tally.outcomes["some"].passed, len(tally.failures)) == (1, 2)
    whole.try_again(tally)
    assert tally.outcomes["some"].passed == 2, "what passed at first is not run again"
    assert [failure.name.rpartition("::")[2] for failure in tally.failures] == ["test_bad"]
    whole._report(tally, "warm", 2.0)
    told = (tmp_path / "tally").read_text().splitlines()
    assert told[-2].startswith("Failed beside other work and passed alone: some: ") and "test_by_chance" in told[-2]
    assert told[-1] == "2 passed, 1 failed"
