# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A package repository's key on its host: taken by address or as text, checked by its fingerprints, and kept without armour."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.urls import open_url

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import openpgp
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic

# What modules that put a key in place take; whose variable holds the fingerprints is theirs to say.
ARGUMENTS: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "url": {"type": "str"},
    "content": {"type": "str", "no_log": False},
    "fingerprints": {"type": "list", "elements": "str", "required": True, "no_log": False},
    "ca_file": {"type": "path"},
    "timeout_s": {"type": "int", "default": 30},
}
ONE_OF = [("url", "content")]


def fetch(url: str, ca_file: str | None, timeout_s: int) -> bytes:
    """Download the key."""
    try:
        answer = open_url(url, timeout=timeout_s, ca_path=ca_file, http_agent="gpuserve.fleet")
        data: bytes = answer.read(1 << 20)
    except Exception as error:  # open_url lets every kind of network error through
        fail(
            url,
            f"the key there can't be read ({error}).",
            "Check the address and the network, or give the key as a file. Nothing was changed.",
        )
    return data


def put(params: Mapping[str, Any], variable: str, check_mode: bool) -> dict[str, Any]:
    """Check, then write; return whether it changed, the fingerprints and the difference."""
    path, expected = params["path"], params["fingerprints"]
    before = HostFiles().read_bytes(path)
    prints: tuple[str, ...] = ()
    if before is not None:
        try:
            prints = openpgp.check_key(before, expected, path, variable).fingerprints
        except FleetError:
            prints = ()
    if params["content"] is not None:
        key = openpgp.check_key(params["content"].encode(), expected, "the given key", variable)
    elif prints and before is not None:
        # The right key is there already: nothing to download, and a run without a network is a run without a change.
        return {"changed": False, "fingerprints": list(prints)}
    else:
        key = openpgp.check_key(
            fetch(params["url"], params["ca_file"], params["timeout_s"]), expected, params["url"], variable
        )
    changed = key.binary != before
    if changed and not check_mode:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        # apt reads keys as the user _apt.
        atomic.write(os.path.realpath(path), key.binary, 0o644)
    lines = "".join(f"{fingerprint}\n" for fingerprint in key.fingerprints)
    old = "".join(f"{fingerprint}\n" for fingerprint in prints)
    return {
        "changed": changed,
        "fingerprints": list(key.fingerprints),
        "diff": {"before_header": path, "after_header": path, "before": old, "after": lines},
    }
