#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: signing_key
short_description: Put a package repository's key in place after checking its fingerprint
version_added: 0.1.0
description:
  - Takes a key by address or as text, checks that it holds the expected fingerprints and no others, and writes it
    without armour.
  - Needs no gpg on the target.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  path:
    description:
      - Where the key goes.
    type: path
    required: true
  url:
    description:
      - Where the key comes from. Read only where O(path) does not already hold the expected key.
    type: str
  content:
    description:
      - The key itself, armoured.
    type: str
  fingerprints:
    description:
      - The fingerprints the file must hold, all its primary keys among them.
    type: list
    elements: str
    required: true
  variable:
    description:
      - The variable that holds O(fingerprints), for messages.
    type: str
    default: fingerprints
  ca_file:
    description:
      - A bundle of authorities to trust for O(url), behind a proxy that re-signs.
    type: path
  timeout_s:
    description:
      - How long to wait for O(url), in seconds.
    type: int
    default: 30
extends_documentation_fragment:
  - gpuserve.fleet.attributes
"""

EXAMPLES = r"""
- name: Trust Docker's repository
  gpuserve.fleet.signing_key:
    path: /etc/apt/keyrings/docker.gpg
    url: https://download.docker.com/linux/debian/gpg
    fingerprints: [9DC858229FC7DD38854AE2D88D81803C0EBFCD88]
"""

RETURN = r"""
fingerprints:
  description: The fingerprints of the primary keys in the file.
  returned: always
  type: list
  elements: str
  sample: [9DC858229FC7DD38854AE2D88D81803C0EBFCD88]
"""

import os
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import credentials
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import openpgp
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.unlogged import UnloggedModule


def fetch(url: str, ca_file: str | None, timeout_s: int) -> bytes:
    """Download the key."""
    try:
        answer = open_url(url, timeout=timeout_s, ca_path=ca_file, http_agent="gpuserve.fleet")
        data: bytes = answer.read(1 << 20)
    except Exception as error:  # open_url lets every kind of network error through
        fail(
            url,
            f"the key there can't be read ({error}).",
            "Check the address and the network, or give the key as a file. Nothing was changed.",
        )
    return data


def run(module: AnsibleModule) -> dict[str, Any]:
    """Check, then write."""
    params = module.params
    path, expected, variable = params["path"], params["fingerprints"], params["variable"]
    before = HostFiles().read_bytes(path)
    prints: tuple[str, ...] = ()
    if before is not None:
        try:
            prints = openpgp.check_key(before, expected, path, variable).fingerprints
        except FleetError:
            prints = ()
    if params["content"] is not None:
        key = openpgp.check_key(params["content"].encode(), expected, "the given key", variable)
    elif prints and before is not None:
        # The right key is there already: nothing to download, and a run without a network is a run without a change.
        return {"changed": False, "fingerprints": list(prints)}
    else:
        key = openpgp.check_key(
            fetch(params["url"], params["ca_file"], params["timeout_s"]), expected, params["url"], variable
        )
    changed = key.binary != before
    if changed and not module.check_mode:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        # apt reads keys as the user _apt.
        atomic.write(os.path.realpath(path), key.binary, 0o644)
    lines = "".join(f"{fingerprint}\n" for fingerprint in key.fingerprints)
    old = "".join(f"{fingerprint}\n" for fingerprint in prints)
    return {
        "changed": changed,
        "fingerprints": list(key.fingerprints),
        "diff": {"before_header": path, "after_header": path, "before": old, "after": lines},
    }


def main() -> NoReturn:
    """Run, and turn our own errors into a sentence."""
    module = UnloggedModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "url": {"type": "str"},
            "content": {"type": "str", "no_log": False},
            "fingerprints": {"type": "list", "elements": "str", "required": True, "no_log": False},
            "variable": {"type": "str", "default": "fingerprints"},
            "ca_file": {"type": "path"},
            "timeout_s": {"type": "int", "default": 30},
        },
        required_one_of=[("url", "content")],
        mutually_exclusive=[("url", "content")],
        supports_check_mode=True,
    )
    module.no_log_values.update(credentials.secrets(module.params))
    try:
        result = run(module)
    except FleetError as error:
        module.fail_json(msg=str(error), field=error.where)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
