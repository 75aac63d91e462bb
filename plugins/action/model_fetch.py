# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows how far the weights are while they are fetched, as the bring-up shows its engines."""

from __future__ import annotations

from typing import Any

from ansible_collections.gpuserve.fleet.plugins.action import bringup
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.fetch import size

# A fetch of half a terabyte at 10 MB/s.
LIMIT_S = 16 * 3600


class ActionModule(bringup.ActionModule):
    """Run the module of the same name, in the background where anything is missing."""

    _what = "The fetch of weights"

    @staticmethod
    def _handed_on(first: dict[str, Any]) -> dict[str, Any]:
        """Return what the work takes from the first probe: nothing, it asks for itself."""
        return {}

    @staticmethod
    def _limit_s(arguments: dict[str, Any], first: dict[str, Any]) -> int:
        return LIMIT_S

    def _announcement(self, first: dict[str, Any]) -> str:
        due = [model for model in first["models"] if model["missing_bytes"]]
        named = ", ".join(f"{model['model']} ({size(model['missing_bytes'])})" for model in due)
        return f" 0:00  to fetch: {named}; {size(first['free_bytes'])} free on the disk"
