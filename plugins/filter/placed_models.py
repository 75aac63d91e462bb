# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: placed_models
short_description: Those models of an inventory that a host serves
version_added: 0.2.0
author:
  - gpuserve.fleet contributors (@gpuserve)
description:
  - Leaves out models whose C(placement) gave them to other hosts, as M(gpuserve.fleet.inventory_check) decided for all hosts together.
  - Models that every host serves need no decision.
options:
  _input:
    description:
      - The models as the inventory has them.
    type: list
    elements: dict
    required: true
  host:
    description:
      - The host's name in the inventory.
    type: str
    required: true
  placement:
    description:
      - RV(gpuserve.fleet.inventory_check#module:placement) of that module.
    type: dict
  members:
    description:
      - RV(gpuserve.fleet.inventory_check#module:members) of that module. Models over several hosts are told of it which part this host has.
    type: dict
positional: host, placement, members
"""

EXAMPLES = r"""
models: "{{ vllm_stack_models | gpuserve.fleet.placed_models(inventory_hostname, checked.placement) }}"
"""

RETURN = r"""
_value:
  description: The models of the host.
  type: list
  elements: dict
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import distributed_rule
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.ports import MODELS

Members = Mapping[str, Mapping[str, Mapping[str, Any]]]


def placed_models(
    models: Any, host: str, placement: Mapping[str, Sequence[str]] | None = None, members: Members | None = None
) -> Any:
    """Return the models of a host; what is no list of models is left to who checks it."""
    if not isinstance(models, Sequence) or isinstance(models, (str, bytes)):
        return models
    try:
        return [
            _with_member(entry, host, members or {})
            for index, entry in enumerate(models)
            if _is_here(entry, index, host, placement)
        ]
    except FleetError as error:
        raise AnsibleFilterError(f"{error} Nothing was changed.") from error


def _with_member(entry: Any, host: str, members: Members) -> Any:
    """Return an entry with the part that the host has of the model, where it has not all of it."""
    member = members.get(str(entry.get("name")), {}).get(host) if isinstance(entry, Mapping) else None
    if member is None or not isinstance(entry.get("distributed"), Mapping):
        return entry
    return {**entry, "distributed": {**entry["distributed"], distributed_rule.MEMBER: member}}


def _is_here(entry: Any, index: int, host: str, placement: Mapping[str, Sequence[str]] | None) -> bool:
    if not isinstance(entry, Mapping) or (entry.get("placement") is None and entry.get("distributed") is None):
        return True
    where = f"{MODELS}[{index}].placement"
    if distributed_rule.rule_of(entry, f"{MODELS}[{index}]").is_everywhere:
        return True
    name = str(entry.get("name"))
    if placement is None or name not in placement:
        fail(
            where,
            f"it was not decided which hosts serve {name}.",
            "Import the playbook gpuserve.fleet.inventory_check before the play that has this role.",
        )
    return host in placement[name]


class FilterModule:
    """The filter, as Ansible looks for it."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return it by its name."""
        return {"placed_models": placed_models}
