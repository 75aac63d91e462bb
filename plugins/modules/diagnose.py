#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: diagnose
short_description: Tell what is wrong on a host that serves, first causes first
version_added: 0.2.0
description:
  - Reads engines and gateway with their logs, cards, driver, the kernel's log, disks, names, the clock and what our own runs left behind.
  - Names what is wrong by rules, each with the remedy; what follows from something else says so. The rules on engines are those by which a
    failed start is explained.
  - Changes nothing but the file that O(bundle) asks for, and needs no Python package on the host.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  name:
    description: What the host is called in RV(table).
    type: str
    default: this host
  project_name:
    description: The stack whose engines are looked at.
    type: str
    default: gpuserve
  project_dir:
    description: Where that stack's files are.
    type: path
    default: /opt/gpuserve/stack
  state_dir:
    description: Where bring-ups keep what they remember.
    type: path
    default: /var/lib/gpuserve
  upgrade_mark:
    description: The file that tells an upgrade that was interrupted; without it none is looked for.
    type: path
  drain_dir:
    description: Where endpoints are named that the gateway leaves out.
    type: path
    required: true
  disks:
    description: File systems that fill, by a folder on each.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The folder; it need not be there yet.
        type: path
        required: true
      purpose:
        description: What it is filled with.
        type: str
        required: true
  names:
    description: Names that have to be resolved.
    type: list
    elements: str
    default: []
  need_card:
    description: Whether a host without a card is a fault.
    type: bool
    default: true
  need_gateway:
    description: Whether a host without a gateway is a fault.
    type: bool
    default: true
  bundle:
    description:
      - Where to write a support bundle, an archive of what was read with the secrets taken out. Only root can read it.
      - Values of the stack's files of secrets go wherever they occur, and what has the form of a secret goes as well. Look through it
        before it is sent.
    type: path
  docker_socket:
    description: Where Docker is asked.
    type: path
    default: /var/run/docker.sock
  root:
    description: Where the host's files begin; a tree of fixtures in tests.
    type: path
    default: /
attributes:
  diff_mode:
    support: none
    details:
      - A support bundle is the only thing that it ever writes.
extends_documentation_fragment:
  - gpuserve.fleet.attributes
"""

EXAMPLES = r"""
- name: See what is wrong
  gpuserve.fleet.diagnose:
    drain_dir: "{{ gateway_drain_dir }}"
    disks:
      - {path: /var/lib/gpuserve/cache, purpose: weights}
  register: diagnosis
"""

RETURN = r"""
status:
  description: The worst severity of all findings, V(ok), V(warn) or V(fail).
  returned: always
  type: str
  sample: fail
findings:
  description: What is wrong, by rule; C(because) is the rule of another finding that it follows from, or empty.
  returned: always
  type: list
  elements: dict
  sample:
    - rule: xid_79
      severity: fail
      subject: "card 0000:01:00"
      text: Xid 79, the card has fallen off the bus
      remedy: Power the host off and on; if it comes again, look at slot, riser, power cables and temperature.
      line: "NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus."
      because: ""
table:
  description: The same for people, line by line.
  returned: always
  type: list
  elements: str
  sample: ["gpu01   ok", "  qwen, yi serve, and the gateway answers"]
bundle_files:
  description: What the support bundle holds.
  returned: when O(bundle) is given
  type: list
  elements: str
  sample: [evidence.json, findings.txt, kernel.log]
"""

from dataclasses import asdict
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.diagnose import engine_rules, findings, host_rules
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.text import harmless
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.diagnose import bundle, reader
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles


def run_module(module: AnsibleModule) -> dict[str, Any]:
    """Read, judge, and write the bundle where one is asked for."""
    params = module.params

    def command(arguments: list[str]) -> tuple[int, str, str]:
        program = module.get_bin_path(arguments[0])
        return module.run_command([program, *arguments[1:]]) if program else (127, "", f"no {arguments[0]}")

    places = reader.Places(
        project=params["project_name"],
        project_dir=params["project_dir"],
        state_dir=params["state_dir"],
        upgrade_mark=params["upgrade_mark"] or "",
        drain_dir=params["drain_dir"],
        socket=params["docker_socket"],
        disks=[(disk["path"], disk["purpose"]) for disk in params["disks"]],
        names=params["names"],
        need_card=params["need_card"],
        need_gateway=params["need_gateway"],
    )
    seen = reader.read(HostFiles(params["root"]), command, places)
    of_host = host_rules.judge(seen)
    found = [*of_host, *engine_rules.judge(seen, of_host)]
    lines = findings.table(params["name"], found, engine_rules.healthy(seen))
    result: dict[str, Any] = {
        "status": findings.worst(found),
        "findings": [{**asdict(one), "severity": one.severity.value} for one in found],
        "table": lines,
    }
    if params["bundle"]:
        result["changed"] = True
        if not module.check_mode:
            try:
                result["bundle_files"] = bundle.write(
                    params["bundle"], seen, lines, params["project_dir"], params["state_dir"]
                )
            except OSError as error:
                module.fail_json(
                    msg=f"bundle: {params['bundle']} can't be written ({harmless(error)}). Name a place with room for it.",
                    **result,
                )
    return result


def main() -> NoReturn:
    """Take the parameters, and answer."""
    disk = {"path": {"type": "path", "required": True}, "purpose": {"type": "str", "required": True}}
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "default": "this host"},
            "project_name": {"type": "str", "default": "gpuserve"},
            "project_dir": {"type": "path", "default": "/opt/gpuserve/stack"},
            "state_dir": {"type": "path", "default": "/var/lib/gpuserve"},
            "upgrade_mark": {"type": "path"},
            "drain_dir": {"type": "path", "required": True},
            "disks": {"type": "list", "elements": "dict", "default": [], "options": disk},
            "names": {"type": "list", "elements": "str", "default": []},
            "need_card": {"type": "bool", "default": True},
            "need_gateway": {"type": "bool", "default": True},
            "bundle": {"type": "path"},
            "docker_socket": {"type": "path", "default": "/var/run/docker.sock"},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LC_ALL": "C", "LANGUAGE": "C"}
    module.exit_json(**{"changed": False, **run_module(module)})


if __name__ == "__main__":
    main()
