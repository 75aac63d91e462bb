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

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError

_DIGEST = re.compile(r"^ ([0-9a-f]{64})\s+(\d+)\s+(\S+)$")
_INDEX_FORMS = ("", ".gz", ".xz", ".bz2", ".zst")


@dataclass(frozen=True)
class File:
    """A file of the repository, by its path below the repository's root."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Wanted:
    """Packages to take, by patterns of name and version."""

    name: str
    version: str = "*"


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
            found.append(File(match.group(3).removeprefix("./"), int(match.group(2)), match.group(1)))
    return found


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
            file = File(fields["Filename"].removeprefix("./"), int(fields["Size"]), fields["SHA256"])
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
        if not hits:
            versions = sorted({version for name, version, _file in listed if fnmatch.fnmatchcase(name, want.name)})
            there = f"it has {', '.join(versions)}" if versions else "it has no package of that name"
            raise FleetError(
                f"packages: the repository has no {want.name} of version {want.version}, {there}.",
                "Correct the pattern.",
                field="packages",
            )
        chosen.update(hits)
    return chosen


def total_bytes(files: Mapping[str, File]) -> int:
    """Add up what has to be carried."""
    return sum(file.size_bytes for file in files.values())
