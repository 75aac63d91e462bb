# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All by which the roles of driver, Docker and container toolkit decide what is due on a host, one digest a thing."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import container_toolkit as toolkit
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import distribution, driver_packages
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import docker_engine as engine
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import digests, docker_socket, gpu, packages
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles

# Below the root. Whole folders, since a role also looks for what others put there: a second source of the same packages, for one.
FILES = (
    "etc/os-release",
    "etc/apt/sources.list",
    "etc/apt/sources.list.d/*",
    "etc/apt/preferences",
    "etc/apt/preferences.d/*",
    "etc/apt/keyrings/*",
    "etc/apt/trusted.gpg*",
    "etc/apt/trusted.gpg.d/*",
    "etc/apt/apt.conf.d/*",
    "etc/yum.repos.d/*",
    "etc/pki/rpm-gpg/*",
    "etc/dnf/plugins/*",
    "etc/docker/*",
    "etc/systemd/system/docker*",
    "etc/systemd/system/docker*/*",
    "etc/systemd/system/*.wants/docker*",
    "etc/systemd/system/nvidia-*",
    "etc/systemd/system/nvidia-*/*",
    "etc/systemd/system/*.wants/nvidia-*",
    # Compose where no package brought it.
    "usr/local/lib/docker/cli-plugins/*",
    "usr/libexec/docker/cli-plugins/*",
    "etc/modprobe.d/*",
    "etc/cdi/*",
    "run/cdi/*",
    "etc/nvidia-container-runtime/config.toml",
    "proc/driver/nvidia/version",
    # Modules that were built here, the one that holds the card in our driver's place, and what a .run file leaves.
    "lib/modules/*/updates/dkms/nvidia*",
    "sys/module/nouveau",
    "usr/bin/nvidia-uninstall",
)
# Whatever else these packages depend on comes and goes with them.
PACKAGES = (
    *driver_packages.PATTERNS,
    *driver_packages.KERNELS,
    *engine.DOCKER_PACKAGES,
    *engine.WATCHED,
    *toolkit.PACKAGES,
    *toolkit.OLD_PACKAGES,
)
_DOCKER_GROUP = "docker:"


def found(files: HostFiles, run: packages.Run, socket: str, more_packages: Sequence[str]) -> dict[str, str]:
    """Return digests by name. more_packages are those that variables name, with or without a version."""
    there = {str(path): digests.of_file(path) for pattern in FILES for path in sorted(Path(files.root).glob(pattern))}
    named = [distribution.split_wanted(name)[0] for name in more_packages]
    release = distribution.parse_os_release(files.read("/etc/os-release") or files.read("/usr/lib/os-release") or "")
    installed = packages.read_installed(run, release.family, sorted({*PACKAGES, *named}))
    there["packages"] = digests.of_value({name: asdict(package) for name, package in installed.items()})
    there["kernels"] = digests.of_value([platform.release(), gpu.bootable_kernels(files)])
    there["cards on the bus"] = digests.of_value(
        [[card.address, card.device_id, card.driver] for card in gpu.gpus(files)]
    )
    there["Docker"] = digests.of_value(_docker(socket))
    there["Docker's group"] = digests.of_value(
        [line for line in (files.read("/etc/group") or "").splitlines() if line.startswith(_DOCKER_GROUP)]
    )
    return there


def _docker(socket: str) -> list[str]:
    """Return what the daemon says of itself that a variable of ours sets, or that forbids one."""
    said = docker_socket.get(socket, "/info") or {}
    swarm = said.get("Swarm") or {}
    values = [
        said.get(name) for name in ("ServerVersion", "DockerRootDir", "Driver", "LiveRestoreEnabled", "CDISpecDirs")
    ]
    return [str(value) for value in (*values, swarm.get("LocalNodeState"))]
