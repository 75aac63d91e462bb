# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which driver a host gets: source, branch, module flavour and packages, or why it can't have what was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.distribution import Distribution
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.pci import Card

# CUDA 12.8, the oldest that current engine images are built with, needs this branch.
FLOOR_BRANCH = 570
# The branch from which NVIDIA's packages for Ubuntu carry no number in their names.
RENAMED_BRANCH = 590
UNTOUCHED = "Nothing was changed."


@dataclass(frozen=True)
class Repository:
    """NVIDIA's repository for a distribution, and the branch we take there when nothing is asked for."""

    folder: str
    branch: int  # the long-term one, or the oldest that the repository starts with
    key: str
    fingerprint: str
    first_branch: int = 0


# The newer repositories have keys of their own.
_OLD_KEY = ("3bf863cc.pub", "EB693B3035CD5710E231E123A4B469963BF863CC")
_CUDA_REPOSITORIES = {
    ("ubuntu", "22.04"): Repository("ubuntu2204", 580, *_OLD_KEY),
    ("ubuntu", "24.04"): Repository("ubuntu2404", 580, *_OLD_KEY),
    ("ubuntu", "26.04"): Repository(
        "ubuntu2604", 595, "60DF8A40.pub", "14BAFBC7562AD710CA04E69905FBB6DA60DF8A40", first_branch=595
    ),
    ("debian", "12"): Repository("debian12", 580, *_OLD_KEY),
    ("debian", "13"): Repository(
        "debian13", 595, "8793F200.pub", "02182E60104FCDC26EAE1B8597A5D4CB8793F200", first_branch=590
    ),
    ("rhel", "9"): Repository("rhel9", 580, "D42D0685.pub", "610C7B14E068A878070DA4E99CD0A493D42D0685"),
    # We know this key's name and not its fingerprint, so that the role asks for it.
    ("rhel", "10"): Repository("rhel10", 580, "CDF6BA43.pub", ""),
}
_RHEL_LIKE = frozenset({"rhel", "rocky", "almalinux", "centos"})
_CUDA_ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "sbsa"}
SUPPORTED = "Ubuntu 22.04, 24.04 and 26.04, Debian 12 and 13, RHEL, Rocky Linux and AlmaLinux 9 and 10"


@dataclass(frozen=True)
class Request:
    """What the inventory asks for; "auto", 0 and "" leave it to us."""

    source: str = "auto"
    branch: int = 0
    version: str = ""
    flavour: str = "auto"
    compute_only: bool = True
    mok_enrolled: bool = False
    require_card: bool = True
    ubuntu_kernel: str = "generic"


@dataclass(frozen=True)
class Choice:
    """What the host gets, and why."""

    source: str
    branch: int
    flavour: str
    packages: tuple[str, ...]
    pin: str
    repository_folder: str
    repository_architecture: str
    repository_key: str
    repository_fingerprint: str
    dkms: bool
    module_stream: str
    reasons: tuple[str, ...]


def choose(
    request: Request, cards: Sequence[Card], distribution: Distribution, architecture: str, secure_boot: bool
) -> Choice:
    """Decide, or say in one sentence what has to change."""
    repository = _repository(distribution)
    if architecture not in _CUDA_ARCHITECTURES:
        raise FleetError(f"nvidia_driver has no packages for the architecture {architecture}.", UNTOUCHED)
    if not cards and request.require_card:
        raise FleetError(
            "nvidia_driver: no NVIDIA card is on this host's PCI bus.",
            "Check that it sits and has power, or set nvidia_driver_require_card: false to install without one. "
            + UNTOUCHED,
            field="nvidia_driver_require_card",
        )
    reasons: list[str] = []
    branch = _branch(request, cards, repository.branch, reasons)
    flavour = _flavour(request, cards, reasons)
    source = _source(request, distribution, secure_boot, reasons)
    if source == "cuda_repo" and branch < repository.first_branch:
        raise FleetError(
            f"nvidia_driver_branch: {branch} is not in NVIDIA's repository for {distribution.name}, which starts at "
            f"{repository.first_branch}.",
            f"Set it to {repository.branch}. {UNTOUCHED}",
            field="nvidia_driver_branch",
        )
    _check_secure_boot(request, source, secure_boot, distribution)
    if distribution.family == "redhat":
        packages = _rpm_packages(request, flavour)
    elif distribution.id == "ubuntu":
        packages = _ubuntu_packages(request, source, branch, flavour)
    else:
        packages = _debian_packages(request, flavour)
    return Choice(
        source=source,
        branch=branch,
        flavour=flavour,
        packages=tuple(packages),
        pin=f"{request.version}*" if request.version else f"{branch}.*",
        repository_folder=repository.folder,
        repository_architecture=_CUDA_ARCHITECTURES[architecture],
        repository_key=repository.key,
        repository_fingerprint=repository.fingerprint,
        dkms=source == "cuda_repo",
        module_stream=f"nvidia-driver:{branch}-{'open' if flavour == 'open' else 'dkms'}"
        if repository.folder == "rhel9"
        else "",
        reasons=tuple(reasons),
    )


def _repository(distribution: Distribution) -> Repository:
    identity = "rhel" if distribution.id in _RHEL_LIKE else distribution.id
    version = distribution.major if distribution.family == "redhat" else distribution.version
    found = _CUDA_REPOSITORIES.get((identity, version))
    if found is None:
        raise FleetError(
            f"nvidia_driver does not know {distribution.name}.",
            f"It knows {SUPPORTED}. {UNTOUCHED}",
            field="distribution",
        )
    return found


def _branch(request: Request, cards: Sequence[Card], default: int, reasons: list[str]) -> int:
    named = _major(request.version)
    if named and request.branch and named != request.branch:
        raise FleetError(
            f"nvidia_driver_version: {request.version} is not of branch {request.branch}.",
            f"Set nvidia_driver_branch: {named}, or leave one of the two empty. {UNTOUCHED}",
            field="nvidia_driver_version",
        )
    branch = request.branch or named
    field = "nvidia_driver_branch" if request.branch else "nvidia_driver_version"
    newest_allowed = min((card.generation.max_branch for card in cards if card.generation.max_branch), default=None)
    if not branch:
        branch = min(default, newest_allowed) if newest_allowed else default
        reasons.append(f"branch {branch}: the default here")
    for card in cards:
        lowest = max(card.generation.min_branch, FLOOR_BRANCH)
        if branch < lowest:
            why = f"{card.name} ({card.generation.name}) needs {lowest} or newer"
            raise FleetError(f"{field}: {branch} is too old, {why}.", f"Set it to {default}. {UNTOUCHED}", field=field)
        if card.generation.max_branch and branch > card.generation.max_branch:
            why = f"{card.name} ({card.generation.name}) is supported up to {card.generation.max_branch}"
            raise FleetError(
                f"{field}: {branch} is too new, {why}.",
                f"Set it to {card.generation.max_branch}. {UNTOUCHED}",
                field=field,
            )
    if branch < FLOOR_BRANCH:
        raise FleetError(
            f"{field}: {branch} is too old, CUDA 12.8 needs {FLOOR_BRANCH} or newer.",
            f"Set it to {default}. {UNTOUCHED}",
            field=field,
        )
    return branch


def _major(version: str) -> int:
    head = version.split(".", maxsplit=1)[0]
    return int(head) if head.isdigit() else 0


def _flavour(request: Request, cards: Sequence[Card], reasons: list[str]) -> str:
    must = [card for card in cards if card.generation.open_modules == "required"]
    cannot = [card for card in cards if card.generation.open_modules == "impossible"]
    if must and cannot:
        raise FleetError(
            f"nvidia_driver: {must[0].name} needs the open kernel modules and {cannot[0].name} can't use them.",
            f"One host can't drive both: take one of the cards out. {UNTOUCHED}",
        )
    if must and request.flavour == "proprietary":
        raise FleetError(
            f"nvidia_driver_flavour: proprietary does not drive {must[0].name}, "
            f"{must[0].generation.name} cards need the open kernel modules.",
            f"Set it to open. {UNTOUCHED}",
            field="nvidia_driver_flavour",
        )
    if cannot and request.flavour == "open":
        raise FleetError(
            f"nvidia_driver_flavour: open does not drive {cannot[0].name} ({cannot[0].generation.name}).",
            f"Set it to proprietary. {UNTOUCHED}",
            field="nvidia_driver_flavour",
        )
    if request.flavour != "auto":
        return request.flavour
    if must:
        reasons.append(f"open kernel modules: {must[0].name} runs with no others")
    return "proprietary" if cannot else "open"


def _source(request: Request, distribution: Distribution, secure_boot: bool, reasons: list[str]) -> str:
    if request.source == "distro" and distribution.id != "ubuntu":
        raise FleetError(
            f"nvidia_driver_source: {distribution.name} ships no driver of branch {FLOOR_BRANCH} or newer.",
            f"Set it to cuda_repo. {UNTOUCHED}",
            field="nvidia_driver_source",
        )
    if request.source != "auto":
        return request.source
    if secure_boot and distribution.id == "ubuntu" and not request.mok_enrolled:
        reasons.append("Ubuntu's own packages: Secure Boot is on, and their modules are signed")
        return "distro"
    return "cuda_repo"


def _check_secure_boot(request: Request, source: str, secure_boot: bool, distribution: Distribution) -> None:
    if not secure_boot or source != "cuda_repo" or request.mok_enrolled:
        return
    other = "set nvidia_driver_source: distro for Ubuntu's signed modules, or " if distribution.id == "ubuntu" else ""
    raise FleetError(
        "nvidia_driver: Secure Boot is on, and a kernel module built on this host would not load.",
        f"To go on, {other}turn Secure Boot off in the firmware, or enrol a key: "
        "`mokutil --import /var/lib/dkms/mok.pub`, reboot at the console, choose Enroll MOK, "
        "and set nvidia_driver_mok_enrolled: true. " + UNTOUCHED,
        field="nvidia_driver_mok_enrolled",
    )


def _ubuntu_packages(request: Request, source: str, branch: int, flavour: str) -> list[str]:
    is_open = "-open" if flavour == "open" else ""
    if source == "distro":
        kernel = request.ubuntu_kernel
        return [
            f"linux-modules-nvidia-{branch}-server{is_open}-{kernel}",
            f"nvidia-headless-no-dkms-{branch}-server{is_open}",
            f"nvidia-utils-{branch}-server",
            f"nvidia-compute-utils-{branch}-server",
        ]
    number = f"-{branch}" if branch < RENAMED_BRANCH else ""
    if not request.compute_only:
        return [f"nvidia-open{number}" if flavour == "open" else f"cuda-drivers{number}"]
    packages = [f"libnvidia-compute{number}", f"nvidia-dkms{number}{is_open}"]
    # Up to 580 the tools are packages of their own.
    return packages + ([f"nvidia-utils{number}", f"nvidia-compute-utils{number}"] if number else [])


def _debian_packages(request: Request, flavour: str) -> list[str]:
    if not request.compute_only:
        return ["nvidia-open" if flavour == "open" else "cuda-drivers"]
    return ["nvidia-driver-cuda", "nvidia-kernel-open-dkms" if flavour == "open" else "nvidia-kernel-dkms"]


def _rpm_packages(request: Request, flavour: str) -> list[str]:
    if not request.compute_only:
        return ["nvidia-open" if flavour == "open" else "cuda-drivers"]
    return ["nvidia-driver-cuda", "kmod-nvidia-open-dkms" if flavour == "open" else "kmod-nvidia-latest-dkms"]
