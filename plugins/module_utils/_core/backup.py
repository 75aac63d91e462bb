# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a host is kept so that another can take its place: the files that no inventory brings back, and where each goes.

All else is made anew from the inventory: packages, images, weights, plans, engines' keys, the gateway's configuration.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail

FORMAT = "gpuserve.fleet backup"
VERSION = 1
MANIFEST = "manifest.json"
ROOT = "gpuserve-backup"
MOST_FILE_BYTES = 64 * 1024 * 1024
MOST_FILES = 10_000


@dataclass(frozen=True)
class Part:
    """Files of one folder: below which of the host's folders it is, which names, and how they are open."""

    name: str
    base: str
    folder: str
    pattern: re.Pattern[str]
    mode: int
    why: str


GATEWAY, STATE = "gateway", "state"
TLS, CALIBRATION = "tls", "calibration"
PARTS = (
    Part(
        "key",
        GATEWAY,
        "",
        re.compile(r"default-key\.sha256"),
        0o600,
        "the digest of the first key, by which it goes on to open",
    ),
    Part(TLS, GATEWAY, "tls", re.compile(r"tls\.(crt|key)"), 0o600, "the certificate that clients know, and its key"),
    # The folder is the gateway's alone; its files are read by it whoever put them there.
    Part(
        "usage",
        GATEWAY,
        "usage",
        re.compile(r"usage-20[0-9]{2}-[0-9]{2}-[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\.jsonl"),
        0o644,
        "what clients used, which budgets and bills go by",
    ),
    Part(CALIBRATION, STATE, "", re.compile(r"calibration\.json"), 0o600, "what starts measured, by which plans go"),
    Part(
        "benchmarks",
        STATE,
        "benchmarks",
        re.compile(r"[a-z]{1,20}-20[0-9]{6}T[0-9]{6}Z\.json"),
        0o600,
        "benchmarks, with which the next ones are compared",
    ),
)
_BY_NAME: Mapping[str, Part] = {part.name: part for part in PARTS}


def refuse() -> NoReturn:
    """Fail for an archive that is none of ours."""
    fail(
        "backup_dir",
        "the archive is no backup of a host.",
        "Take one that playbooks/backup.yml wrote. Nothing was changed.",
    )


def part_of(member: str) -> tuple[Part, str]:
    """Return what a file in an archive is of, and its name; fail where it is nothing of ours."""
    pieces = member.split("/")
    part = _BY_NAME.get(pieces[1]) if len(pieces) == 3 and pieces[0] == ROOT else None
    if part is None or not part.pattern.fullmatch(pieces[2]):
        refuse()
    return part, pieces[2]


def check(manifest: object, files: Iterable[tuple[Part, str]]) -> None:
    """Fail where an archive is none of ours, of a version that this collection does not read, or not all there."""
    if not isinstance(manifest, Mapping) or manifest.get("format") != FORMAT:
        refuse()
    if manifest.get("version") != VERSION:
        fail(
            "backup_dir",
            f"the archive is of another version than {VERSION}.",
            "Restore it with the version of the collection that wrote it. Nothing was changed.",
        )
    if manifest.get("files") != sorted(f"{part.name}/{name}" for part, name in files):
        refuse()
