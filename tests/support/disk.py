# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that is full after some bytes, for whatever writes through file descriptors, and a picture of what is on a disk."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


class FullDisk:
    """From now on there is room for so many bytes; `refused` counts the writes that found none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room, self.refused = room, 0
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, handle: int, data: bytes) -> int:
        """Take what there is room for."""
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return self._write(handle, data)
        if data and not self.room:
            self.refused += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(handle, bytes(data[: self.room]))
        self.room -= written
        return written


def picture(folder: Path) -> dict[str, tuple[str, str]]:
    """Mode and content of everything below a folder, by its path there."""
    return {
        str(path.relative_to(folder)): (
            oct(stat.S_IMODE(path.lstat().st_mode)),
            path.read_text() if path.is_file() else "",
        )
        for path in sorted(folder.rglob("*"))
    }


class FillsAt:
    """A disk on which the write of this number, of all that need room, finds none; with `stays` none after it does either."""

    CALLS = ("open", "write", "mkdir", "rename", "link")

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, *, stays: bool) -> None:
        self.at, self.stays, self.count, self.refused = at, stays, 0, 0
        for name in self.CALLS:
            monkeypatch.setattr(os, name, self._watched(name, getattr(os, name)))

    def _watched(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*given: Any, **named: Any) -> Any:
            if self._needs_room(name, given, named.get("dir_fd")):
                self.count += 1
                if self.count == self.at or (self.stays and self.count > self.at):
                    self.refused += 1
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return call(*given, **named)

        return watched

    @staticmethod
    def _needs_room(name: str, given: tuple[Any, ...], folder: int | None) -> bool:
        if name == "open":
            if not given[1] & os.O_CREAT:
                return False
            try:
                os.stat(given[0], dir_fd=folder)
            except FileNotFoundError:
                return True
            return False
        return name != "write" or stat.S_ISREG(os.fstat(given[0]).st_mode)
