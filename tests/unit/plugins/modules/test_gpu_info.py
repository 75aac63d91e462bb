# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of the cards of a host on which no driver answers."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import CATALOGUE
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.pci import _NAMES
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gpus import on_bus
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles


def bus(root: Path, *device_ids: str) -> HostFiles:
    """Return a host whose PCI bus has these NVIDIA cards."""
    for index, device in enumerate(device_ids):
        folder = root / f"sys/bus/pci/devices/0000:0{index}:00.0"
        folder.mkdir(parents=True)
        for name, text in {"vendor": "0x10de", "class": "0x030000", "device": device}.items():
            (folder / name).write_text(f"{text}\n")
    return HostFiles(str(root))


def test_cards_of_the_catalogue_are_planned_for_before_their_driver_is_there(tmp_path: Path) -> None:
    assert on_bus(bus(tmp_path, "0x2b85", "0x2684")) == [
        {"name": "NVIDIA GeForce RTX 5090"},
        {"name": "NVIDIA GeForce RTX 4090"},
    ]


def test_a_card_that_is_not_known_leaves_the_plan_until_its_driver_answers(tmp_path: Path) -> None:
    assert on_bus(bus(tmp_path, "0x2b85", "0x1f08")) == []


def test_no_bus_and_no_card_is_no_card(tmp_path: Path) -> None:
    assert on_bus(bus(tmp_path)) == []


def test_names_by_pci_are_the_catalogue_s() -> None:
    assert sorted(set(_NAMES.values()) - set(CATALOGUE)) == ["NVIDIA GeForce RTX 5090 D"]
