#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_claim
short_description: Note on a host which run changes it
version_added: 0.2.0
description:
  - Notes on the host that this run of Ansible changes it, so that a second run, of whichever controller, is told by whom and since when.
  - Keeps on the host which version of the collection changed it last. Where that is newer than this one, O(state=checked) fails.
  - A run of the same controller whose process is no more holds nothing. The note is gone after a reboot.
  - Its action plugin says who runs, and fails with one sentence for all hosts that others hold.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  state:
    description:
      - V(taken) notes this run. V(checked) asks nothing of hosts, and fails if one was refused to this run.
        V(released) removes the note of this run, and leaves that of another; it notes the version. A host that is not reached then is
        told in a warning, and is no failure.
    type: str
    choices: [taken, checked, released]
    required: true
  take_over:
    description:
      - Take the host from a run that still has it, because it was ended by force.
    type: bool
    default: false
  claim:
    description:
      - Who runs. The action plugin fills it in.
    type: dict
    default: {}
  over:
    description:
      - The run that may be replaced. The action plugin fills it in.
    type: str
    default: ""
  version:
    description:
      - This version of the collection. The action plugin fills it in.
    type: str
    default: ""
  state_dir:
    description:
      - Where a host's state is kept, and in it C(collection), the version that changed the host last.
    type: path
    default: /var/lib/gpuserve
  folder:
    description:
      - Where the note is kept. Its folders are root's alone.
    type: path
    default: /run/gpuserve/locks
extends_documentation_fragment:
  - gpuserve.fleet.attributes
"""

EXAMPLES = r"""
- name: Configure the host as taken for a run
  gpuserve.fleet.host_claim:
    state: taken
  register: host_claim
"""

RETURN = r"""
reached:
  description: False where the host was not reached, and keeps the note of this run.
  returned: for V(released), when the host was not reached
  type: bool
taken:
  description: Whether this run has the host.
  returned: for V(taken)
  type: bool
version:
  description: The version of the collection that changed the host last; empty where none is known.
  returned: for V(taken)
  type: str
  sample: 0.2.0
holder:
  description: The run that has the host, with C(run), C(who), C(controller), C(pid) and C(since); empty where none has.
  returned: for V(taken)
  type: dict
"""

from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.claim import Claim, is_free
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout import claims


def run(module: AnsibleModule) -> dict[str, Any]:
    """Take the host or give it back; a dry run only looks."""
    params = module.params
    claim = Claim.read(params["claim"])
    if claim is None:
        module.fail_json(msg="claim: it names no run. Call this module by a task: its action plugin says who runs.")
    if params["state"] == "released":
        if not module.check_mode:
            claims.note_version(params["state_dir"], params["version"])
            claims.release(params["folder"], claim.run)
        return {}
    there = {"version": claims.version_of(params["state_dir"])}
    found = claims.holder(params["folder"])
    if module.check_mode:
        return {**there, "taken": is_free(found, claim.run, params["over"]), "holder": found.data() if found else {}}
    if params["take_over"] and found is not None:
        params["over"] = found.run
    found = claims.take(params["folder"], claim, params["over"])
    return {**there, "taken": found == claim, "holder": found.data() if found else {}}


def main() -> NoReturn:
    """Run."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["taken", "checked", "released"], "required": True},
            "take_over": {"type": "bool", "default": False},
            "claim": {"type": "dict", "default": {}},
            "over": {"type": "str", "default": ""},
            "version": {"type": "str", "default": ""},
            "state_dir": {"type": "path", "default": "/var/lib/gpuserve"},
            "folder": {"type": "path", "default": "/run/gpuserve/locks"},
        },
        supports_check_mode=True,
    )
    try:
        # A note is no change of the host: it is gone with the run.
        module.exit_json(changed=False, **run(module))
    except OSError as error:
        module.fail_json(msg=f"{error.filename} can't be written: {error.strerror}.")


if __name__ == "__main__":
    main()
