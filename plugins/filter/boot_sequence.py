# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: boot_sequence
short_description: The engines that a unit starts after a boot, in their order
version_added: 0.2.0
author:
  - gpuserve.fleet contributors (@gpuserve)
description:
  - Engines that size their own caches start one after the other; where Docker does not bring containers with a GPU back, all do.
options:
  _input:
    description:
      - The plan, as M(gpuserve.fleet.memory_plan) returns it.
    type: dict
    required: true
  services:
    description:
      - The services, as M(gpuserve.fleet.compose_stack) returns them.
    type: list
    elements: dict
    required: true
  order:
    description:
      - Which engine starts first.
    type: str
    choices: [smallest_first, largest_first, listed]
    required: true
  docker_version:
    description:
      - The version of Docker Engine on the host; empty where none answers.
    type: str
    required: true
  device:
    description:
      - What the engines compute on.
    type: str
    choices: [cuda, cpu]
    required: true
"""

EXAMPLES = r"""
engines: "{{ planned.plan | gpuserve.fleet.boot_sequence(rendered.services, 'smallest_first', '29.1.0', 'cuda') }}"
"""

RETURN = r"""
_value:
  description: The engines, each with C(container), C(port) and, where it has one, C(socket).
  type: list
  elements: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.boot import boot_sequence


class FilterModule:
    """The filter, as Ansible looks for it."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"boot_sequence": boot_sequence}
