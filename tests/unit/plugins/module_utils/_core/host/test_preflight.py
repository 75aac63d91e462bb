# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What preflight says of hosts."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import preflight as hp
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_state import DriverState
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.pci import Gpu
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.virtualization import Platform

BOUND = Gpu("0000:02:00.0", 0x2B85, driver="vfio-pci")
RTX_5090 = Gpu("0000:01:00.0", 0x2B85, pcie_width=16, pcie_max_width=16, bar_bytes=32 << 30)
K = "6.8.0-90-generic"


def driver(version: str = "580.178.04", **values: Any) -> DriverState:
    state: dict[str, Any] = {"loaded": version, "on_disk": version, "userspace": version, "on_disk_open": True}
    return DriverState(**{"kernel": K, "newest_kernel": K, **state, **values})


def snapshot(**values: Any) -> hp.Snapshot:
    good: dict[str, Any] = {
        "gpus": [RTX_5090],
        "driver": driver(),
        "disks": [hp.Disk("/var/lib/docker", "images", 80 << 30, 40 << 30)],
        "ram_bytes": 64 << 30,
        "min_ram_bytes": 16 << 30,
        "ports_wanted": [8000],
        "time_synchronised": True,
        "names": ["huggingface.co"],
        "image": "vllm/vllm-openai:v0.33.0",
    }
    return hp.Snapshot(**{**good, **values})


def lines(**values: Any) -> dict[str, hp.Check]:
    return {check.id: check for check in hp.judge(snapshot(**values)) if check.status != hp.OK}


def test_a_good_host_is_ok_throughout() -> None:
    checks = hp.judge(snapshot())
    assert hp.worst(checks) == hp.OK
    assert {check.id for check in checks} >= {
        "card",
        "pcie",
        "bar",
        "driver",
        "cuda",
        "modules",
        "headers",
        "port",
        "dns",
    }


@pytest.mark.parametrize(
    ("values", "check", "status", "found"),
    [
        ({"gpus": []}, "card", "fail", "no NVIDIA card on the PCI bus"),
        ({"gpus": [Gpu("a", 0x2B85, 4, 16, 32 << 30)]}, "pcie", "warn", "a runs 4 of 16 lanes"),
        ({"gpus": [Gpu("a", 0x2B85, 16, 16, 256 << 20)]}, "bar", "warn", "a shows 0.2 GiB"),
        ({"driver": driver("560.35.03")}, "branch", "fail", "branch 560 does not know NVIDIA GeForce RTX 5090"),
        ({"driver": driver("570.86.10")}, "cuda", "fail", "branch 570 for CUDA 13.0 in vllm/vllm-openai:v0.33.0"),
        (
            {"driver": driver(on_disk_open=False, loaded_open=False)},
            "modules",
            "fail",
            "the proprietary kernel modules",
        ),
        ({"driver": driver(loaded=None), "secure_boot": True}, "secure_boot", "warn", "on"),
        ({"driver": DriverState(K, K)}, "driver", "warn", "no NVIDIA driver is installed"),
        ({"driver": DriverState(K, K, headers=False)}, "headers", "warn", f"none for {K}"),
        (
            {"driver": driver(newest_kernel="6.8.0-101-generic")},
            "kernel",
            "warn",
            "the next boot takes kernel 6.8.0-101-generic, for which there is no NVIDIA module",
        ),
        (
            {"disks": [hp.Disk("/data", "weights", 10 << 30, 40 << 30)]},
            "disk",
            "fail",
            "10.0 GiB free in /data for weights",
        ),
        ({"ram_bytes": 8 << 30}, "ram", "warn", "8.0 GiB of memory"),
        ({"ports_taken": {8000: "nginx (pid 7)"}}, "port", "fail", "8000 is taken by nginx (pid 7)"),
        ({"time_synchronised": False}, "time", "warn", "the clock is not synchronised"),
        ({"unresolved": ["huggingface.co"]}, "dns", "fail", "huggingface.co does not resolve"),
        ({"reboot_pending": True}, "reboot", "warn", "one is pending"),
        ({"platform": Platform.WSL2, "gpus": []}, "platform", "warn", "WSL2, where the driver is Windows's"),
        ({"platform": Platform.WSL2, "gpus": []}, "card", "fail", "Windows hands none over"),
        (
            {"platform": Platform.CONTAINER},
            "platform",
            "warn",
            "a container (LXC or another), whose kernel is its host's",
        ),
        (
            {"platform": Platform.CONTAINER, "driver": driver(userspace="570.86.10")},
            "driver",
            "fail",
            "the host has loaded 580.178.04, and the library in here is 570.86.10",
        ),
        (
            {"platform": Platform.CONTAINER, "driver": driver(userspace=None)},
            "driver",
            "fail",
            "the host has loaded 580.178.04, and there is no library of it in here",
        ),
        (
            {"platform": Platform.CONTAINER, "driver": driver(loaded=None)},
            "driver",
            "fail",
            "the host of this container has loaded none",
        ),
        ({"hypervisor": True}, "platform", "warn", "a Proxmox host"),
        (
            {"gpus": [BOUND]},
            "card",
            "fail",
            "NVIDIA GeForce RTX 5090 at 0000:02:00.0 is bound to vfio-pci, to be handed to a virtual machine",
        ),
        (
            {"gpus": [RTX_5090, BOUND]},
            "card",
            "warn",
            "NVIDIA GeForce RTX 5090 at 0000:02:00.0 is bound to vfio-pci, to be handed to a virtual machine",
        ),
    ],
)
def test_what_is_wrong_is_said_with_a_remedy(values: dict[str, Any], check: str, status: str, found: str) -> None:
    line = lines(**values)[check]
    assert (line.status, line.found) == (status, found)
    assert line.remedy


def test_a_newer_kernel_that_has_the_module_is_no_warning() -> None:
    assert "kernel" not in lines(driver=driver(newest_kernel="6.8.0-101-generic", on_disk_newest="580.178.04"))


def test_a_port_of_ours_is_no_obstacle() -> None:
    assert "port" not in lines(ports_taken={8000: "ours"})


@pytest.mark.parametrize(
    ("image", "cuda"),
    [
        ("vllm/vllm-openai:v0.33.0", (13, 0)),
        ("vllm/vllm-openai:v0.20.0", (13, 0)),
        ("vllm/vllm-openai:v0.19.1", (12, 8)),
        ("vllm/vllm-openai:v0.33.0-cu129", (12, 9)),
        ("lmsysorg/sglang:v0.5.19-cu129", (12, 9)),
        ("vllm/vllm-openai-cpu:v0.31.0", None),
        ("registry.local/engine@sha256:00", None),
    ],
)
def test_cuda_of_an_image(image: str, cuda: tuple[int, int] | None) -> None:
    assert hp.cuda_of_image(image) == cuda


def test_the_table_has_a_line_for_every_check() -> None:
    checks = hp.judge(snapshot(reboot_pending=True))
    text = hp.table("gpu01", checks)
    assert text[0] == "gpu01   warn"
    assert len(text) == len(checks) + 1
    assert " ".join(text[-1].split()) == "warn reboot one is pending Reboot before the driver changes."


def test_a_card_that_windows_hands_over_is_one() -> None:
    assert "card" not in lines(platform=Platform.WSL2, gpus=[], windows_library=True, driver=DriverState(K, K))


def test_a_container_is_not_told_of_kernels_headers_and_secure_boot() -> None:
    checks = {check.id for check in hp.judge(snapshot(platform=Platform.CONTAINER, driver=driver(headers=False)))}
    assert checks & {"kernel", "headers", "secure_boot", "modules"} == set()


def test_a_host_whose_only_card_is_bound_is_not_told_to_install_a_driver() -> None:
    checks = {check.id for check in hp.judge(snapshot(gpus=[BOUND], driver=DriverState(K, K)))}
    assert "driver" not in checks


def of(check: str, **values: Any) -> hp.Check | None:
    """The check of this name, whatever it says; None where there is none."""
    return next((one for one in hp.judge(snapshot(**values)) if one.id == check), None)


@pytest.mark.parametrize(
    ("size", "status"), [(1 << 28, "warn"), ((1 << 28) + 1, "ok"), (1 << 24, "warn"), (1 << 30, "ok")]
)
def test_a_window_of_a_quarter_of_a_gibibyte_is_small(size: int, status: str) -> None:
    found = of("bar", gpus=[Gpu("0000:01:00.0", 0x2B85, bar_bytes=size)])
    assert found is not None and found.status == status
    assert bool(found.remedy) is (status == "warn")


@pytest.mark.parametrize(("there", "status"), [(16 << 30, "ok"), ((16 << 30) - 1, "warn")])
def test_memory_is_enough_where_it_is_what_is_asked_for(there: int, status: str) -> None:
    found = of("ram", ram_bytes=there)
    assert found is not None and found.status == status


@pytest.mark.parametrize(("free", "status"), [(40 << 30, "ok"), ((40 << 30) - 1, "fail")])
def test_a_disk_is_enough_where_it_has_what_is_asked_for(free: int, status: str) -> None:
    found = of("disk", disks=[hp.Disk("/var/lib/docker", "images", free, 40 << 30)])
    assert found is not None and found.status == status


def test_nothing_is_said_of_modules_that_nobody_knows() -> None:
    assert of("modules", driver=driver(on_disk_open=None)) is None
    assert of("modules", driver=driver(on_disk_open=True)) is not None


def test_an_image_for_an_older_cuda_is_named_where_the_driver_is_too_old() -> None:
    found = of("cuda", driver=driver("570.86.10"))
    assert found is not None and found.status == "fail"
    assert "or an image with CUDA 12." in found.remedy


def test_a_line_without_a_remedy_ends_with_what_was_found() -> None:
    text = hp.table("gpu01", [hp.Check("ram", hp.OK, "64 GiB of memory"), hp.Check("port", "fail", "8000", "End it.")])
    assert text == ["gpu01   fail", "  ok    ram   64 GiB of memory", "  fail  port  8000   End it."]


def test_a_driver_that_can_t_be_mended_by_a_reboot_fails() -> None:
    found = of("driver", driver=driver(userspace="570.1"))
    assert found is not None and found.status == "fail"


def test_bounds_of_memory_and_of_the_bar() -> None:
    assert "ram" not in lines(ram_bytes=16 << 30) and "ram" in lines(ram_bytes=(16 << 30) - 1)
    assert "bar" in lines(gpus=[Gpu("a", 0x2B85, 16, 16, 256 << 20)])
    assert "bar" not in lines(gpus=[Gpu("a", 0x2B85, 16, 16, (256 << 20) + 1)])
    assert "disk" not in lines(disks=[hp.Disk("/data", "weights", 40 << 30, 40 << 30)])


def test_modules_that_are_not_known_are_not_judged() -> None:
    checks = {check.id for check in hp.judge(snapshot(driver=driver(on_disk_open=None)))}
    assert "modules" not in checks and "driver" in checks


def test_a_line_has_its_remedy_where_there_is_one() -> None:
    checks = [hp.Check("ram", hp.OK, "64.0 GiB of memory"), hp.Check("port", hp.FAIL, "8000 is taken", "End that.")]
    assert hp.table("box", checks) == [
        "box   fail",
        "  ok    ram   64.0 GiB of memory",
        "  fail  port  8000 is taken   End that.",
    ]
    assert hp.table("box", []) == ["box   ok"]
