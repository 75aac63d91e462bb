# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What could not be written, or read, of a folder whose files help and are never fatal: said once each to whoever reads the run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


class Notes:
    """A folder of ours, with sentences on what went wrong there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes: list[str] = []

    @contextlib.contextmanager
    def _noted(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._note(f"{name} could not be written ({error.strerror}): free space there, or mend the folder")

    def _note(self, text: str) -> None:
        note = f"{self.folder}: {text}."
        if note not in self.notes:
            self.notes.append(note)
