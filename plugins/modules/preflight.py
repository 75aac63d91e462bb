#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: preflight
short_description: Tell whether a host can serve, as a table and as data
version_added: 0.1.0
description:
  - Reads cards, driver, kernel, disks, memory, ports, clock and name resolution, and says of each what is true and
    what to do.
  - Changes nothing, and fails only with O(fail_on).
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  name:
    description:
      - What to call the host in the table.
    type: str
    default: this host
  image:
    description:
      - The engine image; its CUDA version is compared with the driver.
    type: str
    default: ""
  need_card:
    description:
      - Whether a host without an NVIDIA card can't serve.
    type: bool
    default: true
  images:
    description:
      - What Docker's disks have to hold, those of images and of its other data, which are two from Docker 29 on.
    type: dict
    suboptions:
      source:
        description: Whose Docker it is, or will be.
        type: str
        choices: [docker, distro]
        default: docker
      data_root:
        description: Where Docker's data should lie; empty is Docker's own choice.
        type: str
        default: ""
      min_bytes:
        description: How much must be free for images.
        type: int
        required: true
      min_data_bytes:
        description: How much must be free for the rest, where that is another folder.
        type: int
        default: 0
  disks:
    description:
      - File systems that have to hold something.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: A folder in it; it need not exist yet.
        type: path
        required: true
      purpose:
        description: What it has to hold.
        type: str
        required: true
      min_bytes:
        description: How much must be free.
        type: int
        required: true
  min_ram_bytes:
    description:
      - How much memory the host should have.
    type: int
    default: 0
  ports:
    description:
      - TCP ports that must be free, or taken by containers of ours.
    type: list
    elements: int
    default: []
  names:
    description:
      - Names that must resolve.
    type: list
    elements: str
    default: []
  fail_on:
    description:
      - Fail when a check has this status or a worse one.
    type: str
    choices: [never, fail, warn]
    default: never
  docker_socket:
    description:
      - The socket of the Docker daemon, which knows the ports of our containers.
    type: path
    default: /var/run/docker.sock
extends_documentation_fragment:
  - gpuserve.fleet.attributes.reads
  - gpuserve.fleet.host
"""

EXAMPLES = r"""
- name: Can this host serve?
  gpuserve.fleet.preflight:
    image: vllm/vllm-openai:v0.33.0
    ports: [8000, 8001, 8002, 8003]
    fail_on: fail
"""

RETURN = r"""
status:
  description: The worst status of all checks.
  returned: always
  type: str
  sample: ok
checks:
  description: Every check, its status V(ok), V(warn) or V(fail), what was found, and what to do.
  returned: always
  type: list
  elements: dict
  sample:
    - id: driver
      status: ok
      found: driver 580.178.04 is loaded, on disk and in the library
      remedy: ""
table:
  description: The same for people, line by line.
  returned: always
  type: list
  elements: str
  sample: ["gpu01   ok", "  ok    driver  driver 580.178.04 is loaded, on disk and in the library"]
"""

import platform
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import distribution, preflight
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import docker_engine as engine
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import docker_engine, docker_socket, gpu, net
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles

Run = Callable[[list[str]], tuple[int, str, str]]


def our_containers(socket_path: str) -> tuple[list[str], set[int]]:
    """Ask Docker for the containers of ours and the ports they publish."""
    identities, ports = [], set()
    for container in docker_socket.get(socket_path, "/containers/json") or []:
        names = [name.lstrip("/") for name in container.get("Names") or []]
        labels = container.get("Labels") or {}
        if "gpuserve-gateway" in names or any(key.startswith("fleet.gpuserve.") for key in labels):
            identities.append(str(container["Id"]))
            ports |= {port["PublicPort"] for port in container.get("Ports") or [] if "PublicPort" in port}
    return identities, ports


def docker_disks(module: AnsibleModule, files: HostFiles, command: Run) -> list[preflight.Disk]:
    """Measure what Docker fills."""
    wanted = module.params["images"]
    if wanted is None:
        return []
    answers = docker_engine.read_answers(module.params["docker_socket"], command, module.get_bin_path)
    release = distribution.parse_os_release(files.read("/etc/os-release") or files.read("/usr/lib/os-release") or "")
    request = engine.Request(source=engine.Source(wanted["source"]), data_root=wanted["data_root"])
    *others, images = engine.data_folders(request, docker_engine.read_host(answers, files, release))
    disks = [preflight.Disk(images, "images", files.free_bytes(images)[0], wanted["min_bytes"])]
    for folder in others:
        free = files.free_bytes(folder)[0]
        disks.append(preflight.Disk(folder, "containers and volumes", free, wanted["min_data_bytes"]))
    return disks


def read(module: AnsibleModule) -> preflight.Snapshot:
    """Read the host."""
    params = module.params
    files = HostFiles(params["root"])

    def command(arguments: list[str]) -> tuple[int, str, str]:
        program = module.get_bin_path(arguments[0])
        return module.run_command([program, *arguments[1:]]) if program else (127, "", f"no {arguments[0]}")

    containers, published = our_containers(params["docker_socket"])
    users = net.listeners(files, params["ports"], containers)
    taken = {port: "ours" if port in published else user for port, user in users.items()}
    return preflight.Snapshot(
        gpus=gpu.gpus(files),
        driver=gpu.read_driver_state(files, command, platform.release()),
        secure_boot=gpu.secure_boot(files),
        disks=[
            *docker_disks(module, files, command),
            *(
                preflight.Disk(disk["path"], disk["purpose"], files.free_bytes(disk["path"])[0], disk["min_bytes"])
                for disk in params["disks"]
            ),
        ],
        ram_bytes=net.ram_bytes(files),
        min_ram_bytes=params["min_ram_bytes"],
        ports_wanted=params["ports"],
        ports_taken=taken,
        time_synchronised=net.time_synchronised(files, command),
        unresolved=[name for name in params["names"] if not net.resolves(name)],
        names=params["names"],
        reboot_pending=files.exists("/var/run/reboot-required") or files.exists("/run/reboot-required"),
        image=params["image"],
        need_card=params["need_card"],
        platform=gpu.read_platform(files),
        hypervisor=files.exists("/etc/pve") or files.exists("/usr/bin/pvesh"),
        windows_library=files.exists("/usr/lib/wsl/lib/libnvidia-ml.so.1"),
    )


def main() -> NoReturn:
    """Read, judge, answer."""
    disk = {
        "path": {"type": "path", "required": True},
        "purpose": {"type": "str", "required": True},
        "min_bytes": {"type": "int", "required": True},
    }
    images = {
        "source": {"type": "str", "choices": ["docker", "distro"], "default": "docker"},
        "data_root": {"type": "str", "default": ""},
        "min_bytes": {"type": "int", "required": True},
        "min_data_bytes": {"type": "int", "default": 0},
    }
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "default": "this host"},
            "image": {"type": "str", "default": ""},
            "need_card": {"type": "bool", "default": True},
            "images": {"type": "dict", "options": images},
            "disks": {"type": "list", "elements": "dict", "default": [], "options": disk},
            "min_ram_bytes": {"type": "int", "default": 0},
            "ports": {"type": "list", "elements": "int", "default": []},
            "names": {"type": "list", "elements": "str", "default": []},
            "fail_on": {"type": "str", "choices": ["never", "fail", "warn"], "default": "never"},
            "docker_socket": {"type": "path", "default": "/var/run/docker.sock"},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LC_ALL": "C", "LANGUAGE": "C"}
    checks = preflight.judge(read(module))
    status = preflight.worst(checks)
    result: dict[str, Any] = {
        "status": status,
        "checks": [asdict(check) for check in checks],
        "table": preflight.table(module.params["name"], checks),
    }
    stops = {"never": (), "fail": ("fail",), "warn": ("fail", "warn")}[module.params["fail_on"]]
    bad = [check for check in checks if check.status in stops]
    if bad:
        module.fail_json(msg="; ".join(f"{check.id}: {check.found}. {check.remedy}".strip() for check in bad), **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
