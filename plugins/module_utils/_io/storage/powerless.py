# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What root may do with a folder where it has no powers: in a container without DAC_OVERRIDE the mode counts for root too."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

# Enough for any model's files; a folder with more of them is not looked through to its end.
MOST_ENTRIES = 20_000


def blocked(path: Path, write: bool, deep: bool = True) -> str:
    """The first thing at or, where asked, below a path that such a root can't read, or write where asked; empty where there is none."""
    for part in _entries(path) if deep else (path,):
        try:
            found = part.stat()
        except OSError:
            continue  # a link to nothing, or gone by now
        folder = stat.S_ISDIR(found.st_mode)
        wanted = 0o4 | (0o1 if folder else 0) | (0o2 if folder and write else 0)
        if not _may(found, wanted):
            what = "write in" if write and folder and _may(found, wanted & ~0o2) else "read"
            return f"{part} belongs to uid {found.st_uid} with mode {stat.S_IMODE(found.st_mode):04o}: the engine can't {what} it"
    return ""


def _may(found: os.stat_result, wanted: int) -> bool:
    shift = 6 if found.st_uid == 0 else 3 if found.st_gid == 0 else 0
    return (found.st_mode >> shift) & wanted == wanted


def _entries(path: Path) -> Iterator[Path]:
    yield path
    left = MOST_ENTRIES
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            yield Path(folder, name)
            left -= 1
            if not left:
                return
