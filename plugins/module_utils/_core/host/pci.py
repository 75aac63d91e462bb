# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""NVIDIA cards by their PCI ids: what the driver must be able to do for them.

The generation comes from the range a device id lies in, as NVIDIA hands them out, so that a card nobody listed yet is
placed too. Names are only for people.
"""

from __future__ import annotations

from dataclasses import dataclass

NVIDIA_VENDOR = 0x10DE
# VGA and 3D controllers; 0x0403 on the same card is its HDMI sound.
DISPLAY_CLASSES = (0x0300, 0x0302)
PASS_THROUGH_DRIVERS = ("vfio-pci", "pci-stub")

_NAMES = {
    0x1EB8: "Tesla T4",
    0x20B0: "NVIDIA A100-SXM4-40GB",
    0x20B2: "NVIDIA A100-SXM4-80GB",
    0x2206: "NVIDIA GeForce RTX 3080",
    0x2230: "NVIDIA RTX A6000",
    0x2231: "NVIDIA RTX A5000",
    0x2236: "NVIDIA A10",
    0x24B0: "NVIDIA RTX A4000",
    0x26B1: "NVIDIA RTX 6000 Ada Generation",
    0x26B9: "NVIDIA L40S",
    0x2702: "NVIDIA GeForce RTX 4080 SUPER",
    0x2704: "NVIDIA GeForce RTX 4080",
    0x27B8: "NVIDIA L4",
    0x2BB1: "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
    0x2BB5: "NVIDIA RTX PRO 6000 Blackwell Server Edition",
    0x2C05: "NVIDIA GeForce RTX 5070 Ti",
    0x2B85: "NVIDIA GeForce RTX 5090",
    0x2B87: "NVIDIA GeForce RTX 5090 D",
    0x2C02: "NVIDIA GeForce RTX 5080",
    0x2684: "NVIDIA GeForce RTX 4090",
    0x2204: "NVIDIA GeForce RTX 3090",
    0x2330: "NVIDIA H100 80GB HBM3",
    0x2335: "NVIDIA H200",
    0x2E12: "NVIDIA GB10",
}


@dataclass(frozen=True)
class Generation:
    """What a generation of cards asks of the driver."""

    name: str
    min_branch: int
    max_branch: int | None
    open_modules: str  # required, possible or impossible


_BEFORE_TURING = Generation("Volta or older", 470, 580, "impossible")
_TURING = Generation("Turing", 470, None, "possible")
_AMPERE = Generation("Ampere", 470, None, "possible")
_HOPPER = Generation("Hopper", 525, None, "possible")
_ADA = Generation("Ada Lovelace", 525, None, "possible")
# The closed modules don't know Blackwell at all: nvidia-smi then says "No devices were found".
_BLACKWELL = Generation("Blackwell", 570, None, "required")
# DGX Spark and its kin; the chip came after branch 570.
_GB10 = Generation("Blackwell (GB10)", 580, None, "required")
_NEWER = Generation("newer than Blackwell", 580, None, "required")

# First device id of each range.
_RANGES = (
    (0x0000, _BEFORE_TURING),
    (0x1E00, _TURING),
    (0x2080, _AMPERE),
    (0x2180, _TURING),
    (0x2200, _AMPERE),
    (0x2300, _HOPPER),
    (0x2400, _AMPERE),
    (0x2680, _ADA),
    (0x2900, _BLACKWELL),
    (0x2E00, _GB10),
    (0x2F00, _BLACKWELL),
    (0x3300, _NEWER),
)


@dataclass(frozen=True)
class Gpu:
    """A card on the PCI bus."""

    address: str
    device_id: int
    pcie_width: int | None = None
    pcie_max_width: int | None = None
    bar_bytes: int | None = None
    driver: str = ""  # the kernel driver it is bound to

    @property
    def name(self) -> str:
        """Name it as well as the id allows."""
        return _NAMES.get(self.device_id, f"NVIDIA card 10de:{self.device_id:04x}")

    @property
    def passed_through(self) -> bool:
        """Tell whether it is kept for a virtual machine."""
        return self.driver in PASS_THROUGH_DRIVERS

    @property
    def generation(self) -> Generation:
        """Place it."""
        return [generation for first, generation in _RANGES if first <= self.device_id][-1]


def largest_bar(resource: str) -> int | None:
    """Read the size of the largest memory window from a sysfs `resource` file (lines of start, end, flags)."""
    sizes = []
    for line in resource.splitlines():
        fields = line.split()
        if len(fields) == 3:
            try:
                start, end = int(fields[0], 16), int(fields[1], 16)
            except ValueError:
                continue
            if end > start:
                sizes.append(end - start + 1)
    return max(sizes) if sizes else None
