#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: model_fit
short_description: Tell whether one model fits on one card, and what would
version_added: 0.2.0
description:
  - Plans the model on the card under each preset. Where it does not fit, other checkpoints of it are planned, smaller ones of its
    family, and more cards. Nothing is said that was not planned.
  - Runs on the controller, and writes nothing anywhere.
author:
  - gpuserve.fleet contributors (@gpuserve)
requirements:
  - Python 3.10 or newer
  - huggingface_hub on the controller, in the Python that runs Ansible, where a hub has to be asked
options:
  model:
    description:
      - A hub id, or a folder on the controller.
    type: str
    required: true
  revision:
    description:
      - Its branch, tag or commit.
    type: str
    default: main
  gpu:
    description:
      - The card, as the catalogue or people name it.
    type: str
    required: true
  engine_version:
    description:
      - The engine's version; empty means the newest that is known.
    type: str
    default: ""
  dir:
    description:
      - The folder in which M(gpuserve.fleet.model_info) keeps what it read; it is read here, and never written.
    type: path
    default: ""
  endpoint:
    description:
      - A mirror of the hub; by default the one in E(HF_ENDPOINT), else the public one.
    type: str
    default: ""
  token:
    description:
      - A token that may read gated and private models.
    type: str
    default: ""
extends_documentation_fragment:
  - gpuserve.fleet.attributes.reads
"""

EXAMPLES = r"""
- name: Tell whether a model fits
  gpuserve.fleet.model_fit:
    model: Qwen/Qwen3-32B
    gpu: RTX 5090
  register: fit
"""

RETURN = r"""
fits:
  description: Whether the model fits on one such card under any preset.
  returned: success
  type: bool
text:
  description: The answer as one screen.
  returned: success
  type: str
rows:
  description: What fits, with C(label), C(max_model_len), C(weights_bytes), C(kv_cache_bytes) and C(requests) by preset.
  returned: success
  type: list
  elements: dict
"""

from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

ARGUMENT_SPEC: dict[str, Any] = {
    "model": {"type": "str", "required": True},
    "revision": {"type": "str", "default": "main"},
    "gpu": {"type": "str", "required": True},
    "engine_version": {"type": "str", "default": ""},
    "dir": {"type": "path", "default": ""},
    "endpoint": {"type": "str", "default": ""},
    "token": {"type": "str", "default": "", "no_log": True},
}


def main() -> NoReturn:
    """Say where the work is done: the planner is on the controller, and its action plugin never sends this to a host."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(msg="model_fit runs on the controller, by its action plugin. Nothing was changed.")


if __name__ == "__main__":
    main()
