# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was read of a host before it is judged: plain data, with nothing decided yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_state import DriverState
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.pci import Gpu


@dataclass(frozen=True)
class Container:
    """A container of ours: an engine with its model, or the gateway, whose model is empty.

    `status` and `health` are Docker's words; `restarts` counts since it was made, `age_s` are seconds since its start; `error` is what
    Docker says of a start that it refused.
    """

    name: str
    model: str = ""
    status: str = "running"
    health: str = ""
    exit_code: int | None = None
    oom_killed: bool = False
    restarts: int = 0
    age_s: float = 0
    error: str = ""
    log: Sequence[str] = ()
    group: str = ""  # an engine's place among those of several hosts, such as 0/2
    # For how long the first one of several was asked for a token in vain, though it calls itself healthy.
    silent_s: float = 0


@dataclass(frozen=True)
class Process:
    """A process with memory on a card."""

    pid: int
    name: str
    used_bytes: int
    ours: bool


@dataclass(frozen=True)
class GpuMemory:
    """A card's memory as NVML shows it."""

    uuid: str
    name: str
    total_bytes: int
    free_bytes: int
    processes: Sequence[Process] = ()


@dataclass(frozen=True)
class Disk:
    """A file system that we fill."""

    path: str
    purpose: str
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class Evidence:
    """All that was read. `docker` and `nvml` say why there is no answer, and are empty where there is one.

    `expected` are the containers of the set that proved itself, `unfinished` what a run began and never ended, `drained` endpoints
    that the gateway leaves out, each with the seconds since then.
    """

    docker: str = ""
    containers: Sequence[Container] = ()
    expected: Sequence[str] = ()
    gateway_expected: bool = False
    need_card: bool = True
    gpus: Sequence[Gpu] = ()
    memory: Sequence[GpuMemory] = ()
    nvml: str = ""
    driver: DriverState = field(default_factory=lambda: DriverState(kernel="", newest_kernel=""))
    kernel_log: Sequence[str] | None = ()
    disks: Sequence[Disk] = ()
    unresolved: Sequence[str] = ()
    time_synchronised: bool | None = None
    unfinished: str = ""
    drained: Sequence[tuple[str, float]] = ()
