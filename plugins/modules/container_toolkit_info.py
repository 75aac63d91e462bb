#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: container_toolkit_info
short_description: Read toolkit, driver, Docker and CDI descriptions of a host, and decide what has to be done
version_added: 0.1.0
description:
  - Compares the installed packages of the NVIDIA Container Toolkit with a version, and the CDI descriptions of the GPUs with the driver
    that the host has.
  - Changes nothing.
author:
  - gpuserve.fleet contributors (@gpuserve)
options:
  version:
    description:
      - The version that all four packages should have.
    type: str
    required: true
  allow_held:
    description:
      - Whether packages on hold may change.
    type: bool
    default: false
  allow_downgrade:
    description:
      - Whether a newer toolkit may be put down to O(version).
    type: bool
    default: false
  files:
    description:
      - Files to look for; RV(files_found) names the ones that are there.
    type: list
    elements: str
    default: []
  drop_in:
    description:
      - The file that has systemd start Docker after the CDI description is written; RV(drop_in_is_there) tells whether it is there.
    type: dict
    version_added: 0.2.0
    suboptions:
      path:
        description: Where it goes.
        type: path
        required: true
      content:
        description: Its text.
        type: str
        required: true
extends_documentation_fragment:
  - gpuserve.fleet.attributes.reads
  - gpuserve.fleet.host
  - gpuserve.fleet.host.docker
  - gpuserve.fleet.host.probe
"""

EXAMPLES = r"""
- name: Read the host
  gpuserve.fleet.container_toolkit_info:
    version: 1.20.1
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
  sample: {answers: true, version: 29.10.0, containers_running: 3}
files_found:
  description: Those of O(files) that exist.
  returned: always
  type: list
  elements: str
  sample: []
installed:
  description: The toolkit's packages that are installed, and the version of each.
  returned: always
  type: dict
  sample: {nvidia-container-toolkit: 1.20.1-1}
drop_in_is_there:
  description: Whether O(drop_in) holds its text; true where it is not given, or systemd is not in charge.
  returned: always
  type: bool
  sample: true
specs:
  description: The CDI descriptions that are there, the driver's version that each names, and libraries in it that are gone.
  returned: always
  type: list
  elements: dict
  sample: [{path: /var/run/cdi/nvidia.yaml, version: 580.178.04, gone: []}]
decision:
  description:
    - Packages wanted and missing, why the GPUs have to be described anew in C(describe) and where to in C(output) (empty for the toolkit's
      own service), what a person should know in C(notes), and in C(refusals) a sentence for everything that forbids it.
  returned: always
  type: dict
  sample:
    packages: [nvidia-container-toolkit=1.20.1-*]
    missing: []
    old_packages: []
    describe: /var/run/cdi/nvidia.yaml describes driver 580.95.05, and the host has 580.178.04
    output: ""
    notes: []
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
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import container_toolkit as toolkit
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import distribution
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import (
    apt,
    docker_engine,
    gpu,
    packages,
    text_files,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.probe import PROBE


def read_specs(files: HostFiles) -> list[toolkit.Spec]:
    """Read the descriptions that are there, and which libraries in them are not."""
    found = []
    for path in (toolkit.RUN_SPEC, toolkit.ETC_SPEC):
        text = files.read(path)
        if text is not None:
            libraries = toolkit.libraries(text)
            gone = tuple(library for library in sorted(libraries) if not files.exists(library))
            found.append(toolkit.Spec(path, next(iter(libraries.values()), ""), gone))
    return found


def is_there(files: HostFiles, file: Mapping[str, str] | None) -> bool:
    """Tell whether a file that is given holds its text."""
    return file is None or text_files.holds(files, file)


def run(module: AnsibleModule) -> dict[str, Any]:
    """Read and decide."""
    params = module.params
    files = HostFiles(params["root"])

    def command(arguments: list[str]) -> tuple[int, str, str]:
        program = module.get_bin_path(arguments[0])
        return module.run_command([program, *arguments[1:]]) if program else (127, "", f"no {arguments[0]}")

    def which(program: str) -> str | None:
        found: str | None = module.get_bin_path(program, opt_dirs=["/usr/sbin", "/usr/local/bin"])
        return found

    answers = docker_engine.read_answers(params["docker_socket"], module.run_command, which)
    release = distribution.parse_os_release(files.read("/etc/os-release") or files.read("/usr/lib/os-release") or "")
    driver = gpu.read_driver_state(files, command, platform.release())
    host = toolkit.Host(
        uid=os.geteuid(),
        distribution=release,
        installed=packages.read_installed(command, release.family, [*toolkit.PACKAGES, *toolkit.OLD_PACKAGES]),
        docker_answers=answers["answers"],
        docker_version=answers["version"],
        loaded=driver.loaded,
        library=driver.userspace,
        specs=read_specs(files),
        systemd=files.is_dir("/run/systemd/system"),
    )
    request = toolkit.Request(params["version"], params["allow_held"], params["allow_downgrade"])
    return {
        "changed": False,
        "distribution": asdict(release),
        "deb_architecture": distribution.DEB_ARCHITECTURES.get(platform.machine(), platform.machine()),
        "service_manager": "systemd" if host.systemd else "service",
        "docker": answers,
        "apt": apt.read(files, params["apt_files"]),
        "files_found": [name for name in params["files"] if files.exists(name)],
        "drop_in_is_there": not host.systemd or is_there(files, params["drop_in"]),
        "installed": {
            name: package.version for name, package in sorted(host.installed.items()) if name in toolkit.PACKAGES
        },
        "specs": [asdict(spec) for spec in host.specs],
        "decision": asdict(toolkit.decide(request, host)),
    }


def main() -> NoReturn:
    """Read and answer."""
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "required": True},
            "allow_held": {"type": "bool", "default": False},
            "allow_downgrade": {"type": "bool", "default": False},
            "files": {"type": "list", "elements": "str", "default": []},
            "drop_in": {
                "type": "dict",
                "options": {name: text_files.ARGUMENTS[name] for name in ("path", "content")},
            },
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
