# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one writer: closed from its first moment, whole at every moment, and through no link."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic
from tests.support.disk import FullDisk


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_closed_before_its_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    write = os.write

    def watch(handle: int, data: bytes) -> int:
        seen.append(stat.S_IMODE(os.fstat(handle).st_mode))
        return write(handle, data)

    monkeypatch.setattr(os, "write", watch)
    before = os.umask(0)
    try:
        atomic.write(tmp_path / "key", "secret")
        atomic.write(tmp_path / "page", "open", 0o644)
    finally:
        os.umask(before)
    assert seen == [0o600, 0o600]
    assert (mode(tmp_path / "key"), mode(tmp_path / "page")) == (0o600, 0o644)


def test_the_bytes_are_on_the_disk_before_the_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fsync, rename = os.fsync, os.rename

    def sync(handle: int) -> None:
        order.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def move(*given: Any, **named: Any) -> None:
        order.append("rename")
        rename(*given, **named)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "rename", move)
    atomic.write(tmp_path / "a", "b")
    assert order == ["file", "rename", "folder"]


@pytest.mark.parametrize("call", ["open", "write", "fchmod", "fsync", "rename"])
def test_a_disk_that_is_full_at_any_step_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "compose.yml"
    path.write_text("before")

    def full(*_given: Any, **_named: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    real = os.open

    def full_for_drafts(name: Any, flags: int, *more: Any, **named: Any) -> int:
        if flags & os.O_CREAT:
            full()
        return real(name, flags, *more, **named)

    with monkeypatch.context() as broken:
        broken.setattr(os, call, full_for_drafts if call == "open" else full)
        with pytest.raises(OSError, match="No space left") as told:
            atomic.write(path, "after")
    assert told.value.filename == str(path), "the place that a person knows, not a draft"
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["compose.yml"]


@pytest.mark.parametrize("room", range(0, 12))
def test_a_disk_that_takes_only_some_bytes_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    path = tmp_path / "a"
    path.write_text("before")
    FullDisk(monkeypatch, room)
    with pytest.raises(OSError, match="No space left"):
        atomic.write(path, "after, longer")
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["a"]


def test_a_kernel_that_takes_a_byte_at_a_time_gets_them_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, bytes(data[:1])))
    atomic.write(tmp_path / "a", "whole\n")
    assert (tmp_path / "a").read_text() == "whole\n"


def test_a_link_in_the_draft_s_place_is_not_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("root's")
    (tmp_path / ".a.draft").symlink_to(victim)
    (tmp_path / "a").symlink_to(victim)
    atomic.write(tmp_path / "a", "ours")
    assert victim.read_text() == "root's"
    assert (tmp_path / "a").read_text() == "ours"
    assert not (tmp_path / "a").is_symlink()


def test_two_that_write_one_file_at_once_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a handle of its own, as two processes do."""
    is_half_way, errors = threading.Event(), []
    write = os.write

    def slow(handle: int, data: bytes) -> int:
        if bytes(data).startswith(b"first"):
            is_half_way.set()
            time.sleep(0.2)
        return write(handle, data)

    def begin() -> None:
        try:
            atomic.write(tmp_path / "a", "first")
        except OSError as error:
            errors.append(error)

    monkeypatch.setattr(os, "write", slow)
    thread = threading.Thread(target=begin)
    thread.start()
    assert is_half_way.wait(60)
    atomic.write(tmp_path / "a", "second")
    thread.join()
    assert errors == []
    assert (tmp_path / "a").read_text() == "second"
    assert os.listdir(tmp_path) == ["a"]


def test_whoever_holds_the_lock_of_a_folder_holds_no_writer_up_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "_TURN_S", 0.0)
    holder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        atomic.write(tmp_path / "a", "written")
    finally:
        os.close(holder)
    assert (tmp_path / "a").read_text() == "written"


def test_lines_are_added_to_a_closed_file_and_through_no_link(tmp_path: Path) -> None:
    atomic.append(tmp_path / "progress", "a\n")
    atomic.append(tmp_path / "progress", "b\n")
    assert (tmp_path / "progress").read_text() == "a\nb\n"
    assert mode(tmp_path / "progress") == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "progress")
    with pytest.raises(OSError):
        atomic.append(tmp_path / "link", "c\n")
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OSError, match="no file of ours"):
        atomic.append(tmp_path / "pipe", "c\n")
    os.close(reader)
    assert (tmp_path / "progress").read_text() == "a\nb\n"


def test_a_folder_is_born_closed_and_an_open_one_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    born: list[int] = []
    mkdir = os.mkdir

    def watch(path: Any, mode: int = 0o777, **named: Any) -> None:
        mkdir(path, mode, **named)
        born.append(stat.S_IMODE(os.stat(path).st_mode))

    monkeypatch.setattr(os, "mkdir", watch)
    atomic.make_folder(tmp_path / "a" / "env")
    assert born == [0o700, 0o700]
    assert (mode(tmp_path / "a"), mode(tmp_path / "a" / "env")) == (0o755, 0o700)
    (tmp_path / "a" / "env").chmod(0o755)
    atomic.make_folder(tmp_path / "a" / "env")
    assert mode(tmp_path / "a" / "env") == 0o700
    # One of an administrator's that is closed already stays so.
    atomic.make_folder(tmp_path / "a" / "env", 0o755)
    assert mode(tmp_path / "a" / "env") == 0o700


def test_a_closed_folder_is_not_made_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    (tmp_path / "env").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        atomic.make_folder(tmp_path / "env")
    assert mode(tmp_path / "elsewhere") == 0o755


def test_what_stands_there_is_cleared_and_nothing_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "draft" / "env").mkdir(parents=True)
    for name in ("link", "draft", "nothing"):
        atomic.clear(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["kept"]
    assert (tmp_path / "kept" / "file").exists()


def test_a_folder_of_somebody_s_is_made_and_put_right_and_never_through_a_link(tmp_path: Path) -> None:
    mine, folder, link = (os.getuid(), os.getgid()), tmp_path / "folder", tmp_path / "link"
    assert not atomic.is_folder_of(folder, mine, 0o750)
    atomic.make_folder_of(folder, mine, 0o750)
    assert atomic.is_folder_of(folder, mine, 0o750) and not atomic.is_folder_of(folder, (mine[0], mine[1] + 1), 0o750)
    folder.chmod(0o755)
    assert not atomic.is_folder_of(folder, mine, 0o750)
    link.symlink_to(folder)
    assert not atomic.is_folder_of(link, mine, 0o755)
    with pytest.raises(OSError) as caught:
        atomic.make_folder_of(link, mine, 0o700)
    assert caught.value.filename == str(link) and folder.stat().st_mode & 0o777 == 0o755
