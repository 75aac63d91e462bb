# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: usage_report
short_description: What clients used, as a table, CSV or JSON
version_added: 0.2.0
author:
  - gpuserve.fleet contributors (@gpuserve)
description:
  - Sums what several hosts told by span, key and model.
options:
  _input:
    description:
      - RV(gpuserve.fleet.gateway_usage_info#module:rows) of that module, of one host or more.
    type: list
    elements: dict
    required: true
  form:
    description:
      - How it is shown.
    type: str
    choices: [table, csv, json]
    default: table
positional: form
"""

EXAMPLES = r"""
text: "{{ usage.rows | gpuserve.fleet.usage_report('csv') }}"
"""

RETURN = r"""
_value:
  description: The text.
  type: str
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import usage


def usage_report(rows: Iterable[Mapping[str, Any]], form: str = "table") -> str:
    """Return what was used as text."""
    try:
        return usage.report(usage.from_rows(rows), form)
    except FleetError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filter, as Ansible looks for it."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"usage_report": usage_report}
