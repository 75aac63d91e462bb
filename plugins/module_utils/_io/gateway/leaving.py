# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An edge that is about to stop says so first, while it still answers: who watches /livez sends clients to another one meanwhile."""

from __future__ import annotations

import http.client
import time
import urllib.parse
from collections.abc import Callable, Sequence
from pathlib import Path

# The gateway's Lua looks for it (engines.lua).
FILE = "leaving"
ANSWER_S = 2.0
# One that speaks TLS sends plain HTTP on to it.
_ANSWERS = (200, 308)


class Leaving:
    """The edge of this host. folder is its folder of draining, where it has one, others are the endpoints of the other edges."""

    def __init__(
        self, folder: Path | None, others: Sequence[str], seconds: float, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._file = folder / FILE if folder else None
        self._others = others
        self._seconds = seconds
        self._pause = pause

    @property
    def has_others(self) -> bool:
        """Whether there are other edges."""
        return bool(self._others)

    def begin(self) -> None:
        """Say so and let clients go, where another edge is there to take them."""
        if self._file and self._file.parent.is_dir() and any(is_there(other) for other in self._others):
            self._file.touch()
            self._pause(self._seconds)

    def end(self) -> None:
        """Say it no longer, whoever has said it."""
        if self._file:
            self._file.unlink(missing_ok=True)


def is_there(endpoint: str) -> bool:
    """Tell whether a gateway answers that it serves."""
    at = urllib.parse.urlsplit(f"//{endpoint}")
    line = http.client.HTTPConnection(at.hostname or "", at.port, timeout=ANSWER_S)
    try:
        line.request("GET", "/livez")
        return line.getresponse().status in _ANSWERS
    except (OSError, http.client.HTTPException):
        return False
    finally:
        line.close()
