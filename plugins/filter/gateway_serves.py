# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: gateway_serves
short_description: Whether a gateway of the host serves the engines of a run
version_added: 0.2.0
author:
  - gpuserve.fleet contributors (@gpuserve)
description:
  - A gateway serves that handed over its ports, and runs, or is started by this run; one that C(--skip-tags gateway) leaves out is none.
  - Where engines are on sockets already they stay there, whether their gateway runs at the moment or not.
options:
  _input:
    description: Whether the gateway's role handed over its ports.
    type: bool
    required: true
  runs:
    description: Whether its container runs.
    type: bool
    required: true
  serving:
    description: The endpoints of the set that serves.
    type: list
    elements: dict
    required: true
  run_tags:
    description: C(ansible_run_tags).
    type: list
    elements: str
    required: true
  skip_tags:
    description: C(ansible_skip_tags).
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
gateway: "{{ (gateway_ports is defined) | gpuserve.fleet.gateway_serves(false, [], ansible_run_tags, ansible_skip_tags) }}"
"""

RETURN = r"""
_value:
  description: Whether one serves.
  type: bool
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.transport import gateway_serves as decide


def gateway_serves(
    claims: bool, runs: bool, serving: Sequence[Mapping[str, Any]], run_tags: Sequence[str], skip_tags: Sequence[str]
) -> bool:
    """Return whether clients come in by a gateway."""
    return decide(bool(claims), bool(runs), serving, run_tags, skip_tags)


class FilterModule:
    """The filter, as Ansible looks for it."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"gateway_serves": gateway_serves}
