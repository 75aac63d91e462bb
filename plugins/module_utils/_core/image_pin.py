# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which image a tag stands for on a host: the digest that it had when it was first pulled, until somebody asks for another."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

# What Docker is asked for of an image: its id, and its digests.
DIGESTS = "{{.Id}}{{range .RepoDigests}} {{.}}{{end}}"
_PINNED = re.compile(r"[a-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}")
_HUB = re.compile(r"(docker\.io/)?(library/)?")


def by_digest(image: str) -> bool:
    """Tell whether a name says itself which image it is, whatever a registry thinks."""
    return "@" in image


def read(record: Any) -> dict[str, str]:
    """Return what a record holds: names with their digests; what is of another shape counts as never pulled."""
    if not isinstance(record, Mapping):
        return {}
    return {
        str(name): pinned for name, pinned in record.items() if isinstance(pinned, str) and _PINNED.fullmatch(pinned)
    }


def wanted(image: str, record: Mapping[str, str], renew: bool) -> str:
    """Return what to have on the host for a name, and to run."""
    return image if renew or by_digest(image) else record.get(image, image)


def pin(image: str, repo_digests: Sequence[str]) -> str:
    """Return the name by which an image that is there is met again: of several, its own repository's; empty where it has none.

    An image that was loaded from a file has none, and one that two repositories hold has two.
    """
    known = [digest for digest in repo_digests if _PINNED.fullmatch(digest)]
    own = [digest for digest in known if _repository(digest) == _repository(image)]
    return (own or known or [""])[0]


def keep(record: Mapping[str, str], image: str, pinned: str) -> dict[str, str]:
    """Return the record after a run: one that has no digest, or says its own, is not in it."""
    others = {name: known for name, known in record.items() if name != image}
    return {**others, image: pinned} if pinned and not by_digest(image) else others


def _repository(reference: str) -> str:
    named = reference.partition("@")[0]
    path, colon, tag = named.rpartition(":")
    return _HUB.sub("", path if colon and "/" not in tag else named, count=1)
