#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: calibration_file
short_description: Read and write files of what starts measured, which people hand on
version_added: 0.2.0
description:
  - Writes what starts on any number of hosts measured into one file that names no host, no folder, no key and no model that is not public,
    or reads such files. Both go through the same check.
  - Runs on the controller.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  read:
    description:
      - Files to read, all of them or none.
    type: list
    elements: path
  path:
    description:
      - The file to write.
    type: path
  stores:
    description:
      - What hosts measured, RV(gpuserve.fleet.calibration#module:store) of each.
    type: list
    elements: dict
    default: []
  models:
    description:
      - Hub ids that may be named, beside those of the catalogue that the collection ships.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - gpuserve.fleet.attributes
"""

EXAMPLES = r"""
- name: Read a file that was handed in
  gpuserve.fleet.calibration_file:
    read: [rtx5090.json]
  delegate_to: localhost
  register: calibration_read
"""

RETURN = r"""
starts:
  description: The starts of all files together.
  returned: with O(read)
  type: list
  elements: dict
  sample: []
summary:
  description: What was written and what was left out, for people.
  returned: with O(path)
  type: list
  elements: str
  sample: ['Kinds of start in it: 3.']
"""

import json
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.catalogue import CONFIGS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan import exchange
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic


def read(paths: list[str]) -> dict[str, Any]:
    """Read every file, or fail with the first that is none."""
    found: list[dict[str, Any]] = []
    for path in paths:
        try:
            with open(path, encoding="utf-8") as file:
                # One sign more than may be there shows that there is more.
                text = file.read(exchange.MOST_FILE_BYTES + 1)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            fail(path, f"it can't be read ({reason}).", "Name a file that playbooks/calibration.yml wrote.")
        found += exchange.read(text, path)
    return {"changed": False, "starts": found}


def write(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Write what may be handed on, and tell what may not."""
    document, left_out = exchange.export(params["stores"], {*CONFIGS, *params["models"]})
    path = Path(params["path"])
    text = json.dumps(document, indent=1, sort_keys=True) + "\n"
    try:
        changed = not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text
        if changed and not check_mode:
            atomic.write(path, text, 0o644)
    except OSError as error:
        fail(params["path"], f"it can't be written ({error.strerror}).", "Name a file in a folder that is there.")
    return {"changed": changed, "summary": exchange.summary(document, left_out)}


def main() -> NoReturn:
    """Run."""
    module = AnsibleModule(
        argument_spec={
            "read": {"type": "list", "elements": "path"},
            "path": {"type": "path"},
            "stores": {"type": "list", "elements": "dict", "default": []},
            "models": {"type": "list", "elements": "str", "default": []},
        },
        mutually_exclusive=[("read", "path")],
        required_one_of=[("read", "path")],
        supports_check_mode=True,
    )
    try:
        params = module.params
        module.exit_json(**(read(params["read"]) if params["read"] is not None else write(params, module.check_mode)))
    except FleetError as error:
        module.fail_json(msg=str(error), field=error.where)


if __name__ == "__main__":
    main()
