#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: gateway_config
short_description: Check, render and put in place the gateway's whole configuration
version_added: 0.2.0
description:
  - Decides on the controller what the variables of the role P(gpuserve.fleet.gateway#role) come to, and refuses what can't work before
    anything is changed.
  - Renders nginx.conf, its includes, the data that Lua reads and the Compose file, ships the Lua files, and lets the nginx that is going to
    run them judge them before they are swapped for the live ones in one move.
  - Starts and reloads nothing; it says what has to be. A diff holds no key, no digest of one, and no text of files that are shipped.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  state:
    description:
      - V(checked) judges variables and host and changes nothing; V(present) puts the configuration in place; V(compared) says in what the
        host differs, and changes nothing either.
    type: str
    choices: [checked, present, compared]
    default: present
  settings:
    description:
      - The role's variables, by their names without C(gateway_).
    type: dict
    required: true
  keys_file:
    description:
      - A file on the controller with more entries of C(gateway_keys), as playbooks/keys.yml writes it. It may be encrypted with
        ansible-vault.
    type: path
  key_dir:
    description:
      - The folder on the controller that the first key is written into, where nobody wrote one, as a file of mode 0600.
    type: path
  folder:
    description:
      - Where the gateway is on the host, for V(compared) alone.
    type: path
    default: /opt/gpuserve/gateway
  use_saved:
    description:
      - Take all settings but the keys as the host last got them.
    type: bool
    default: false
  follow:
    description:
      - Models of the gateway whose engines are about to move, with C(endpoints), C(standby), C(address) and C(listener_uid) as they are to
        be. All else of O(use_saved) stays.
    type: list
    elements: dict
    default: []
  change:
    description:
      - A change of O(keys_file) that is about to be made, as in M(gpuserve.fleet.gateway_keys), to be judged with the rest.
    type: dict
    default: {}
extends_documentation_fragment:
  - gpuserve.fleet.attributes
"""

EXAMPLES = r"""
- name: Configure the gateway
  gpuserve.fleet.gateway_config:
    settings: "{{ _gateway_settings }}"
  register: gateway
"""

RETURN = r"""
differences:
  description: >-
    A row for each thing in which the host differs, with C(what), C(host), C(inventory) and C(brings). No key and no digest of one.
  returned: when O(state=compared)
  type: list
  elements: dict
changed_files:
  description: What differed from the live configuration.
  returned: when O(state=present)
  type: list
  elements: str
reload:
  description: Whether a running nginx has to read its configuration again.
  returned: when O(state=present)
  type: bool
restart:
  description: Whether the container's own description changed.
  returned: when O(state=present)
  type: bool
generation:
  description: What /health says once this configuration is served.
  returned: when O(state=present)
  type: str
url:
  description: Where the host itself reaches the gateway.
  returned: success
  type: str
key_file:
  description: Where the first key is on the controller, if it is.
  returned: when O(state=present)
  type: str
key_made:
  description: Whether the first key was made now.
  returned: when O(state=present)
  type: bool
uid:
  description: The number of the gateway's own account on the host, 0 before it is made.
  returned: when O(state=checked)
  type: int
gid:
  description: The number of that account's group.
  returned: when O(state=checked)
  type: int
kept_image:
  description: The image that runs, by the digest that was kept for its name; empty where M(gpuserve.fleet.image_pin) has to install it.
  returned: when O(state=checked)
  type: str
"""
