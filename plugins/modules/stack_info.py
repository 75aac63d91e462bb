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
  - Reads the Docker daemon and Compose, the engines' image, and what earlier runs of the role left, in one trip to the host.
  - Needs Python's standard library only, so that it runs before there is an environment of ours.
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
docker:
  description: Whether the daemon answers, its version and that of Compose; empty where there is none.
  returned: always
  type: dict
  sample: {answers: true, version: 29.10.0, compose_version: 2.40.3}
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
import os
import stat
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import image_pin
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import docker_engine, docker_socket
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
    mark = files.read_bytes(f"{params['venv']}/.complete")
    module.exit_json(
        changed=False,
        docker={name: answers[name] for name in _DOCKER},
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
        service_manager="systemd" if files.is_dir("/run/systemd/system") else "service",
    )


if __name__ == "__main__":
    main()
