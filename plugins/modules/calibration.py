#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: calibration
short_description: Read what starts on a host measured, and take in what others measured
version_added: 0.2.0
description:
  - Bring-ups keep what engines used on their cards, and the next plan goes by it. With O(starts), what was measured on other hosts stands
    in for starts that this host has not made; what it measured itself always counts first.
  - What is taken in replaces what was taken in before, so that an empty list takes all of it back.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  name:
    description: What the host is called in RV(table).
    type: str
    default: this host
  state_dir:
    description: Where bring-ups keep what they remember.
    type: path
    default: /var/lib/gpuserve
  starts:
    description:
      - The starts to take in, as M(gpuserve.fleet.calibration_file) reads them; without it nothing is changed.
    type: list
    elements: dict
extends_documentation_fragment:
  - gpuserve.fleet.attributes
"""

EXAMPLES = r"""
- name: Take in what others measured
  gpuserve.fleet.calibration:
    starts: "{{ calibration_read.starts }}"
"""

RETURN = r"""
store:
  description: What is known of starts, as C(calibration.json) holds it.
  returned: success
  type: dict
  sample: {"starts": {}}
table:
  description: The same for people, line by line.
  returned: success
  type: list
  elements: str
  sample: ["gpu01   no start was measured yet"]
"""

import json
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan import exchange
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.state_dir import StateDir


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Read, and take in what is given."""
    state_dir = StateDir(params["state_dir"])
    if params["starts"] is None:
        found = state_dir.calibration()
        return {"changed": False, "store": found, "table": exchange.table(params["name"], found)}
    starts = exchange.check(exchange.document(params["starts"]), "starts")
    if check_mode:
        before = state_dir.calibration()
        after = exchange.take(before, starts)
    else:
        before, after = state_dir.take_in(lambda store: exchange.take(store, starts))
    if state_dir.notes:
        fail(params["state_dir"], " ".join(state_dir.notes), "Nothing was taken in.")
    shown = [json.dumps(store, indent=1, sort_keys=True) + "\n" for store in (before, after)]
    return {
        "changed": after["starts"] != before["starts"],
        "store": after,
        "table": exchange.table(params["name"], after),
        "diff": {"before": shown[0], "after": shown[1]},
    }


def main() -> NoReturn:
    """Run."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "default": "this host"},
            "state_dir": {"type": "path", "default": "/var/lib/gpuserve"},
            "starts": {"type": "list", "elements": "dict"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module.params, module.check_mode))
    except FleetError as error:
        module.fail_json(msg=str(error), field=error.where)


if __name__ == "__main__":
    main()
