#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: owned_folders
short_description: Make folders that bear our mark, and remove only such
version_added: 0.1.0
description:
  - A folder that this collection makes bears a file C(.gpuserve). Only with that mark is a folder removed, with all that is in it.
  - So a variable that names a folder shared with others, F(/opt) or the weights of a whole team, costs nobody anything.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  folders:
    description:
      - The folders.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Where the folder is.
        type: path
        required: true
      marks:
        description: Files in it that mean that it is ours too, as versions left it that had no mark.
        type: list
        elements: str
        default: []
  state:
    description:
      - V(present) makes a folder that is not there, with our mark, and marks an empty one; one that holds anything is left as it is.
      - V(absent) removes those that bear a mark and warns of the others.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - gpuserve.fleet.attributes
attributes:
  diff_mode:
    support: none
    details:
      - A folder holds more than a person reads.
"""

EXAMPLES = r"""
- name: Remove the stack's folders
  gpuserve.fleet.owned_folders:
    state: absent
    folders:
      - path: /opt/gpuserve/stack
      - path: /opt/gpuserve/venv
        marks: [.complete]
"""

RETURN = r"""
made:
  description: The folders that were made or marked.
  returned: success
  type: list
  elements: str
removed:
  description: The folders that were removed.
  returned: success
  type: list
  elements: str
left:
  description: Folders that are there and were not removed, with why.
  returned: success
  type: dict
  sample: {/opt/venv: "it bears no mark of ours (.gpuserve)"}
"""

import os
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic, mark


def run(module: AnsibleModule) -> dict[str, Any]:
    """Look at each, then make or remove it."""
    made: list[str] = []
    removed: list[str] = []
    left: dict[str, str] = {}
    for folder in module.params["folders"]:
        path = folder["path"]
        if module.params["state"] == "present":
            if not os.path.isdir(path) or not os.listdir(path):
                made.append(path)
                if not module.check_mode:
                    mark.adopt(path)
        elif os.path.lexists(path):
            why = mark.left_alone(path, folder["marks"])
            if why:
                left[path] = why
                module.warn(f"{path} was left as it is: {why}. Remove it by hand if nothing else needs it.")
                continue
            removed.append(path)
            if not module.check_mode:
                atomic.clear(path)
    return {"changed": bool(made or removed), "made": made, "removed": removed, "left": left}


def main() -> NoReturn:
    """Run."""
    folder = {
        "path": {"type": "path", "required": True},
        "marks": {"type": "list", "elements": "str", "default": []},
    }
    module = AnsibleModule(
        argument_spec={
            "folders": {"type": "list", "elements": "dict", "required": True, "options": folder},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except OSError as error:
        module.fail_json(msg=f"{error.filename} can't be made or removed: {error.strerror}.")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
