# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole test's second try, with a real pytest."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.tests.support.lab import whole

PATIENCE_S = 120.0


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


def test_a_part_that_hangs_is_ended_with_all_it_started_and_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(whole, "LOGS", tmp_path / "log")
    monkeypatch.setattr(whole, "PART_S", 600.0)
    child, really = tmp_path / "child", whole._ended

    def ended(process: subprocess.Popen[bytes], _limit_s: float) -> int:
        """Let its time be over once it hangs, however long this machine takes to get there."""
        until = time.monotonic() + PATIENCE_S
        while not (child.exists() and child.read_text()) and time.monotonic() < until:
            time.sleep(0.1)
        return really(process, 0)

    monkeypatch.setattr(whole, "_ended", ended)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_it.py").write_text(
        "import subprocess\nfrom pathlib import Path\n"
        "def test_good(): pass\n"
        "def test_waits():\n"
        "    with subprocess.Popen(['sleep', '600']) as child:\n"
        f"        Path({str(child)!r}).write_text(str(child.pid))\n"
        "        assert False\n"
    )
    tally = whole.Tally()
    whole._suite(tally, "some", str(tmp_path / "tests"), False)
    (failure,) = tally.failures
    assert failure.name == "some"
    assert failure.lines[0].startswith("ended after the 600 s that were left to it, at ")
    assert "::test_waits" in failure.lines[0]
    status = Path("/proc", child.read_text(), "stat")
    assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z", "its child ended with it"


def test_no_part_begins_after_the_whole_tests_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(whole, "LOGS", tmp_path / "log")
    tally = whole.Tally(started=-whole.WHOLE_S)
    whole._step(tally, "some", ["sleep", "600"])
    assert [failure.lines for failure in tally.failures] == [("ended after the 0 s that were left to it",)]
