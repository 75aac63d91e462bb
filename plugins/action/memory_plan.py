# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans on the controller, in its own process: half a millisecond of arithmetic is not worth a trip over SSH for each host.

Only a model of which nothing but a folder on the host is known sends the module there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.modules.memory_plan import ARGUMENT_SPEC, plan


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Run the planner here, or the module of the same name where a model's files are."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module returns."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        # Plain values, as a module gets them: what templates and inventories mark their strings with is no part of a plan's inputs.
        arguments = json.loads(json.dumps(dict(self._task.args), default=str))
        if any(_is_on_the_host(model) for model in arguments.get("models") or []):
            return {**result, **self._execute_module(module_args=arguments, task_vars=task_vars)}
        checked = ArgumentSpecValidator(ARGUMENT_SPEC).validate(arguments)
        if checked.error_messages:
            return {**result, "failed": True, "msg": f"{'; '.join(checked.error_messages)}. Nothing was changed."}
        try:
            return {**result, "changed": False, "plan": plan(checked.validated_parameters)}
        except FleetError as error:
            return {**result, "failed": True, "msg": f"{error} Nothing was changed.", "field": error.where}


def _is_on_the_host(model: Any) -> bool:
    """Tell whether a model's shape can be read on its host only."""
    if not isinstance(model, Mapping) or model.get("info") is not None or model.get("config") is not None:
        return False
    config_path = model.get("config_path")
    if config_path is not None:
        return not Path(str(config_path)).exists()
    # A folder is the host's, even if one of that name is here too.
    return str(model.get("model")).startswith("/")
