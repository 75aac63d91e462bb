# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: proved_set
short_description: The endpoints of a set of engines that was proved, and which of them generate
version_added: 0.2.0
author: gpuserve.fleet contributors (@gpuserve)
description:
  - Reads the record that M(gpuserve.fleet.bringup) keeps of a set that served whole.
options:
  _input:
    description: The record, or an empty mapping.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show which models stream
  ansible.builtin.debug:
    msg: "{{ (record | gpuserve.fleet.slurped_mapping | gpuserve.fleet.proved_set).generating }}"
"""

RETURN = r"""
_value:
  description: C(endpoints) and C(generating), as M(gpuserve.fleet.bringup) returns them; both empty where nothing was proved.
  type: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.target import Target
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.record import is_as_written


def proved_set(record: Any) -> dict[str, Any]:
    """Return what a gateway needs of a set; a record that can't be read is none."""
    try:
        found = Target.of(record).as_result
        whole = is_as_written(record) and isinstance(found["endpoints"], list)
    except (KeyError, TypeError, ValueError, AttributeError):
        whole, found = False, {}
    if not whole:
        return {"endpoints": [], "generating": []}
    return {"endpoints": found["endpoints"], "generating": found["generating"]}


class FilterModule:
    """The filter, for Ansible to find."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name it."""
        return {"proved_set": proved_set}
