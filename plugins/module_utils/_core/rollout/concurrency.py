# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How engines are started, one after the other or several at once, how many, and why: by what the plan knows and what the host has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import CPU_UUID
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import Service
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB, gib

# What a start takes of the host's own memory: each process of an engine its Python, torch and CUDA's buffers, once for the server and
# once a rank; and the tensors that are on their way to the card. Weights are mapped from their files: pages that the host takes back.
PROCESS_BYTES = 3 * GIB // 2
TENSORS_BYTES = GIB
# The host's own.
RESERVE_BYTES = GIB
# A start compiles and captures: it keeps about this many cores busy.
CORES_A_START = 2


@dataclass(frozen=True)
class Host:
    """What there is for starts. `tells_apart` is whether it can be read what each process holds on a card."""

    cores: int
    free_ram_bytes: int
    tells_apart: bool = True


@dataclass(frozen=True)
class Mode:
    """`parallel` starts at once on one card, `at_once` on the whole host (0: no bound); `reason` is for people."""

    name: str
    reason: str
    parallel: int = 1
    at_once: int = 0


def ram_bytes(service: Service) -> int:
    """What one start needs of the host's memory. On the CPU that is the plan itself, which the gate before a start weighs."""
    if CPU_UUID in service.gpus:
        return 0
    return (1 + len(service.gpus)) * PROCESS_BYTES + min(service.weights_bytes, TENSORS_BYTES)


def choose(services: Sequence[Service], asked: str, max_parallel: int, host: Host) -> Mode:
    """The mode for these starts; `asked` is auto, serial or parallel, `max_parallel` 0 where nobody said."""
    inexact = [service.name for service in services if not service.exact_kv]
    by_ram, ram_reason = _by_ram(services, host)
    at_once = min(bound for bound in (max_parallel, by_ram, len(services) + 1) if bound)
    at_once = at_once if at_once <= len(services) else 0
    if asked == "serial":
        return Mode("serial", "vllm_stack_mode says so", 1, at_once)
    if inexact:
        return Mode("serial", f"{', '.join(inexact)} sizes its own cache, which others must not disturb", 1, at_once)
    if not host.tells_apart:
        return Mode("serial", "nobody can tell here what each process holds on a card", 1, at_once)
    if by_ram == 1:
        return Mode("serial", ram_reason, 1, at_once)
    by_cores = max_parallel or max(1, host.cores // CORES_A_START)
    if asked == "parallel":
        bound = f", {ram_reason}" if by_ram else ""
        return Mode("parallel", f"vllm_stack_mode says so{bound}", max(2, by_cores), at_once)
    if max_parallel == 1:
        return Mode("serial", "vllm_stack_max_parallel is 1", 1, at_once)
    if by_cores < 2:
        return Mode("serial", f"{host.cores} cores are too few for two starts at once", 1, at_once)
    return Mode(
        "parallel",
        f"every engine has exact KV bytes{_bounds(services, by_cores, max_parallel, by_ram, ram_reason)}",
        by_cores,
        at_once,
    )


def _by_ram(services: Sequence[Service], host: Host) -> tuple[int, str]:
    """How many of these may start at once by the host's memory, whichever they are, and why; 0 where all may."""
    needs = sorted((ram_bytes(service) for service in services), reverse=True)
    spare = host.free_ram_bytes - RESERVE_BYTES
    if sum(needs) <= spare or len(needs) < 2:
        return 0, ""
    most = max(1, sum(1 for count in range(1, len(needs) + 1) if sum(needs[:count]) <= spare))
    need = sum(needs[: most + 1])
    many = f"{most} at once" if most > 1 else "one at a time"
    return (
        most,
        f"{many}: {most + 1} starts take up to {gib(need)} of the host's RAM and {gib(max(0, spare))} are free for them",
    )


def _bounds(services: Sequence[Service], by_cores: int, max_parallel: int, by_ram: int, ram_reason: str) -> str:
    """What bounds a parallel start, where anything does."""
    if by_ram and by_ram <= by_cores:
        return f"; {ram_reason}"
    if by_cores >= len(services):
        return ""
    return f"; {by_cores} at once: " + ("vllm_stack_max_parallel" if max_parallel else "the host's cores")
