# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cards as NVML tells them, over a fake library: memory in reach, who holds it, and what is said where NVML can't answer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._io import nvml as module
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.nvml import Nvml, NvmlError, container_of

GIB = 1024**3
ID = "0123456789abcdef" * 4


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """One card of 80 GiB, of which the driver keeps 1 and two processes hold some."""
    found = SimpleNamespace(
        processes=[SimpleNamespace(pid=7, usedGpuMemory=3 * GIB), SimpleNamespace(pid=9, usedGpuMemory=GIB)],
        reserved=True,
        ended=0,
    )

    def memory(handle: str, version: int | None = None) -> Any:
        if version is None:
            return SimpleNamespace(total=80 * GIB, free=70 * GIB)
        if not found.reserved:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
        return SimpleNamespace(total=80 * GIB, free=69 * GIB, reserved=GIB)

    def end() -> None:
        found.ended += 1

    answers: dict[str, Any] = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": end,
        "nvmlSystemGetDriverVersion": lambda: "580.95.05",
        "nvmlSystemGetCudaDriverVersion": lambda: 13020,
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda index: f"handle {index}",
        "nvmlDeviceGetHandleByUUID": lambda uuid: f"handle {uuid}",
        "nvmlDeviceGetUUID": lambda handle: "GPU-a",
        "nvmlDeviceGetName": lambda handle: "NVIDIA H100 80GB HBM3",
        "nvmlDeviceGetCudaComputeCapability": lambda handle: (9, 0),
        "nvmlDeviceGetComputeRunningProcesses": lambda handle: found.processes,
        "nvmlDeviceGetMemoryInfo": memory,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)
    monkeypatch.setattr(module, "container_of", lambda pid: ID if pid == 7 else None)
    return found


def test_a_card_is_told_with_what_a_process_can_reach(card: SimpleNamespace) -> None:
    with Nvml() as nvml:
        assert nvml.gpus() == [
            {
                "index": 0,
                "uuid": "GPU-a",
                "name": "NVIDIA H100 80GB HBM3",
                "memory_total_bytes": 79 * GIB,
                "memory_free_bytes": 69 * GIB,
                "compute_capability": "9.0",
                "driver_version": "580.95.05",
                "cuda_version": "13.2",
                "processes": [
                    {"pid": 7, "used_bytes": 3 * GIB, "container": ID},
                    {"pid": 9, "used_bytes": GIB, "container": None},
                ],
            }
        ]
        assert card.ended == 0
    assert card.ended == 1


def test_an_older_driver_says_nothing_of_what_it_keeps(card: SimpleNamespace) -> None:
    card.reserved = False
    assert Nvml().gpus()[0]["memory_total_bytes"] == 80 * GIB
    assert Nvml().free_bytes("GPU-a") == 70 * GIB


def test_what_processes_hold(card: SimpleNamespace) -> None:
    assert Nvml().process_bytes("GPU-a") == {7: 3 * GIB, 9: GIB}
    card.processes = []
    assert Nvml().process_bytes("GPU-a") == {}


def test_a_driver_that_does_not_tell_what_one_process_holds_tells_nothing_of_any(card: SimpleNamespace) -> None:
    card.processes[1].usedGpuMemory = None
    assert Nvml().process_bytes("GPU-a") is None
    assert Nvml().gpus()[0]["processes"][1]["used_bytes"] == 0


@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("nvmlInit", lambda nvml: Nvml()),
        ("nvmlDeviceGetCount", lambda nvml: nvml.gpus()),
        ("nvmlDeviceGetHandleByUUID", lambda nvml: nvml.free_bytes("GPU-a")),
        ("nvmlDeviceGetHandleByUUID", lambda nvml: nvml.process_bytes("GPU-a")),
    ],
)
def test_nvml_that_can_t_answer(card: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, name: str, ask: Any) -> None:
    nvml = Nvml()

    def refuse(*_given: object) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)

    monkeypatch.setattr(pynvml, name, refuse)
    with pytest.raises(NvmlError, match=r"^driver/library version mismatch: .*reboot the host$"):
        ask(nvml)


def test_other_errors_are_said_in_nvml_s_words() -> None:
    assert module._text(pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)) == "GPU is lost"


def test_a_host_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PYNVML_ERROR", "No module named 'pynvml'")
    with pytest.raises(NvmlError, match="nvidia-ml-py is missing"):
        Nvml()


@pytest.mark.parametrize(
    ("text", "container"),
    [
        (f"0::/system.slice/docker-{ID}.scope\n", ID),
        (f"4:memory:/docker/{ID}\n", ID),
        ("0::/user.slice/user-0.slice\n", None),
        (f"0::/docker-{ID[:63]}\n", None),
    ],
)
def test_the_container_of_a_process(tmp_path: Path, text: str, container: str | None) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cgroup").write_text(text)
    assert container_of(7, str(tmp_path)) == container
    assert container_of(8, str(tmp_path)) is None
