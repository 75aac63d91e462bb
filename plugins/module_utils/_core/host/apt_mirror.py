# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which files of an apt repository a host needs, so that a part of it can be carried into an air gap with its signature.

The signed Release file and the index it names are copied as they are; only packages are left out. apt checks signature
and index as ever, and never asks for a package that nobody installs.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail

_DIGEST = re.compile(r"^ ([0-9a-f]{64})\s+(\d+)\s+(\S+)$")
_INDEX_FORMS = ("", ".gz", ".xz", ".bz2", ".zst")
_HEX = re.compile(r"^[0-9a-f]{64}$")
# Bounds of what is taken from somebody else's server: Debian's own files of these kinds take 0.3 and 60 MiB.
MAX_RELEASE_BYTES = 8 << 20
MAX_INDEX_BYTES = 512 << 20


@dataclass(frozen=True)
class File:
    """A file of the repository, by its path below the repository's root."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Wanted:
    """Packages to take, by patterns of name and version; optional where only some repositories have any."""

    name: str
    version: str = "*"
    optional: bool = False


def index_files(release: str, folder: str) -> list[File]:
    """Name the forms of one index that a Release file lists; folder is "" in a flat repository."""
    prefix = f"{folder}/" if folder else ""
    names = {f"{prefix}Packages{form}" for form in _INDEX_FORMS}
    found = []
    in_sha256 = False
    for line in release.splitlines():
        if not line.startswith(" "):
            in_sha256 = line.startswith("SHA256:")
        match = _DIGEST.match(line)
        if in_sha256 and match and match.group(3).removeprefix("./") in names:
            found.append(File(place(match.group(3)), size(match.group(2)), match.group(1)))
    return found


def place(path: str) -> str:
    """Return a path below the repository's root; one that leads out of it is an error, whoever signed it."""
    name = path.removeprefix("./")
    parts = name.split("/")
    if not name or not name.isprintable() or "\\" in name or any(part in ("", ".", "..") for part in parts):
        fail(
            "url",
            f"the repository names the file {path!r}, which does not lie below it.",
            "No copy of such a repository can be made: use another mirror.",
        )
    return name


def size(text: str) -> int:
    """Read a size that a repository gives."""
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        fail("url", f"the repository gives {text[:40]!r} for a size.", "Use another mirror.")
    return int(text)


def unpacked_bytes(files: Iterable[File]) -> int:
    """Return how large an index may get when it is unpacked: as large as its plain form is said to be."""
    plain = (file.size_bytes for file in files if file.path.endswith("Packages"))
    return min(next(plain, MAX_INDEX_BYTES), MAX_INDEX_BYTES)


def packages(index: str) -> list[tuple[str, str, File]]:
    """Read an index: name, version and file of every package."""
    found = []
    for stanza in index.split("\n\n"):
        fields: dict[str, str] = {}
        for line in stanza.splitlines():
            key, sep, value = line.partition(":")
            if sep and not line.startswith(" "):
                fields[key] = value.strip()
        if {"Package", "Version", "Filename", "Size", "SHA256"} <= set(fields):
            digest = fields["SHA256"].lower()
            if not _HEX.match(digest):
                fail("url", f"{digest[:80]!r} is no SHA-256.", "Use another mirror.")
            file = File(place(fields["Filename"]), size(fields["Size"]), digest)
            found.append((fields["Package"], fields["Version"], file))
    return found


def select(contents: Iterable[tuple[str, str, File]], wanted: Sequence[Wanted]) -> dict[str, File]:
    """Pick what matches; a pattern that matches nothing is an error, since it would show only behind the gap."""
    listed = list(contents)
    chosen: dict[str, File] = {}
    for want in wanted:
        hits = {
            f"{name}={version}": file
            for name, version, file in listed
            if fnmatch.fnmatchcase(name, want.name) and fnmatch.fnmatchcase(version, want.version)
        }
        if not hits and not want.optional:
            versions = sorted({version for name, version, _file in listed if fnmatch.fnmatchcase(name, want.name)})
            there = f"it has {', '.join(versions)}" if versions else "it has no package of that name"
            fail(
                "packages",
                f"the repository has no {want.name} of version {want.version}, {there}.",
                "Correct the pattern.",
            )
        chosen.update(hits)
    return chosen


def total_bytes(files: Mapping[str, File]) -> int:
    """Add up what has to be carried."""
    return sum(file.size_bytes for file in files.values())
