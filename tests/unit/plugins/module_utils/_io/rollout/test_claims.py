# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The note of a run on a host: taken by one at a time, given back by whose it is, and read as nothing where it is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.claim import Claim, refusal
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout import claims
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage.ownership import UnsafePath

MINE = Claim("aaaa", "ops", "desk-1", 11, "2026-11-26 12:00:00 UTC")
THEIRS = Claim("bbbb", "night-shift", "desk-7", 12, "2026-11-26 12:01:00 UTC")


def test_one_run_at_a_time_has_a_host(tmp_path: Path) -> None:
    folder = str(tmp_path / "locks")
    assert claims.holder(folder) is None
    assert claims.take(folder, MINE) == MINE
    assert claims.take(folder, THEIRS) == MINE
    # The same run once more, as when it comes to the host's turn; and one that it is known to be gone.
    assert claims.take(folder, MINE) == MINE
    assert claims.take(folder, THEIRS, over="aaaa") == THEIRS
    claims.release(folder, MINE.run)
    assert claims.holder(folder) == THEIRS
    claims.release(folder, THEIRS.run)
    assert claims.holder(folder) is None
    assert (tmp_path / "locks").stat().st_mode & 0o777 == 0o700


def test_nothing_is_made_where_nobody_had_a_host(tmp_path: Path) -> None:
    claims.release(str(tmp_path / "locks"), MINE.run)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "written",
    ["", "{", "[]", "{}", '{"run": 7}', '{"run": ""}', '{"run": "a b"}', '{"run": "x\\u001b[2J"}', "[" * 100_000],
)
def test_what_is_no_note_holds_nothing(tmp_path: Path, written: str) -> None:
    (tmp_path / "run.json").write_text(written)
    tmp_path.chmod(0o700)
    assert claims.holder(str(tmp_path)) is None
    assert claims.take(str(tmp_path), MINE) == MINE


def test_a_note_s_words_do_nothing_to_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({**THEIRS.data(), "who": "night-shift\x1b[2J\n" * 50, "pid": "x"}))
    found = claims.holder(str(tmp_path))
    assert found is not None and found.pid == 0
    said = str(refusal({"gpu02": found, "gpu01": found}))
    assert said.isprintable() and len(said) < 400
    assert said.startswith("gpuserve_take_over: gpu01 and 1 more are being changed by a run of night-shift")


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(UnsafePath):
        claims.take(str(open_to_all / "locks"), MINE)
    assert list(open_to_all.iterdir()) == []


def test_the_version_that_changed_a_host_is_kept_where_the_host_has_state_of_ours(tmp_path: Path) -> None:
    claims.note_version(str(tmp_path / "none"), "0.2.0")
    assert list(tmp_path.iterdir()) == [] and claims.version_of(str(tmp_path / "none")) == ""
    claims.note_version(str(tmp_path), "0.2.0")
    assert claims.version_of(str(tmp_path)) == "0.2.0"
    for written in ("", "0.2", "0.2.0; rm -rf /", "\x1b[2J", "²³.1.1"):
        (tmp_path / "collection").write_text(written)
        assert claims.version_of(str(tmp_path)) == "", written
