# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a host's kernel is: a machine's own, another system's below a container, or Windows's below WSL2."""

from __future__ import annotations

from enum import Enum


class Platform(Enum):
    """What a driver can be installed on, and what it can't."""

    MACHINE = "machine"
    CONTAINER = "container"
    WSL2 = "wsl2"


def platform_of(version: str, container: str, init_environment: str) -> Platform:
    """Tell from /proc/version, systemd's /run/systemd/container, and init's environment (LXC sets container= there)."""
    if "microsoft" in version.lower():
        return Platform.WSL2
    if container.strip() or any(entry.startswith("container=") for entry in init_environment.split("\0")):
        return Platform.CONTAINER
    return Platform.MACHINE


def headers_package(kernel: str) -> str:
    """Name the package that has a kernel's headers; Proxmox names its own (pve.proxmox.com/wiki/Developer_Documentation)."""
    return f"proxmox-headers-{kernel}" if kernel.endswith("-pve") else f"linux-headers-{kernel}"
