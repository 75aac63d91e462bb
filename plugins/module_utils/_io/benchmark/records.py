# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Benchmarks that a host keeps: each a file of its own, the newest of a profile to compare with, old ones forgotten."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.benchmark import comparison
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic

KEPT = 20


class Records:
    """The records of one profile in a folder."""

    def __init__(self, folder: Path, profile: str) -> None:
        self.folder = folder
        self.profile = profile

    def last(self) -> dict[str, Any] | None:
        """Return the newest that can be read; what is no record counts as none."""
        for path in reversed(self._paths()):
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            if comparison.is_record(found):
                return dict(found)
        return None

    def keep(self, record: Mapping[str, Any], stamp: str) -> str:
        """Write one, and remove the oldest beyond those that are kept; return where it is."""
        path = self.folder / f"{self.profile}-{stamp}.json"
        atomic.make_folder(self.folder)
        atomic.write(path, json.dumps(record, indent=1, sort_keys=True) + "\n")
        for old in self._paths()[:-KEPT]:
            old.unlink(missing_ok=True)
        return str(path)

    def _paths(self) -> list[Path]:
        # By their stamps, which sort as the times do.
        return sorted(path for path in self.folder.glob(f"{self.profile}-*.json") if path.is_file())
