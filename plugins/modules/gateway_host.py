#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: gateway_host
short_description: Read a gateway's host, or put a rendered configuration in place there
version_added: 0.2.0
description:
  - What M(gpuserve.fleet.gateway_config) runs on the host. It decides nothing about the gateway.
  - Stages the whole configuration beside the live one, lets the nginx of the image that will run it judge it, and swaps once.
author:
  - gpuserve.fleet contributors (@gpuserve)
requirements:
  - Python 3.10 or newer
  - Docker with Compose v2
  - openssl, for a self-signed certificate
options:
  state:
    description:
      - V(read) tells what is on the host; V(present) puts O(payload) in place.
    type: str
    choices: [read, present]
    required: true
  folder:
    description:
      - The gateway's folder on the host.
    type: path
    default: /opt/gpuserve/gateway
  image:
    description:
      - The image to look for.
    type: str
    default: ""
  ports:
    description:
      - Ports of which to tell who listens on them.
    type: list
    elements: int
    default: []
  paths:
    description:
      - Files that have to be on the host.
    type: list
    elements: path
    default: []
  saved:
    description:
      - Whether C(facts) hold the settings of the last run, which hold the keys that engines ask for. Not for a task, which prints them.
    type: bool
    default: false
  live:
    description:
      - Whether C(facts) hold what of the live configuration tells it from another, digests of keys included. Not for a task either.
    type: bool
    default: false
  payload:
    description:
      - The rendered configuration as JSON, keys included.
    type: str
    default: ""
extends_documentation_fragment:
  - gpuserve.fleet.attributes
"""

EXAMPLES = r"""
- name: Read the gateway's host
  gpuserve.fleet.gateway_host:
    state: read
    image: openresty/openresty:1.31.1.1-3-jammy
    ports: [8000]
  register: gateway_host
"""

RETURN = r"""
facts:
  description: What is on the host.
  returned: when O(state=read)
  type: dict
changed_files:
  description: What differs from the live configuration.
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
"""

import json
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway import live
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway.place import Place
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway.probe import probe, settings


def run(module: AnsibleModule) -> dict[str, Any]:
    """Read or write."""
    params, command = module.params, module.run_command
    folder = Path(params["folder"])
    if params["state"] == "read":
        facts = probe(folder, params["image"], params["ports"], params["paths"], command)
        if params["saved"]:
            facts["saved"] = settings(folder)
        if params["live"]:
            facts["live"] = live.read_live(folder, command)
        return {"changed": False, "facts": facts}
    return Place(folder, json.loads(params["payload"]), command, module.check_mode).put()


def main() -> NoReturn:
    """Run."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["read", "present"], "required": True},
            "folder": {"type": "path", "default": "/opt/gpuserve/gateway"},
            "image": {"type": "str", "default": ""},
            "ports": {"type": "list", "elements": "int", "default": []},
            "paths": {"type": "list", "elements": "path", "default": []},
            "saved": {"type": "bool", "default": False},
            "live": {"type": "bool", "default": False},
            "payload": {"type": "str", "default": "", "no_log": True},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except FleetError as error:
        module.fail_json(msg=str(error), field=error.where)
    except OSError as error:
        module.fail_json(
            msg=f"{error.filename}: it can't be written ({error.strerror}). What ran before runs on unchanged."
        )


if __name__ == "__main__":
    main()
