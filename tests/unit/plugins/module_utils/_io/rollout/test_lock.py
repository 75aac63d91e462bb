# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of a card: held, waited for, and never through what another account has put in its place."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.lock import GpuLock, LockHeld
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage.ownership import UnsafePath


def test_one_at_a_time_and_the_other_reads_who(tmp_path: Path) -> None:
    told: list[str] = []
    folder = tmp_path / "gpuserve" / "locks"
    with GpuLock(str(folder), "GPU-0", 0.0):
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "GPU-0.lock").stat().st_mode & 0o777 == 0o600
        with pytest.raises(LockHeld, match=f'"pid": {os.getpid()}'), GpuLock(str(folder), "GPU-0", 0.0, told.append):
            pass
        with GpuLock(str(folder), "GPU-1", 0.0):
            pass
    assert len(told) == 1 and "waiting up to 0 s" in told[0]
    with GpuLock(str(folder), "GPU-0", 0.0):
        pass


def test_a_link_to_somebody_s_file_is_neither_emptied_nor_written(tmp_path: Path) -> None:
    victim = tmp_path / "shadow"
    victim.write_text("root:x\n")
    (tmp_path / "locks").mkdir(mode=0o700)
    (tmp_path / "locks" / "GPU-0.lock").symlink_to(victim)
    with pytest.raises(OSError), GpuLock(str(tmp_path / "locks"), "GPU-0", 0.0):
        pass
    assert victim.read_text() == "root:x\n"


def test_a_folder_in_which_others_may_write_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "locks"
    folder.mkdir()
    folder.chmod(0o1777)
    with pytest.raises(UnsafePath, match="every account may write"), GpuLock(str(folder), "GPU-0", 0.0):
        pass
    assert os.listdir(folder) == []
    assert folder.stat().st_mode & 0o7777 == 0o1777


def test_what_a_lock_holds_is_shown_as_text(tmp_path: Path) -> None:
    with GpuLock(str(tmp_path), "GPU-0", 0.0):
        (tmp_path / "GPU-0.lock").write_bytes(b"\x1b[2Jgone\r\n" + b"x" * 900)
        with pytest.raises(LockHeld) as error, GpuLock(str(tmp_path), "GPU-0", 0.0):
            pass
    assert str(error.value).startswith("\\x1b[2Jgone\\x0d\\x0a")
    assert len(str(error.value)) < 300


def test_a_full_disk_costs_only_the_words_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_given: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    again = GpuLock(str(tmp_path), "GPU-0", 0.0)
    with GpuLock(str(tmp_path), "GPU-0", 0.0), pytest.raises(LockHeld, match="an unknown process"):
        again.__enter__()
