#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: gateway_keys
short_description: Add, revoke, rotate and list the gateway's keys on the controller
version_added: 0.2.0
description:
  - Keeps keys by their digests in one file on the controller, which may be encrypted with ansible-vault; it is encrypted again as it was.
  - A new key is written into a file of mode 0600 below O(key_dir), C(clients/NAME), and is in nothing that is returned.
  - Reaches no host; M(gpuserve.fleet.gateway_config) takes the keys there.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  keys_file:
    description:
      - The file.
    type: path
    required: true
  key_dir:
    description:
      - The folder on the controller for keys in the clear.
    type: path
    required: true
  change:
    description:
      - What to change, one of C(add), C(revoke) and C(rotate) with the key's name; without any, keys are listed.
      - Beside C(add) there may be C(models) (a list, or names with commas), C(requests_per_minute), C(max_concurrent), C(tokens_per_day),
        C(tokens_per_month) and C(expires); beside C(rotate) C(keep_until), the day until which the old key opens as C(NAME.old).
    type: dict
    default: {}
  hosts:
    description:
      - The hosts that the key is for; empty is all.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - gpuserve.fleet.attributes
"""

EXAMPLES = r"""
- name: Add a key
  gpuserve.fleet.gateway_keys:
    keys_file: .gpuserve/gateway-keys.yml
    key_dir: .gpuserve/keys
    change: {add: team-a, models: [qwen], requests_per_minute: 60, expires: "2027-01-31"}
"""

RETURN = r"""
table:
  description: The keys as they are now, a line each, without digests.
  returned: success
  type: list
  elements: str
key_file:
  description: Where a new key is.
  returned: success
  type: str
"""
