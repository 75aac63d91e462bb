# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans the memory of all hosts of a run on the controller, in one process: hosts that are equal are planned once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

from ansible_collections.gpuserve.fleet.plugins.action.memory_plan import planned_here
from ansible_collections.gpuserve.fleet.plugins.filter.placed_models import placed_models
from ansible_collections.gpuserve.fleet.plugins.filter.plan_table import plan_table
from ansible_collections.gpuserve.fleet.plugins.filter.with_model_info import with_model_info
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet import groups as groups_of_hosts
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import named_gpus
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.ports import PortRules, assign_ports
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import PRESETS
from ansible_collections.gpuserve.fleet.plugins.modules.memory_plan import ARGUMENT_SPEC
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import collection_variables, fleet, model_lookup, unreached
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.plain import plain

# What an earlier play read of each host, where it asked them.
READ = ("_plan_asked", "_plan_folders", "_vllm_stack_info")
# A host's variables and those that its roles make of them, by the planner's word for each.
PLANNED = {
    "reserved_ports": "vllm_stack_reserved_ports",
    "kept_ports": "_vllm_stack_kept_ports",
    "surge_offset": "_vllm_stack_surge_offset",
    "reserved": "vllm_stack_reserved",
    "ttft_objective_s": "vllm_stack_ttft_objective_s",
    "device": "vllm_stack_device",
    "engine_version": "_vllm_stack_engine_version",
}
LOOKED_UP = {
    "dir": "vllm_stack_model_info_dir",
    "endpoint": "vllm_stack_hub_endpoint",
    "token": "vllm_stack_hf_token",
}
CALIBRATION = "{{ (_vllm_stack_info | default({})).calibration | default({}) }}"
IMAGE = "{{ (((_vllm_stack_info | default({})).proved | default({})).plan | default({})).image | default('', true) }}"

ARGUMENTS: dict[str, Any] = {
    "hosts": {"type": "list", "elements": "str", "required": True},
    "placement": {"type": "dict", "default": {}},
    "members": {"type": "dict", "default": {}},
    "hub": {"type": "bool", "default": True},
    "folders": {"type": "bool", "default": False},
    "refresh": {"type": "bool", "default": False},
    "gpu": {"type": "str", "default": ""},
}


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Plan for groups of equal hosts; nothing is asked of any."""

    _requires_connection = False
    _supports_check_mode = True

    @unreached.is_failure
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the plans, what is told of them, and what was found of the models."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._task_vars = task_vars or {}
        self._params = self.validate_argument_spec(argument_spec=ARGUMENTS)[1]
        self._roles = {**collection_variables.declared(self._loader), **fleet.claims(self._loader)}
        self._found: dict[str, Any] = {"changed": False, "models": {}, "kept": [], "notes": [], "diff": []}
        try:
            groups = [self._group(hosts, raw) for hosts, raw in self._equal_hosts()]
        except FleetError as error:
            return {**result, "failed": True, "msg": f"{error} Nothing was changed.", "field": error.where}
        plans = {host: group["plans"][group["preset"]] for group in groups for host in group["hosts"]}
        return {
            **result,
            **self._found,
            "groups": [
                {key: group[key] for key in ("hosts", "preset", "text", "ports", "feasible")} for group in groups
            ],
            "plans": {host: plans[host] for host in self._params["hosts"] if host in plans},
            "together": groups_of_hosts.together(self._params["members"], plans),
            "misfits": [host for host in plans if not plans[host]["feasible"]],
        }

    def _equal_hosts(self) -> list[tuple[list[str], Mapping[str, Any]]]:
        """Return hosts that are planned alike, with the variables of the first; one without a model is none of them."""
        found: dict[tuple[str, ...], tuple[list[str], Mapping[str, Any]]] = {}
        for host in self._params["hosts"]:
            raw = dict(self._task_vars["hostvars"].raw_get(host))
            served = [model for model, hosts in self._params["placement"].items() if host in hosts]
            parts = [f"{model} {self._params['members'][model].get(host)}" for model in self._params["members"]]
            key = (fleet.fingerprint(host, raw, READ), *sorted(served), *parts)
            found.setdefault(key, ([], raw))[0].append(host)
        return list(found.values())

    def _group(self, hosts: Sequence[str], raw: Mapping[str, Any]) -> dict[str, Any]:
        """Plan for a group of equal hosts under every preset, its own first."""
        templar = self._templar.copy_with_new_env(available_variables={**self._roles, **raw})

        def read(name: str) -> Any:
            return plain(templar.template(raw.get(name, self._roles.get(name))))

        name = f"{hosts[0]} and {len(hosts) - 1} more" if len(hosts) > 1 else hosts[0]
        listed = read("vllm_stack_models")
        if isinstance(listed, list):
            listed = placed_models(listed, hosts[0], self._params["placement"], self._params["members"])
        if listed == []:
            return {
                "hosts": list(hosts),
                "preset": "",
                "text": "",
                "ports": "",
                "feasible": True,
                "plans": {"": _NOTHING},
            }
        preset = str(read("vllm_stack_preset"))
        params = {word: read(variable) for word, variable in PLANNED.items()}
        params |= {"calibration": plain(templar.template(fleet.trusted(CALIBRATION)))}
        params |= {"image": plain(templar.template(fleet.trusted(IMAGE)))}
        params["gpus"] = self._gpus(raw, read("vllm_stack_gpus"), params["device"], hosts[0])
        hub = {word: read(variable) for word, variable in LOOKED_UP.items()}
        params["models"] = with_model_info(listed, self._known(listed, hub, raw))
        params |= {"endpoint": hub["endpoint"], "hf_token": hub["token"]}
        plans = {
            one: self._plan({**params, "preset": one, "ask_hub": one == preset and self._params["hub"]})
            for one in dict.fromkeys((preset, *PRESETS))
        }
        return {
            "hosts": list(hosts),
            "preset": preset,
            "plans": plans,
            "feasible": plans[preset]["feasible"],
            "text": plan_table(plans[preset], name, plans),
            "ports": f"{name}: {_ports(params)}.",
        }

    def _known(self, models: Any, where: Mapping[str, Any], raw: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is known of models by their files, and keep what was found for the result."""
        params = {
            **where,
            "models": model_lookup.entries(models, self._loader),
            **{name: self._params[name] for name in ("hub", "folders", "refresh")},
            "need_weights": False,
        }
        found = model_lookup.known(params, bool(self._task.check_mode))
        for name in ("kept", "notes", "diff"):
            self._found[name] += [item for item in found[name] if item not in self._found[name]]
        self._found["changed"] |= found["changed"]
        self._found["models"] |= found["models"]
        return {**found["models"], **plain((raw.get("_plan_folders") or {}).get("models") or {})}

    def _gpus(self, raw: Mapping[str, Any], named: Any, device: Any, host: str) -> Any:
        """Return the cards that the run asks about, else those that answered, those named, or for the CPU build this machine's memory."""
        if self._params["gpu"] and device != "cpu":
            return [{"name": gpu.name} for gpu in named_gpus(self._params["gpu"], "plan_gpu")]
        answering = plain((raw.get("_plan_asked") or {}).get("gpus"))
        if answering or named:
            return answering or named
        if device != "cpu":
            fail(
                "vllm_stack_gpus",
                f"{host} names no card to plan for.",
                "Add -e plan_gpu=5090 to plan for that card, -e plan_ask_hosts=true to have the host asked, or name its cards here.",
            )
        read = self._execute_module("gpuserve.fleet.gpu_info", module_args={"device": "cpu"}, task_vars=self._task_vars)
        return read.get("gpus", [])

    def _plan(self, params: Mapping[str, Any]) -> dict[str, Any]:
        checked = ArgumentSpecValidator(ARGUMENT_SPEC).validate(json.loads(json.dumps(params)))
        if checked.error_messages:
            fail("", f"{'; '.join(checked.error_messages)}.", "")
        return planned_here(checked.validated_parameters)


# Of a host without a model.
_NOTHING: dict[str, Any] = {"feasible": True, "reasons": [], "gpus": []}


def _ports(params: Mapping[str, Any]) -> str:
    rules = PortRules.read(params["reserved_ports"], int(params["surge_offset"]), params["kept_ports"])
    ports = assign_ports(params["models"], rules)
    return ", ".join(f"{model['name']} on {port}" for model, port in zip(params["models"], ports, strict=True))
