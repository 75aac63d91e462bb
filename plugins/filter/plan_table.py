# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: plan_table
short_description: A memory plan as a person reads it
version_added: 0.1.0
author:
  - gpuserve.fleet contributors (@gpuserve)
description:
  - Draws a bar and a row for each model, what is left on the card, and what other presets would change.
options:
  _input:
    description:
      - RV(gpuserve.fleet.memory_plan#module:plan) of that module.
    type: dict
    required: true
  host:
    description:
      - The host's name.
    type: str
    required: true
  others:
    description:
      - Plans under other presets, by preset.
    type: dict
    default: {}
  unicode:
    description:
      - Whether the terminal can draw parts of blocks.
    type: bool
    default: true
positional: host, others, unicode
"""

EXAMPLES = r"""
text: "{{ planned.plan | gpuserve.fleet.plan_table('gpu01') }}"
"""

RETURN = r"""
_value:
  description: The text.
  type: str
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.report import render


def plan_table(
    plan: Mapping[str, Any], host: str, others: Mapping[str, Mapping[str, Any]] | None = None, unicode: bool = True
) -> str:
    """The plan of one host as text."""
    return render(host, plan, others or {}, unicode)


class FilterModule:
    """The filter, as Ansible looks for it."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"plan_table": plan_table}
