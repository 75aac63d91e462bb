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
  - Gives every model of C(vllm_stack_models) its port, under the name that a message uses. As written, else the one it has already, else
    the lowest free one.
options:
  _input:
    description:
      - The models.
    type: list
    elements: dict
    required: true
  reserved_ports:
    description:
      - Ports of other parts on the host, by the variable that sets them; 0 is none.
    type: dict
  surge_offset:
    description:
      - How many ports above a model's own its surge instance listens; 0 for none.
    type: int
    default: 0
  kept_ports:
    description:
      - Ports that models have already, by name.
    type: dict
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
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.ports import MODELS, PortRules, assign_ports


def model_ports(
    models: Sequence[Mapping[str, Any]],
    reserved_ports: Mapping[str, Any] | None = None,
    surge_offset: int = 0,
    kept_ports: Mapping[str, Any] | None = None,
) -> dict[str, int]:
    """Return the models' ports by the variable that sets them."""
    try:
        ports = assign_ports(models, PortRules.read(reserved_ports or {}, surge_offset, kept_ports))
        return {f"{MODELS}[{index}].port": port for index, port in enumerate(ports)}
    except FleetError as error:
        raise AnsibleFilterError(f"{error} Nothing was changed.") from error


class FilterModule:
    """The filter, as Ansible looks for it."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"model_ports": model_ports}
