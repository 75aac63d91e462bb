# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one reader of who listens on a host: without ss or netstat, which it need not have."""

from __future__ import annotations

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.listeners import Listener, parse
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")


def read(files: HostFiles | None = None) -> tuple[Listener, ...]:
    """Return who listens; a host without IPv6 has no second table."""
    here = files or HostFiles()
    return parse(here.read(table) or "" for table in TABLES)
