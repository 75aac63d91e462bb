#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: gateway_prove
short_description: See that each model streams a token through the gateway
version_added: 0.2.0
description:
  - Asks each model for one token, as a stream, on the way that clients come.
  - The key that it asks with is in nothing that it returns, whatever the gateway or an engine answers.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  url:
    description:
      - Where the host itself reaches the gateway.
    type: str
    required: true
  models:
    description:
      - Names of models that generate.
    type: list
    elements: str
    required: true
  key:
    description:
      - A key that may use all of them; empty where none is asked for.
    type: str
    default: ""
  timeout_s:
    description:
      - How long a model may take until it streams. A model that has just become ready is refused until the gateway has probed it.
    type: float
    default: 60
extends_documentation_fragment:
  - gpuserve.fleet.attributes.reads
"""

EXAMPLES = r"""
- name: Check that each model streams a token through the gateway
  gpuserve.fleet.gateway_prove:
    url: http://127.0.0.1:8000
    models: [qwen]
    key: "{{ vault_gateway_key }}"
"""

RETURN = r"""
seconds:
  description: How long each model took, by its name.
  returned: success
  type: dict
"""

from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway.stream import Stream, prove


def main() -> NoReturn:
    """Run."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "models": {"type": "list", "elements": "str", "required": True},
            "key": {"type": "str", "default": "", "no_log": True},
            "timeout_s": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    params = module.params
    models = params["models"] if not module.check_mode else []
    try:
        seconds = prove(lambda model: Stream(params["url"], model, params["key"]), models, params["timeout_s"])
    except FleetError as error:
        module.fail_json(msg=f"{error}")
    module.exit_json(changed=False, seconds=seconds)


if __name__ == "__main__":
    main()
