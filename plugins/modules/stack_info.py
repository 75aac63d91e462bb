#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: stack_info
short_description: Read at once what a stack finds on its host
version_added: 0.1.0
description:
  - Reads the Docker daemon and Compose, the engines' image, containers of the stack and of the gateway, who listens, the cards, and what
    earlier runs of the role left, in one trip to the host.
  - Needs Python's standard library only, so that it runs before there is an environment of ours; with C(nvidia-ml-py) NVML tells the cards.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  image:
    description:
      - The engines' image, by tag or digest.
    type: str
    required: true
  project_dir:
    description:
      - The stack's folder.
    type: path
    required: true
  state_dir:
    description:
      - The folder in which runs keep what they remember.
    type: path
    required: true
  venv:
    description:
      - The folder of the modules' Python environment.
    type: path
    required: true
  boot_unit:
    description:
      - The unit that starts engines after a boot.
    type: path
    required: true
  key_file:
    description:
      - The file of the engines' key, which is not read here.
    type: path
    required: true
  project_name:
    description:
      - The name of the stack, by which its containers are known.
    type: str
    default: gpuserve
  device:
    description:
      - V(cpu) has the host's memory as the one card.
    type: str
    choices: [cuda, cpu]
    default: cuda
  docker_data_root:
    description:
      - Where Docker is going to keep its data, on a host that has none yet; empty for its default.
    type: str
    default: ""
  folders:
    description:
      - Folders that should be root's, as for M(gpuserve.fleet.text_files).
    type: list
    elements: path
    default: []
    version_added: 0.2.0
  files:
    description:
      - Small files with the texts that they should hold, as for M(gpuserve.fleet.text_files); nothing is written.
    type: list
    elements: dict
    default: []
    version_added: 0.2.0
    suboptions:
      path:
        description: Where the file is.
        type: path
        required: true
      content:
        description: Its text; one without any should not be there.
        type: str
        required: true
      mode:
        description: Its mode, in octal digits.
        type: str
        default: "0644"
  needs_compose:
    description:
      - Whether to fail where Docker with Compose v2 does not answer; not in check mode, in which a bare host has none yet.
    type: bool
    default: false
    version_added: 0.2.0
notes:
  - Fails where the host's Python is older than 3.10. Its path and version become the fact C(python), as M(ansible.builtin.setup) names it,
    where that is not known.
extends_documentation_fragment:
  - gpuserve.fleet.attributes.reads
  - gpuserve.fleet.host
  - gpuserve.fleet.host.docker
"""

EXAMPLES = r"""
- name: Read what the stack finds on the host
  gpuserve.fleet.stack_info:
    image: vllm/vllm-openai:v0.33.0
    project_dir: /opt/gpuserve/stack
    state_dir: /var/lib/gpuserve
    venv: /opt/gpuserve/venv
    boot_unit: /etc/systemd/system/gpuserve-stack.service
    key_file: /var/lib/gpuserve/engine-key
  register: seen
"""

RETURN = r"""
uid:
  description: The user the task ran as; 0 is root.
  returned: always
  type: int
  sample: 0
family:
  description: The family of the distribution.
  returned: always
  type: str
  sample: debian
python:
  description: The Python that the task ran in, and its version.
  returned: always
  type: dict
  sample: {executable: /usr/bin/python3.13, version: [3, 13]}
in_place:
  description: Whether all of O(folders) and O(files) are as they should be.
  returned: always
  type: bool
  sample: true
docker:
  description:
    - Whether the daemon answers, its version and that of Compose, empty where there is none; and how much is free where it keeps images.
  returned: always
  type: dict
  sample: {answers: true, version: 29.10.0, compose_version: 2.40.3, images_free_bytes: 214748364800}
listening:
  description: The TCP ports that something listens on, sorted.
  returned: always
  type: list
  elements: int
  sample: [22, 8000]
containers:
  description:
    - The containers of the stack that run, each with its C(model), the model's C(port), its C(digest), and all C(ports) that it has.
  returned: always
  type: list
  elements: dict
  sample: [{model: qwen, port: 8002, digest: 1f3a, ports: [8002]}]
gateway:
  description: Whether the gateway's container runs, and on which ports it listens.
  returned: always
  type: dict
  sample: {is_running: true, ports: [8000]}
gpu:
  description: C(gpus), C(on_bus) and C(reason), as M(gpuserve.fleet.gpu_info) returns them.
  returned: always
  type: dict
  sample: {gpus: [], on_bus: [{name: NVIDIA GeForce RTX 5090}], reason: NVML does not answer.}
image:
  description:
    - The engines' image, or null where it is not on the host. C(name) is by the digest that was kept for its tag, else by the one that a
      registry gave it; C(kept) is false where that has yet to be kept by M(gpuserve.fleet.image_pin).
  returned: always
  type: dict
  sample: {name: "vllm/vllm-openai@sha256:0f3c", entrypoint: [vllm, serve], kept: true}
calibration:
  description: What earlier starts used, as they measured it.
  returned: always
  type: dict
  sample: {}
proved:
  description: The plan of the last set that served whole.
  returned: always
  type: dict
  sample: {}
venv_sha256:
  description: The checksum of the requirements that the Python environment was completed with; empty before.
  returned: always
  type: str
  sample: ""
has_boot_unit:
  description: Whether O(boot_unit) is there.
  returned: always
  type: bool
  sample: false
boot_unit_enabled:
  description: Whether systemd starts it at boot.
  returned: always
  type: bool
  sample: false
has_key:
  description: Whether O(key_file) is there, root's, and closed to everybody else.
  returned: always
  type: bool
  sample: false
service_manager:
  description: V(systemd) where systemd is in charge, V(service) elsewhere.
  returned: always
  type: str
  sample: systemd
"""

import hashlib
import json
import os
import stat
import sys
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import image_pin
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import distribution
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import docker_engine as engine
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import containers, removal
from ansible_collections.gpuserve.fleet.plugins.module_utils._io import gpus, listeners
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway import probe
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import (
    docker_engine,
    docker_socket,
    net,
    text_files,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles

_DOCKER = ("answers", "version", "compose_version")


def read_image(socket: str, name: str, record: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the image that a name stands for on this host, by what was kept when it was first pulled."""
    wanted = image_pin.wanted(name, record, renew=False)
    there = docker_socket.get(socket, f"/images/{quote(wanted, safe='/:@')}/json")
    if not isinstance(there, dict):
        return None
    pinned = wanted if image_pin.by_digest(wanted) else image_pin.pin(name, there.get("RepoDigests") or [])
    entrypoint = (there.get("Config") or {}).get("Entrypoint") or ["vllm", "serve"]
    kept = image_pin.keep(record, name, pinned) == record
    return {"name": pinned or name, "entrypoint": entrypoint, "kept": kept}


def read_containers(socket: str, project: str) -> list[dict[str, Any]]:
    """Return the containers of a stack that run; none where no daemon answers."""
    wanted = quote(json.dumps({"label": [f"{removal.STACK}={project}"]}))
    return containers.running(docker_socket.get(socket, f"/containers/json?filters={wanted}") or [])


def read_gateway(socket: str, files: HostFiles, listening: list[int]) -> dict[str, Any]:
    """Tell whether the gateway's container runs, and on which ports its processes listen."""
    there = docker_socket.get(socket, f"/containers/{probe.CONTAINER}/json")
    if not isinstance(there, dict) or not (there.get("State") or {}).get("Running"):
        return {"is_running": False, "ports": []}
    owners = net.listeners(files, listening, [str(there["Id"])])
    return {"is_running": True, "ports": sorted(port for port, owner in owners.items() if owner == "ours")}


def is_closed(path: str) -> bool:
    """Tell whether a file is there that only root reads."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, 0, 0o600)


def main() -> NoReturn:
    """Read and answer."""
    module = AnsibleModule(
        argument_spec={
            "image": {"type": "str", "required": True},
            "project_dir": {"type": "path", "required": True},
            "state_dir": {"type": "path", "required": True},
            "venv": {"type": "path", "required": True},
            "boot_unit": {"type": "path", "required": True},
            "key_file": {"type": "path", "required": True, "no_log": False},
            "project_name": {"type": "str", "default": "gpuserve"},
            "device": {"type": "str", "choices": ["cuda", "cpu"], "default": "cuda"},
            "docker_data_root": {"type": "str", "default": ""},
            "folders": {"type": "list", "elements": "path", "default": []},
            "files": {"type": "list", "elements": "dict", "default": [], "options": text_files.ARGUMENTS},
            "needs_compose": {"type": "bool", "default": False},
            "docker_socket": {"type": "path", "default": "/var/run/docker.sock"},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LC_ALL": "C", "LANGUAGE": "C"}
    params, files = module.params, HostFiles(module.params["root"])

    def which(program: str) -> str | None:
        found: str | None = module.get_bin_path(program, opt_dirs=["/usr/sbin", "/usr/local/bin"])
        return found

    answers = docker_engine.read_answers(params["docker_socket"], module.run_command, which)
    release = distribution.parse_os_release(files.read("/etc/os-release") or files.read("/usr/lib/os-release") or "")
    request = engine.Request(data_root=params["docker_data_root"])
    images_dir = engine.images_folder(request, docker_engine.read_host(answers, files, release))
    listening = sorted({one.port for one in listeners.read(files)})
    mark = files.read_bytes(f"{params['venv']}/.complete")
    module.exit_json(
        changed=False,
        uid=os.geteuid(),
        family=release.family,
        python={"executable": sys.executable, "version": list(sys.version_info[:2])},
        in_place=text_files.is_in_place(files, params["folders"], params["files"]),
        docker={
            **{name: answers[name] for name in _DOCKER},
            "images_free_bytes": files.free_bytes(images_dir)[0],
        },
        listening=listening,
        containers=read_containers(params["docker_socket"], params["project_name"]),
        gateway=read_gateway(params["docker_socket"], files, listening),
        gpu=gpus.read(params["device"], files),
        image=read_image(
            params["docker_socket"],
            params["image"],
            image_pin.read(files.mapping(f"{params['state_dir']}/images.json")),
        ),
        calibration=files.mapping(f"{params['state_dir']}/calibration.json"),
        proved=files.mapping(f"{params['project_dir']}/proved/plan.json"),
        venv_sha256=hashlib.sha256(mark).hexdigest() if mark is not None else "",
        has_key=is_closed(files.path(params["key_file"])),
        has_boot_unit=files.exists(params["boot_unit"]),
        boot_unit_enabled=files.starts_at_boot(os.path.basename(params["boot_unit"])),
        service_manager="systemd" if files.is_dir("/run/systemd/system") else "service",
    )


if __name__ == "__main__":
    main()
