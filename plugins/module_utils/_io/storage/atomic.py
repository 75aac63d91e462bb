# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one writer of whole files: closed when they are born, and in their place at once or not at all.

A file is written under another name beside its place, with mode 0600, and takes its place by a rename once its bytes are on the disk. A
reader sees the old text or the new one, a full disk or a power cut leaves one of them whole, and no link is ever followed to be written
through.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
_TURNS, _TURN_S = 100, 0.05
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def write(path: str | Path, content: str | bytes, mode: int = 0o600, owner: tuple[int, int] | None = None) -> None:
    """Put a whole file in place; an OSError names the path, and what was there is untouched then."""
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    with _named(path), _folder(path.parent) as folder:
        _take_turn(folder)
        draft = f".{path.name}.draft"
        # One that an interrupted run left.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=folder)
        try:
            handle = os.open(draft, _NEW, 0o600, dir_fd=folder)
            try:
                _fill(handle, data)
                if owner is not None:
                    os.fchown(handle, *owner)
                os.fchmod(handle, mode)
                os.fsync(handle)
            finally:
                os.close(handle)
            os.rename(draft, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(draft, dir_fd=folder)
            raise
        _settle(folder)


def append(path: str | Path, text: str) -> None:
    """Add to a file that only its owner reads; one that is a link, or somebody else's, is an OSError."""
    with _named(Path(path)):
        handle = os.open(path, _APPEND, 0o600)
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
                raise OSError(errno.EPERM, "it is no file of ours", str(path))
            _fill(handle, text.encode())
        finally:
            os.close(handle)


def move(source: str | Path, target: str | Path) -> None:
    """Rename a file or a folder of the same file system for good: the folder that it comes into is on the disk afterwards."""
    with _named(Path(target)):
        os.rename(source, target)
        with _folder(Path(target).parent) as folder:
            _settle(folder)


def make_folder(path: str | Path, mode: int = 0o700) -> None:
    """Make a folder, born closed, and those that lead to it; one that is there and open to others is closed where 0700 is asked for."""
    path = Path(path)
    closed = mode & 0o077 == 0
    with _named(path):
        for folder in (*reversed(path.parents), path):
            if not folder.is_dir():
                os.mkdir(folder, 0o700)
                os.chmod(folder, mode if folder == path else 0o755)
        with _folder(path, os.O_NOFOLLOW if closed else 0) as handle:
            if closed and os.fstat(handle).st_mode & 0o077:
                os.fchmod(handle, mode)


def is_folder_of(path: str | Path, owner: tuple[int, int], mode: int) -> bool:
    """Tell whether a folder is there, no link to one, and has this owner, group and mode."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(found.st_mode) and (found.st_uid, found.st_gid) == owner and stat.S_IMODE(found.st_mode) == mode


def make_folder_of(path: str | Path, owner: tuple[int, int], mode: int) -> None:
    """Make a folder that somebody else owns, or give one that is there its owner, group and mode; never through a link."""
    path = Path(path)
    with _named(path):
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
        with _folder(path, os.O_NOFOLLOW) as handle:
            os.fchown(handle, *owner)
            os.fchmod(handle, mode)


def clear(path: str | Path) -> None:
    """Remove a folder with all that is in it, or what stands there in its place; nothing there is nothing to do."""
    path = Path(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _take_turn(folder: int) -> None:
    """Wait until no other writer has a draft in a folder: hosts of one run that keep the same file on the controller write at one moment.

    Not for ever: any account can lock a folder that it may read.
    """
    for _each in range(_TURNS):
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_TURN_S)
        except OSError:
            # A file system without locks goes without.
            return
        else:
            return


def _fill(handle: int, data: bytes) -> None:
    """Write all of it; the kernel may take less at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _settle(folder: int) -> None:
    """Bring a folder's names onto the disk, where its file system knows how."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


@contextlib.contextmanager
def _folder(path: Path, more: int = 0) -> Iterator[int]:
    handle = os.open(path, _FOLDER | more)
    try:
        yield handle
    finally:
        os.close(handle)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the place that a person knows in whatever goes wrong, and not a draft or nothing."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise
