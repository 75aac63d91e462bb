# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a device id says of a GPU, and what sysfs says of its windows."""

from __future__ import annotations

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.pci import Gpu, largest_bar


@pytest.mark.parametrize(
    ("device", "generation", "branch"),
    [
        (0x1DB4, "Volta or older", 470),  # V100
        (0x1E04, "Turing", 470),  # RTX 2080 Ti
        (0x1EB8, "Turing", 470),  # T4
        (0x20B0, "Ampere", 470),  # A100
        (0x2182, "Turing", 470),  # GTX 1660 Ti, whose ids lie between Ampere's
        (0x2204, "Ampere", 470),  # RTX 3090
        (0x2330, "Hopper", 525),  # H100
        (0x2484, "Ampere", 470),  # RTX 3070
        (0x2684, "Ada Lovelace", 525),  # RTX 4090
        (0x2901, "Blackwell", 570),  # B200
        (0x2B85, "Blackwell", 570),  # RTX 5090
        (0x2E12, "Blackwell (GB10)", 580),
        (0x2F04, "Blackwell", 570),  # RTX 5070
        (0x4000, "newer than Blackwell", 580),
    ],
)
def test_each_generation_of_known_gpus(device: int, generation: str, branch: int) -> None:
    found = Gpu("0000:01:00.0", device).generation
    assert (found.name, found.min_branch) == (generation, branch)


@pytest.mark.parametrize("device", [0x1DB4, 0x1B06])
def test_what_is_older_than_turing_ends_at_580_and_takes_closed_modules_alone(device: int) -> None:
    found = Gpu("0000:01:00.0", device).generation
    assert (found.max_branch, found.open_modules) == (580, "impossible")


@pytest.mark.parametrize(
    ("resource", "size"),
    [
        ("0x00000000f6000000 0x00000000f6ffffff 0x0000000000040200\n0x0 0x0 0x0\n", 16 << 20),
        ("0x00000000f6000000 0x00000000f6ffffff 0x1\n0x0000006000000000 0x00000067ffffffff 0x1\n", 32 << 30),
        # Files of other kernels, cut ones, and a device without a window.
        ("", None),
        ("0x0 0x0 0x0\n", None),
        ("0x1 what 0x0\n0x1000 0x1fff\n", None),
        ("junk junk junk\n0x0000000000001000 0x0000000000001fff 0x1\n", 4096),
    ],
)
def test_the_largest_window(resource: str, size: int | None) -> None:
    assert largest_bar(resource) == size
