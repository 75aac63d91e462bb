# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Docker a host has, which packages it takes to have ours there, and what forbids that.

Runs under whatever Python a host has before our own venv exists (3.9 on RHEL 9), so it keeps to what 3.9 knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.distribution import (
    Distribution,
    Package,
    missing_packages,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import gib

DOCKER_ROOT = "/var/lib/docker"
CONTAINERD_ROOT = "/var/lib/containerd"
SUPPORTED: Mapping[str, Sequence[str]] = {
    "debian": ("12", "13"),
    "ubuntu": ("22.04", "24.04", "26.04"),
    "rhel": ("9", "10"),
    "rocky": ("9", "10"),
    "almalinux": ("9", "10"),
}
_SUPPORTED_TEXT = "Debian 12 and 13, Ubuntu 22.04, 24.04 and 26.04, RHEL, Rocky Linux and AlmaLinux 9 and 10"
# From this release on a fresh daemon keeps images in containerd's folder, which data-root does not move (docker/cli#6645).
FIRST_WITH_CONTAINERD_STORE = 29


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
# What carries containers of others, too.
_RUNTIME_PACKAGES = frozenset({"containerd", "containerd.io", "runc"})
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


@dataclass(frozen=True)
class Daemon:
    """What the Docker daemon at the usual socket says of itself."""

    answers: bool = False
    version: str = ""
    containers_running: int = 0
    swarm_active: bool = False
    root_dir: str = ""
    operating_system: str = ""
    rootless: bool = False
    containerd_store: bool = False


@dataclass(frozen=True)
class Traces:
    """Signs of software that brings or uses a container runtime of its own, by the path that shows it."""

    snap: str = ""
    rootless: str = ""
    desktop: str = ""
    podman_socket: str = ""
    runtime_users: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """What the operator asks for."""

    source: Source = Source.DOCKER
    version: str = ""
    extra_packages: tuple[str, ...] = ()
    require_compose: bool = True
    data_root: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    min_free_bytes: int = 0
    allow_stopping_containers: bool = False


@dataclass(frozen=True)
class Host:
    """What was read from the host."""

    uid: int
    distribution: Distribution
    installed: Mapping[str, Package]
    daemon: Daemon = field(default_factory=Daemon)
    traces: Traces = field(default_factory=Traces)
    daemon_options: Mapping[str, Any] = field(default_factory=dict)
    containerd_root: str = CONTAINERD_ROOT


@dataclass(frozen=True)
class Decision:
    """Packages to install and to remove, options that follow from the request, folders that hold data, and what forbids it."""

    packages: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    epoch: str = ""
    repository_os: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()


def decide(
    request: Request, host: Host, free_bytes: Mapping[str, int], removed_too: Sequence[str] = (), failure: str = ""
) -> Decision:
    """Decide what it takes, given what a simulation would remove beside the conflicts, or why it could not be done."""
    if not _is_supported(host.distribution):
        name = host.distribution.name
        return Decision(refusals=(f"docker_engine does not know {name}. It knows {_SUPPORTED_TEXT}.",))
    own = distro_docker(host.distribution)
    epoch = "5:" if request.source is Source.DOCKER and host.distribution.family == "debian" else ""
    packages = wanted(request, own, epoch)
    decision = Decision(
        packages=packages,
        missing=tuple(missing_packages(packages, host.installed)),
        conflicts=conflicts(request.source, host.installed),
        epoch=epoch,
        repository_os=repository_os(host.distribution),
        options=_options(request, host),
        folders=data_folders(request, host),
    )
    refusals = list(_refusals(request, host, own, decision, free_bytes, removed_too))
    if failure:
        refusals.append(
            f"docker_engine_source: apt can't install {', '.join(decision.missing)} ({failure}). Run `apt-get update` on the host to see "
            "whether an entry below /etc/apt is at fault, and check docker_engine_version."
        )
    return Decision(**{**decision.__dict__, "refusals": tuple(refusals)})


def distro_docker(distribution: Distribution) -> DistroDocker:
    """Return what the distribution calls its own Docker."""
    exact = _DISTRO_DOCKER.get((distribution.id, distribution.major))
    return exact or _DISTRO_DOCKER.get((distribution.id, "")) or DistroDocker()


def repository_os(distribution: Distribution) -> str:
    """Name the folder of Docker's repository; clones of RHEL are published under centos."""
    return "centos" if distribution.id in ("rocky", "almalinux") else distribution.id


def wanted(request: Request, own: DistroDocker, epoch: str) -> tuple[str, ...]:
    """Name the packages, those that carry the Engine's version with the one to stay on."""
    names = (*(DOCKER_PACKAGES if request.source is Source.DOCKER else own.packages), *request.extra_packages)
    if not request.version:
        return names
    return tuple(f"{name}={epoch}{request.version}*" if name in _VERSIONED else name for name in names)


def conflicts(source: Source, installed: Mapping[str, Package]) -> tuple[str, ...]:
    """Name the installed packages that have to go."""
    return tuple(name for name in FOREIGN_PACKAGES[source] if name in installed)


def keeps_images_in_containerd(request: Request, host: Host) -> bool:
    """Tell whether images lie, or will lie, in containerd's folder instead of Docker's."""
    features = {**_features(host.daemon_options), **_features(request.options)}
    if "containerd-snapshotter" in features:
        return bool(features["containerd-snapshotter"])
    if host.daemon.answers:
        return host.daemon.containerd_store
    if request.data_root:
        return False
    return request.source is Source.DOCKER and _major(request.version) >= FIRST_WITH_CONTAINERD_STORE


def data_folders(request: Request, host: Host) -> tuple[str, ...]:
    """Name the folders whose disks fill: Docker's, and containerd's where images lie there."""
    root = request.data_root or host.daemon.root_dir or DOCKER_ROOT
    return (root, host.containerd_root) if keeps_images_in_containerd(request, host) else (root,)


def images_folder(request: Request, host: Host) -> str:
    """Name the folder where images lie, or will lie."""
    return data_folders(request, host)[-1]


def _features(options: Mapping[str, Any]) -> Mapping[str, Any]:
    features = options.get("features")
    return features if isinstance(features, Mapping) else {}


def _options(request: Request, host: Host) -> dict[str, Any]:
    """Have data-root mean images, too: a daemon that begins in a new folder is told to keep them below it."""
    if not request.data_root or "containerd-snapshotter" in _features(request.options):
        return {}
    told = _features(host.daemon_options).get("containerd-snapshotter")
    begins = not host.daemon.answers or (_moves(request, host.daemon) and not host.daemon.containerd_store)
    return {"features": {"containerd-snapshotter": False}} if told is False or (told is None and begins) else {}


def _moves(request: Request, daemon: Daemon) -> bool:
    return daemon.answers and request.data_root.rstrip("/") not in ("", daemon.root_dir.rstrip("/"))


def _major(version: str) -> int:
    """Return the Engine's major version; none asked for takes the newest."""
    match = re.match(r"(\d+)\.", version)
    return int(match.group(1)) if match else FIRST_WITH_CONTAINERD_STORE


def _is_supported(distribution: Distribution) -> bool:
    release = distribution.major if distribution.family == "redhat" else distribution.version
    return release in SUPPORTED.get(distribution.id, ())


def _refusals(
    request: Request,
    host: Host,
    own: DistroDocker,
    decision: Decision,
    free_bytes: Mapping[str, int],
    removed_too: Sequence[str],
) -> Iterator[str]:
    """Say what forbids it, in the order in which it is said."""
    if host.uid != 0:
        yield "docker_engine needs root on the host. Set become to true for it."
    yield from _other_dockers(host)
    if request.source is Source.DISTRO and not own.packages:
        yield f"docker_engine_source: {host.distribution.name} ships no Docker. Set it to docker."
    elif request.source is Source.DISTRO and request.require_compose and not own.has_compose:
        yield (
            f"docker_engine_source: {host.distribution.name} ships no Compose v2. Set it to docker, "
            "or docker_engine_require_compose to false."
        )
    yield from _replaced(request, host, decision, removed_too)
    yield from _moved_images(request, host)
    if not host.daemon.answers:
        for folder in decision.folders:
            free = free_bytes.get(folder)
            if free is not None and free < request.min_free_bytes:
                yield (
                    f"{folder} has {gib(free)} free, and docker_engine_min_free_bytes asks for "
                    f"{gib(request.min_free_bytes)}. Free some, or set docker_engine_data_root to a folder on a larger disk."
                )


def _other_dockers(host: Host) -> Iterator[str]:
    traces, daemon = host.traces, host.daemon
    remove = "dnf remove" if host.distribution.family == "redhat" else "apt-get remove"
    if traces.snap:
        yield (
            f"Docker on this host is the snap ({traces.snap}), and two Dockers can't share /var/run/docker.sock. "
            "Save what its volumes hold, run `snap remove docker`, and run again."
        )
    if traces.desktop or "docker-desktop" in host.installed or daemon.operating_system == "Docker Desktop":
        yield (
            "Docker Desktop is on this host, and its containers run in a virtual machine that has no GPU. "
            f"Remove Docker Desktop (`{remove} docker-desktop`), and run again."
        )
    if "podman-docker" in host.installed:
        yield (
            "podman-docker is installed, so that `docker` on this host means Podman. "
            f"Run `{remove} podman-docker` (Podman itself can stay), and run again."
        )
    elif traces.podman_socket:
        yield (
            f"{traces.podman_socket} leads to Podman's socket. "
            "Run `systemctl disable --now podman.socket` and remove that link, and run again."
        )
    if traces.rootless or daemon.rootless:
        where = traces.rootless or "/var/run/docker.sock"
        yield (
            f"A rootless Docker answers at {where}, and containers in it reach no GPU of ours. Run "
            "`dockerd-rootless-setuptool.sh uninstall` as the account that it belongs to, and run again."
        )


def _replaced(request: Request, host: Host, decision: Decision, removed_too: Sequence[str]) -> Iterator[str]:
    names = ", ".join(decision.conflicts)
    other = Source.DISTRO if request.source is Source.DOCKER else Source.DOCKER
    runtimes = [name for name in decision.conflicts if name in _RUNTIME_PACKAGES]
    if runtimes and host.traces.runtime_users:
        yield (
            f"docker_engine_source: {request.source.value} replaces {', '.join(runtimes)}, and "
            f"{', '.join(host.traces.runtime_users)} on this host runs its containers with it. "
            f"Set it to {other.value}, or serve from a host without that."
        )
    held = [name for name in decision.conflicts if host.installed[name].held]
    if held:
        yield (
            f"docker_engine_source: {request.source.value} replaces {', '.join(held)}, which somebody put on hold. "
            f"Run `apt-mark unhold {' '.join(held)}`, or set it to {other.value}."
        )
    if removed_too:
        yield (
            f"docker_engine_source: {request.source.value} replaces {names}, and apt would remove {', '.join(removed_too)} with that. "
            f"Set it to {other.value}, or remove those packages yourself."
        )
    running = host.daemon.containers_running
    if decision.conflicts and running and not request.allow_stopping_containers:
        yield (
            f"docker_engine_source: {request.source.value} replaces {names}, and that stops {running} running containers. "
            f"Set it to {other.value}, or docker_engine_allow_stopping_containers to true."
        )


def _moved_images(request: Request, host: Host) -> Iterator[str]:
    """A daemon whose images are containerd's would leave them where they are."""
    daemon = host.daemon
    if _moves(request, daemon) and keeps_images_in_containerd(request, host):
        yield (
            f"docker_engine_data_root: Docker {daemon.version} keeps its images in {host.containerd_root}, which that does not move. "
            "Set docker_engine_options: {features: {containerd-snapshotter: false}} too (images are then pulled again), "
            f"or mount the larger disk at {host.containerd_root}."
        )
