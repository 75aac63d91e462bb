# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an apt repository, its key and what belongs to it are on a host as they are asked for, by what a probe read of apt there."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import apt_sources, openpgp, text_file


def is_in_place(asked: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Tell whether nothing is to be done.

    `asked` holds what deb_source is asked for, `known` what a probe read: `sources`, the text of each file of apt's entries, None where one
    may not be told; `files`, for each other file None where it is missing, or its `mode` and its `content` in base64.
    """
    sources: Mapping[str, str | None] = known["sources"]
    if any(text is None for text in sources.values()):
        return False
    texts = {path: text for path, text in sources.items() if text is not None}
    content = str(asked["content"]).strip() + "\n"
    replaces, architecture = asked.get("replaces") or (), str(asked.get("architecture") or "amd64")
    if apt_sources.plan(texts, str(asked["path"]), content, replaces, architecture):
        return False
    return _has_key(asked.get("key"), known["files"]) and _has_files(asked.get("files") or (), known["files"])


def _has_key(key: Mapping[str, Any] | None, files: Mapping[str, Any]) -> bool:
    if not key:
        return True
    there = _content(files.get(key["path"]))
    if there is None:
        return False
    expected = [str(fingerprint) for fingerprint in key["fingerprints"]]
    try:
        openpgp.check_key(there, expected, "", "")
        given = key.get("content")
        return given is None or openpgp.check_key(str(given).encode(), expected, "", "").binary == there
    except FleetError:
        # What is wrong with it is for the module to say.
        return False


def _has_files(asked: Sequence[Mapping[str, Any]], files: Mapping[str, Any]) -> bool:
    for file in asked:
        path, text = str(file["path"]), text_file.whole(str(file["content"]))
        # What was not read may hold anything.
        if path not in files:
            return False
        there = _content(files[path])
        if (there is None) != (text is None):
            return False
        if text is not None and (there != text.encode() or int(files[path]["mode"], 8) != _mode(file)):
            return False
    return True


def _mode(file: Mapping[str, Any]) -> int:
    return int(str(file.get("mode") or text_file.MODE), 8)


def _content(read: Mapping[str, str] | None) -> bytes | None:
    try:
        return None if read is None else base64.b64decode(read["content"], validate=True)
    except binascii.Error:
        return None
