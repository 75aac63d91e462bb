# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes a host out of service by what its diagnosis found, or brings it back once nothing stands in the way."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet import quarantine
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import quarantine_register
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.plain import plain

ARGUMENTS: dict[str, Any] = {
    "path": {"type": "path"},
    "findings": {"type": "list", "elements": "dict"},
    "cause": {"type": "str", "choices": [cause.value for cause in quarantine.Cause], "default": "cards"},
    "reason": {"type": "str", "default": ""},
    "release": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Decide on a host and keep it in the register; nothing is asked of the host."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return why the host is out of service by now, and a line for people."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        params = plain(self.validate_argument_spec(argument_spec=ARGUMENTS)[1])
        folder = variables.get("inventory_dir") or variables.get("playbook_dir")
        path = quarantine_register.path_of(params["path"], folder)
        host = str(variables["inventory_hostname"])
        try:
            with quarantine_register.changing(path):
                before = quarantine_register.read(path)
                after = _decided(before, host, params)
                if after != before and not self._task.check_mode:
                    quarantine_register.keep(path, after)
        except FleetError as error:
            return {**result, "failed": True, "msg": str(error), "field": error.where}
        return {**result, "changed": after != before, **_told(host, before, after)}


def _decided(before: quarantine.Register, host: str, params: dict[str, Any]) -> quarantine.Register:
    """Return the register as it is to be."""
    findings = params["findings"]
    if params["release"]:
        if params["reason"]:
            fail(
                "quarantine_reason",
                "it is for a host that goes, and quarantine_release for one that comes.",
                "Take one.",
            )
        if findings is None:
            fail("findings", "a host comes back by a passed check only.", "Hand over what diagnose found.")
        quarantine.check_release(host, findings)
        return before.without(host)
    found = params["reason"].strip() or quarantine.reason(findings or [], quarantine.Cause(params["cause"]))
    return before.with_host(host, found, time.strftime("%Y-%m-%d")) if found else before


def _told(host: str, before: quarantine.Register, after: quarantine.Register) -> dict[str, Any]:
    entry = after.hosts.get(host)
    if entry:
        return {"quarantine": entry.reason, "text": f"{host}   in quarantine since {entry.since}: {entry.reason}"}
    return {"quarantine": "", "text": f"{host}   {'back in service' if host in before.hosts else 'in service'}"}
