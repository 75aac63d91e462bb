# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cards: what one holds that a process can use, and what a process takes on it before it does anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB, parse_size

CPU_UUID = "cpu"


@dataclass(frozen=True)
class CardFacts:
    """One entry of the catalogue: what CUDA reports as total, the architecture, and where the figure comes from."""

    usable_mib: int
    compute_capability: str
    source: str


_REPORTED = "what CUDA reports on it, as users' engine logs print it"
_DERIVED = "nominal memory less what the driver reserves on cards of its kind; a measured host overrides it"
# Usable is not nominal: the driver keeps 0.4 to 1.5 % for itself (and ECC its share where it is on).
CATALOGUE: Mapping[str, CardFacts] = {
    "NVIDIA GeForce RTX 5090": CardFacts(32113, "12.0", _REPORTED),
    "NVIDIA GeForce RTX 4090": CardFacts(24080, "8.9", _DERIVED),
    "NVIDIA GeForce RTX 3090": CardFacts(24124, "8.6", _DERIVED),
    "NVIDIA RTX PRO 6000 Blackwell Workstation Edition": CardFacts(97250, "12.0", _DERIVED),
    "NVIDIA L4": CardFacts(22563, "8.9", _DERIVED),
    "NVIDIA L40S": CardFacts(45487, "8.9", _DERIVED),
    "NVIDIA A10": CardFacts(22502, "8.6", _DERIVED),
    "NVIDIA A100-SXM4-40GB": CardFacts(40326, "8.0", _DERIVED),
    "NVIDIA A100-SXM4-80GB": CardFacts(81050, "8.0", _DERIVED),
    "NVIDIA H100 80GB HBM3": CardFacts(81090, "9.0", _DERIVED),
    "NVIDIA H200": CardFacts(143156, "9.0", _DERIVED),
}


@dataclass(frozen=True)
class Gpu:
    """One card of one host. For a host without a card the "card" is the host's memory, with uuid "cpu"."""

    index: int
    uuid: str
    name: str
    usable_bytes: int
    free_bytes: int | None
    compute_capability: str

    @property
    def is_cpu(self) -> bool:
        return self.uuid == CPU_UUID


def parse_gpus(gpus: Any, where: str = "vllm_stack_gpus") -> tuple[Gpu, ...]:
    """Cards as gpu_info returns them, or named from the catalogue; one that is neither is a FleetError."""
    if not isinstance(gpus, Sequence) or isinstance(gpus, (str, bytes)):
        raise FleetError(
            f"{where}: it must be a list of cards.", "Write - name: NVIDIA GeForce RTX 5090 below it.", where
        )
    return tuple(_parse(entry, index, f"{where}[{index}]") for index, entry in enumerate(gpus))


def _parse(entry: Any, index: int, where: str) -> Gpu:
    if not isinstance(entry, Mapping) or not entry.get("name"):
        raise FleetError(f"{where}: it has no name.", "Write name: NVIDIA GeForce RTX 5090, for example.", where)
    name = str(entry["name"])
    facts = CATALOGUE.get(name) or CATALOGUE.get(f"NVIDIA {name}") or CATALOGUE.get(f"NVIDIA GeForce {name}")
    total = entry.get("memory_total_bytes")
    if total is None and facts is None:
        raise FleetError(
            f"{where}.name: the catalogue has no card {name!r}.",
            f"Give its memory_total_bytes, or take one of {', '.join(CATALOGUE)}.",
            f"{where}.name",
        )
    usable = (
        parse_size(total, f"{where}.memory_total_bytes")
        if total is not None
        else facts.usable_mib * MIB
        if facts
        else 0
    )
    free = entry.get("memory_free_bytes")
    uuid = str(entry.get("uuid") or "")
    return Gpu(
        index=int(entry.get("index", index)),
        uuid=uuid or f"catalogue-{index}",
        name=name,
        usable_bytes=usable,
        free_bytes=None if free is None else parse_size(free, f"{where}.memory_free_bytes"),
        compute_capability=str(entry.get("compute_capability") or (facts.compute_capability if facts else "")),
    )
