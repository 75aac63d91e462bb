# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The note on a host of the run that changes it: taken and given back under a lock, read as nothing where it is none of ours."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.claim import Claim, is_free, version
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic, ownership

_NAME = "run.json"
_VERSION = "collection"


def holder(folder: str) -> Claim | None:
    """Return the run that has the host; None where none has."""
    try:
        return Claim.read(json.loads(Path(folder, _NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return None


def take(folder: str, claim: Claim, over: str = "") -> Claim | None:
    """Note that a run changes the host, and return it; where another one does, and is not `over`, that is returned."""
    with _locked(Path(folder)):
        found = holder(folder)
        if not is_free(found, claim.run, over):
            return found
        atomic.write(Path(folder, _NAME), json.dumps(claim.data()))
        return claim


def release(folder: str, run: str) -> None:
    """Remove the note of a run; another's stays."""
    if holder(folder) is None:
        return
    with _locked(Path(folder)):
        found = holder(folder)
        if found is not None and found.run == run:
            Path(folder, _NAME).unlink(missing_ok=True)


def version_of(state_dir: str) -> str:
    """Return the version of the collection that changed the host last; empty where none is noted."""
    try:
        return version(Path(state_dir, _VERSION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""


def note_version(state_dir: str, ours: str) -> None:
    """Note the version that has changed the host; one that has no state of ours was not changed."""
    if Path(state_dir).is_dir() and ours and version_of(state_dir) != ours:
        ownership.check(state_dir)
        atomic.write(Path(state_dir, _VERSION), f"{ours}\n")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    ownership.check(folder)
    atomic.make_folder(folder)
    handle = ownership.open_lock(folder / f".{_NAME}.lock")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
