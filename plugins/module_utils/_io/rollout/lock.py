# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks between runs: one a card, held while engines start on it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType


class LockHeld(Exception):
    """Somebody else holds it; the text says who."""


class CardLock:
    """An exclusive lock on one card, by its UUID. The kernel drops it with the process that holds it."""

    def __init__(self, folder: str, uuid: str, wait_s: float, tell: Callable[[str], None] | None = None) -> None:
        self._path = Path(folder, f"{uuid}.lock")
        self._wait_s = wait_s
        self._tell = tell
        self._handle: int | None = None

    def __enter__(self) -> CardLock:
        self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        until = time.monotonic() + self._wait_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                holder = os.pread(handle, 1000, 0).decode(errors="replace") or "an unknown process"
                if self._tell:
                    self._tell(
                        f"another run is starting engines on this host ({holder}): waiting up to {self._wait_s:.0f} s"
                    )
                    self._tell = None
                if time.monotonic() >= until:
                    os.close(handle)
                    raise LockHeld(f"{holder} is starting engines there ({self._path})") from None
                time.sleep(0.5)
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps({"pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}).encode(), 0)
        self._handle = handle
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            os.ftruncate(self._handle, 0)
            os.close(self._handle)
