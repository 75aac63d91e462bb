# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a host's files below a root that is a parameter, so that a tree of fixtures can stand in for /proc and /sys."""

from __future__ import annotations

import json
import os
from typing import Any


class HostFiles:
    """Files below a root. What can't be read is None: a host lacks most of what we look for."""

    def __init__(self, root: str = "/") -> None:
        self.root = root

    def path(self, name: str) -> str:
        """Place an absolute name below the root."""
        return os.path.join(self.root, name.lstrip("/"))

    def read(self, name: str) -> str | None:
        """Read a text file."""
        data = self.read_bytes(name)
        return None if data is None else data.decode("utf-8", "replace")

    def read_bytes(self, name: str) -> bytes | None:
        """Read a file as it is."""
        try:
            with open(self.path(name), "rb") as handle:
                return handle.read()
        except OSError:
            return None

    def mapping(self, name: str) -> dict[str, Any]:
        """Read what an earlier run kept as JSON; an empty mapping where it kept nothing that can be read."""
        try:
            found = json.loads(self.read(name) or "{}")
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def names(self, folder: str) -> list[str]:
        """List a folder, sorted."""
        try:
            return sorted(os.listdir(self.path(folder)))
        except OSError:
            return []

    def exists(self, name: str) -> bool:
        """Tell whether a name is there, a dangling link included."""
        return os.path.lexists(self.path(name))

    def is_dir(self, name: str) -> bool:
        """Tell whether a folder is there."""
        return os.path.isdir(self.path(name))

    def link(self, name: str) -> str | None:
        """Read where a link points to."""
        try:
            return os.readlink(self.path(name))
        except OSError:
            return None

    def resolve(self, name: str) -> str | None:
        """Follow a name's links, each of them below the root; None where they end at nothing."""
        for _hop in range(32):
            target = self.link(name)
            if target is None:
                return name if os.path.exists(self.path(name)) else None
            name = os.path.normpath(os.path.join(os.path.dirname(name), target))
        return None

    def starts_at_boot(self, unit: str) -> bool:
        """Tell whether systemd starts a unit at boot: systemctl links what is WantedBy its usual target there."""
        return self.exists(f"/etc/systemd/system/multi-user.target.wants/{unit}")

    def free_bytes(self, name: str) -> tuple[int, int]:
        """Return free and total bytes of the file system that holds, or will hold, a name."""
        at = self.path(name)
        while not os.path.exists(at) and os.path.dirname(at) != at:
            at = os.path.dirname(at)
        stats = os.statvfs(at)
        return stats.f_bavail * stats.f_frsize, stats.f_blocks * stats.f_frsize
