# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hub's cache on a host, as huggingface_hub lays it out: which files of a commit are there whole, and which are not checked yet."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic

_READ_BYTES = 8 * 2**20


class Cache:
    """The cache below a folder that engines share."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder, "huggingface", "hub")
        self._pending = self.folder / ".gpuserve-pending"

    def snapshot(self, model: str, commit: str) -> Path:
        """Return where the files of a commit are."""
        return self._storage(model) / "snapshots" / commit

    def commit_of(self, model: str, revision: str) -> str:
        """Return the commit that a branch or tag was when it was fetched; empty where it never was."""
        try:
            return (self._storage(model) / "refs" / revision).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return ""

    def refs(self, model: str, commit: str) -> list[str]:
        """Return the branches and tags that were this commit when they were fetched."""
        folder = self._storage(model) / "refs"
        names = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
        return sorted(name for name in names if self.commit_of(model, name) == commit)

    def there(self, model: str, commit: str, paths: Iterable[str]) -> dict[str, int]:
        """Return the files of a commit that are there, with their sizes."""
        found: dict[str, int] = {}
        for path in paths:
            try:
                found[path] = (self.snapshot(model, commit) / path).stat().st_size
            except OSError:
                continue
        return found

    def pending(self, model: str, commit: str, paths: Iterable[str]) -> list[str]:
        """Return the files that were begun and of which nobody knows yet whether they are what they should be."""
        return [path for path in paths if self._mark(model, commit, path).exists()]

    def begin(self, model: str, commit: str, path: str) -> None:
        """Note that a file is being fetched."""
        mark = self._mark(model, commit, path)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()

    def finish(self, model: str, commit: str, path: str) -> None:
        """Note that a file is what it should be."""
        self._mark(model, commit, path).unlink(missing_ok=True)

    def is_right(self, model: str, commit: str, path: str) -> bool:
        """Tell whether a file is what its name in the cache says: large ones are named by their SHA-256, small ones by git's."""
        blob = (self.snapshot(model, commit) / path).resolve()
        if len(blob.name) not in (40, 64):
            return True
        digest = hashlib.sha256() if len(blob.name) == 64 else hashlib.sha1(usedforsecurity=False)
        if len(blob.name) == 40:
            digest.update(b"blob %d\0" % blob.stat().st_size)
        with open(blob, "rb") as file:
            while chunk := file.read(_READ_BYTES):
                digest.update(chunk)
        return digest.hexdigest() == blob.name

    def blob(self, model: str, name: str) -> Path:
        """Return where the content of a file is, by its name."""
        return self._storage(model) / "blobs" / name

    def link(self, model: str, commit: str, path: str, name: str) -> None:
        """Make a blob that is there a file of a commit."""
        pointer = self.snapshot(model, commit) / path
        pointer.parent.mkdir(parents=True, exist_ok=True)
        pointer.unlink(missing_ok=True)
        pointer.symlink_to(os.path.relpath(self.blob(model, name), pointer.parent))

    def name(self, model: str, revision: str, commit: str) -> None:
        """Have a branch or tag be this commit for whoever asks the cache."""
        ref = self._storage(model) / "refs" / revision
        ref.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(ref, commit, 0o644)

    def drop(self, model: str, commit: str, path: str) -> None:
        """Remove a file that is not what it should be."""
        pointer = self.snapshot(model, commit) / path
        pointer.resolve().unlink(missing_ok=True)
        pointer.unlink(missing_ok=True)

    def begun(self, model: str) -> set[Path]:
        """Return the files of a model that somebody began to write, and has not ended."""
        return set((self._storage(model) / "blobs").glob("*.incomplete"))

    def free_bytes(self) -> int:
        """Return what is free on the disk of the cache."""
        folder = self.folder
        while not folder.exists():
            folder = folder.parent
        facts = os.statvfs(folder)
        return facts.f_bavail * facts.f_frsize

    def commits(self, model: str) -> list[str]:
        """Return the commits of which anything is there."""
        try:
            return sorted(path.name for path in (self._storage(model) / "snapshots").iterdir())
        except OSError:
            return []

    def _storage(self, model: str) -> Path:
        return self.folder / f"models--{model.replace('/', '--')}"

    def _mark(self, model: str, commit: str, path: str) -> Path:
        return self._pending / hashlib.sha256(f"{model}@{commit}/{path}".encode()).hexdigest()[:32]
