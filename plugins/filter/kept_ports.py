# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: kept_ports
short_description: The ports that models of a host have already
version_added: 0.1.0
author:
  - gpuserve.fleet contributors (@gpuserve)
description:
  - A model that serves keeps its port when others are added, removed or put in another order. This says which that is, by what is on the
    host. What can't be read counts as nothing.
options:
  _input:
    description:
      - The set that served whole last, as M(gpuserve.fleet.bringup) keeps it in C(proved/plan.json); empty for none.
    type: dict
    required: true
  containers:
    description:
      - Model and port of each container of the stack, which go before what is remembered.
    type: list
    elements: list
"""

EXAMPLES = r"""
kept: "{{ slurped | gpuserve.fleet.slurped_mapping | gpuserve.fleet.kept_ports([['qwen', 8002]]) }}"
"""

RETURN = r"""
_value:
  description: Ports by model, as in C({'qwen' 8002}).
  type: dict
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import ports


def kept_ports(proved: Mapping[str, Any], containers: Sequence[Sequence[Any]] | None = None) -> dict[str, int]:
    """Return the ports that models have by name."""
    return ports.kept_ports(proved, containers or [])


class FilterModule:
    """The filter, as Ansible looks for it."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"kept_ports": kept_ports}
