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

from typing import NoReturn

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import credentials
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import signing_key
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.unlogged import UnloggedModule


def main() -> NoReturn:
    """Run, and turn our own errors into a sentence."""
    module = UnloggedModule(
        argument_spec={**signing_key.ARGUMENTS, "variable": {"type": "str", "default": "fingerprints"}},
        required_one_of=signing_key.ONE_OF,
        mutually_exclusive=signing_key.ONE_OF,
        supports_check_mode=True,
    )
    module.no_log_values.update(credentials.secrets(module.params))
    try:
        result = signing_key.put(module.params, module.params["variable"], module.check_mode)
    except FleetError as error:
        module.fail_json(msg=str(error), field=error.where)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
