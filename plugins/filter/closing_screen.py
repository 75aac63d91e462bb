# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: closing_screen
short_description: How a run of site.yml ends, as lines
version_added: 0.2.0
author: gpuserve.fleet contributors (@gpuserve)
description:
  - What serves on a host, where, with which key, a request to paste, and what to do next.
options:
  _input:
    description: The models as C(vllm_stack_gateway_models) has them.
    type: list
    elements: dict
    required: true
  host:
    description: The host's name.
    type: str
    required: true
  address:
    description: Where clients reach the host.
    type: str
    required: true
  access:
    description: How clients come in, C({address, port, tls, auth, key_file}); empty where no gateway was configured.
    type: dict
    required: true
  generating:
    description: The names of those that generate.
    type: list
    elements: str
    required: true
  report:
    description: What M(gpuserve.fleet.bringup) measured, if it did.
    type: list
    elements: dict
"""

EXAMPLES = r"""
- name: Show what serves
  gpuserve.fleet.show:
    text: "{{ vllm_stack_gateway_models | gpuserve.fleet.closing_screen('gpu01', '192.0.2.10', way_in, ['qwen']) }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import closing


def closing_screen(
    models: Sequence[Mapping[str, Any]],
    host: str,
    address: str,
    access: Mapping[str, Any],
    generating: Sequence[str],
    report: Sequence[Mapping[str, Any]] = (),
) -> list[str]:
    """Put together what three parts know of each model."""
    measured = {str(entry["name"]): entry for entry in report}
    whole = [
        {**measured.get(str(model["name"]), {}), **model, "generates": model["name"] in generating} for model in models
    ]
    return closing.render(host, whole, access, address)


class FilterModule:
    """The filter, for Ansible to find."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name it."""
        return {"closing_screen": closing_screen}
