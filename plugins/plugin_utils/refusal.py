# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an action returns that refuses, besides what its module refuses."""

from __future__ import annotations

from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError


def refused(error: FleetError) -> dict[str, Any]:
    """Return a result that fails with an error's sentence."""
    return {"failed": True, "changed": False, "msg": str(error), "field": error.where}
