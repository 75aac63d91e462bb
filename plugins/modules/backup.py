#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: backup
short_description: Keep what no inventory brings back of a host, or put it onto one
version_added: 0.2.0
description:
  - Packs the digest of the gateway's first key, its own certificate, what clients used, what starts measured and benchmarks into an
    archive, or puts the files of one where they belong.
  - What the host has already is never overwritten.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  state:
    description:
      - V(saved) writes the archive, V(restored) puts its files in place.
    type: str
    choices: [saved, restored]
    required: true
  path:
    description:
      - The archive on the host. It holds a private key, and only root can read it.
    type: path
    required: true
  gateway_dir:
    description: The gateway's folder.
    type: path
    default: /opt/gpuserve/gateway
  state_dir:
    description: Where bring-ups keep what they remember.
    type: path
    default: /var/lib/gpuserve
attributes:
  diff_mode:
    support: none
    details:
      - The files are nobody's to print.
extends_documentation_fragment:
  - gpuserve.fleet.attributes
"""

EXAMPLES = r"""
- name: Keep what is this host's own
  gpuserve.fleet.backup:
    state: saved
    path: /root/gpuserve-backup.tar.gz
"""

RETURN = r"""
files:
  description: What is in the archive, or was put in place.
  returned: success
  type: list
  elements: str
  sample: [calibration/calibration.json, key/default-key.sha256]
left:
  description: Files that the host has with another content, which stayed.
  returned: with O(state=restored)
  type: list
  elements: str
  sample: []
"""

from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import backup
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.backup import archive


def run(module: AnsibleModule) -> dict[str, Any]:
    """Pack, or unpack."""
    params = module.params
    folders = {backup.GATEWAY: Path(params["gateway_dir"]), backup.STATE: Path(params["state_dir"])}
    if params["state"] == "saved":
        return {"changed": True, "files": [] if module.check_mode else archive.pack(params["path"], folders)}
    files, left = archive.put(archive.read(params["path"]), folders, module.check_mode)
    return {"changed": bool(files), "files": files, "left": left}


def main() -> NoReturn:
    """Run, and turn our own errors into a sentence."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["saved", "restored"], "required": True},
            "path": {"type": "path", "required": True},
            "gateway_dir": {"type": "path", "default": "/opt/gpuserve/gateway"},
            "state_dir": {"type": "path", "default": "/var/lib/gpuserve"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except FleetError as error:
        module.fail_json(msg=str(error), field=error.where)
    except OSError as error:
        module.fail_json(
            msg=f"{error.filename}: it can't be read or written ({error.strerror}). Free some space or mend the folder,"
            " and run again."
        )


if __name__ == "__main__":
    main()
