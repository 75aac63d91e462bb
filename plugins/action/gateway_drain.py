# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps a box out of the new requests of the edge that the task is delegated to: finds where that edge reaches the box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import edge
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.plain import plain

# Of an edge that is not reached, by what was to be done there. What one that only was to be read has to say, nobody waits for.
_UNREACHED = {
    "drained": "An edge that is down sends boxes nothing, so they change without it.",
    "returned": "If it is up after all, it sends a box that was drained there nothing new until site.yml has run for that box again.",
}


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Run the module of the same name for the task's host."""

    _requires_connection = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module returns."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = dict(self._task.args)
        state, hosts = str(arguments.get("state")), plain(arguments.pop("hosts", None))
        names: dict[str, str] = {}
        try:
            if hosts is not None:
                names = dict(zip(self._endpoints(variables, hosts), hosts, strict=True))
                arguments["endpoints"] = list(names)
            elif not arguments.get("endpoint"):
                (arguments["endpoint"],) = self._endpoints(variables, [variables["inventory_hostname"]])
        except FleetError as error:
            return {**result, "failed": True, "msg": str(error), "field": error.where}
        try:
            answer = self._execute_module(module_args=arguments, task_vars=variables)
        except AnsibleConnectionFailure:
            # Without the box and without why, which differs from try to try: Ansible says one sentence once a run.
            if state in _UNREACHED:
                # Those of a result are hidden with it where a run shows only what changed. This one is the controller's, and said once.
                Display().system_warning(f"{self._edge(variables)} was not reached. {_UNREACHED[state]}")
            return {**result, "changed": False, "reached": False, "left": 0, "drained": []}
        if "drained" in answer:
            answer["drained"] = [names.get(endpoint, endpoint) for endpoint in answer["drained"]]
        return {**result, **answer}

    def _endpoints(self, variables: dict[str, Any], hosts: Sequence[str]) -> list[str]:
        return edge.endpoints(self._templar, variables["hostvars"], self._loader, hosts)

    def _edge(self, variables: dict[str, Any]) -> str:
        """Return the name of the edge that the task is delegated to."""
        return str(self._task.delegate_to or variables.get("inventory_hostname", "the edge"))
