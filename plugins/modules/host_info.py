#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_info
short_description: Read what the host roles decide on, in one go
version_added: 0.1.0
description:
  - Reads the distribution, the packages, the disks and the Docker daemon of a host, each only where asked for.
  - Changes nothing, needs nothing but Python 3.9 on the target, and takes one connection instead of a dozen.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  packages:
    description:
      - Packages to look up, as V(name) or V(name=version-pattern) in apt's way of writing.
    type: list
    elements: str
    default: []
  candidates:
    description:
      - Whether to ask apt, too, which version it would install of what is missing.
    type: bool
    default: false
  disk_paths:
    description:
      - Folders whose file systems are measured; a folder that does not exist yet counts as its nearest parent.
    type: list
    elements: str
    default: []
  files:
    description:
      - Files to look for; RV(files_found) names the ones that are there.
    type: list
    elements: str
    default: []
  docker:
    description:
      - Whether to ask the Docker daemon, too.
    type: bool
    default: false
  listening:
    description:
      - Whether to read the TCP ports that something listens on, too.
    type: bool
    default: false
  docker_data_root:
    description:
      - Where Docker's data should lie, for where images go on a host that has no Docker yet. Empty is Docker's own choice.
    type: str
    default: ""
extends_documentation_fragment:
  - gpuserve.fleet.attributes.reads
  - gpuserve.fleet.host
  - gpuserve.fleet.host.docker
"""

EXAMPLES = r"""
- name: Read the host
  gpuserve.fleet.host_info:
    packages: [docker-ce, docker-compose-plugin]
    disk_paths: [/var/lib/docker]
    docker: true
  register: host
"""

RETURN = r"""
distribution:
  description: The distribution by C(/etc/os-release).
  returned: always
  type: dict
  sample: {id: debian, version: "13", major: "13", codename: trixie, family: debian, name: Debian GNU/Linux 13 (trixie)}
architecture:
  description: The architecture as the kernel names it.
  returned: always
  type: str
  sample: x86_64
deb_architecture:
  description: The architecture as Debian names it.
  returned: always
  type: str
  sample: amd64
kernel:
  description: The running kernel's release.
  returned: always
  type: str
  sample: 6.12.48+deb13-amd64
uid:
  description: The user the task ran as; 0 is root.
  returned: always
  type: int
  sample: 0
service_manager:
  description: V(systemd) where systemd is in charge, V(service) elsewhere.
  returned: always
  type: str
  sample: systemd
disks:
  description: Free and total bytes for each of O(disk_paths).
  returned: always
  type: dict
  sample: {"/var/lib/docker": {"free_bytes": 214748364800, "total_bytes": 536870912000}}
files_found:
  description: Those of O(files) that exist.
  returned: always
  type: list
  elements: str
  sample: []
packages:
  description: What of O(packages) is installed, missing (or there in another version), and unknown to apt.
  returned: always
  type: dict
  sample:
    installed: {docker-ce: {version: "5:29.10.0-1~debian.13~trixie", held: false}}
    missing: []
    unavailable: []
    candidates: {}
listening:
  description: The TCP ports that something listens on, sorted.
  returned: when O(listening) is true
  type: list
  elements: int
  sample: [22, 8000]
docker:
  description: The daemon, if O(docker) is true.
  returned: when O(docker) is true
  type: dict
  sample:
    answers: true
    program: /usr/sbin/dockerd
    version: 29.10.0
    api_version: "1.52"
    containers_running: 3
    live_restore: true
    swarm_active: false
    root_dir: /var/lib/docker
    images_dir: /var/lib/containerd
    images_free_bytes: 214748364800
    compose_version: 2.40.3
    cdi_spec_dirs: [/etc/cdi, /var/run/cdi]
"""

import os
import platform
from dataclasses import asdict
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import distribution as host
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import docker_engine as engine
from ansible_collections.gpuserve.fleet.plugins.module_utils._io import listeners
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import docker_engine, packages
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles


def read_packages(module: AnsibleModule, family: str, wanted: list[str], ask_candidates: bool) -> dict[str, Any]:
    """Look the packages up; the package lists are read only on request, since that takes longer."""
    names = [host.split_wanted(entry)[0] for entry in wanted]
    installed = packages.read_installed(module.run_command, family, names)
    candidates: dict[str, str] = {}
    missing = host.missing_packages(wanted, installed)
    if ask_candidates and missing and family == "debian":
        unknown = [host.split_wanted(entry)[0] for entry in missing]
        candidates = host.parse_apt_policy(module.run_command(["apt-cache", "policy", *unknown])[1])
    return {
        "installed": {name: asdict(package) for name, package in installed.items()},
        "missing": missing,
        "unavailable": host.unavailable_packages(missing, candidates) if ask_candidates else [],
        "candidates": candidates,
    }


def main() -> NoReturn:
    """Read and answer."""
    module = AnsibleModule(
        argument_spec={
            "packages": {"type": "list", "elements": "str", "default": []},
            "candidates": {"type": "bool", "default": False},
            "disk_paths": {"type": "list", "elements": "str", "default": []},
            "files": {"type": "list", "elements": "str", "default": []},
            "docker": {"type": "bool", "default": False},
            "listening": {"type": "bool", "default": False},
            "docker_data_root": {"type": "str", "default": ""},
            "docker_socket": {"type": "path", "default": "/var/run/docker.sock"},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LC_ALL": "C", "LANGUAGE": "C"}
    files = HostFiles(module.params["root"])
    distribution = host.parse_os_release(files.read("/etc/os-release") or files.read("/usr/lib/os-release") or "")
    disks = {}
    for path in module.params["disk_paths"]:
        free, total = files.free_bytes(path)
        disks[path] = {"free_bytes": free, "total_bytes": total}
    machine = platform.machine()
    result: dict[str, Any] = {
        "distribution": asdict(distribution),
        "architecture": machine,
        "deb_architecture": host.DEB_ARCHITECTURES.get(machine, machine),
        "kernel": platform.release(),
        "uid": os.geteuid(),
        "service_manager": "systemd" if files.is_dir("/run/systemd/system") else "service",
        "disks": disks,
        "files_found": [name for name in module.params["files"] if files.exists(name)],
        "packages": read_packages(module, distribution.family, module.params["packages"], module.params["candidates"]),
    }
    if module.params["listening"]:
        result["listening"] = sorted({one.port for one in listeners.read(files)})
    if module.params["docker"]:

        def which(program: str) -> str | None:
            found: str | None = module.get_bin_path(program, opt_dirs=["/usr/sbin", "/usr/local/bin"])
            return found

        answers = docker_engine.read_answers(module.params["docker_socket"], module.run_command, which)
        request = engine.Request(data_root=module.params["docker_data_root"])
        images_dir = engine.images_folder(request, docker_engine.read_host(answers, files, distribution))
        free = files.free_bytes(images_dir)[0]
        result["docker"] = {**answers, "images_dir": images_dir, "images_free_bytes": free}
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
