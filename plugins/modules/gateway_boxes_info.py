#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: gateway_boxes_info
short_description: Ask the gateways of boxes which models they serve
version_added: 0.2.0
description:
  - Runs on an edge, and asks each box's gateway for its models on the way that the edge's requests will go, its certificate verified.
  - Called without O(boxes), the boxes are read from the inventory on the controller, and RV(models) says which of them serve which model.
  - Changes nothing.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  boxes:
    description:
      - Boxes to ask, each with C(name), C(endpoint) and, where it speaks TLS, C(tls_name). Left out, those of the inventory.
    type: list
    elements: dict
  group:
    description:
      - The group or pattern of the inventory that the boxes are in.
    type: str
    default: gpu_hosts
  placement:
    description:
      - Which hosts answer for the models that have a rule, RV(gpuserve.fleet.inventory_check#module:routes) of that module.
    type: dict
    default: {}
  quarantine:
    description:
      - Which hosts are out of service and why, as M(gpuserve.fleet.inventory_check) returns it. They are not asked.
    type: dict
    default: {}
  certificates:
    description:
      - The certificates, in PEM, that boxes are trusted by. Left out, those that are kept on the controller.
    type: str
  certificate_dir:
    description:
      - A folder on the controller with the self-signed certificates of boxes, each named HOST.crt.
    type: path
  ca:
    description:
      - A file on the controller with the certificates, in PEM, that boxes with certificates of their own (C(gateway_tls=files)) are
        trusted by.
    type: path
  key:
    description:
      - The key that the boxes take.
    type: str
    default: ""
  timeout_s:
    description:
      - How long a box may take to answer.
    type: float
    default: 5
  may_be_down:
    description:
      - Whether an edge that is not reached is an answer (RV(reached)), and not unreachable for the rest of the run.
      - Read on the controller, like all that is about the inventory.
    type: bool
    default: false
    version_added: 0.3.0
extends_documentation_fragment:
  - gpuserve.fleet.attributes.reads
"""

EXAMPLES = r"""
- name: Read what the boxes serve
  gpuserve.fleet.gateway_boxes_info:
    key: "{{ gpuserve_edge_key }}"
    certificate_dir: "{{ inventory_dir }}/.gpuserve/certificates"
  register: edge
"""

RETURN = r"""
answers:
  description: By box, C(listed) as its gateway lists its models, or C(error).
  returned: always
  type: dict
models:
  description: Entries of C(gateway_models) of the edge, without the key.
  returned: when the boxes are those of the inventory
  type: list
  elements: dict
generating:
  description: The models that generate tokens, as the boxes say that serve them.
  returned: when the boxes are those of the inventory
  type: list
  elements: str
boxes:
  description: Entries of C(gateway_boxes) of the edge.
  returned: when the boxes are those of the inventory
  type: list
  elements: dict
box_certificates:
  description: What C(gateway_box_certificates) of the edge is.
  returned: when the boxes are those of the inventory
  type: str
notes:
  description: A sentence for each box that is not in the routes as it should be.
  returned: when the boxes are those of the inventory
  type: list
  elements: str
reached:
  description: Whether the edge was reached.
  returned: when the boxes are those of the inventory
  type: bool
why:
  description: Why it was not.
  returned: when the edge was not reached
  type: str
"""

from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway.boxes import ask_all


def main() -> NoReturn:
    """Run."""
    module = AnsibleModule(
        argument_spec={
            "boxes": {"type": "list", "elements": "dict"},
            "group": {"type": "str", "default": "gpu_hosts"},
            "placement": {"type": "dict", "default": {}},
            "quarantine": {"type": "dict", "default": {}},
            "certificates": {"type": "str"},
            "certificate_dir": {"type": "path"},
            "ca": {"type": "path"},
            "key": {"type": "str", "default": "", "no_log": True},
            "timeout_s": {"type": "float", "default": 5},
            "may_be_down": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params = module.params
    answers = ask_all(params["boxes"] or [], params["key"], params["certificates"] or "", params["timeout_s"])
    module.exit_json(changed=False, answers=answers)


if __name__ == "__main__":
    main()
