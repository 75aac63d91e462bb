# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a path is: nothing of ours is read as ours, or written, where another account may put something in its place."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


class UnsafePath(OSError):
    """A path that another account may change; `strerror` says which part of it and how, `filename` is the path."""

    def __init__(self, path: str | Path, why: str) -> None:
        super().__init__(errno.EPERM, why, str(path))


def check(path: str | Path) -> None:
    """Raise UnsafePath where somebody who is neither root nor this account can change a folder, or what leads to it.

    A sticky folder like /tmp may lead to it: nobody can rename another's folder there. A part that is not there yet is made by us.
    """
    real = Path(os.path.realpath(path))
    for part in (real, *real.parents):
        try:
            found = part.lstat()
        except FileNotFoundError:
            continue
        why = _why(part, found, last=part == real)
        if why:
            raise UnsafePath(path, why)


def regular(handle: int, path: str | Path) -> None:
    """Raise UnsafePath where an open file is not a plain one of this account; to be asked before it is cut or written."""
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        raise UnsafePath(path, "it is no plain file")
    if found.st_uid != os.geteuid():
        raise UnsafePath(path, f"it belongs to the account with uid {found.st_uid}")


def open_lock(path: str | Path) -> int:
    """Open a file to be locked, made where it is not there; never through a link, and only one of this account. The caller closes it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        regular(handle, path)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _why(part: Path, found: os.stat_result, last: bool) -> str:
    if last and not stat.S_ISDIR(found.st_mode):
        return f"{part} is no folder"
    if found.st_uid not in (0, os.geteuid()):
        return f"{part} belongs to the account with uid {found.st_uid}, which can change what is in it"
    sticky = bool(found.st_mode & stat.S_ISVTX) and not last
    if found.st_mode & stat.S_IWOTH and not sticky:
        return f"every account may write in {part}"
    if found.st_mode & stat.S_IWGRP and found.st_gid not in (0, os.getegid()) and not sticky:
        return f"the group with gid {found.st_gid} may write in {part}"
    return ""
