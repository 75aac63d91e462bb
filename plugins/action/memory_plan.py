# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans on the controller, in its own process: half a millisecond of arithmetic is not worth a trip over SSH for each host.

Only a model of which nothing but a folder on the host is known sends the module there. Where the models don't fit the hub is asked for
quantized checkpoints, and those that were planned and fit are named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.gpuserve.fleet.plugins.filter.plan_table import plan_table
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan import alternatives
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import PRESETS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.preflight import no_card
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.connect import connect_to
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.kept import Kept
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.lookup import AWAY_NOTE, Lookup
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.quantized import WITHIN_S, checkpoints
from ansible_collections.gpuserve.fleet.plugins.modules.memory_plan import ARGUMENT_SPEC, plan
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import unreached
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.refusal import refused
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.shown import is_read_by_a_program, shown
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.this_run import MODEL_INFO, alone

# What is for the hub is asked from here, and what is shown is shown here: neither is sent to a host.
HERE = ("ask_hub", "endpoint", "show")
FOLDER = "gpuserve-quantized"
UNTOUCHED = "Nothing that serves was touched."


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Run the planner here, or the module of the same name where a model's files are."""

    _requires_connection = False
    _supports_check_mode = True

    @unreached.is_failure
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module returns."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        # Plain values, as a module gets them: what templates and inventories mark their strings with is no part of a plan's inputs.
        arguments = json.loads(json.dumps(dict(self._task.args), default=str))
        refuse = boolean(arguments.get("refuse", False))
        host = str((task_vars or {}).get("inventory_hostname", ""))
        if refuse and not arguments.get("gpus"):
            return {**result, **refused(no_card(host, str(arguments.get("no_card", ""))))}
        planned = self._planned(arguments, task_vars)
        if refuse and not planned.get("failed") and not planned["plan"]["feasible"]:
            return {**result, **refused(FleetError("", " ".join(planned["plan"]["reasons"]), UNTOUCHED))}
        if boolean(arguments.get("show", False)) and not planned.get("failed"):
            lines = shown(plan_table(planned["plan"], host, self._others(arguments, task_vars)))
            planned |= {"text": lines} if is_read_by_a_program() else {}
        return {**result, **planned}

    def _others(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
        """Return the plans under the presets that were not asked for: of the models alone, whatever is proved by now."""
        given = {key: value for key, value in arguments.items() if key not in ("proved", "ask_hub")}
        others = (name for name in PRESETS if name != arguments.get("preset"))
        planned = {name: self._planned({**given, "preset": name}, task_vars) for name in others}
        return {name: one["plan"] for name, one in planned.items() if not one.get("failed")}

    def _planned(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """Return what the module returns, from here or from where the models are."""
        if any(_is_on_the_host(model) for model in arguments.get("models") or []):
            here = {key: value for key, value in arguments.items() if key not in HERE}
            return dict(self._execute_module(module_args=here, task_vars=task_vars))
        checked = ArgumentSpecValidator(ARGUMENT_SPEC).validate(arguments)
        if checked.error_messages:
            return {"failed": True, "msg": f"{'; '.join(checked.error_messages)}. Nothing was changed."}
        try:
            return {"changed": False, "plan": planned_here(checked.validated_parameters)}
        except FleetError as error:
            return {"failed": True, "msg": f"{error} Nothing was changed.", "field": error.where}


def planned_here(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan, with what the hub has that fits where the models don't and it may be asked."""
    planned = plan(dict(params))
    reasons = [*planned["reasons"], *(_quantized(params, planned) if params["ask_hub"] else [])]
    return {**planned, "reasons": reasons}


def _quantized(params: Mapping[str, Any], planned: Mapping[str, Any]) -> list[str]:
    """Say which quantized checkpoints of the largest model fit in its place; nothing where none is known to."""
    models = params["models"]
    place = None if planned["feasible"] or params["device"] == "cpu" else alternatives.replaceable(models, planned)
    if place is None:
        return []
    model = str(models[place]["model"])
    infos = _checkpoints(model, params["endpoint"], params["hf_token"])
    found = [fitting for info in infos if (fitting := _fitting(params, place, info))]
    return [alternatives.sentence(model, found, params["preset"])] if found else []


def _checkpoints(model: str, endpoint: str, token: str) -> list[Mapping[str, Any]]:
    """Return what the hub has of a model, asked once for all hosts of a run."""
    with alone(FOLDER) as folder:
        # A hub that did not answer for the models is not asked here either.
        if Kept(str(folder.with_name(MODEL_INFO))).read_note(AWAY_NOTE):
            return []
        of_this_run, note = Kept(str(folder)), model.replace("/", "--")
        asked = of_this_run.read_note(note)
        if asked is None:
            asked = {"infos": list(checkpoints(Lookup(Kept(), connect_to(endpoint, token, WITHIN_S)), model))}
            of_this_run.write_note(note, asked)
        return list(asked["infos"])


def _fitting(params: Mapping[str, Any], place: int, info: Mapping[str, Any]) -> alternatives.Fitting | None:
    """Plan the models with another checkpoint in one's place, under the preset as it is, else under auto."""
    models = alternatives.with_checkpoint(params["models"], place, info)
    for preset in dict.fromkeys((params["preset"], "auto")):
        try:
            if plan({**params, "models": models, "preset": preset, "proved": {}})["feasible"]:
                return alternatives.Fitting(info["id"], info["disk_bytes"], preset)
        except FleetError:
            # An engine of this version refuses it, or it can't be counted.
            continue
    return None


def _is_on_the_host(model: Any) -> bool:
    """Tell whether a model's shape can be read on its host only."""
    if not isinstance(model, Mapping) or model.get("info") is not None or model.get("config") is not None:
        return False
    config_path = model.get("config_path")
    if config_path is not None:
        return not Path(str(config_path)).exists()
    # A folder is the host's, even if one of that name is here too.
    return str(model.get("model")).startswith("/")
