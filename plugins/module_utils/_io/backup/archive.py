# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's backup as one archive: written for root alone, and unpacked with no name, link or size believed."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import backup
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.state_dir import StateDir
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic, mark

Files = Mapping[tuple[backup.Part, str], bytes]


def pack(path: str, folders: Mapping[str, Path]) -> list[str]:
    """Write the archive, and name what is in it."""
    files = {
        f"{part.name}/{found.name}": found
        for part in backup.PARTS
        for found in sorted(_folder(part, folders).glob("*"))
        if part.pattern.fullmatch(found.name) and found.is_file() and not found.is_symlink()
    }
    manifest = {"format": backup.FORMAT, "version": backup.VERSION, "files": sorted(files)}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        _add(archive, backup.MANIFEST, (json.dumps(manifest) + "\n").encode())
        for name, found in sorted(files.items()):
            _add(archive, name, found.read_bytes())
    atomic.write(path, packed.getvalue())
    return sorted(files)


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(f"{backup.ROOT}/{name}")
    entry.size, entry.mode = len(data), 0o600
    archive.addfile(entry, io.BytesIO(data))


def read(path: str) -> Files:
    """Return all files of an archive, checked whole before the first is written."""
    found: dict[tuple[backup.Part, str], bytes] = {}
    manifest: object = None
    try:
        with tarfile.open(path, mode="r:gz") as archive:
            for entry in archive:
                file = archive.extractfile(entry) if entry.isreg() else None
                if file is None or entry.size > backup.MOST_FILE_BYTES or len(found) >= backup.MOST_FILES:
                    backup.refuse()
                data = file.read()
                if entry.name == f"{backup.ROOT}/{backup.MANIFEST}":
                    manifest = json.loads(data)
                else:
                    found[backup.part_of(entry.name)] = data
    except (tarfile.TarError, EOFError, ValueError, OSError, RecursionError):
        fail("backup_dir", "the archive can't be read, or is cut short.", "Take another backup. Nothing was changed.")
    backup.check(manifest, found)
    return found


def put(files: Files, folders: Mapping[str, Path], check_mode: bool) -> tuple[list[str], list[str]]:
    """Put in place what is not there yet; return what was put, and what was left as the host has it."""
    new: list[str] = []
    left: list[str] = []
    # Half of a pair would be a broken one.
    has_pair = any((_folder(part, folders) / name).exists() for part, name in files if part.name == backup.TLS)
    with contextlib.nullcontext() if check_mode else _alone(files, folders):
        for part, name in sorted(files, key=lambda file: (file[0].name, file[1])):
            path, data = _folder(part, folders) / name, files[part, name]
            if path.exists() or (part.name == backup.TLS and has_pair):
                if not path.exists() or path.read_bytes() != data:
                    left.append(f"{part.name}/{name}")
                continue
            new.append(f"{part.name}/{name}")
            if not check_mode:
                _make_room(part, folders)
                atomic.write(path, data, part.mode)
    return new, left


@contextlib.contextmanager
def _alone(files: Files, folders: Mapping[str, Path]) -> Iterator[None]:
    """Have no start and no import write what was measured meanwhile, where that is put."""
    with contextlib.ExitStack() as held:
        for part, name in files:
            if part.name == backup.CALIBRATION and not (_folder(part, folders) / name).exists():
                _make_room(part, folders)
                held.enter_context(StateDir(str(folders[part.base])).calibration_locked())
        yield


def _make_room(part: backup.Part, folders: Mapping[str, Path]) -> None:
    base = folders[part.base]
    if part.base == backup.STATE and not base.exists():
        # Else it would count as somebody's, since it holds something before the first run makes it ours.
        mark.adopt(base)
    atomic.make_folder(base, 0o755)
    if part.folder:
        atomic.make_folder(base / part.folder)


def _folder(part: backup.Part, folders: Mapping[str, Path]) -> Path:
    return folders[part.base] / part.folder if part.folder else folders[part.base]
