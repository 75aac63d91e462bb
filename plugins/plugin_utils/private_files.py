# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on the controller that nobody else may read: keys in the clear, born closed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import string
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic

_LETTERS = string.ascii_letters + string.digits


def new_key() -> str:
    """Return a new key of the gateway."""
    return f"gsk-{''.join(secrets.choice(_LETTERS) for _index in range(40))}"


def write(path: Path, text: str, folder_mode: int | None = 0o700) -> None:
    """Put a text where only its owner reads it: the file is 0600, and a folder of ours 0700, before anything is in it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder_mode is not None:
        path.parent.chmod(folder_mode)
    atomic.write(path, f"{text}\n")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other runs, and other hosts of this one, from changing a file meanwhile."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path.parent / f".{path.name}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def read(path: Path) -> str:
    """Return what such a file holds; nothing where there is none."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
