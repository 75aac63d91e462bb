# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Doubles: trees of /sys, /proc and /lib/modules as hosts with NVIDIA cards have them, and a modinfo that reads them.

The values of an RTX 5090 are the published PCI ids and a 32 GiB BAR; nothing here was copied from a machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

KERNEL = "6.8.0-90-generic"
NEWER = "6.8.0-101-generic"
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {}  Release Build\nGCC version:  gcc version 13.3.0\n"
CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}  Mon Sep  1 00:00:00 UTC 2025\nGCC version:  gcc 13.3.0\n"
_SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


@dataclass
class HostTree:
    """A host that can be described in a few calls."""

    root: Path
    modules: dict[str, tuple[str, str]] = field(default_factory=dict)

    def write(self, name: str, text: str) -> HostTree:
        """Write a file below the root."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return self

    def gpu(self, address: str, device: int, kind: str = "0x030000", vendor: str = "0x10de") -> HostTree:
        """Put a card on the bus, with its sound beside it as on real ones."""
        folder = f"sys/bus/pci/devices/{address}"
        self.write(f"{folder}/vendor", f"{vendor}\n").write(f"{folder}/class", f"{kind}\n")
        self.write(f"{folder}/device", f"0x{device:04x}\n")
        self.write(f"{folder}/current_link_width", "16\n").write(f"{folder}/max_link_width", "16\n")
        return self.write(
            f"{folder}/resource",
            "0x0000000090000000 0x0000000093ffffff 0x0000000000040200\n"
            "0x0000004000000000 0x00000047ffffffff 0x000000000014220c\n"
            "0x0000000000000000 0x0000000000000000 0x0000000000000000\n",
        )

    def kernel(self, release: str, module: str | None = None, licence: str = "Dual MIT/GPL") -> HostTree:
        """Install a kernel with headers, and the NVIDIA module of a version."""
        self.write(f"lib/modules/{release}/modules.dep", "").write(f"lib/modules/{release}/build", "")
        if module:
            self.modules[release] = (module, licence)
        return self

    def loaded(self, version: str, text: str = OPEN) -> HostTree:
        """Load the module."""
        return self.write("proc/driver/nvidia/version", text.format(version))

    def library(self, version: str) -> HostTree:
        """Install NVML and CUDA's driver library, with the links that ldconfig makes."""
        return self.lone_library("libnvidia-ml", version).lone_library("libcuda", version)

    def lone_library(self, name: str, version: str, linked: bool = True) -> HostTree:
        """Install one library; without its link it only lies there."""
        folder = "usr/lib/x86_64-linux-gnu"
        self.write(f"{folder}/{name}.so.{version}", "")
        return self.link(f"{folder}/{name}.so.1", f"{name}.so.{version}") if linked else self

    def link(self, name: str, target: str) -> HostTree:
        """Make a link below the root, or turn the one that is there."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(target)
        return self

    def nouveau(self) -> HostTree:
        """Let nouveau drive the card."""
        return self.write("sys/module/nouveau/refcnt", "1\n")

    def secure_boot(self, on: bool) -> HostTree:
        """Boot by UEFI."""
        path = self.root / _SECURE_BOOT
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x06\x00\x00\x00" + (b"\x01" if on else b"\x00"))
        return self

    def process(self, pid: int, name: str, opens: str) -> HostTree:
        """Run a process that holds a file open."""
        self.write(f"proc/{pid}/comm", f"{name}\n")
        folder = self.root / f"proc/{pid}/fd"
        folder.mkdir(parents=True)
        (folder / "3").symlink_to(opens)
        return self

    def modinfo(self, arguments: list[str]) -> tuple[int, str, str]:
        """Answer as modinfo does."""
        assert arguments[:2] == ["modinfo", "-k"], arguments
        module = self.modules.get(arguments[2])
        if module is None:
            return 1, "", f"modinfo: ERROR: Module nvidia not found in {arguments[2]}."
        return 0, {"version": module[0], "license": module[1]}[arguments[4]] + "\n", ""


def rtx_5090(tree: HostTree) -> HostTree:
    """A bare host with the card, and its sound beside it."""
    return tree.kernel(KERNEL).gpu("0000:01:00.0", 0x2B85).gpu("0000:01:00.1", 0x22E8, kind="0x040300")


def installed(tree: HostTree, version: str = "580.178.04") -> HostTree:
    """The same with a driver that works."""
    return rtx_5090(tree).kernel(KERNEL, version).library(version).loaded(version)


# One host each for what issues and forums are full of.
TREES: dict[str, Callable[[HostTree], HostTree]] = {
    "RTX 5090": rtx_5090,
    "RTX 4090": lambda tree: tree.kernel(KERNEL).gpu("0000:01:00.0", 0x2684),
    "two cards": lambda tree: rtx_5090(tree).gpu("0000:41:00.0", 0x2684),
    "no card": lambda tree: tree.kernel(KERNEL).gpu("0000:00:02.0", 0xA780, vendor="0x8086"),
    "a driver that works": installed,
    "nouveau": lambda tree: rtx_5090(tree).kernel(KERNEL, "580.178.04").library("580.178.04").nouveau(),
    "mismatch": lambda tree: installed(tree).loaded("580.95.05"),
    "DKMS missing": lambda tree: rtx_5090(tree).library("580.178.04"),
    "Secure Boot on": lambda tree: rtx_5090(tree).secure_boot(True),
}
