#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: gateway_drain
short_description: Keep a box out of an edge's new requests, or give it back to them
version_added: 0.2.0
description:
  - Runs on an edge. With V(drained) the edge sends the box nothing new, and the module waits until what is under way there has ended.
  - A model that no other box serves goes on being served by the box, and is not waited for.
  - An edge that has not been set up yet is left alone. One that is not reached is told in a warning, and is no failure.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  state:
    description:
      - V(drained) keeps new requests away and waits; V(returned) lets them come again; V(read) tells which of O(endpoints) are kept out.
      - A box that a person drained is left as it is, and not told.
    type: str
    choices: [drained, returned, read]
    required: true
  endpoint:
    description:
      - The box, as HOST:PORT in C(gateway_boxes) of the edge. Left out, it is the host of the task, as the inventory has it.
    type: str
  endpoints:
    description:
      - Several boxes, for V(read).
    type: list
    elements: str
    default: []
    version_added: 0.3.0
  hosts:
    description:
      - Several boxes by their names in the inventory, in place of O(endpoints). The action plugin looks up where they are reached.
    type: list
    elements: str
    version_added: 0.3.0
  timeout_s:
    description:
      - How long to wait for requests that are under way.
    type: float
    default: 60
  folder:
    description:
      - Where the gateway is on the edge.
    type: path
    default: /opt/gpuserve/gateway
extends_documentation_fragment:
  - gpuserve.fleet.attributes
"""

EXAMPLES = r"""
- name: Drain the box at the edge
  gpuserve.fleet.gateway_drain:
    state: drained
    endpoint: 192.0.2.11:8000
  delegate_to: edge01
"""

RETURN = r"""
left:
  description: How many requests were still under way when the time was over.
  returned: when O(state=drained)
  type: int
drained:
  description: Which of the boxes a run keeps out of new requests, by their names where O(hosts) named them.
  returned: when O(state=read)
  type: list
  elements: str
reached:
  description: False where the edge was not reached, and nothing was done there.
  returned: when the edge was not reached
  type: bool
"""

from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway.drain import Drain


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Keep the box out and wait, give it back, or tell which boxes are kept out."""
    if params["state"] == "read":
        drained = [box for box in params["endpoints"] if Drain(params["folder"], box).is_ours]
        return {"changed": False, "drained": drained}
    drain = Drain(params["folder"], params["endpoint"])
    if params["state"] == "returned":
        return {"changed": drain.give_back(check_mode)}
    changed = drain.keep_out(check_mode)
    left = 0 if check_mode or not drain.is_edge else drain.wait(params["timeout_s"])
    return {"changed": changed, "left": left}


def main() -> NoReturn:
    """Run."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["drained", "returned", "read"], "required": True},
            "endpoint": {"type": "str"},
            "endpoints": {"type": "list", "elements": "str", "default": []},
            "hosts": {"type": "list", "elements": "str"},
            "timeout_s": {"type": "float", "default": 60},
            "folder": {"type": "path", "default": "/opt/gpuserve/gateway"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module.params, module.check_mode))
    except FleetError as error:
        module.fail_json(msg=str(error), field=error.where)
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: it can't be read or written ({error.strerror}). Mend the folder.")


if __name__ == "__main__":
    main()
