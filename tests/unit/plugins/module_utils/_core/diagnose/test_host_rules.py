# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a host: nothing of one that is well, one finding for each thing that is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.diagnose import host_rules
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.diagnose.evidence import (
    Disk,
    Evidence,
    GpuMemory,
    Process,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.diagnose.findings import Severity
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_state import DriverState
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.pci import Gpu

GIB = 1024**3
V = "580.178.04"
KERNEL = "6.12.57+deb13-amd64"
DRIVER = DriverState(
    KERNEL, KERNEL, loaded=V, loaded_open=True, on_disk=V, on_disk_open=True, userspace=V, cuda=V, headers=True
)
WELL = Evidence(
    gpus=[Gpu("0000:01:00.0", 0x2B85)],
    memory=[
        GpuMemory(
            "GPU-1", "NVIDIA GeForce RTX 5090", 32 * GIB, 4 * GIB, [Process(9, "VLLM::EngineCor", 28 * GIB, True)]
        )
    ],
    driver=DRIVER,
    disks=[Disk("/var/lib/gpuserve/cache", "weights", 300 * GIB, 900 * GIB)],
    time_synchronised=True,
    kernel_log=["nvidia: loading out-of-tree module taints kernel."],
    drained=[("127.0.0.1:8001", 20.0)],
)


def rules(seen: Evidence) -> list[tuple[str, str]]:
    return [(finding.rule, finding.severity.value) for finding in host_rules.judge(seen)]


def test_nothing_is_said_of_a_host_that_is_well() -> None:
    assert rules(WELL) == []
    assert rules(Evidence(need_card=False, kernel_log=None)) == []


@pytest.mark.parametrize(
    ("rule", "severity", "change"),
    [
        ("no_card", "fail", {"gpus": [], "memory": []}),
        ("xid_79", "fail", {"kernel_log": ["NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus."]}),
        ("xid_13", "warn", {"kernel_log": ["NVRM: Xid (PCI:0000:01:00): 13, Graphics Exception"]}),
        ("driver_reboot", "fail", {"driver": replace(DRIVER, loaded="570.1.2", gpu_users=("Xorg (pid 7)",))}),
        ("no_driver", "fail", {"driver": DriverState(KERNEL, KERNEL)}),
        ("nvml", "fail", {"nvml": "NVML answered 999"}),
        ("next_boot", "warn", {"driver": replace(DRIVER, newest_kernel="6.17.0-1", on_disk_newest=None)}),
        (
            "kernel_oom",
            "fail",
            {"kernel_log": ["Out of memory: Killed process 4711 (VLLM::EngineCor) total-vm:91234kB"]},
        ),
        ("kernel_oom", "fail", {"kernel_log": ["Memory cgroup out of memory: Killed process 4711 (python3)"]}),
        ("disk_errors", "fail", {"kernel_log": ["I/O error, dev nvme0n1, sector 8388608 op 0x0:(READ)"]}),
        ("disk_errors", "fail", {"kernel_log": ["EXT4-fs error (device nvme0n1p2): ext4_find_entry:1683: inode #2"]}),
        (
            "pcie_errors",
            "warn",
            {"kernel_log": ["pcieport 0000:00:01.0: PCIe Bus Error: severity=Uncorrectable (Fatal)"]},
        ),
        ("module_rejected", "fail", {"kernel_log": ["Loading of module with unavailable key is rejected"]}),
        ("api_mismatch", "fail", {"kernel_log": ["NVRM: API mismatch: the client has the version 580.178.04, but"]}),
        (
            "foreign_process",
            "warn",
            {"memory": [GpuMemory("GPU-1", "x", 32 * GIB, 0, [Process(7, "python3", 8 * GIB, False)])]},
        ),
        ("disk_full", "fail", {"disks": [Disk("/", "images", GIB // 2, 900 * GIB)]}),
        ("disk_nearly_full", "warn", {"disks": [Disk("/", "images", 30 * GIB, 900 * GIB)]}),
        ("dns", "warn", {"unresolved": ["huggingface.co"]}),
        ("clock", "warn", {"time_synchronised": False}),
        ("docker_down", "fail", {"docker": "Docker does not answer"}),
        ("unfinished", "warn", {"unfinished": "bringing up"}),
        ("drained", "warn", {"drained": [("127.0.0.1:8001", 10_000.0)]}),
    ],
)
def test_one_thing_is_one_finding(rule: str, severity: str, change: dict[str, object]) -> None:
    assert rules(replace(WELL, **change)) == [(rule, severity)]  # type: ignore[arg-type]


def test_small_and_own_use_of_a_card_and_an_unknown_clock_are_no_findings() -> None:
    few = [Process(7, "nvtop", 200 << 20, False)]
    assert rules(replace(WELL, memory=[GpuMemory("GPU-1", "x", 32 * GIB, 0, few)], time_synchronised=None)) == []


def test_a_finding_says_what_to_do_in_a_sentence() -> None:
    (finding,) = host_rules.judge(
        replace(WELL, memory=[GpuMemory("GPU-1", "x", 1, 0, [Process(7, "py\x1b[2J", 8 * GIB, False)])])
    )
    assert finding.severity is Severity.WARN and finding.subject == "card GPU-1"
    assert finding.text == "a process that is not ours (py\\x1b[2J, pid 7) uses 8.00 GiB"
    assert finding.remedy == "End it, or leave room for it: vllm_stack_reserved."


@pytest.mark.parametrize(
    ("free", "total", "rule"),
    [
        (GIB - 1, 900 * GIB, "disk_full"),
        (GIB, 900 * GIB, "disk_nearly_full"),
        (GIB, 20 * GIB, ""),
        (GIB, 20 * GIB + 1024, "disk_nearly_full"),
        (GIB, 0, ""),
    ],
)
def test_a_disk_at_its_bounds(free: int, total: int, rule: str) -> None:
    found = rules(replace(WELL, disks=[Disk("/x", "weights", free, total)]))
    assert [name for name, _severity in found] == ([rule] if rule else [])


@pytest.mark.parametrize(("used", "named"), [(256 * 1024**2 - 1, False), (256 * 1024**2, True)])
def test_a_foreign_process_at_its_bound(used: int, named: bool) -> None:
    gpu = GpuMemory("GPU-1", "x", 32 * GIB, 4 * GIB, [Process(7, "python3", used, False)])
    assert bool(rules(replace(WELL, memory=[gpu]))) is named


@pytest.mark.parametrize(("age_s", "said"), [(7200.0, ""), (7201.0, "for 2 hours"), (5.4 * 3600, "for 5 hours")])
def test_an_endpoint_that_is_left_out_for_long(age_s: float, said: str) -> None:
    found = host_rules.judge(replace(WELL, drained=[("127.0.0.1:8001", age_s)]))
    assert [one.text for one in found] == ([f"the gateway has left 127.0.0.1:8001 out {said}"] if said else [])


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("PKCS#7 signature not signed with a trusted key; Key was rejected by service", "module_rejected"),
        ("Loading of unsigned module is rejected", "module_rejected"),
        ("nvidia: module verification failed: signature and/or required key missing - rejected", "module_rejected"),
        ("pcieport 0000:00:01.0: AER: Uncorrected (Fatal) error received", "pcie_errors"),
        ("PCIe Bus Error: severity=Uncorrected (Non-Fatal)", "pcie_errors"),
        ("oom-kill:constraint=CONSTRAINT_NONE,task=python3", "kernel_oom"),
        ("XFS (nvme0n1p1): Metadata corruption detected", "disk_errors"),
        ("Remounting filesystem read-only", "disk_errors"),
        ("NVRM: API mismatch: the client has the version 570", "api_mismatch"),
    ],
)
def test_a_line_of_the_kernel(line: str, rule: str) -> None:
    assert [name for name, _severity in rules(replace(WELL, kernel_log=["first", line, "last"]))] == [rule]


@pytest.mark.parametrize(
    ("driver", "rule", "remedy"),
    [
        (replace(DRIVER, loaded="570.1.2"), "driver_not_loaded", "which loads it"),
        (replace(DRIVER, loaded=None), "driver_not_loaded", "which loads it"),
        (replace(DRIVER, userspace="570.1.2"), "driver_broken", "which says what has to be repaired first"),
        (replace(DRIVER, nouveau=True), "driver_reboot", "Reboot the host"),
    ],
)
def test_a_driver_that_does_not_work(driver: DriverState, rule: str, remedy: str) -> None:
    (found,) = host_rules.judge(replace(WELL, driver=driver))
    assert (found.rule, found.severity, found.subject) == (rule, Severity.FAIL, "driver")
    assert remedy in found.remedy


def test_what_nvml_says_is_shown_where_the_driver_itself_is_well() -> None:
    (found,) = host_rules.judge(replace(WELL, nvml="NVML answered 999"))
    assert (found.subject, found.text) == ("driver", "NVML does not answer: NVML answered 999")
    assert found.remedy == "See `dmesg | grep NVRM` on the host."
