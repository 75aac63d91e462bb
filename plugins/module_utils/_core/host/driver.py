# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which driver a host gets: source, branch, module flavour and packages, or why it can't have what was asked for."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import driver_packages, secure_boot
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.distribution import Distribution
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_branches import (
    FLOOR_BRANCH,
    default_branch,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_packages import InstalledDriver, Source
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_repository import (
    ARCHITECTURES,
    SUPPORTED,
    Repository,
    repository_of,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_request import (
    UNTOUCHED,
    Choice,
    Host,
    Request,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.pci import Gpu
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.virtualization import Platform


def choose(request: Request, host: Host, available: Collection[int] = ()) -> Choice:
    """Decide, or say in one sentence what has to change; `available` are the repository's branches once it was read."""
    _check_ground(host)
    gpus = _gpus(request, host)
    repository = repository_of(host.distribution)
    if request.source == "host" or (repository is None and request.source == "auto"):
        return _keep(request, host)
    if repository is None:
        fail(
            "nvidia_driver_source",
            f"none is installed on {host.distribution.name}.",
            f"It does so on {SUPPORTED}. Set nvidia_driver_source to host once a driver works. {UNTOUCHED}",
        )
    if host.architecture not in ARCHITECTURES:
        fail("nvidia_driver", f"it has no packages for the architecture {host.architecture}.", UNTOUCHED)
    reasons: list[str] = []
    source = _source(request, gpus, repository, host, reasons)
    branch = _branch(request, gpus, repository, source, host, available, reasons)
    flavour = _flavour(request, gpus, host.installed, reasons)
    secure_boot.check(request.mok_enrolled, source, host.secure_boot, host.distribution, host.state.loaded is not None)
    kernel = request.ubuntu_kernel
    if kernel == "auto":
        kernel = secure_boot.kernel_flavour(host.state.kernel, host.packages)
    is_open = flavour == "open"
    if source is Source.DISTRO:
        packages = driver_packages.ubuntus_own(branch, is_open, kernel, host.installed)
    else:
        packages = driver_packages.nvidias(host.distribution.id, branch, is_open, request.compute_only)
    pin = f"{request.version}*" if request.version else f"{branch}.*"
    return Choice(
        source=source.value,
        branch=branch,
        flavour=flavour,
        packages=tuple(packages),
        pin=pin,
        repository_folder=repository.folder,
        repository_architecture=ARCHITECTURES[host.architecture],
        repository_key=repository.key,
        repository_fingerprint=repository.fingerprint,
        dkms=source is Source.CUDA_REPO or any(map(driver_packages.is_dkms, packages)),
        preferences=driver_packages.preferences(source, pin, request.allow_downgrade),
        unattended=driver_packages.unattended(any(driver_packages.is_prebuilt(name) for name in packages)),
        reasons=tuple(reasons),
    )


def _check_ground(host: Host) -> None:
    if host.uid != 0:
        fail("nvidia_driver", "it needs root on the host.", f"Set become to true for it. {UNTOUCHED}")
    match host.platform:
        case Platform.WSL2:
            fail(
                "nvidia_driver",
                "this is WSL2, where the driver is Windows's.",
                "Install NVIDIA's driver there, none in here, and run with --skip-tags nvidia_driver. " + UNTOUCHED,
            )
        case Platform.CONTAINER:
            fail(
                "nvidia_driver",
                "this is a container (LXC or another), whose kernel is its host's.",
                "Install the driver on the host, pass the devices through, put the libraries of the same version in here "
                "(without kernel modules), and run with --skip-tags nvidia_driver. " + UNTOUCHED,
            )
        case Platform.MACHINE:
            return


def _gpus(request: Request, host: Host) -> Sequence[Gpu]:
    gpus = [gpu for gpu in host.gpus if not gpu.passed_through]
    if gpus or not request.require_card:
        return gpus
    if host.gpus:
        gpu = host.gpus[0]
        fail(
            "nvidia_driver",
            f"{gpu.name} at {gpu.address} is bound to {gpu.driver}, to be handed to a virtual machine.",
            f"Run this on that machine, or give the card back: remove {gpu.driver}'s ids= from the kernel's command line and "
            f"/etc/modprobe.d, and reboot. {UNTOUCHED}",
        )
    fail(
        "nvidia_driver_require_card",
        "no NVIDIA card is on this host's PCI bus.",
        "Check that it sits and has power, or set it to false to install without one. " + UNTOUCHED,
    )


def _keep(request: Request, host: Host) -> Choice:
    """Leave a driver that works as it is: the one way on systems where we install none."""
    state = host.state
    if state.userspace and (state.loaded or state.on_disk):
        version = state.loaded or state.on_disk or ""
        return Choice(
            source=Source.HOST.value,
            branch=driver_packages.branch_of(version),
            flavour="open" if state.loaded_open or state.on_disk_open else "proprietary",
            reasons=(f"driver {version} is there and is left as it is",),
        )
    what = (
        "it is host, and no driver is installed"
        if request.source == "host"
        else f"none is installed on {host.distribution.name}"
    )
    fail(
        "nvidia_driver_source",
        f"{what}.",
        f"It installs drivers on {SUPPORTED}; on others install NVIDIA's by its guide, reboot, and run again: a driver that "
        f"works is used as it is. {UNTOUCHED}",
    )


def _source(request: Request, gpus: Sequence[Gpu], repository: Repository, host: Host, reasons: list[str]) -> Source:
    distribution, installed = host.distribution, host.installed
    if installed and installed.source is Source.RUN_FILE:
        fail(
            "nvidia_driver_source",
            f"driver {installed.version} comes from NVIDIA's .run file, and packages would mix with it.",
            "Run `nvidia-uninstall` on the host, reboot, and run again; or set it to host to keep that. " + UNTOUCHED,
        )
    if request.source == "distro" and distribution.id != "ubuntu":
        fail(
            "nvidia_driver_source",
            f"{distribution.name} ships no driver of branch {FLOOR_BRANCH} or newer.",
            f"Set it to cuda_repo. {UNTOUCHED}",
        )
    asked = None if request.source == "auto" else Source(request.source)
    if installed:
        debians = installed.source is Source.DISTRO and distribution.id != "ubuntu"
        if debians or (asked and asked is not installed.source):
            _refuse_two_sources(installed, distribution, asked)
        reasons.append(f"source {installed.source.value}: its driver {installed.version} is installed")
        return installed.source
    if asked:
        return asked
    if distribution.id == "ubuntu":
        if host.secure_boot and not request.mok_enrolled:
            reasons.append("Ubuntu's own packages: Secure Boot is on, and their modules are signed")
            return Source.DISTRO
        newest_allowed = _newest_allowed(gpus)
        if newest_allowed and newest_allowed < repository.first_branch:
            reasons.append(f"Ubuntu's own packages: NVIDIA's repository starts at {repository.first_branch}")
            return Source.DISTRO
    return Source.CUDA_REPO


def _refuse_two_sources(installed: InstalledDriver, distribution: Distribution, asked: Source | None) -> None:
    whose = "NVIDIA's" if installed.source is Source.CUDA_REPO else f"{distribution.id.capitalize()}'s own"
    wanted = f"{asked.value}, and " if asked else ""
    keep = "Set it to auto to keep that, or remove" if distribution.id == "ubuntu" else "Remove"
    fail(
        "nvidia_driver_source",
        f"{wanted}{whose} driver {installed.version} is installed; packages of two sources would mix.",
        f"{keep} it first: `apt-get purge {' '.join(sorted(installed.packages or {}))}`. {UNTOUCHED}",
    )


def _newest_allowed(gpus: Sequence[Gpu]) -> int | None:
    return min((gpu.generation.max_branch for gpu in gpus if gpu.generation.max_branch), default=None)


def _branch(
    request: Request,
    gpus: Sequence[Gpu],
    repository: Repository,
    source: Source,
    host: Host,
    available: Collection[int],
    reasons: list[str],
) -> int:
    named = driver_packages.branch_of(request.version)
    if named and request.branch and named != request.branch:
        fail(
            "nvidia_driver_version",
            f"{request.version} is not of branch {request.branch}.",
            f"Set nvidia_driver_branch: {named}, or leave one of the two empty. {UNTOUCHED}",
        )
    newest_allowed = _newest_allowed(gpus)
    default = default_branch(available, newest_allowed) or min(repository.branch, newest_allowed or repository.branch)
    branch = request.branch or named
    field_name = "nvidia_driver_branch" if request.branch else "nvidia_driver_version"
    what = f"{branch}"
    if not branch and host.installed:
        branch, field_name = host.installed.branch, "nvidia_driver_branch"
        what = f"{branch} is installed and"
        reasons.append(f"branch {branch}: it is installed")
    elif not branch:
        branch, field_name, what = default, "nvidia_driver_branch", f"{default}"
        reasons.append(f"branch {branch}: the default here")
    remedy = f"Set {field_name} to {default}."
    # What the index says counts for more than what we knew of it.
    first_branch = 0 if available or source is not Source.CUDA_REPO else repository.first_branch
    if newest_allowed and newest_allowed < first_branch:
        remedy = _remedy_for_old_gpu(gpus, host.distribution)
    for gpu in gpus:
        lowest = max(gpu.generation.min_branch, FLOOR_BRANCH)
        if branch < lowest:
            why = f"{gpu.name} ({gpu.generation.name}) needs {lowest} or newer"
            fail(field_name, f"{what} is too old, {why}.", f"{remedy} {UNTOUCHED}")
        if gpu.generation.max_branch and branch > gpu.generation.max_branch:
            why = f"{gpu.name} ({gpu.generation.name}) is supported up to {gpu.generation.max_branch}"
            fail(field_name, f"{what} is too new, {why}.", f"{remedy} {UNTOUCHED}")
    if branch < FLOOR_BRANCH:
        why = f"CUDA 12.8 needs {FLOOR_BRANCH} or newer"
        fail(field_name, f"{what} is too old, {why}.", f"{remedy} {UNTOUCHED}")
    if branch < first_branch:
        fail(
            field_name,
            f"{what} is not in NVIDIA's repository for {host.distribution.name}, which starts at {first_branch}.",
            f"{remedy} {UNTOUCHED}",
        )
    return branch


def _remedy_for_old_gpu(gpus: Sequence[Gpu], distribution: Distribution) -> str:
    gpu = min((gpu for gpu in gpus if gpu.generation.max_branch), key=lambda gpu: gpu.generation.max_branch or 0)
    if distribution.id == "ubuntu":
        return f"Set nvidia_driver_source to distro: Ubuntu's own archive has {gpu.generation.max_branch}."
    return f"{gpu.name} needs branch {gpu.generation.max_branch}, and so Debian 12, or Ubuntu, or a newer card."


def _flavour(request: Request, gpus: Sequence[Gpu], installed: InstalledDriver | None, reasons: list[str]) -> str:
    must = [gpu for gpu in gpus if gpu.generation.open_modules == "required"]
    cannot = [gpu for gpu in gpus if gpu.generation.open_modules == "impossible"]
    if must and cannot:
        fail(
            "nvidia_driver",
            f"{must[0].name} needs the open kernel modules and {cannot[0].name} can't use them.",
            f"One host can't drive both: take one of the cards out. {UNTOUCHED}",
        )
    if must and request.flavour == "proprietary":
        fail(
            "nvidia_driver_flavour",
            f"proprietary does not drive {must[0].name}, {must[0].generation.name} cards need the open kernel modules.",
            f"Set it to open. {UNTOUCHED}",
        )
    if cannot and request.flavour == "open":
        fail(
            "nvidia_driver_flavour",
            f"open does not drive {cannot[0].name} ({cannot[0].generation.name}).",
            f"Set it to proprietary. {UNTOUCHED}",
        )
    if request.flavour != "auto":
        return request.flavour
    if must:
        reasons.append(f"open kernel modules: {must[0].name} runs with no others")
        return "open"
    if cannot:
        return "proprietary"
    if installed and installed.open_modules is not None:
        return "open" if installed.open_modules else "proprietary"
    return "open"
