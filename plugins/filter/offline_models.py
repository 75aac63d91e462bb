# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: offline_models
short_description: The models whose engines need no hub when they start
version_added: 0.2.0
author:
  - gpuserve.fleet contributors (@gpuserve)
description:
  - >-
    Lists the names of the models that are folders, and, where the weights are fetched before, of those that need nothing besides what
    M(gpuserve.fleet.model_fetch) has on the host by then.
options:
  _input:
    description:
      - The models, with what M(gpuserve.fleet.model_info) read of each as C(info).
    type: list
    elements: dict
    required: true
  fetched:
    description:
      - Whether their files are on the host before they start.
    type: bool
    required: true
positional: fetched
"""

EXAMPLES = r"""
offline: "{{ vllm_stack_models | gpuserve.fleet.offline_models(vllm_stack_fetch) }}"
"""

RETURN = r"""
_value:
  description: The names.
  type: list
  elements: str
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.fetch import is_folder, stays_online


def offline_models(models: list[Mapping[str, Any]], fetched: bool) -> list[str]:
    """The names of models that start offline."""
    return [
        str(entry.get("name"))
        for entry in models
        if is_folder(entry.get("model")) or (fetched and not stays_online(entry))
    ]


class FilterModule:
    """The filter, as Ansible looks for it."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"offline_models": offline_models}
