# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our mark in folders that we made: what bears none is never removed, whatever a variable names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic

MARK = ".gpuserve"
_TEXT = "Made by gpuserve.fleet, which removes this folder with all that is in it when it is taken down.\n"


def adopt(folder: str | Path, mode: int = 0o755) -> None:
    """Make a folder and mark it as ours; one that holds anything already stays somebody's."""
    folder = Path(folder)
    atomic.make_folder(folder, mode)
    if not os.listdir(folder):
        atomic.write(folder / MARK, _TEXT)


def left_alone(folder: str | Path, marks: Sequence[str] = ()) -> str:
    """Why a folder is not ours to remove; empty where it is. `marks`: files that are in one of ours too."""
    folder = Path(folder)
    if folder.is_symlink():
        return "it is a link"
    if not folder.is_dir():
        return "it is no folder"
    if folder.is_mount():
        return "something is mounted there"
    if not any((folder / name).is_file() for name in (MARK, *marks)):
        return f"it bears no mark of ours ({MARK})"
    return ""
