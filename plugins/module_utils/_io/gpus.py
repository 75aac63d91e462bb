# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cards of a host as a plan takes them: those that the driver knows, else those that PCI shows."""

from __future__ import annotations

from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import CATALOGUE, CPU_UUID
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import gpu as bus
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.nvml import Nvml, NvmlError
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.proc import meminfo


def read(device: str, files: HostFiles) -> dict[str, Any]:
    """Return `gpus`, `on_bus` and, where no card answers, the `reason`."""
    if device == "cpu":
        return {"gpus": [host_as_gpu()], "on_bus": []}
    try:
        with Nvml() as nvml:
            found, reason = nvml.gpus(), "The driver answers and knows of no card."
    except NvmlError as error:
        found, reason = [], f"NVML does not answer: {error}."
    return {"gpus": found, "on_bus": []} if found else {"gpus": [], "on_bus": on_bus(files), "reason": reason}


def host_as_gpu() -> dict[str, Any]:
    """Return the host's memory as the one card of engines that compute on the CPU."""
    memory = meminfo()
    return {
        "index": 0,
        "uuid": CPU_UUID,
        "name": "CPU (host memory)",
        "memory_total_bytes": memory["MemTotal"],
        "memory_free_bytes": memory["MemAvailable"],
        "compute_capability": "",
        "driver_version": "",
        "cuda_version": "",
        "processes": [],
    }


def on_bus(files: HostFiles) -> list[dict[str, str]]:
    """Return the cards that PCI shows as a plan takes them; none where one of them is not in the catalogue."""
    names = [gpu.name for gpu in bus.gpus(files) if not gpu.passed_through]
    return [{"name": name} for name in names] if all(name in CATALOGUE for name in names) else []
