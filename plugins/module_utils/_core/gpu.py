# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cards: what one holds that a process can use, and what a process takes on it before it does anything."""

from __future__ import annotations

import re
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


# Usable is not nominal: the driver keeps 0.4 to 1.8 % for itself (and ECC its share where it is on), newer drivers more than older ones.
# Where reports differ the least of them stands here. A host's own NVML overrides all of it.
CATALOGUE: Mapping[str, CardFacts] = {
    "NVIDIA GeForce RTX 5090": CardFacts(
        32113, "12.0", "31.36 to 31.37 GiB in engines' logs and torch's out-of-memory texts"
    ),
    "NVIDIA GeForce RTX 4090": CardFacts(24080, "8.9", "23.52 GiB in torch's texts (drivers before 560: 23.64)"),
    "NVIDIA GeForce RTX 3090": CardFacts(
        24124, "8.6", "23.56 GiB in torch's texts (23.58 in an engine's log, older drivers 23.69)"
    ),
    "NVIDIA RTX PRO 6000 Blackwell Workstation Edition": CardFacts(
        97249, "12.0", "94.97 GiB by CUDA on a card with 97887 MiB"
    ),
    "NVIDIA RTX PRO 6000 Blackwell Server Edition": CardFacts(
        97249, "12.0", "as the workstation edition, not reported itself"
    ),
    "NVIDIA L4": CardFacts(22558, "8.9", "22.03 GiB in torch's texts, of 23034 MiB"),
    "NVIDIA L40S": CardFacts(45455, "8.9", "44.39 to 44.53 GiB in torch's texts, of 46068 MiB"),
    "NVIDIA A10": CardFacts(22502, "8.6", "21.98 to 21.99 GiB in torch's texts, of 23028 MiB"),
    "NVIDIA A100-SXM4-40GB": CardFacts(40326, "8.0", "39.38 GiB in torch's texts; deviceQuery prints 40339 MiB"),
    "NVIDIA A100-SXM4-80GB": CardFacts(81037, "8.0", "79.14 to 79.15 GiB in torch's texts, of 81920 MiB"),
    "NVIDIA H100 80GB HBM3": CardFacts(81006, "9.0", "79.11 GiB in torch's text in an issue of vLLM, of 81559 MiB"),
    "NVIDIA H200": CardFacts(143156, "9.0", "139.80 GiB in torch's texts, of 143771 MiB"),
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
    found = tuple(_parse(entry, index, f"{where}[{index}]") for index, entry in enumerate(gpus))
    for key in ("index", "uuid"):
        seen = [getattr(gpu, key) for gpu in found]
        twice = next((place for place, value in enumerate(seen) if value in seen[:place]), None)
        if twice is not None:
            raise FleetError(
                f"{where}[{twice}].{key}: {seen[twice]} is another card's too.",
                "Give each card its own.",
                f"{where}[{twice}].{key}",
            )
    return found


def _known(name: str) -> str:
    """The catalogue's name for one as NVML gives it, or as people do: "RTX 5090", "L4", "h200"; itself where there is none."""
    wanted = name.casefold().removeprefix("nvidia ").removeprefix("geforce ")
    short = {known.casefold().removeprefix("nvidia ").removeprefix("geforce "): known for known in CATALOGUE}
    return short.get(wanted, name)


def _parse(entry: Any, index: int, where: str) -> Gpu:
    if not isinstance(entry, Mapping) or not entry.get("name"):
        raise FleetError(f"{where}: it has no name.", "Write name: NVIDIA GeForce RTX 5090, for example.", where)
    name = _known(str(entry["name"]))
    facts = CATALOGUE.get(name)
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
    if usable <= 0:
        raise FleetError(
            f"{where}.memory_total_bytes: {total!r} is no size of a card.",
            "Write it like 24GiB.",
            f"{where}.memory_total_bytes",
        )
    number = entry.get("index", index)
    if isinstance(number, bool) or not str(number).isdecimal():
        raise FleetError(
            f"{where}.index: {number!r} is no number of a card.", "Count from 0, or leave it out.", f"{where}.index"
        )
    capability = str(entry.get("compute_capability") or (facts.compute_capability if facts else ""))
    if capability and not re.fullmatch(r"\d{1,2}\.\d", capability):
        raise FleetError(
            f"{where}.compute_capability: {capability!r} is none.", "Write it like 12.0.", f"{where}.compute_capability"
        )
    free = entry.get("memory_free_bytes")
    uuid = str(entry.get("uuid") or "")
    return Gpu(
        index=int(number),
        uuid=uuid or f"catalogue-{index}",
        name=name,
        usable_bytes=usable,
        free_bytes=None if free is None else parse_size(free, f"{where}.memory_free_bytes"),
        compute_capability=capability,
    )
