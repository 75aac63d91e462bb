# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVML through nvidia-ml-py: the cards, their memory, and who holds it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

try:
    import pynvml

    PYNVML_ERROR: str | None = None
except ImportError as error:
    PYNVML_ERROR = str(error)


class NvmlError(Exception):
    """NVML can't answer; the text says why."""


def _text(error: Any) -> str:
    """What NVML says, and what it means where its words don't tell."""
    if getattr(error, "value", None) == getattr(pynvml, "NVML_ERROR_LIB_RM_VERSION_MISMATCH", 18):
        return "driver/library version mismatch: the driver was upgraded under the one that is loaded, reboot the host"
    return str(error)


class Nvml:
    """One session with NVML: open it, ask, close it."""

    def __init__(self) -> None:
        if PYNVML_ERROR is not None:
            raise NvmlError(f"the Python package nvidia-ml-py is missing ({PYNVML_ERROR})")
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise NvmlError(_text(error)) from error

    def __enter__(self) -> Nvml:
        return self

    def __exit__(self, *_: object) -> None:
        pynvml.nvmlShutdown()

    def gpus(self) -> list[dict[str, Any]]:
        """Every card as gpu_info returns it."""
        try:
            driver, cuda = str(pynvml.nvmlSystemGetDriverVersion()), int(pynvml.nvmlSystemGetCudaDriverVersion())
            version = f"{cuda // 1000}.{cuda % 1000 // 10}"
            return [self._gpu(index, driver, version) for index in range(pynvml.nvmlDeviceGetCount())]
        except pynvml.NVMLError as error:
            raise NvmlError(_text(error)) from error

    def free_bytes(self, uuid: str) -> int:
        """Memory free on one card now."""
        try:
            return int(_memory(pynvml.nvmlDeviceGetHandleByUUID(uuid)).free)
        except pynvml.NVMLError as error:
            raise NvmlError(_text(error)) from error

    def process_bytes(self, uuid: str) -> dict[int, int] | None:
        """Bytes by host pid on one card; None where this driver does not tell what a process holds."""
        found = self._processes(uuid)
        return None if None in found.values() else {pid: int(size or 0) for pid, size in found.items()}

    def _processes(self, uuid: str) -> dict[int, int | None]:
        try:
            handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
            return {p.pid: p.usedGpuMemory for p in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)}
        except pynvml.NVMLError as error:
            raise NvmlError(_text(error)) from error

    def _gpu(self, index: int, driver: str, cuda: str) -> dict[str, Any]:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        memory, uuid = _memory(handle), str(pynvml.nvmlDeviceGetUUID(handle))
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
        return {
            "index": index,
            "uuid": uuid,
            "name": str(pynvml.nvmlDeviceGetName(handle)),
            # What the driver keeps for itself is in no process's reach.
            "memory_total_bytes": int(memory.total) - int(getattr(memory, "reserved", 0)),
            "memory_free_bytes": int(memory.free),
            "compute_capability": f"{major}.{minor}",
            "driver_version": driver,
            "cuda_version": cuda,
            "processes": [
                {"pid": pid, "used_bytes": int(used or 0), "container": container_of(pid)}
                for pid, used in self._processes(uuid).items()
            ],
        }


def _memory(handle: Any) -> Any:
    try:
        return pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)
    except pynvml.NVMLError:
        return pynvml.nvmlDeviceGetMemoryInfo(handle)


def container_of(pid: int, proc: str = "/proc") -> str | None:
    """The id of the container that a process is in, as Docker names it; None outside of one."""
    try:
        text = Path(proc, str(pid), "cgroup").read_text(encoding="ascii")
    except OSError:
        return None
    match = re.search(r"docker[-/]([0-9a-f]{64})", text)
    return match.group(1) if match else None
