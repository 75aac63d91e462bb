# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which version of the container toolkit a host gets, and whether the CDI description of its GPUs still holds.

A description names the driver's files by their version: after a change of the driver, by whatever way, containers that use an older one
do not start, or start with a library that the kernel module refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.distribution import (
    Distribution,
    Package,
    missing_packages,
)

PACKAGES = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)
OLD_PACKAGES = ("nvidia-docker2",)
# Older ones let a container take the host over (CVE-2025-23266).
FLOOR = (1, 17, 8)
# From this release on nvidia-cdi-refresh.service writes the description, into a folder that a reboot empties.
FIRST_WITH_REFRESH = (1, 18)
# Reads the CDI version that the toolkit writes.
FIRST_DOCKER_WITH_CDI = (26, 1)
# Brings containers with a CDI device back when it starts (moby#49989).
FIRST_DOCKER_THAT_REMEMBERS = (28, 2)
RUN_SPEC, ETC_SPEC = "/var/run/cdi/nvidia.yaml", "/etc/cdi/nvidia.yaml"
_NUMBERS = re.compile(r"\d+")
_LIBRARY = re.compile(
    r"^\s*-?\s*hostPath:\s*[\"']?(/\S*/lib[^/\s\"']*\.so\.(\d{3,}\.\d+(?:\.\d+)?))[\"']?\s*$", re.MULTILINE
)


@dataclass(frozen=True)
class Spec:
    """A CDI description: where it is, the driver's version that it names, and libraries in it that are no longer there."""

    path: str
    version: str = ""
    gone: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """What the operator asks for."""

    version: str
    allow_held: bool = False
    allow_downgrade: bool = False


@dataclass(frozen=True)
class Host:
    """What was read from the host."""

    uid: int
    distribution: Distribution
    installed: Mapping[str, Package]
    docker_answers: bool = False
    docker_version: str = ""
    loaded: str | None = None
    library: str | None = None
    specs: Sequence[Spec] = field(default_factory=tuple)
    systemd: bool = True


@dataclass(frozen=True)
class Decision:
    """Packages, whether to describe the GPUs anew and why, how, what a person should know, and what forbids it."""

    packages: tuple[str, ...]
    missing: tuple[str, ...]
    old_packages: tuple[str, ...]
    describe: str
    output: str
    notes: tuple[str, ...]
    refusals: tuple[str, ...]


def libraries(text: str) -> dict[str, str]:
    """Read the libraries of the driver that a description names, each with the version in its name."""
    return {match.group(1): match.group(2) for match in _LIBRARY.finditer(text)}


def decide(request: Request, host: Host) -> Decision:
    """Decide what it takes."""
    packages = tuple(f"{name}={request.version}-*" for name in PACKAGES)
    missing = tuple(missing_packages(packages, host.installed))
    return Decision(
        packages=packages,
        missing=missing,
        old_packages=tuple(name for name in OLD_PACKAGES if name in host.installed),
        describe=_why_describe(host, missing),
        output=output(request, host),
        notes=tuple(_notes(host)),
        refusals=tuple(_refusals(request, host, missing)),
    )


def output(request: Request, host: Host) -> str:
    """Say where nvidia-ctk writes the description; "" where the toolkit's own service does."""
    if host.systemd and _numbers(request.version) >= FIRST_WITH_REFRESH:
        return ""
    return ETC_SPEC if host.systemd else RUN_SPEC


def staleness(spec: Spec, host: Host) -> str:
    """Say why a description no longer holds; "" where it does, or where nothing can be compared."""
    # Programs load the library; where module and library differ, a reboot is due, and the library is what comes.
    driver = host.library or host.loaded
    if spec.version and driver and spec.version != driver:
        return f"{spec.path} describes driver {spec.version}, and the host has {driver}"
    if spec.gone:
        return f"{spec.path} names {spec.gone[0]}, which is not there"
    return ""


def _why_describe(host: Host, missing: Sequence[str]) -> str:
    if missing:
        return "the toolkit changes"
    reasons = [staleness(spec, host) for spec in host.specs]
    if not host.specs:
        return "no GPU has a CDI name yet"
    # One that holds is enough: of two descriptions of one GPU, that in /var/run/cdi wins.
    return "" if "" in reasons else reasons[0]


def _notes(host: Host) -> Iterator[str]:
    if host.docker_answers and _numbers(host.docker_version) < FIRST_DOCKER_THAT_REMEMBERS:
        yield (
            f"Docker {host.docker_version} does not bring containers with a GPU back when it starts, whatever their restart policy "
            "says (moby#49989). 28.2 does: docker_engine_source takes it from Docker's own repository. "
            "Else they need a unit that starts them."
        )
    for spec in host.specs:
        stale = staleness(spec, host)
        if spec.path == ETC_SPEC and stale and host.systemd:
            yield (
                f"{stale}. An older recipe wrote it, and whatever it names beside what {RUN_SPEC} does is offered to containers still. "
                f"Run `rm {ETC_SPEC}` once nothing else needs it."
            )


def _refusals(request: Request, host: Host, missing: Sequence[str]) -> Iterator[str]:
    """Say what forbids it, in the order in which it is said."""
    floor = ".".join(str(number) for number in FLOOR)
    if host.uid != 0:
        yield "nvidia_container_toolkit needs root on the host. Set become to true for it."
    if _numbers(request.version) < FLOOR:
        yield (
            f"nvidia_container_toolkit_version: {request.version} lets a container take the host over (CVE-2025-23266). "
            f"Set it to 1.20.1; {floor} is the oldest that is safe from that."
        )
    if host.distribution.family not in ("debian", "redhat"):
        yield f"nvidia_container_toolkit does not know {host.distribution.name}."
    if host.docker_answers and _numbers(host.docker_version) < FIRST_DOCKER_WITH_CDI:
        yield (
            f"Docker {host.docker_version} can't read the CDI specification that the toolkit writes, 26.1 can. "
            "Set docker_engine_source to docker."
        )
    changing = [entry.partition("=")[0] for entry in missing]
    held = [name for name in changing if name in host.installed and host.installed[name].held]
    if held and not request.allow_held:
        yield (
            f"{', '.join(held)} is on hold and would have to change to {request.version}. "
            "Run `apt-mark unhold`, or set nvidia_container_toolkit_allow_held to true."
        )
    there = {name: host.installed[name].version.partition("-")[0] for name in PACKAGES if name in host.installed}
    newest = max(there.values(), key=_numbers, default="")
    if newest and _numbers(newest) > _numbers(request.version) and not request.allow_downgrade:
        yield (
            f"nvidia_container_toolkit_version: {request.version} is older than the installed {newest}. "
            f"Set it to {newest}, or nvidia_container_toolkit_allow_downgrade to true."
        )


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with."""
    return tuple(int(part) for part in _NUMBERS.findall(re.split(r"[^0-9.]", version, maxsplit=1)[0]))
