# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks between runs: one a card, held while engines start on it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.text import harmless
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic, ownership


class LockHeld(Exception):
    """Somebody else holds it; the text says who."""


class GpuLock:
    """An exclusive lock on one card, by its UUID. The kernel drops it with the process that holds it.

    Its folder is root's alone: in one where others may write, a link in the lock's place would have any file cut and overwritten.
    """

    def __init__(self, folder: str, uuid: str, wait_s: float, tell: Callable[[str], None] | None = None) -> None:
        self._path = Path(folder, f"{uuid}.lock")
        self._wait_s = wait_s
        self._tell = tell
        self._handle: int | None = None

    def __enter__(self) -> GpuLock:
        ownership.check(self._path.parent)
        atomic.make_folder(self._path.parent)
        handle = ownership.open_lock(self._path)
        try:
            self._wait(handle)
            # For whoever waits; a lock without these words holds as well.
            with contextlib.suppress(OSError):
                os.ftruncate(handle, 0)
                holder = {"pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
                os.pwrite(handle, json.dumps(holder).encode(), 0)
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle
        return self

    def _wait(self, handle: int) -> None:
        until = time.monotonic() + self._wait_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                holder = harmless(os.pread(handle, 1000, 0).decode(errors="replace"), 120) or "an unknown process"
                if self._tell:
                    self._tell(
                        f"another run is starting engines on this host ({holder}): waiting up to {self._wait_s:.0f} s"
                    )
                    self._tell = None
                if time.monotonic() >= until:
                    raise LockHeld(f"{holder} is starting engines there ({self._path})") from None
                time.sleep(0.5)

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            os.ftruncate(self._handle, 0)
            os.close(self._handle)
