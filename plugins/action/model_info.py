# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks hub ids and config_path up on the controller, whatever the task's host, and has folders read on the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.modules.model_info import ARGUMENTS
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import model_lookup, unreached
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.shown import shown

# What of a model's entry says where its files are.
ASKED = ("where", "model", "revision", "config", "config_path", "config_file")


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Run the module here for what is on the hub, and on the host for what is in its folders."""

    _requires_connection = False
    _supports_check_mode = True

    @unreached.is_failure
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module returns."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        params = self.validate_argument_spec(argument_spec=ARGUMENTS)[1]
        models = model_lookup.entries(params["models"], self._loader)
        try:
            found = model_lookup.known({**params, "models": models, "folders": False}, bool(self._task.check_mode))
        except FleetError as error:
            return {**result, "failed": True, "msg": f"{error} Nothing was changed.", "field": error.where}
        folders = [entry for entry in models if str(entry.get("model")).startswith("/")]
        if params["folders"] and any(not _has_config(entry) for entry in folders):
            # What else an entry holds is not asked for, and may be a secret.
            asked = {
                "models": [{key: entry[key] for key in ASKED if key in entry} for entry in folders],
                "folders": True,
                "hub": False,
            }
            read = self._execute_module("gpuserve.fleet.model_info", module_args=asked, task_vars=task_vars)
            if read.get("failed"):
                return {**result, **read}
            found["models"] |= read["models"]
        if params["show_notes"]:
            shown(found["notes"])
        return {**result, **found}


def _has_config(entry: Mapping[str, Any]) -> bool:
    return entry.get("config") is not None or bool(entry.get("config_path"))
