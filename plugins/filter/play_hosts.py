# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: play_hosts
short_description: The hosts that a play names, in one list
version_added: 0.2.0
author:
  - gpuserve.fleet contributors (@gpuserve)
description:
  - Makes one list of host patterns that are lists themselves or empty.
  - A play's C(hosts) is templated before any task, in the process that all tasks of the run are started from. What is loaded there
    is loaded once for all hosts and tasks. Loaded anew in each task, the plugins of this collection cost more than the tasks.
options:
  _input:
    description:
      - The patterns, each a text or a list.
    type: list
    elements: raw
    required: true
"""

EXAMPLES = r"""
- name: Check hosts of my own group, or the usual ones
  hosts: "{{ [my_group | default('gpu_hosts'), 'localhost'] | gpuserve.fleet.play_hosts }}"
"""

RETURN = r"""
_value:
  description: The patterns.
  type: list
  elements: str
"""

from collections.abc import Callable, Iterable
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.plugin_utils import task_processes


def play_hosts(patterns: Iterable[Any]) -> list[str]:
    """Return patterns in one list, without those that are empty."""
    task_processes.prepare()
    found: list[str] = []
    for pattern in patterns:
        found += play_hosts(pattern) if isinstance(pattern, (list, tuple)) else [str(pattern)] if pattern else []
    return found


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"play_hosts": play_hosts}
