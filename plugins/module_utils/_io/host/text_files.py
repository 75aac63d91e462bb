# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small text files on a host: compared with the text that they should hold, written or removed where they differ."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import text_file
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic

# Folders that are root's and that others may only read.
FOLDER_MODE = 0o755
ROOT = (0, 0)
# What is known of each file.
ARGUMENTS: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str", "required": True},
    "mode": {"type": "str", "default": text_file.MODE},
}


def amiss(folders: Sequence[str]) -> list[str]:
    """Return the folders that are not there, or not root's alone to write in."""
    return [path for path in folders if not atomic.is_folder_of(os.path.realpath(path), ROOT, FOLDER_MODE)]


def make(folders: Sequence[str]) -> None:
    """Make folders, or put them right; what an administrator has put elsewhere by a link stays there, as with files."""
    for path in folders:
        real = os.path.realpath(path)
        os.makedirs(os.path.dirname(real), mode=0o755, exist_ok=True)
        atomic.make_folder_of(real, ROOT, FOLDER_MODE)


def is_in_place(host: HostFiles, folders: Sequence[str], files: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether folders and files are as they should be; nothing is written."""
    return not amiss([host.path(path) for path in folders]) and all(_is_as_asked(host, file) for file in files)


def holds(host: HostFiles, file: Mapping[str, Any]) -> bool:
    """Tell whether a file has its text, or is not there where it should not be; its mode is not asked for."""
    return host.read(file["path"]) == text_file.whole(file["content"])


def _is_as_asked(host: HostFiles, file: Mapping[str, Any]) -> bool:
    if not holds(host, file):
        return False
    removed = text_file.whole(file["content"]) is None
    return removed or stat.S_IMODE(os.stat(host.path(file["path"])).st_mode) == int(file["mode"], 8)


def put(
    files: Sequence[Mapping[str, Any]], check_mode: bool, put_mode_right: Callable[[str, int], bool]
) -> dict[str, Any]:
    """Write and remove what differs; return which files, and the differences."""
    host = HostFiles()
    written: list[str] = []
    removed: list[str] = []
    diff: list[dict[str, str]] = []
    for file in files:
        path, mode = file["path"], int(file["mode"], 8)
        before, after = host.read(path), text_file.whole(file["content"])
        if before == after:
            if after is not None and put_mode_right(path, mode):
                written.append(path)
            continue
        (removed if after is None else written).append(path)
        diff.append({"before_header": path, "after_header": path, "before": before or "", "after": after or ""})
        if check_mode:
            continue
        if after is None:
            os.unlink(path)
        else:
            _write(path, after, mode)
    return {"written": written, "removed": removed, "diff": diff}


def _write(path: str, content: str, mode: int) -> None:
    """Put a whole file in place at once: a reader sees the old text or the new one."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    # What an administrator has put elsewhere by a link stays there.
    atomic.write(os.path.realpath(path), content, mode)
