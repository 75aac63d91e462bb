# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to be done for the chosen driver: packages and headers that are missing, what moves, and who stands in the way."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import driver_packages
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.distribution import missing_packages
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_branches import BRANCHES, RENAMED_BRANCH
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_packages import Source
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_request import (
    UNTOUCHED,
    Choice,
    Host,
    Request,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.virtualization import headers_package

NO_PACKAGE_CHANGED = "No package was changed."
_KERNEL_META = re.compile(r"^linux-image-(?!unsigned-|\d)(?!.*-dbg$)(.+)$")
_ANY_REPOSITORY_OF_NVIDIA = "/cuda/repos/"


@dataclass(frozen=True)
class Offer:
    """A version that apt knows, and the repository it is from."""

    version: str
    origin: str


@dataclass(frozen=True)
class Plan:
    """What a run has to do before any package list was read."""

    missing: tuple[str, ...]
    headers: tuple[str, ...]
    touched: bool


@dataclass(frozen=True)
class Targets:
    """What apt is asked for: each package of the set with its version, and those of them that are not there yet."""

    install: tuple[str, ...]
    due: tuple[str, ...]


def parse_madison(text: str) -> dict[str, list[Offer]]:
    """Read `apt-cache madison NAME...`: every version of each name, the newest first."""
    offers: dict[str, list[Offer]] = {}
    for line in text.splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) == 3 and not fields[2].endswith("Sources"):
            offers.setdefault(fields[0], []).append(Offer(fields[1], fields[2].split(" ")[0].rstrip("/")))
    return offers


def names_to_ask(choice: Choice, request: Request, host: Host) -> list[str]:
    """Name what apt has to be asked about: the set that moves, what tells a repository's branches, and headers."""
    names = [*choice.packages, *driver_packages.closure(host.packages), *_branch_markers(choice, host)]
    return sorted({*names, *_wanted_headers(choice, host)})


def _branch_markers(choice: Choice, host: Host) -> list[str]:
    if host.distribution.id != "ubuntu":
        return ["nvidia-driver-cuda"]
    if choice.source == Source.DISTRO.value:
        return [f"libnvidia-compute-{number}-server" for number in BRANCHES]
    numbered = [f"libnvidia-compute-{number}" for number in BRANCHES if number < RENAMED_BRANCH]
    return ["libnvidia-compute", *numbered]


def available_branches(offers: Mapping[str, Sequence[Offer]], choice: Choice, request: Request, host: Host) -> set[int]:
    """Tell which branches the chosen source really has."""
    markers = _branch_markers(choice, host)
    found = {
        driver_packages.branch_of(offer.version) for name in markers for offer in _of(offers, name, choice, request)
    }
    return found - {0}


def _of(offers: Mapping[str, Sequence[Offer]], name: str, choice: Choice, request: Request) -> list[Offer]:
    """Return what the chosen source offers; the other one's packages may have the same names."""
    ours = f"{request.repository_url.rstrip('/')}/{choice.repository_folder}/{choice.repository_architecture}"
    all_offers = offers.get(name, [])
    if choice.source == Source.CUDA_REPO.value:
        return [offer for offer in all_offers if offer.origin.startswith(ours)]
    return [
        offer
        for offer in all_offers
        if not offer.origin.startswith(ours) and _ANY_REPOSITORY_OF_NVIDIA not in f"{offer.origin}/"
    ]


def plan(request: Request, choice: Choice, host: Host, known: Collection[str] | None = None) -> Plan:
    """Compare what is there with what is wanted, and refuse what nobody consented to; `known` are names that apt has."""
    if choice.source == Source.HOST.value:
        return Plan((), (), False)
    missing = tuple(missing_packages(_versioned(request, choice), host.packages))
    touched = bool(missing) or request.upgrade or host.state.split
    _check_older(request, choice, host)
    # What stays behind would be of another branch than what comes.
    moving = {entry.partition("=")[0] for entry in missing}
    if missing:
        within = driver_packages.closure(host.packages)
        moving |= {name for name, package in within.items() if not _fits(package.version, choice.pin)}
    check_held(request, host, moving, choice.pin, UNTOUCHED)
    _check_in_use(request, choice, host, missing)
    headers = _wanted_headers(choice, host)
    exact = {headers_package(host.state.kernel), headers_package(host.state.newest_kernel)}
    headers = [name for name in headers if name in exact or (known is not None and name in known)]
    return Plan(missing, tuple(headers), touched)


def _versioned(request: Request, choice: Choice) -> list[str]:
    return [
        *(name if driver_packages.is_prebuilt(name) else f"{name}={choice.pin}" for name in choice.packages),
        *request.extra_packages,
    ]


def _fits(version: str, pin: str) -> bool:
    return driver_packages.upstream(version).startswith(pin.rstrip("*"))


def _check_older(request: Request, choice: Choice, host: Host) -> None:
    installed = host.installed
    if installed is None or request.allow_downgrade:
        return
    older = installed.branch > choice.branch
    if request.version and not older:
        older = _numbers(installed.version) > _numbers(request.version)
    if older:
        variable = "nvidia_driver_version" if request.version else "nvidia_driver_branch"
        fail(
            variable,
            f"{choice.pin} is older than the installed {installed.version}.",
            f"Set it to the installed one, or nvidia_driver_allow_downgrade to true. {UNTOUCHED}",
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def check_held(request: Request, host: Host, moving: Collection[str], pin: str, closing: str) -> None:
    """Refuse to move what somebody put on hold, whatever its name and source."""
    held = sorted(name for name in moving if name in host.packages and host.packages[name].held)
    if held and not request.allow_held:
        verb = "is" if len(held) == 1 else "are"
        fail(
            "nvidia_driver_allow_held",
            f"{', '.join(held)} {verb} on hold and would have to change to {pin}.",
            f"Run `apt-mark unhold`, or set nvidia_driver_allow_held to true. {closing}",
        )


def _check_in_use(request: Request, choice: Choice, host: Host, missing: Sequence[str]) -> None:
    users = host.state.gpu_users
    if request.upgrade or request.reboot != "auto" or not missing or host.state.loaded is None or not users:
        return
    fail(
        "nvidia_driver_reboot",
        f"{', '.join(users)} uses a card, and {choice.pin} would be installed under it.",
        "End that, or run playbooks/upgrade.yml, which stops what is ours and brings it back, or set nvidia_driver_reboot to "
        f"always. {UNTOUCHED}",
    )


def _wanted_headers(choice: Choice, host: Host) -> list[str]:
    """Name the headers that DKMS lacks: the running kernel's, the next boot's, and what brings those of kernels to come."""
    if not choice.dkms:
        return []
    state = host.state
    names = [headers_package(state.kernel)] if not state.headers else []
    if not state.headers_newest and state.newest_kernel != state.kernel:
        names.append(headers_package(state.newest_kernel))
    metas = (match.group(1) for match in map(_KERNEL_META.match, sorted(host.packages)) if match)
    names += [f"linux-headers-{meta}" for meta in metas]
    if "proxmox-default-kernel" in host.packages:
        names.append("proxmox-default-headers")
    return [name for name in names if name not in host.packages]


def targets(request: Request, choice: Choice, host: Host, offers: Mapping[str, Sequence[Offer]]) -> Targets:
    """Choose the version of each package: the newest within the pin that the source has, for the whole set, up or down."""
    install, due = [], []
    variable = "nvidia_driver_version" if request.version else "nvidia_driver_branch"
    prefix = choice.pin.rstrip("*")
    pinned = [name for name in choice.packages if not driver_packages.is_prebuilt(name)]
    for name in sorted({*pinned, *driver_packages.closure(host.packages)}):
        there = _of(offers, name, choice, request)
        fitting = [offer.version for offer in there if driver_packages.upstream(offer.version).startswith(prefix)]
        if fitting:
            install.append(f"{name}={fitting[0]}")
            if name not in host.packages or host.packages[name].version != fitting[0]:
                due.append(install[-1])
        elif name in pinned:
            fail(
                variable,
                f"the repository has no {name} of {choice.pin}; it has {_versions(there)}.",
                f"Set it to one that is there. {NO_PACKAGE_CHANGED}",
            )
    for name in choice.packages:
        if driver_packages.is_prebuilt(name):
            _check_prebuilt(name, choice, host, offers)
            install.append(name)
            if name not in host.packages:
                due.append(name)
    check_held(request, host, [entry.partition("=")[0] for entry in due], choice.pin, NO_PACKAGE_CHANGED)
    install += request.extra_packages
    due += missing_packages(request.extra_packages, host.packages)
    return Targets(tuple(install), tuple(due))


def _versions(offers: Sequence[Offer]) -> str:
    return ", ".join(dict.fromkeys(offer.version for offer in offers)) or "none at all"


def _check_prebuilt(name: str, choice: Choice, host: Host, offers: Mapping[str, Sequence[Offer]]) -> None:
    if name in host.packages or offers.get(name):
        return
    fail(
        "nvidia_driver_ubuntu_kernel",
        f"Ubuntu's archive has no signed NVIDIA modules of branch {choice.branch} for the kernel {host.state.kernel} ({name}).",
        "Set nvidia_driver_ubuntu_kernel to a flavour that has them (`apt-cache search linux-modules-nvidia-"
        f"{choice.branch}`), boot a kernel of that flavour, or enrol a key for DKMS (nvidia_driver_mok_enrolled). {NO_PACKAGE_CHANGED}",
    )
