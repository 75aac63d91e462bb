# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model's folder on this machine: its files by path and size, and their first bytes."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.checkpoint import MOST_FILES


def list_files(folder: Path) -> dict[str, int]:
    """Return the files below a folder; links lead where they lead, as in the hub's own cache."""
    found: dict[str, int] = {}
    for at, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(at, name)
            if path.is_file():
                found[str(path.relative_to(folder))] = path.stat().st_size
            if len(found) > MOST_FILES:
                return found
    return found


def read_first(folder: Path, path: str, most: int) -> bytes:
    """Return a file's first bytes, at most so many."""
    with open(folder / path, "rb") as file:
        return file.read(most)


def _raise(error: OSError) -> None:
    raise error
