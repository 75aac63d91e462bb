# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which paths are ours alone, and what is said of those that aren't."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import ownership
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage.ownership import UnsafePath


def given_to(monkeypatch: pytest.MonkeyPatch, victim: Path, uid: int) -> None:
    """Have a path seem to be another account's."""
    lstat = Path.lstat

    def seen(path: Path) -> Any:
        found = lstat(path)
        if path != victim:
            return found
        return SimpleNamespace(st_mode=found.st_mode, st_uid=uid, st_gid=found.st_gid)

    monkeypatch.setattr(Path, "lstat", seen)


def test_a_folder_of_ours_and_one_that_is_not_there_yet(tmp_path: Path) -> None:
    ownership.check(tmp_path)
    ownership.check(tmp_path / "state" / "below")


@pytest.mark.parametrize("depth", ["locks", "locks/below"])
def test_one_where_every_account_may_write(tmp_path: Path, depth: str) -> None:
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks").chmod(0o777)
    with pytest.raises(UnsafePath) as told:
        ownership.check(tmp_path / depth)
    assert told.value.strerror == f"every account may write in {tmp_path}/locks"
    assert told.value.filename == str(tmp_path / depth)


def test_a_sticky_folder_may_lead_there_and_is_not_the_place_itself(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    (tmp_path / "lock").chmod(0o1777)
    (tmp_path / "lock" / "ours").mkdir()
    ownership.check(tmp_path / "lock" / "ours")
    with pytest.raises(UnsafePath, match="every account may write"):
        ownership.check(tmp_path / "lock")


def test_one_that_another_account_made_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs").mkdir()
    given_to(monkeypatch, tmp_path / "theirs", 4242)
    for place in (tmp_path / "theirs", tmp_path / "theirs" / "locks"):
        with pytest.raises(UnsafePath, match="uid 4242"):
            ownership.check(place)


def test_a_link_is_judged_by_where_it_leads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "theirs")
    ownership.check(tmp_path / "state")
    given_to(monkeypatch, tmp_path / "theirs", 4242)
    with pytest.raises(UnsafePath, match="uid 4242"):
        ownership.check(tmp_path / "state")


def test_a_group_that_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o770)
    ownership.check(tmp_path / "shared")
    monkeypatch.setattr(os, "getegid", lambda: 4343)
    lstat = Path.lstat

    def in_group(path: Path) -> Any:
        found = lstat(path)
        return SimpleNamespace(st_mode=found.st_mode, st_uid=found.st_uid, st_gid=4242)

    monkeypatch.setattr(Path, "lstat", in_group)
    with pytest.raises(UnsafePath, match="gid 4242"):
        ownership.check(tmp_path / "shared")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnsafePath, match="is no folder"):
        ownership.check(tmp_path / "file")


def test_an_open_file_is_judged_before_it_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    ownership.regular(handle, tmp_path / "lock")
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(UnsafePath, match="belongs to the account with uid"):
        ownership.regular(handle, tmp_path / "lock")
    os.close(handle)
    handle = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(UnsafePath, match="no plain file"):
        ownership.regular(handle, tmp_path)
    os.close(handle)
