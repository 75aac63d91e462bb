# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Digests of files and values, by which two states of a host are compared."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

# Of a larger file its size and its age tell: nobody reads weights through for this.
_READ_BYTES = 4 * 2**20


def of_value(value: Any) -> str:
    """Return a digest of plain data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def of_file(path: Path) -> str:
    """Return a digest of a file with its owner and mode, or of where a link leads; of one that can't be read, that."""
    try:
        seen = path.lstat()
        if stat.S_ISLNK(seen.st_mode):
            return of_value(["link", os.readlink(path), path.exists()])
        if not stat.S_ISREG(seen.st_mode):
            return of_value(["other", stat.S_IFMT(seen.st_mode)])
        whole = seen.st_size <= _READ_BYTES
        content: Any = hashlib.sha256(path.read_bytes()).hexdigest() if whole else [seen.st_size, seen.st_mtime_ns]
        return of_value([content, seen.st_uid, seen.st_gid, stat.S_IMODE(seen.st_mode)])
    except OSError as error:
        return f"unreadable: {error.errno}"
