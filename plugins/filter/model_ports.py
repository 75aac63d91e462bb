# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: model_ports
short_description: The port of each model, by where the inventory says it
version_added: 0.1.0
author:
  - gpuserve.fleet contributors (@gpuserve)
description:
  - Gives every model of C(vllm_stack_models) its port, as written or the next free one, under the name that a message uses.
options:
  _input:
    description:
      - The models.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
ports: "{{ vllm_stack_models | gpuserve.fleet.model_ports }}"
"""

RETURN = r"""
_value:
  description: Ports by name, as in C({'vllm_stack_models[0].port' 8001}).
  type: dict
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import LIST, assign_ports


def model_ports(models: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Ports by the variable that sets them."""
    try:
        return {f"{LIST}[{index}].port": port for index, port in enumerate(assign_ports(models))}
    except FleetError as error:
        raise AnsibleFilterError(f"{error} Nothing was changed.") from error


class FilterModule:
    """The filter, as Ansible looks for it."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"model_ports": model_ports}
