# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The driver's packages as a set: which names belong to it, which versions, and whose packages they are.

The set is told by source, not by the word "nvidia": NVIDIA builds all of it from one source package, and five of its libraries for
Debian are named after what they do (github.com/NVIDIA/apt-packaging-nvidia-driver lists them). One list serves the pin, the closure
that moves together, the blacklist of unattended-upgrades and the bundle for an air gap.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.distribution import Distribution, Package
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_branches import RENAMED_BRANCH

PATTERNS = (
    "*nvidia*",
    "cuda-drivers*",
    "libcuda1",
    "libcudadebugger1",
    "libnvcuvid1",
    "libnvoptix1",
    "libxnvctrl*",
)
# Kernels, and what a module is built or chosen for.
KERNELS = ("linux-image-*", "linux-headers-*", "linux-modules-nvidia-*", "proxmox-*")
# The container toolkit has versions of its own; kernels named after NVIDIA (linux-image-nvidia) are kernels.
_OTHERS = ("*container*", "linux-*")
# Modules that Canonical builds and signs for one kernel. Their versions are that kernel's.
_PREBUILT = ("linux-modules-nvidia-*", "linux-objects-nvidia-*", "linux-signatures-nvidia-*")
_DRIVER_VERSION = re.compile(r"^(?:\d+:)?((\d{3})\.\d+(?:\.\d+)?)")
# What a driver can't be without; tools such as nvidia-settings have lagged branches behind in Ubuntu.
_ESSENTIAL = re.compile(
    r"^(libcuda1|libnvidia-ml1|libnvidia-compute(-\d+)?(-server)?|nvidia-driver-cuda"
    r"|nvidia-(kernel-(open-)?dkms|dkms(-\d+)?(-server)?(-open)?|kernel-common(-\d+)?(-server)?))$"
)
_NUMBERED = re.compile(r"-(\d{3})(-server)?(-open)?(?=-|$)")
_META_OF_MODULES = re.compile(r"^linux-modules-nvidia-(\d+)(-server)?(-open)?-([a-z][a-z0-9.-]*)$")


class Source(Enum):
    """Whose driver it is."""

    CUDA_REPO = "cuda_repo"
    DISTRO = "distro"
    RUN_FILE = "run_file"
    HOST = "host"


@dataclass(frozen=True)
class InstalledDriver:
    """The driver that a host has, told from its packages or from the library that no package owns."""

    source: Source
    branch: int
    version: str
    open_modules: bool | None = None
    server: bool = False
    prebuilt: tuple[str, ...] = ()
    packages: Mapping[str, Package] | None = None

    @property
    def held(self) -> tuple[str, ...]:
        """Name the packages that somebody put on hold."""
        return tuple(sorted(name for name, package in (self.packages or {}).items() if package.held))


def in_set(name: str) -> bool:
    """Tell whether a package of this name is one of the driver's, prebuilt modules aside."""
    return _matches(name, PATTERNS) and not _matches(name, _OTHERS)


def is_prebuilt(name: str) -> bool:
    """Tell whether a package holds modules that were built for one kernel."""
    return _matches(name, _PREBUILT)


def is_dkms(name: str) -> bool:
    """Tell whether a package has DKMS build the modules on the host."""
    return "-dkms" in name and "-no-dkms" not in name


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def upstream(version: str) -> str:
    """Return NVIDIA's version in a package's version: "580.95.05" of "580.95.05-0ubuntu1"; "" where it is no driver's."""
    match = _DRIVER_VERSION.match(version)
    return match.group(1) if match else ""


def branch_of(version: str) -> int:
    """Return the branch of a driver's or a package's version; 0 where it is no driver's."""
    match = _DRIVER_VERSION.match(version)
    return int(match.group(2)) if match else 0


def closure(installed: Mapping[str, Package]) -> dict[str, Package]:
    """Return the installed packages that have to move together: the set's names, with a driver's version."""
    return {name: package for name, package in installed.items() if in_set(name) and branch_of(package.version)}


def installed_driver(installed: Mapping[str, Package], distribution: Distribution) -> InstalledDriver | None:
    """Tell which driver the packages make up; None where there is none."""
    members = closure(installed)
    essential = {name: package for name, package in members.items() if _ESSENTIAL.match(name)}
    if not essential:
        return None
    # The newest: a branch that was left behind in part is older.
    newest = max((upstream(package.version) for package in essential.values()), key=_as_numbers)
    prebuilt = tuple(sorted(name for name in installed if is_prebuilt(name)))
    modules = [name for name in (*members, *prebuilt) if is_dkms(name) or name in prebuilt]
    own = {name: package for name, package in essential.items() if upstream(package.version) == newest}
    return InstalledDriver(
        source=_source(own, prebuilt, distribution),
        branch=branch_of(newest),
        version=newest,
        open_modules=any("-open" in name for name in modules) if modules else None,
        server=any("-server" in name for name in own),
        prebuilt=prebuilt,
        packages={**members, **{name: installed[name] for name in prebuilt}},
    )


def _as_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _source(own: Mapping[str, Package], prebuilt: Sequence[str], distribution: Distribution) -> Source:
    """Tell NVIDIA's packages from the distribution's.

    Ubuntu keeps numbers in the names, builds modules beforehand and has -server branches; NVIDIA has none of these from 590 on, and
    before that gives packages versions such as 580.95.05-0ubuntu1 and 580.178.04-1ubuntu1, where Ubuntu's updates to a release
    end in -0ubuntu0.24.04.1. Debian's own drivers are older than 590 in every release there is.
    """
    if distribution.id != "ubuntu":
        debians = all(branch_of(package.version) < 560 for package in own.values())
        return Source.DISTRO if debians else Source.CUDA_REPO
    if prebuilt or any("-server" in name for name in own):
        return Source.DISTRO
    for name, package in own.items():
        if re.search(r"-\d+ubuntu0[.~]", package.version):
            return Source.DISTRO
        if _NUMBERED.search(name) and branch_of(package.version) >= RENAMED_BRANCH:
            return Source.DISTRO
    return Source.CUDA_REPO


def ubuntus_own(branch: int, is_open: bool, kernel: str, installed: InstalledDriver | None) -> list[str]:
    """Name Ubuntu's packages; what is installed says whether the server branch and prebuilt modules are wanted."""
    server = "-server" if installed is None or installed.server else ""
    number = f"{branch}{server}"
    flavoured = f"{number}{'-open' if is_open else ''}"
    tools = [f"nvidia-utils-{number}", f"nvidia-compute-utils-{number}"]
    if installed is None:
        return [f"linux-modules-nvidia-{flavoured}-{kernel}", f"nvidia-headless-no-dkms-{flavoured}", *tools]
    modules = [f"nvidia-dkms-{flavoured}"]
    if installed.prebuilt:
        # The kernels that have modules now keep having them on another branch, whichever of them runs.
        modules = [f"linux-modules-nvidia-{flavoured}-{name}" for name in _kernels_of(installed.prebuilt) or [kernel]]
    return [*modules, f"libnvidia-compute-{number}", *tools]


def nvidias(distribution: str, branch: int, is_open: bool, compute_only: bool) -> list[str]:
    """Name the packages of NVIDIA's repository."""
    if distribution != "ubuntu":
        if not compute_only:
            return ["nvidia-open" if is_open else "cuda-drivers"]
        return ["nvidia-driver-cuda", "nvidia-kernel-open-dkms" if is_open else "nvidia-kernel-dkms"]
    number = f"-{branch}" if branch < RENAMED_BRANCH else ""
    if not compute_only:
        return [f"nvidia-open{number}" if is_open else f"cuda-drivers{number}"]
    packages = [f"libnvidia-compute{number}", f"nvidia-dkms{number}{'-open' if is_open else ''}"]
    # Up to 580 the tools are packages of their own.
    return packages + ([f"nvidia-utils{number}", f"nvidia-compute-utils{number}"] if number else [])


def _kernels_of(prebuilt: Sequence[str]) -> list[str]:
    """Name the kernel flavours whose metas bring modules along with every new kernel; those of one kernel bear its number."""
    matches = (_META_OF_MODULES.match(name) for name in prebuilt)
    return sorted({match.group(4) for match in matches if match})


def preferences(source: Source, pin: str, downgrade: bool) -> str:
    """Write apt's preferences: one source, and the whole set on one branch. The first stanza that matches counts."""
    # A bare name matches the native architecture only, and the 32-bit libraries of a desktop would stay behind.
    names = " ".join(f"{name}:any" for name in PATTERNS)
    if source is Source.DISTRO:
        # NVIDIA's repository may be there for CUDA, and its container toolkit has a pin of its own.
        stanzas = [
            ("nvidia-container-toolkit* libnvidia-container*", "release o=NVIDIA", 500, "the container toolkit"),
            (names, "release o=NVIDIA", -1, "one source for the driver; packages of two sources would mix"),
        ]
    else:
        # Not "*nvidia*": Ubuntu has kernels of that name.
        ubuntu = "nvidia-*:any libnvidia-*:any linux-modules-nvidia-* xserver-xorg-video-nvidia*"
        stanzas = [(ubuntu, "release o=Ubuntu", -1, "one source for the driver; packages of two sources would mix")]
    stanzas.append((names, f"version {pin}", 1001 if downgrade else 990, "the whole set stays on the branch"))
    return "\n".join(
        f"Explanation: {why}\nPackage: {package}\nPin: {release}\nPin-Priority: {priority}\n"
        for package, release, priority, why in stanzas
    )


def unattended(prebuilt: bool) -> str:
    """Write what unattended-upgrades leaves alone; "" with prebuilt modules, which have to move together with their kernel.

    It matches each expression at the beginning of a name.
    """
    if prebuilt:
        return ""
    expressions = ["^(?!linux-)(?!.*container).*nvidia"]
    for pattern in PATTERNS[1:]:
        expressions.append(f"^{pattern.removesuffix('*')}{'' if pattern.endswith('*') else '$'}")
    lines = "".join(f'  "{expression}";\n' for expression in expressions)
    return (
        "// A library that is newer than the loaded kernel module stops every new process on the card.\n"
        f"Unattended-Upgrade::Package-Blacklist {{\n{lines}}};\n"
    )
