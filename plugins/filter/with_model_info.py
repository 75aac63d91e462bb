# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: with_model_info
short_description: The models of an inventory with what was read of each
version_added: 0.2.0
author:
  - gpuserve.fleet contributors (@gpuserve)
description:
  - >-
    Adds C(info) to every model of which something was read, and pins its C(revision) to the commit that was read. What was read of a
    C(config_path) takes its place.
options:
  _input:
    description:
      - The models as the inventory has them.
    type: list
    elements: dict
    required: true
  read:
    description:
      - RV(gpuserve.fleet.model_info#module:models) of that module.
    type: dict
    required: true
positional: read
"""

EXAMPLES = r"""
models: "{{ vllm_stack_models | gpuserve.fleet.with_model_info(read.models) }}"
"""

RETURN = r"""
_value:
  description: The models, for M(gpuserve.fleet.memory_plan) and M(gpuserve.fleet.compose_stack).
  type: list
  elements: dict
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import COMMIT
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.lookup import MAIN, answer_key


def with_model_info(models: Any, read: Mapping[str, Any]) -> Any:
    """The models with their info and commit; what is no list of models is left to who checks it."""
    if not isinstance(models, Sequence) or isinstance(models, (str, bytes)):
        return models
    return [_with_info(entry, read) if isinstance(entry, Mapping) else entry for entry in models]


def _with_info(entry: Mapping[str, Any], read: Mapping[str, Any]) -> Mapping[str, Any]:
    path = str(entry.get("config_path") or "") if entry.get("config") is None else ""
    info = read.get(answer_key(str(entry.get("model")), str(entry.get("revision") or MAIN), path))
    if info is None:
        return entry
    # Code that is to run was read at a commit that somebody wrote down: what was found just now is no such thing.
    is_read = entry.get("trust_remote_code") is not True or COMMIT.fullmatch(str(entry.get("revision")))
    pinned = {"revision": info["commit"]} if info.get("commit") and is_read else {}
    kept = {key: value for key, value in entry.items() if key != "config_path"}
    return {**kept, **pinned, "info": info}


class FilterModule:
    """The filter, as Ansible looks for it."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"with_model_info": with_model_info}
