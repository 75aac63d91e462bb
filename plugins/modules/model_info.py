#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: model_info
short_description: Read what a model is, without its weights
version_added: 0.1.0
description:
  - >-
    For each model by hub id or folder returns its commit, its C(config.json), type and shape of every tensor, what stands beside about
    quantization, limits and purpose, whether it is gated, its licence and its size. Of the weights only the headers are read.
  - >-
    Keeps that as one small JSON a model and commit in a folder that people may commit. What is kept is not asked for again, so that a plan
    needs no network, is the same for everyone, and runs the same commit.
  - Without a network and with nothing kept, a model that brings its own config or that the shipped catalogue knows is left to that.
author:
  - gpuserve.fleet contributors (@gpuserve)
requirements:
  - Python 3.10 or newer
  - huggingface_hub where a hub has to be asked
options:
  models:
    description:
      - The models as the inventory has them, each with C(model) (a hub id, or a folder) and, where not C(main), C(revision).
      - One with C(config) or C(config_path) is looked up in O(dir) alone.
      - C(where) names it in messages; by default its place in C(vllm_stack_models).
    type: list
    elements: dict
    required: true
  dir:
    description:
      - The folder of what is kept; empty keeps nothing.
    type: path
    default: ""
  folders:
    description:
      - Whether models that are folders are on the machine that runs this. Otherwise they are left out.
    type: bool
    default: false
  hub:
    description:
      - Whether models that are hub ids are looked up. Otherwise they are left out.
    type: bool
    default: true
  refresh:
    description:
      - Ask the hub anew, and keep the commit that it has now in place of the one that was kept.
    type: bool
    default: false
  need_weights:
    description:
      - Whether the weights will be fetched, so that a gated model which the token may not read is a failure even where the catalogue
        knows its shape.
    type: bool
    default: false
  endpoint:
    description:
      - A mirror of the hub; by default the one in E(HF_ENDPOINT), else the public one.
    type: str
    default: ""
  token:
    description:
      - A token that may read gated and private models; by default the one of whoever is logged in on the machine that runs this.
    type: str
    default: ""
extends_documentation_fragment:
  - gpuserve.fleet.attributes
"""

EXAMPLES = r"""
- name: Read the models, and keep what was read beside the inventory
  gpuserve.fleet.model_info:
    models: "{{ vllm_stack_models }}"
    dir: "{{ inventory_dir }}/model_info"
  delegate_to: localhost
  become: false
  register: read
"""

RETURN = r"""
models:
  description:
    - >-
      What is known of each model, by C(ID@REVISION) as the inventory names them, in the form that M(gpuserve.fleet.memory_plan) takes as
      C(info) of a model.
    - A model that is left to its own config or to the catalogue is not among them.
  returned: success
  type: dict
kept:
  description: The files that were written, by check mode that would be.
  returned: success
  type: list
  elements: str
notes:
  description: What was done without, a sentence each.
  returned: success
  type: list
  elements: str
"""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import checkpoint
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.client import (
    Hub,
    HubError,
    HuggingFaceHub,
    Trouble,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.kept import Kept
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.lookup import MAIN, Lookup, Wanted
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.reader import read_folder


def wanted_models(models: Sequence[Mapping[str, Any]]) -> list[Wanted]:
    """Return each model once, in the order of the inventory; what is no model is left to memory_plan, which says so better."""
    found: dict[str, Wanted] = {}
    for index, entry in enumerate(models):
        model = entry.get("model")
        if not isinstance(model, str) or not model:
            continue
        has_config = entry.get("config") is not None or bool(entry.get("config_path"))
        where = str(entry.get("where") or f"vllm_stack_models[{index}]")
        wanted = Wanted(model, str(entry.get("revision") or MAIN), has_config, where)
        found.setdefault(wanted.key, wanted)
    return list(found.values())


def run(params: Mapping[str, Any], lookup: Lookup, check_mode: bool) -> dict[str, Any]:
    """Look every model up, and only then keep what is new."""
    infos: dict[str, Any] = {}
    for wanted in wanted_models(params["models"]):
        is_folder = wanted.model.startswith("/")
        if is_folder and params["folders"] and not wanted.has_config:
            infos[wanted.key] = read_folder(wanted.model, f"{wanted.where}.model")
        elif not is_folder and params["hub"] and (info := lookup.find(wanted)) is not None:
            infos[wanted.key] = info
    new = [info for info in lookup.new if lookup.kept.differs(info)]
    for info in [] if check_mode else new:
        lookup.kept.put(info)
    return {
        "changed": bool(new),
        "models": infos,
        "kept": [lookup.kept.file_of(info) for info in new],
        "notes": lookup.notes,
        "diff": [
            {"after_header": lookup.kept.file_of(info), "before": "", "after": checkpoint.summary(info)} for info in new
        ],
    }


def main() -> NoReturn:
    """Run."""
    module = AnsibleModule(
        argument_spec={
            "models": {"type": "list", "elements": "dict", "required": True},
            "dir": {"type": "path", "default": ""},
            "folders": {"type": "bool", "default": False},
            "hub": {"type": "bool", "default": True},
            "refresh": {"type": "bool", "default": False},
            "need_weights": {"type": "bool", "default": False},
            "endpoint": {"type": "str", "default": ""},
            "token": {"type": "str", "default": "", "no_log": True},
        },
        supports_check_mode=True,
    )
    params = module.params

    def connect() -> Hub:
        try:
            return HuggingFaceHub(params["endpoint"], params["token"])
        except ImportError as error:
            raise HubError(Trouble.NO_LIBRARY, missing_required_lib("huggingface_hub")) from error

    lookup = Lookup(Kept(params["dir"]), connect, params["refresh"], params["need_weights"])
    try:
        module.exit_json(**run(params, lookup, module.check_mode))
    except FleetError as error:
        module.fail_json(msg=f"{error} Nothing was changed.", field=error.field)


if __name__ == "__main__":
    main()
