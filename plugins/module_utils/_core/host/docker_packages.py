# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker's packages: whose they are, what distributions call theirs, and which can't stand beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.distribution import Distribution, Package

SUPPORTED: Mapping[str, Sequence[str]] = {
    "debian": ("12", "13"),
    "ubuntu": ("22.04", "24.04", "26.04"),
    "rhel": ("9", "10"),
    "rocky": ("9", "10"),
    "almalinux": ("9", "10"),
}
SUPPORTED_TEXT = "Debian 12 and 13, Ubuntu 22.04, 24.04 and 26.04, RHEL, Rocky Linux and AlmaLinux 9 and 10"


class Source(Enum):
    """Whose packages are installed."""

    DOCKER = "docker"
    DISTRO = "distro"


DOCKER_PACKAGES = ("docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin", "docker-compose-plugin")
# Packages that can't stand beside those of a source.
FOREIGN_PACKAGES: Mapping[Source, Sequence[str]] = {
    Source.DOCKER: (
        *("docker.io", "docker-cli", "docker-doc", "docker-compose", "docker-compose-v2", "docker-buildx"),
        *("docker-engine", "containerd", "runc"),
    ),
    Source.DISTRO: (
        *("docker-ce", "docker-ce-cli", "docker-ce-rootless-extras", "docker-engine", "containerd.io"),
        *("docker-buildx-plugin", "docker-compose-plugin"),
    ),
}
_VERSIONED = frozenset({"docker-ce", "docker-ce-cli", "docker.io", "docker-cli"})


@dataclass(frozen=True)
class DistroDocker:
    """The packages of a distribution's own Docker."""

    packages: tuple[str, ...] = ()
    has_compose: bool = False


# Debian 12 has no Compose v2 and an Engine (20.10) without CDI; Enterprise Linux ships Podman and no Docker.
_DISTRO_DOCKER: Mapping[tuple[str, str], DistroDocker] = {
    ("debian", "12"): DistroDocker(("docker.io", "iptables", "apparmor")),
    ("debian", "13"): DistroDocker(("docker.io", "docker-cli", "docker-compose", "iptables", "apparmor"), True),
    ("ubuntu", ""): DistroDocker(("docker.io", "docker-compose-v2", "iptables"), True),
}
# Every package that a decision looks at.
WATCHED = (
    *sorted({name for names in FOREIGN_PACKAGES.values() for name in names}),
    *("podman-docker", "docker-desktop", "iptables", "apparmor"),
)


def is_supported(distribution: Distribution) -> bool:
    """Tell whether the roles know a release of a distribution."""
    release = distribution.major if distribution.family == "redhat" else distribution.version
    return release in SUPPORTED.get(distribution.id, ())


def distro_docker(distribution: Distribution) -> DistroDocker:
    """Return what the distribution calls its own Docker."""
    exact = _DISTRO_DOCKER.get((distribution.id, distribution.major))
    return exact or _DISTRO_DOCKER.get((distribution.id, "")) or DistroDocker()


def repository_os(distribution: Distribution) -> str:
    """Name the folder of Docker's repository; clones of RHEL are published under centos."""
    return "centos" if distribution.id in ("rocky", "almalinux") else distribution.id


def wanted(source: Source, version: str, extra: Sequence[str], own: DistroDocker, epoch: str) -> tuple[str, ...]:
    """Name the packages, those that carry the Engine's version with the one to stay on."""
    names = (*(DOCKER_PACKAGES if source is Source.DOCKER else own.packages), *extra)
    if not version:
        return names
    return tuple(f"{name}={epoch}{version}*" if name in _VERSIONED else name for name in names)


def conflicts(source: Source, installed: Mapping[str, Package]) -> tuple[str, ...]:
    """Name the installed packages that have to go."""
    return tuple(name for name in FOREIGN_PACKAGES[source] if name in installed)
