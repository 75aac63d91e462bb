# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What apt has on a host: its entries, and files such as keys and pins that a repository of ours comes with."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import credentials
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import apt_sources
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles


def read_entries(files: HostFiles) -> dict[str, str]:
    """Read every file of apt's sources that apt itself would read."""
    parts = apt_sources.PARTS
    names = [apt_sources.MAIN, *(f"{parts}/{name}" for name in files.names(parts) if apt_sources.is_read_by_apt(name))]
    texts = {name: files.read(name) for name in names}
    return {name: text for name, text in texts.items() if text is not None}


def read(files: HostFiles, others: Sequence[str]) -> dict[str, Any]:
    """Read what deb_source is told as `known`: nothing where no other files are named, and no text with an account in an address."""
    if not others:
        return {}
    return {
        "sources": {path: None if credentials.secrets(text) else text for path, text in read_entries(files).items()},
        "files": {path: _file(files, path) for path in others},
    }


def _file(files: HostFiles, path: str) -> dict[str, str] | None:
    content = files.read_bytes(path)
    if content is None:
        return None
    mode = stat.S_IMODE(os.stat(files.path(path)).st_mode)
    return {"content": base64.b64encode(content).decode(), "mode": f"{mode:04o}"}
