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
  - huggingface_hub on the controller, in the Python that runs Ansible, where a hub has to be asked
options:
  models:
    description:
      - The models as the inventory has them, each with C(model) (a hub id, or a folder) and, where not C(main), C(revision).
      - One with C(config) is looked up in O(dir) alone. Of one with C(config_path) that file is read on the controller, and the headers of
        the safetensors files beside it where there are any.
      - C(where) names it in messages, by default its place in C(vllm_stack_models); C(config_file) is where C(config_path) is found.
      - What is no list of models is left to M(gpuserve.fleet.memory_plan), which says what is wrong with it.
    type: raw
    required: true
  dir:
    description:
      - The folder of what is kept; empty keeps nothing.
    type: path
    default: ""
  folders:
    description:
      - Whether models that are folders are read, on the task's host. Otherwise they are left out.
    type: bool
    default: false
  hub:
    description:
      - Whether models that are hub ids are looked up, on the controller. Otherwise they are left out.
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
      - A token that may read gated and private models; by default the one of whoever is logged in on the controller.
    type: str
    default: ""
  show_notes:
    description:
      - Whether RV(notes) are shown.
    type: bool
    default: false
    version_added: 0.2.0
extends_documentation_fragment:
  - gpuserve.fleet.attributes
"""

EXAMPLES = r"""
- name: Read the models, and keep what was read beside the inventory
  gpuserve.fleet.model_info:
    models: "{{ vllm_stack_models }}"
    dir: "{{ inventory_dir }}/model_info"
    folders: true
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

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import checkpoint
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.connect import connect_to
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.kept import Kept
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.lookup import MAIN, Lookup, Wanted
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.reader import read_config, read_folder
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.unlogged import UnloggedModule

ARGUMENTS: dict[str, Any] = {
    "models": {"type": "raw", "required": True},
    "dir": {"type": "path", "default": ""},
    "folders": {"type": "bool", "default": False},
    "hub": {"type": "bool", "default": True},
    "refresh": {"type": "bool", "default": False},
    "need_weights": {"type": "bool", "default": False},
    "endpoint": {"type": "str", "default": ""},
    "token": {"type": "str", "default": "", "no_log": True},
    "show_notes": {"type": "bool", "default": False},
}


def entries_of(models: Any) -> list[Mapping[str, Any]]:
    """Return the entries of a list of models with their places in it; what is none is left to memory_plan."""
    if not isinstance(models, Sequence) or isinstance(models, (str, bytes)):
        return []
    entries = [entry if isinstance(entry, Mapping) else {} for entry in models]
    return [{"where": f"vllm_stack_models[{index}]", **entry} for index, entry in enumerate(entries)]


def wanted_models(models: Any) -> list[Wanted]:
    """Return each model once, in the order of the inventory."""
    found: dict[str, Wanted] = {}
    for entry in entries_of(models):
        model = entry.get("model")
        if not isinstance(model, str) or not model:
            continue
        path = str(entry.get("config_path") or "") if entry.get("config") is None else ""
        file = str(entry.get("config_file") or path)
        has_config = entry.get("config") is not None
        wanted = Wanted(model, str(entry.get("revision") or MAIN), str(entry["where"]), has_config, path, file)
        # One that brings a config asks nobody; one of the same name without does.
        if wanted.key not in found or found[wanted.key].has_config:
            found[wanted.key] = wanted
    return list(found.values())


def run(params: Mapping[str, Any], lookup: Lookup, check_mode: bool) -> dict[str, Any]:
    """Look every model up, and only then keep what is new."""
    infos: dict[str, Any] = {}
    for wanted in wanted_models(params["models"]):
        is_folder = wanted.model.startswith("/")
        if wanted.config_path and params["hub"]:
            infos[wanted.key] = read_config(wanted.config_file, wanted.model, f"{wanted.where}.config_path")
        elif is_folder and params["folders"] and not wanted.has_config:
            infos[wanted.key] = read_folder(wanted.model, f"{wanted.where}.model")
        elif not is_folder and params["hub"] and (info := lookup.find(wanted)) is not None:
            infos[wanted.key] = info
    new = [info for info in lookup.new if lookup.kept.differs(info)]
    for info in [] if check_mode else new:
        lookup.kept.put(info)
    files = [lookup.kept.file_of(info) for info in new]
    diff = [
        {"after_header": file, "before": "", "after": checkpoint.summary(info)}
        for file, info in zip(files, new, strict=True)
    ]
    return {"changed": bool(new), "models": infos, "kept": files, "notes": lookup.notes, "diff": diff}


def main() -> NoReturn:
    """Run."""
    module = UnloggedModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    try:
        connect = connect_to(params["endpoint"], params["token"])
        lookup = Lookup(Kept(params["dir"]), connect, params["refresh"], params["need_weights"])
        module.exit_json(**run(params, lookup, module.check_mode))
    except FleetError as error:
        module.fail_json(msg=f"{error} Nothing was changed.", field=error.where)


if __name__ == "__main__":
    main()
