# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cards: what one holds that a process can use, and what a process takes on it before it does anything."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spelling import nearest
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import (
    MIB,
    parse_size,
    parse_written_size,
    round_up,
    whole_number,
)

CPU_UUID = "cpu"
# Less than this is what a driver's own bookkeeping moves by.
_FOREIGN_STEP = 128 * MIB


@dataclass(frozen=True)
class GpuFacts:
    """One entry of the catalogue: what CUDA reports as total, the architecture, and where the figure comes from."""

    usable_mib: int
    compute_capability: str
    source: str


# Usable is not nominal: the driver keeps 0.4 to 1.8 % for itself (and ECC its share where it is on), newer drivers more than older ones.
# Where reports differ the least of them stands here. A host's own NVML overrides all of it.
CATALOGUE: Mapping[str, GpuFacts] = {
    "NVIDIA GeForce RTX 5090": GpuFacts(
        32113, "12.0", "31.36 to 31.37 GiB in engines' logs and torch's out-of-memory texts"
    ),
    "NVIDIA GeForce RTX 4090": GpuFacts(24080, "8.9", "23.52 GiB in torch's texts (drivers before 560: 23.64)"),
    "NVIDIA GeForce RTX 3090": GpuFacts(
        24124, "8.6", "23.56 GiB in torch's texts (23.58 in an engine's log, older drivers 23.69)"
    ),
    "NVIDIA GeForce RTX 5080": GpuFacts(
        15831, "12.0", "15.47 to 15.49 GiB in torch's texts of the series' 16 GB cards"
    ),
    "NVIDIA GeForce RTX 5070 Ti": GpuFacts(15831, "12.0", "as the 5080, of 16303 MiB"),
    "NVIDIA GeForce RTX 5060 Ti": GpuFacts(15831, "12.0", "as the 5080, of 16311 MiB (there is one with 8 GB)"),
    "NVIDIA GeForce RTX 4080": GpuFacts(15943, "8.9", "15.57 GiB, the least in torch's texts of 16 GB cards of 8.x"),
    "NVIDIA GeForce RTX 4080 SUPER": GpuFacts(15943, "8.9", "as the 4080"),
    "NVIDIA GeForce RTX 3080": GpuFacts(10014, "8.6", "9.78 GiB in torch's text (zai-org/CogVideo#34)"),
    "NVIDIA RTX A4000": GpuFacts(15984, "8.6", "15.61 GiB in torch's text (DengKaiCQ/VGGT-Long#6)"),
    "NVIDIA RTX A5000": GpuFacts(24124, "8.6", "as the 3090, which is the same chip with 24 GB; not reported itself"),
    "NVIDIA RTX A6000": GpuFacts(
        48404, "8.6", "47.27 to 47.53 GiB in torch's texts of 48 GB cards of 8.6, of 49140 MiB"
    ),
    "NVIDIA RTX 6000 Ada Generation": GpuFacts(
        45496, "8.9", "44.43 GiB in torch's text with ECC on, of 46068 MiB (DINGYANB/MTVCrafter#21)"
    ),
    "Tesla T4": GpuFacts(14929, "7.5", "14.58 GiB in torch's text with ECC on (datawhalechina/self-llm#162)"),
    "NVIDIA RTX PRO 5000 Blackwell": GpuFacts(
        48130,
        "12.0",
        "2 % less than 48 GB, as the most that a driver keeps elsewhere; not reported itself (there is one with 72 GB)",
    ),
    "NVIDIA GB10": GpuFacts(
        124610, "12.1", "121.69 GiB in engines' texts; the host's own memory, and shared with it (vss-blueprint#1743)"
    ),
    "NVIDIA RTX PRO 6000 Blackwell Workstation Edition": GpuFacts(
        97249, "12.0", "94.97 GiB by CUDA on a card with 97887 MiB"
    ),
    "NVIDIA RTX PRO 6000 Blackwell Server Edition": GpuFacts(
        97249, "12.0", "as the workstation edition, not reported itself"
    ),
    "NVIDIA L4": GpuFacts(22558, "8.9", "22.03 GiB in torch's texts, of 23034 MiB"),
    "NVIDIA L40S": GpuFacts(45455, "8.9", "44.39 to 44.53 GiB in torch's texts, of 46068 MiB"),
    "NVIDIA A10": GpuFacts(22502, "8.6", "21.98 to 21.99 GiB in torch's texts, of 23028 MiB"),
    "NVIDIA A100-SXM4-40GB": GpuFacts(40326, "8.0", "39.38 GiB in torch's texts; deviceQuery prints 40339 MiB"),
    "NVIDIA A100-SXM4-80GB": GpuFacts(81037, "8.0", "79.14 to 79.15 GiB in torch's texts, of 81920 MiB"),
    "NVIDIA H100 80GB HBM3": GpuFacts(81006, "9.0", "79.11 GiB in torch's text in an issue of vLLM, of 81559 MiB"),
    "NVIDIA H200": GpuFacts(143156, "9.0", "139.80 GiB in torch's texts, of 143771 MiB"),
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
    # What processes outside of containers hold now: a desktop, a notebook, another stack's.
    foreign_bytes: int = 0
    # What the user keeps free.
    reserved_bytes: int = 0

    @property
    def is_cpu(self) -> bool:
        return self.uuid == CPU_UUID

    @property
    def capability(self) -> tuple[int, int] | None:
        """Its compute capability as numbers; None where it is not known."""
        if not self.compute_capability:
            return None
        major, _dot, minor = self.compute_capability.partition(".")
        return int(major), int(minor)

    @property
    def left_bytes(self) -> int:
        """Bytes that others leave, without what has to stay free."""
        return max(0, self.usable_bytes - self.foreign_bytes - self.reserved_bytes)


def parse_gpus(gpus: Any, where: str = "vllm_stack_gpus") -> tuple[Gpu, ...]:
    """Cards as gpu_info returns them, or named from the catalogue; one that is neither is a FleetError."""
    if not isinstance(gpus, Sequence) or isinstance(gpus, (str, bytes)):
        fail(where, "it must be a list of cards.", "Write - name: NVIDIA GeForce RTX 5090 below it.")
    found = tuple(_parse(entry, index, f"{where}[{index}]") for index, entry in enumerate(gpus))
    for key in ("index", "uuid"):
        seen = [getattr(gpu, key) for gpu in found]
        twice = next((place for place, value in enumerate(seen) if value in seen[:place]), None)
        if twice is not None:
            fail(f"{where}[{twice}].{key}", f"{seen[twice]} is another card's too.", "Give each card its own.")
    return found


def named_gpus(words: str, where: str) -> tuple[Gpu, ...]:
    """Cards of the catalogue as people write them, a comma between two; one that it does not have is a FleetError."""
    names = [word.strip() for word in words.split(",") if word.strip()]
    if not names:
        fail(where, "it names no card.", "Write 5090, or 5090,5090 for two.")
    return tuple(named_gpu(name, where, index) for index, name in enumerate(names))


def named_gpu(name: str, where: str, index: int = 0) -> Gpu:
    """A card of the catalogue as people write it; one that it does not have is a FleetError."""
    try:
        return _parse({"name": name}, index, where)
    except FleetError as error:
        fail(where, error.what, error.remedy)


_NOT_TELLING = ("nvidia", "geforce", "rtx", "tesla", "quadro", "generation", "edition", "gpu", "blackwell")


def _known(name: str) -> str:
    """The catalogue's name for one as NVML gives it, or as people do: "rtx-5090", "5090", "h200"; itself where there is none."""
    if name in CATALOGUE:
        return name
    wanted = _short(name)
    found = [known for known in CATALOGUE if _short(known) == wanted]
    if not found and wanted:
        # "H100" and "A100 80GB": the words of one card alone.
        found = [known for known in CATALOGUE if set(wanted.split()) <= set(_short(known).split())]
    return found[0] if len(found) == 1 or (found and _same(found)) else name


def _meant_gpu(name: str) -> str:
    """Return the question for the nearest card of the catalogue, compared by the words that tell cards apart."""
    short = {_short(known): known for known in CATALOGUE}
    near = nearest(_short(name), short)
    return f"Did you mean {short[near]}? Else give its memory_total_bytes." if near else ""


def _short(name: str) -> str:
    spaced = re.sub(r"[^a-z0-9]+", " ", name.casefold())
    # "RTX5090" and "5070ti" are written in one.
    spaced = re.sub(r"\brtx(?=\d)", "rtx ", re.sub(r"(?<=\d)(ti|super)\b", r" \1", spaced))
    return " ".join(word for word in spaced.split() if word not in _NOT_TELLING)


def _same(names: Sequence[str]) -> bool:
    """Whether several cards are the same to a plan."""
    return len({(CATALOGUE[name].usable_mib, CATALOGUE[name].compute_capability) for name in names}) == 1


def _parse(entry: Any, index: int, where: str) -> Gpu:
    if not isinstance(entry, Mapping) or not entry.get("name"):
        fail(where, "it has no name.", "Write name: NVIDIA GeForce RTX 5090, for example.")
    name = _known(str(entry["name"]))
    facts = CATALOGUE.get(name)
    total = entry.get("memory_total_bytes")
    if total is None and facts is None:
        fail(
            f"{where}.name",
            f"the catalogue has no card {name!r}.",
            _meant_gpu(name) or f"Give its memory_total_bytes, or take one of {', '.join(CATALOGUE)}.",
        )
    usable = (
        parse_written_size(total, f"{where}.memory_total_bytes")
        if total is not None
        else facts.usable_mib * MIB
        if facts
        else 0
    )
    if usable <= 0:
        fail(f"{where}.memory_total_bytes", f"{total!r} is no size of a card.", "Write it like 24GiB.")
    number = entry.get("index", index)
    whole = whole_number(number)
    if whole is None or whole < 0:
        fail(f"{where}.index", f"{number!r} is no number of a card.", "Count from 0, or leave it out.")
    capability = str(entry.get("compute_capability") or (facts.compute_capability if facts else ""))
    if capability and not re.fullmatch(r"\d{1,2}\.\d", capability):
        fail(f"{where}.compute_capability", f"{capability!r} is none.", "Write it like 12.0.")
    free = entry.get("memory_free_bytes")
    uuid = str(entry.get("uuid") or "")
    free_bytes = None if free is None else parse_size(free, f"{where}.memory_free_bytes")
    return Gpu(
        index=whole,
        uuid=uuid or f"catalogue-{index}",
        name=name,
        usable_bytes=usable,
        free_bytes=free_bytes,
        compute_capability=capability,
        foreign_bytes=0
        if free_bytes is None or uuid == CPU_UUID
        else _foreign(usable, free_bytes, entry.get("processes")),
    )


def _foreign(usable: int, free: int, processes: Any) -> int:
    """Bytes that nothing in a container holds, in whole steps: a desktop's moves by a few MiB from one reading to the next."""
    used = max(0, usable - free)
    listed = processes if isinstance(processes, Sequence) and not isinstance(processes, str) else ()
    for process in listed:
        if not isinstance(process, Mapping) or not process.get("container"):
            continue
        size = process.get("used_bytes")
        if not isinstance(size, int):
            # The driver does not say what an engine holds (WSL, vGPU), so neither what others do.
            return 0
        used -= size
    return 0 if used < _FOREIGN_STEP else round_up(used, _FOREIGN_STEP)
