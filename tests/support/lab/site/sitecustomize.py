# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keep what Python compiles out of zip archives.

Ansible sends each module with all its sources in one, and each of the thousands of tasks in `make test` compiled them anew: half of what
a task costs. Boxes of `make test` have this (lab/boxes.py), and so has what runs modules on this machine (lab/whole.py); nothing that is
measured has it.
"""

from __future__ import annotations

import _imp
import marshal
import os
import sys
import zipimport
from types import CodeType
from typing import Any

FOLDER = os.environ.get("GPUSERVE_LAB_CODE", "/var/cache/gpuserve-lab/python")
# Whatever a source's name is: code is found by what it says.
HASH_KEY = 0x10AB
_compile: Any = getattr(zipimport, "_compile_source", None)


def compile_source(pathname: str, source: bytes, *more: Any) -> CodeType:
    """Return a source's code, kept or compiled and kept; a folder that can't be used costs nothing but the time."""
    place = f"{FOLDER}/{sys.implementation.cache_tag}-{_imp.source_hash(HASH_KEY, source).hex()}"
    try:
        with open(place, "rb") as kept:
            found = marshal.load(kept)
        if isinstance(found, CodeType):
            return found
    except (OSError, EOFError, ValueError, TypeError):
        pass
    code: CodeType = _compile(pathname, source, *more)
    draft = f"{place}.{os.urandom(8).hex()}"
    try:
        with open(draft, "wb") as kept:
            marshal.dump(code, kept)
        os.replace(draft, place)
    except OSError:
        pass
    return code


if _compile is not None:
    zipimport._compile_source = compile_source  # type: ignore[attr-defined]
