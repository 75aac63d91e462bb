# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked of the driver, what was read from the host, and what it gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.distribution import Distribution, Package
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_packages import InstalledDriver
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_state import DriverState
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.pci import Gpu
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.virtualization import Platform

UNTOUCHED = "Nothing was changed."


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
    ubuntu_kernel: str = "auto"
    extra_packages: tuple[str, ...] = ()
    upgrade: bool = False
    allow_downgrade: bool = False
    allow_held: bool = False
    reboot: str = "auto"
    repository_url: str = ""


@dataclass(frozen=True)
class Host:
    """What was read from the host."""

    distribution: Distribution
    architecture: str
    uid: int = 0
    gpus: Sequence[Gpu] = ()
    secure_boot: bool = False
    platform: Platform = Platform.MACHINE
    installed: InstalledDriver | None = None
    packages: Mapping[str, Package] = field(default_factory=dict)
    state: DriverState = field(default_factory=lambda: DriverState(kernel="", newest_kernel=""))


@dataclass(frozen=True)
class Choice:
    """What the host gets, and why."""

    source: str
    branch: int
    flavour: str
    packages: tuple[str, ...] = ()
    pin: str = ""
    repository_folder: str = ""
    repository_architecture: str = ""
    repository_key: str = ""
    repository_fingerprint: str = ""
    dkms: bool = False
    preferences: str = ""
    unattended: str = ""
    reasons: tuple[str, ...] = ()
