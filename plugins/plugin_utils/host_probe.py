# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe of a host that a role begins with: one task that reads, refuses and tells, where each of them would be a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import credentials
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import unreached
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.plain import plain
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.shown import shown

UNTOUCHED = "Nothing was changed."


class HostProbe(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Refuse what variables hold, run the module of the same name, refuse what it found, and show what an operator should know."""

    _requires_connection = True
    _supports_check_mode = True

    @unreached.is_failure
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module returns, or the first refusal."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        asked = dict(self._task.args)
        addresses = plain(asked.pop("addresses", None) or {})
        refuse = boolean(asked.pop("refuse", False))
        if said := credentials.refusals(addresses):
            return {**result, **_failed(said[0])}
        found = self._execute_module(module_args=asked, task_vars=task_vars)
        if not refuse or found.get("failed"):
            return {**result, **found}
        decision: Mapping[str, Any] = found.get("decision", {})
        if decision.get("refusals"):
            # What was found besides would be shown with the sentence.
            return {**result, **_failed(decision["refusals"][0])}
        shown(list(decision.get("notes", [])))
        return {**result, **found}


def _failed(what: str) -> dict[str, Any]:
    return {"failed": True, "changed": False, "msg": str(FleetError("", what, UNTOUCHED))}
