#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: docker_engine_info
short_description: Read which Docker a host has, and decide what it takes to have ours there
version_added: 0.1.0
description:
  - Reads distribution, packages, daemon, disks and the traces of other container runtimes in one go, and decides on packages to install
    and to remove, on options that follow from the request, and on what forbids it.
  - Changes nothing. Lets apt simulate the removal of what can't stand beside our packages, so that nothing else goes with it unnoticed.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  source:
    description:
      - Where the packages come from, Docker's own repository or the distribution's.
    type: str
    choices: [docker, distro]
    default: docker
  version:
    description:
      - The version to stay on; empty takes the newest.
    type: str
    default: ""
  extra_packages:
    description:
      - Packages to install with Docker.
    type: list
    elements: str
    default: []
  require_compose:
    description:
      - Whether a distribution without Compose v2 is refused.
    type: bool
    default: true
  data_root:
    description:
      - Where Docker's data should lie; empty leaves it where it is.
    type: str
    default: ""
  features:
    description:
      - The C(features) that the operator asks for in daemon.json; C(containerd-snapshotter) decides where images lie.
    type: dict
    default: {}
  min_free_bytes:
    description:
      - How much must be free on every disk that Docker fills, before its first start.
    type: int
    default: 0
  allow_stopping_containers:
    description:
      - Whether packages may be replaced while containers run.
    type: bool
    default: false
  simulate:
    description:
      - Whether apt simulates the installation as well. It has to know the packages by then.
    type: bool
    default: false
  files:
    description:
      - Files to look for; RV(files_found) names the ones that are there.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - gpuserve.fleet.attributes.reads
  - gpuserve.fleet.host
  - gpuserve.fleet.host.docker
  - gpuserve.fleet.host.probe
"""

EXAMPLES = r"""
- name: Read the host
  gpuserve.fleet.docker_engine_info:
    source: docker
    data_root: /data/docker
    min_free_bytes: 10737418240
  register: host
"""

RETURN = r"""
distribution:
  description: The distribution, as M(gpuserve.fleet.host_info) returns it.
  returned: always
  type: dict
  sample: {id: debian, version: "13", major: "13", codename: trixie, family: debian, name: Debian GNU/Linux 13 (trixie)}
deb_architecture:
  description: The architecture as Debian names it.
  returned: always
  type: str
  sample: amd64
service_manager:
  description: V(systemd) where systemd is in charge, V(service) elsewhere.
  returned: always
  type: str
  sample: systemd
docker:
  description: The daemon, as M(gpuserve.fleet.host_info) returns it.
  returned: always
  type: dict
  sample: {answers: true, version: 29.10.0, containers_running: 3, containerd_store: true}
daemon_json:
  description:
    - For O(gpuserve.fleet.docker_daemon_config#module:known), the C(options) of daemon.json and the C(record) of which are its own. Empty
      where the daemon does not answer, one of the two can't be read or the record is open to others, and where an option is a secret.
  returned: always
  type: dict
  sample: {options: {log-driver: local}, record: []}
files_found:
  description: Those of O(files) that exist.
  returned: always
  type: list
  elements: str
  sample: []
disks:
  description: Free bytes of each folder that Docker fills.
  returned: always
  type: dict
  sample: {"/var/lib/docker": 214748364800, "/var/lib/containerd": 214748364800}
decision:
  description:
    - Packages wanted, missing and in the way, the C(options) for daemon.json that follow from the request, the C(folders) that fill, and
      in C(refusals) a sentence for everything that forbids it.
  returned: always
  type: dict
  sample:
    packages: [docker-ce]
    missing: [docker-ce]
    conflicts: [docker.io]
    epoch: "5:"
    repository_os: debian
    options: {}
    folders: [/var/lib/docker, /var/lib/containerd]
    refusals: []
apt:
  description:
    - What apt has, for O(gpuserve.fleet.deb_source#module:known), that is the text of each file of its entries, none where an address
      in it has an account, and of each of O(apt_files) its content in base64 and its mode, none where it is missing.
  returned: success, empty without O(apt_files)
  type: dict
  sample: {sources: {/etc/apt/sources.list: ""}, files: {/etc/apt/keyrings/gpuserve-docker.gpg: null}}
"""

import os
import platform
from dataclasses import asdict
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import distribution
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import docker_engine as engine
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import apt, docker_engine, packages
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.probe import PROBE


def run(module: AnsibleModule) -> dict[str, Any]:
    """Read and decide."""
    params = module.params
    files = HostFiles(params["root"])

    def which(program: str) -> str | None:
        found: str | None = module.get_bin_path(program, opt_dirs=["/usr/sbin", "/usr/local/bin"])
        return found

    release = files.read("/etc/os-release") or files.read("/usr/lib/os-release") or ""
    family = distribution.parse_os_release(release).family
    watched = [*engine.WATCHED, *engine.DOCKER_PACKAGES, *params["extra_packages"]]
    answers = docker_engine.read_answers(params["docker_socket"], module.run_command, which)
    host = engine.Host(
        uid=os.geteuid(),
        distribution=distribution.parse_os_release(release),
        installed=packages.read_installed(module.run_command, family, watched),
        daemon=docker_engine.daemon(answers),
        traces=docker_engine.read_traces(files),
        daemon_options=docker_engine.read_daemon_options(files),
        containerd_root=docker_engine.read_containerd_root(files),
    )
    request = engine.Request(
        source=engine.Source(params["source"]),
        version=params["version"],
        extra_packages=tuple(params["extra_packages"]),
        require_compose=params["require_compose"],
        data_root=params["data_root"],
        options={"features": params["features"]},
        min_free_bytes=params["min_free_bytes"],
        allow_stopping_containers=params["allow_stopping_containers"],
    )
    in_the_way = engine.conflicts(request.source, host.installed)
    removed, failure = packages.read_removals(module.run_command, family, in_the_way), ""
    if params["simulate"]:
        wanted = engine.decide(request, host, {}).missing
        more, failure = packages.simulate_install(module.run_command, family, wanted, in_the_way)
        removed += more
    disks = {folder: files.free_bytes(folder)[0] for folder in engine.data_folders(request, host)}
    decision = engine.decide(request, host, disks, sorted({*removed} - {*in_the_way}), failure)
    return {
        "changed": False,
        "distribution": asdict(host.distribution),
        "deb_architecture": distribution.DEB_ARCHITECTURES.get(platform.machine(), platform.machine()),
        "service_manager": "systemd" if files.is_dir("/run/systemd/system") else "service",
        "docker": answers,
        "apt": apt.read(files, params["apt_files"]),
        "daemon_json": docker_engine.read_daemon_json(files) if answers["answers"] else {},
        "files_found": [name for name in params["files"] if files.exists(name)],
        "disks": disks,
        "decision": asdict(decision),
    }


def main() -> NoReturn:
    """Read and answer."""
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "str", "choices": ["docker", "distro"], "default": "docker"},
            "version": {"type": "str", "default": ""},
            "extra_packages": {"type": "list", "elements": "str", "default": []},
            "require_compose": {"type": "bool", "default": True},
            "data_root": {"type": "str", "default": ""},
            "features": {"type": "dict", "default": {}},
            "min_free_bytes": {"type": "int", "default": 0},
            "allow_stopping_containers": {"type": "bool", "default": False},
            "simulate": {"type": "bool", "default": False},
            "files": {"type": "list", "elements": "str", "default": []},
            "docker_socket": {"type": "path", "default": "/var/run/docker.sock"},
            "root": {"type": "path", "default": "/"},
            **PROBE,
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LC_ALL": "C", "LANGUAGE": "C"}
    module.exit_json(**run(module))


if __name__ == "__main__":
    main()
