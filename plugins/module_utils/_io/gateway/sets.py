# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway's files on its host: a candidate beside the live set, born closed, and swapped for it in one move."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic


def put(path: Path, content: bytes, mode: int, group: int = 0) -> None:
    """Put a whole file in place, root's and readable to a group where its mode says so."""
    atomic.write(path, content, mode, (0, group) if os.geteuid() == 0 else None)


def read(path: Path) -> bytes | None:
    """Return a file's content; None where there is none."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


@dataclass(frozen=True)
class Sets:
    """The folder that the container sees: live is what nginx reads, candidate what it has yet to accept."""

    folder: Path
    group: int

    @property
    def live(self) -> Path:
        return self.folder / "live"

    @property
    def candidate(self) -> Path:
        return self.folder / "candidate"

    def recover(self) -> None:
        """Bring back the live set where a swap was cut short between its two moves."""
        old = self.folder / "live.old"
        if old.exists() and not self.live.exists():
            old.rename(self.live)

    def live_files(self) -> dict[str, bytes]:
        """Return the live set's files by name."""
        if not self.live.is_dir():
            return {}
        return {path.name: path.read_bytes() for path in sorted(self.live.iterdir()) if path.is_file()}

    def is_open_to_others(self, files: Mapping[str, bytes]) -> bool:
        """Tell whether somebody who may not read the live set could, or its owner can't."""
        for path in (self.live, *(self.live / name for name in files)):
            state = path.stat()
            if state.st_mode & 0o027 or (os.geteuid() == 0 and (state.st_uid, state.st_gid) != (0, self.group)):
                return True
        return False

    def stage(self, files: Mapping[str, bytes]) -> None:
        """Write the candidate anew."""
        # Whoever runs what is live still has to get to it, should the candidate be refused: only the sets themselves are closed.
        atomic.make_folder(self.folder, 0o755)
        self.folder.chmod(0o755)
        atomic.clear(self.candidate)
        atomic.make_folder(self.candidate, 0o700)
        if os.geteuid() == 0:
            os.chown(self.candidate, 0, self.group, follow_symlinks=False)
        self.candidate.chmod(0o750)
        try:
            for name, content in files.items():
                put(self.candidate / name, content, 0o640, self.group)
        except OSError:
            atomic.clear(self.candidate)
            raise

    def swap(self) -> None:
        """Put the candidate in the live set's place."""
        old = self.folder / "live.old"
        atomic.clear(old)
        if self.live.exists():
            atomic.move(self.live, old)
        try:
            atomic.move(self.candidate, self.live)
        except OSError:
            self.recover()
            raise
        shutil.rmtree(old, ignore_errors=True)
