#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: stack_containers
short_description: Remove the containers and networks of a stack
version_added: 0.1.0
description:
  - Finds them by the label of the stack's name, and by the folder that they were started from, in case the name has changed since.
  - Where Docker is installed and does not answer, fails before anything is removed, since its containers would come back with it.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  project:
    description:
      - The stack's name.
    type: str
    required: true
  folder:
    description:
      - The folder of its compose file.
    type: path
    required: true
extends_documentation_fragment:
  - gpuserve.fleet.attributes
  - gpuserve.fleet.host.docker
attributes:
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: Remove the stack's containers
  gpuserve.fleet.stack_containers:
    project: gpuserve
    folder: /opt/gpuserve/stack
"""

RETURN = r"""
containers:
  description: The containers that were removed, by their ids.
  returned: success
  type: list
  elements: str
  sample: []
networks:
  description: The networks that were removed, by their ids.
  returned: success
  type: list
  elements: str
  sample: []
others:
  description: Containers of other stacks of this collection, which stay.
  returned: success
  type: list
  elements: str
  sample: ["gpuserve-gateway (gpuserve-gateway)"]
"""

from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import removal
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import docker_socket

_PLACES = ["/usr/sbin", "/usr/local/bin", "/snap/bin"]


def run(module: AnsibleModule) -> dict[str, Any]:
    """Look, then remove."""
    socket = module.params["docker_socket"]
    containers = docker_socket.get(socket, "/containers/json?all=true")
    networks = docker_socket.get(socket, "/networks")
    if containers is None or networks is None:
        if not any(module.get_bin_path(program, opt_dirs=_PLACES) for program in ("dockerd", "docker")):
            return {"changed": False, "containers": [], "networks": [], "others": []}
        fail(
            "",
            "Docker is installed and does not answer: engines may run still, and would come back when it starts.",
            "Run `systemctl start docker` (or remove Docker), and run again. Nothing was removed.",
        )
    chosen = removal.choose(module.params["project"], module.params["folder"], containers, networks)
    if not module.check_mode:
        _docker(module, ["rm", "--force", "--volumes"], chosen.containers)
        _docker(module, ["network", "rm"], chosen.networks)
    return {
        "changed": bool(chosen.containers or chosen.networks),
        "containers": list(chosen.containers),
        "networks": list(chosen.networks),
        "others": list(chosen.others),
    }


def _docker(module: AnsibleModule, command: list[str], identities: tuple[str, ...]) -> None:
    if not identities:
        return
    status, out, err = module.run_command(["docker", *command, *identities])
    if status != 0:
        said = (err or out).strip().splitlines()
        fail(
            "",
            f"`docker {' '.join(command)}` failed: {said[-1] if said else status}.",
            "Look at `docker ps --all`, and run again.",
        )


def main() -> NoReturn:
    """Run, and turn our own errors into a sentence."""
    module = AnsibleModule(
        argument_spec={
            "project": {"type": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "docker_socket": {"type": "path", "default": "/var/run/docker.sock"},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except FleetError as error:
        module.fail_json(msg=str(error), field=error.where)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
