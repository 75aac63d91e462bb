#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: text_files
short_description: Write several small text files in one go
version_added: 0.1.0
description:
  - Compares files with the text that they should hold, writes those that differ, and makes their folders.
  - Folders can be asked for by themselves, so that nobody but root writes there.
  - Takes one connection for all of them, where M(ansible.builtin.template) takes two for each.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  folders:
    description:
      - Folders that are root's and that others may only read. Each is made, or put right, before the files.
    type: list
    elements: path
    default: []
    version_added: 0.2.0
  files:
    description:
      - The files.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Where the file is.
        type: path
        required: true
      content:
        description: Its text; a file without any is removed.
        type: str
        required: true
      mode:
        description: Its mode, in octal digits.
        type: str
        default: "0644"
        version_added: 0.2.0
extends_documentation_fragment:
  - gpuserve.fleet.attributes
"""

EXAMPLES = r"""
- name: Hold the branch
  gpuserve.fleet.text_files:
    files:
      - path: /etc/apt/preferences.d/nvidia.pref
        content: "{{ lookup('ansible.builtin.template', 'nvidia.pref.j2') }}"
      - path: /etc/apt/preferences.d/of-last-year.pref
        content: ""
"""

RETURN = r"""
folders:
  description: The folders that were made or put right.
  returned: success
  type: list
  elements: str
  sample: []
written:
  description: The files whose text or mode changed.
  returned: success
  type: list
  elements: str
  sample: [/etc/apt/preferences.d/nvidia.pref]
removed:
  description: The files that were removed.
  returned: success
  type: list
  elements: str
  sample: []
"""

from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import text_files


def run(module: AnsibleModule) -> dict[str, Any]:
    """Compare, then write."""
    folders = text_files.amiss(module.params["folders"])
    if not module.check_mode:
        text_files.make(folders)
    found = text_files.put(
        module.params["files"],
        module.check_mode,
        lambda path, mode: bool(module.set_mode_if_different(path, mode, False)),
    )
    return {"changed": bool(folders or found["written"] or found["removed"]), "folders": folders, **found}


def main() -> NoReturn:
    """Run."""
    module = AnsibleModule(
        argument_spec={
            "folders": {"type": "list", "elements": "path", "default": []},
            "files": {"type": "list", "elements": "dict", "required": True, "options": text_files.ARGUMENTS},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except OSError as error:
        module.fail_json(msg=f"{error.filename} can't be written: {error.strerror}.")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
