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
      - Whether the terminal can draw parts of blocks; by default what C(LC_ALL), C(LC_CTYPE) or C(LANG) say, and yes where none does.
    type: bool
  width:
    description:
      - Columns that a line may take; by default the terminal's, less what Ansible indents by, and 120 where there is no terminal.
    type: int
positional: host, others, unicode, width
"""

EXAMPLES = r"""
text: "{{ planned.plan | gpuserve.fleet.plan_table('gpu01') }}"
"""

RETURN = r"""
_value:
  description: The text.
  type: str
"""

import os
import shutil
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.table import render


def draws_blocks() -> bool:
    """Whether the locale says UTF-8."""
    locale = next((os.environ[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if os.environ.get(name)), "UTF-8")
    return "UTF" in locale.upper()


def plan_table(
    plan: Mapping[str, Any],
    host: str,
    others: Mapping[str, Mapping[str, Any]] | None = None,
    unicode: bool | None = None,
    width: int | None = None,
) -> str:
    """The plan of one host as text."""
    blocks = draws_blocks() if unicode is None else unicode
    columns = width or max(60, shutil.get_terminal_size((120, 24)).columns)
    return render(host, plan, others or {}, blocks, columns)


class FilterModule:
    """The filter, as Ansible looks for it."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"plan_table": plan_table}
