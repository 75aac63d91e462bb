# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells an edge where the other edges are; fails where its host is not reached, in a play that can go on after that."""

from __future__ import annotations

from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import edge
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.unreached import OnHost, is_failure


class ActionModule(OnHost):
    """Run the module of the same name."""

    @is_failure
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module returns."""
        if "others" not in self._task.args:
            try:
                self._task.args = {**self._task.args, "others": self._others(task_vars or {})}
            except FleetError as error:
                return {"failed": True, "changed": False, "msg": str(error), "field": error.where}
        result: dict[str, Any] = super().run(tmp, task_vars)
        return result

    def _others(self, variables: dict[str, Any]) -> list[str]:
        """Return where the other edges answer, for a host that is an edge."""
        edges, host = variables.get("groups", {}).get(edge.GROUP, ()), variables.get("inventory_hostname")
        others = [other for other in edges if other != host] if host in edges else []
        if not others:
            return []
        return edge.endpoints(self._templar, variables["hostvars"], self._loader, others)
