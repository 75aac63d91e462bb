#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: gateway_serve
short_description: Have the gateway's container serve the configuration that is in place, or stop it
version_added: 0.2.0
description:
  - Starts the container where it does not run as its compose file says, and has nginx read its files where it serves others.
  - A run that ended before its reload has left files that nginx has yet to read, so what it serves is asked, and not what changed.
  - An edge whose container is replaced or stopped says so first at C(/livez), for O(leave_s), where another one of O(others) answers.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  folder:
    description:
      - The gateway's folder.
    type: path
    default: /opt/gpuserve/gateway
  state:
    description:
      - V(serving), or V(stopped); what a stopped gateway is made of stays, its keys and what was used.
    type: str
    choices: [serving, stopped]
    default: serving
  url:
    description:
      - Where the host itself reaches the gateway. Needed with O(state=serving).
    type: str
  generation:
    description:
      - The generation of the configuration, as M(gpuserve.fleet.gateway_config) returned it. Needed with O(state=serving).
    type: str
  drain_dir:
    description:
      - The gateway's folder of draining, in which an edge is told that it leaves; without it none is.
    type: path
  others:
    description:
      - Where other edges answer, as HOST:PORT; without it those of the group C(edge), for a host that is one of them.
    type: list
    elements: str
    default: []
  leave_s:
    description:
      - How long an edge says that it leaves before it does. Who watches it has to see that in this time and send clients elsewhere.
    type: float
    default: 5
  start:
    description:
      - Whether the container is started; without, what runs is reloaded.
    type: bool
    default: true
  reload:
    description:
      - Whether nginx reads its files in any case, as for a key that was revoked.
    type: bool
    default: false
  timeout_s:
    description:
      - How long the new configuration may take until it is served.
    type: float
    default: 30
  prove:
    description:
      - Names of models that have to stream a token through the gateway once it serves, as for M(gpuserve.fleet.gateway_prove).
    type: list
    elements: str
    default: []
  key:
    description:
      - A key that may use all of O(prove); empty where none is asked for.
    type: str
    default: ""
  prove_timeout_s:
    description:
      - How long each model of O(prove) may take until it streams.
    type: float
    default: 60
extends_documentation_fragment:
  - gpuserve.fleet.attributes
"""

EXAMPLES = r"""
- name: Start the gateway's container
  gpuserve.fleet.gateway_serve:
    url: "{{ configured.url }}"
    generation: "{{ configured.generation }}"
    reload: "{{ configured.reload }}"

- name: Remove the gateway's container
  gpuserve.fleet.gateway_serve:
    state: stopped
"""

RETURN = r"""
started:
  description: Whether a container began.
  returned: success
  type: bool
reloaded:
  description: Whether nginx was made to read its files.
  returned: success
  type: bool
seconds:
  description: How long each model of O(prove) took, by its name.
  returned: success
  type: dict
"""

from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway.leaving import Leaving
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway.serving import Serving
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway.stream import Stream, prove


def serve(gateway: Serving, leaving: Leaving, *, start: bool, reload: bool, timeout_s: float) -> dict[str, Any]:
    """Start, reload where that is due, and wait for what is wanted."""
    try:
        if start and leaving.has_others and gateway.is_replaced():
            leaving.begin()
        started = start and gateway.start()
        reloaded = not started and (reload or not gateway.is_current())
        if reloaded:
            gateway.reload()
        gateway.wait(timeout_s)
    finally:
        leaving.end()
    return {"changed": started or reloaded, "started": started, "reloaded": reloaded}


def stop(gateway: Serving, leaving: Leaving) -> dict[str, Any]:
    """Stop what there is."""
    try:
        there = gateway.compose.exists()
        if there:
            leaving.begin()
        removed = there and gateway.stop()
    finally:
        leaving.end()
    return {"changed": removed, "started": False, "reloaded": False}


def main() -> NoReturn:
    """Run."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "default": "/opt/gpuserve/gateway"},
            "state": {"type": "str", "choices": ["serving", "stopped"], "default": "serving"},
            "url": {"type": "str"},
            "generation": {"type": "str"},
            "drain_dir": {"type": "path"},
            "others": {"type": "list", "elements": "str", "default": []},
            "leave_s": {"type": "float", "default": 5},
            "start": {"type": "bool", "default": True},
            "reload": {"type": "bool", "default": False},
            "timeout_s": {"type": "float", "default": 30},
            "prove": {"type": "list", "elements": "str", "default": []},
            "key": {"type": "str", "default": "", "no_log": True},
            "prove_timeout_s": {"type": "float", "default": 60},
        },
        required_if=[("state", "serving", ("url", "generation"))],
        supports_check_mode=True,
    )
    params = module.params
    if module.check_mode:
        module.exit_json(changed=False, started=False, reloaded=False, seconds={})
    gateway = Serving(Path(params["folder"]), params["url"] or "", params["generation"] or "", module.run_command)
    folder = Path(params["drain_dir"]) if params["drain_dir"] else None
    leaving = Leaving(folder, params["others"], params["leave_s"])
    try:
        if params["state"] == "stopped":
            module.exit_json(**stop(gateway, leaving), seconds={})
        found = serve(gateway, leaving, start=params["start"], reload=params["reload"], timeout_s=params["timeout_s"])
        seconds = prove(
            lambda model: Stream(params["url"], model, params["key"]), params["prove"], params["prove_timeout_s"]
        )
    except FleetError as error:
        module.fail_json(msg=f"{error}")
    module.exit_json(**found, seconds=seconds)


if __name__ == "__main__":
    main()
