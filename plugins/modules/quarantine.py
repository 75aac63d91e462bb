#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: quarantine
short_description: Take a host out of service, or bring it back
version_added: 0.2.0
description:
  - Keeps in a file on the controller which hosts are out of service and why. M(gpuserve.fleet.inventory_check) reads it for every playbook,
    so that such a host is given no model, and is left as it is.
  - A host is taken out by hand, or by what M(gpuserve.fleet.diagnose) found. It comes back only if nothing that is found of its cards would
    take it out again.
  - Asks nothing of a host.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  path:
    description:
      - The file; without it C(.gpuserve/quarantine.json) beside the inventory.
    type: path
  findings:
    description:
      - RV(gpuserve.fleet.diagnose#module:findings) of that module.
    type: list
    elements: dict
  cause:
    description:
      - What of the findings takes a host out. V(cards) is an Xid error after which a card has to be reset or replaced, a card that is gone,
        or one that NVML can't read; V(gates) is also an engine or a gateway that does not serve.
    type: str
    choices: [cards, gates]
    default: cards
  reason:
    description:
      - Why the host is taken out by hand, whatever was found.
    type: str
    default: ""
  release:
    description:
      - Bring the host back. It fails where O(findings) still say why not.
    type: bool
    default: false
extends_documentation_fragment:
  - gpuserve.fleet.attributes.reads
"""

EXAMPLES = r"""
- name: Configure who is out of service by what was found
  gpuserve.fleet.quarantine:
    findings: "{{ diagnosis.findings }}"
"""

RETURN = r"""
quarantine:
  description: Why the host is out of service by now; empty where it is not.
  returned: success
  type: str
text:
  description: The same for people.
  returned: success
  type: str
  sample: "gpu03   in quarantine since 2026-11-26: card 0000:01:00: Xid 79, the card has fallen off the bus"
"""
