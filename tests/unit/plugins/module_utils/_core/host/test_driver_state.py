# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What module, libraries and kernels come to: what is done, why, and what the next boot would break."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_state import (
    DriverState,
    cuda_sentence,
    decide,
    dkms_cause,
    kernel_key,
    nvml_sentence,
    parse_loaded,
)

K, NEWER = "6.8.0-45-generic", "6.8.0-47-generic"
GOOD = DriverState(K, K, "580.95.05", True, "580.95.05", True, "580.95.05", "580.95.05", "580.95.05")


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        ("/bin/sh: 1: gcc-13: not found", "the compiler that built the kernel is not there"),
        ("x86_64-linux-gnu-gcc-12: command not found", "the compiler that built the kernel is not there"),
        ("ERROR: compiler 'cc' could not be run", "the compiler that built the kernel is not there"),
        ("unable to find a suitable compiler", "the compiler that built the kernel is not there"),
        ("gcc: error: unrecognized command-line option '-ftrivial-auto-var-init'", "the compiler is another one"),
        ("Compiler version check failed:", "the compiler is another one"),
        ("ERROR: Kernel configuration is invalid.", "the kernel's headers are not complete"),
        ("fatal error: linux/kconfig.h: No such file or directory", "the kernel's headers are not complete"),
        ("fatal error: error writing to /tmp/x.s: No space left on device", "the disk is full"),
        ("nv.c:1: error: implicit declaration of function 'x'", "this driver is too old for that kernel"),
        ("nv.c:1: error: too many arguments to function 'x'", "this driver is too old for that kernel"),
        ("fine\n  nv.c:1: Error: 1\nerror: 2", "make.log says: nv.c:1: Error: 1"),
        ("all is well", ""),
        ("terrors of the deep", ""),
    ],
)
def test_why_a_build_failed(log: str, cause: str) -> None:
    found = dkms_cause(log)
    assert found.startswith(cause) if cause else found == ""


def test_the_telling_cause_wins_and_a_long_line_is_cut() -> None:
    assert dkms_cause("error: implicit declaration\nNo space left on device") == "the disk is full"
    assert dkms_cause(f"error {'x' * 300}") == f"make.log says: error {'x' * 154}"


def test_the_loaded_module() -> None:
    proprietary = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22\nGCC version: 13\n"
    opened = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\n"
    assert parse_loaded(proprietary) == ("550.54.14", False)
    assert parse_loaded(opened) == ("580.95.05", True)
    assert parse_loaded("") == (None, None)


def test_kernels_are_ordered_by_their_numbers() -> None:
    assert kernel_key("6.8.0-100-generic") > kernel_key("6.8.0-45-generic")
    assert kernel_key("6.10.0-1") > kernel_key("6.9.0-1")
    assert kernel_key("6.8.0-45") == kernel_key("6.8.0-45")


def test_a_split_is_of_two_versions_that_are_known() -> None:
    assert not GOOD.split
    assert not replace(GOOD, userspace=None, cuda=None).split
    assert replace(GOOD, on_disk="570.1").split
    assert replace(GOOD, userspace="570.1").split
    assert replace(GOOD, cuda="570.1").split


def test_whom_a_reboot_ends_is_named_once() -> None:
    state = replace(GOOD, gpu_users=("python3", "Xorg"), display_users=("Xorg", "gdm"))
    assert state.reboot_ends == ("python3", "Xorg", "gdm")


@pytest.mark.parametrize(
    ("change", "action", "reason"),
    [
        ({}, "none", "driver 580.95.05 is loaded, on disk and in the library"),
        ({"on_disk": None, "userspace": None}, "none", "no NVIDIA driver is installed"),
        ({"userspace": None}, "fail", "the kernel module is there and libnvidia-ml.so.1 is not"),
        ({"on_disk": "570.1"}, "fail", "the kernel module on disk is 570.1 and the library is 580.95.05"),
        ({"cuda": "570.1"}, "fail", "libcuda.so.1, which engines load, is 570.1 and libnvidia-ml.so.1 is 580.95.05"),
        ({"cuda": None}, "none", "driver 580.95.05"),
        ({"nouveau": True}, "reboot", "nouveau drives the card"),
        ({"loaded": None}, "module_reload", "the kernel module 580.95.05 is installed and not loaded"),
        ({"loaded": "570.1"}, "module_reload", "the kernel runs driver 570.1, and 580.95.05 is installed"),
        (
            {"loaded_open": False},
            "module_reload",
            "the kernel runs the proprietary modules, and the open ones are installed",
        ),
        ({"on_disk_open": False}, "module_reload", "the kernel runs the open modules, and the proprietary ones are"),
        ({"loaded_open": None}, "none", "driver"),
        ({"on_disk_open": None}, "none", "driver"),
        ({"loaded": "570.1", "gpu_users": tuple("abcd")}, "reboot", "and a, b, c uses the card"),
        ({"gpu_users": ("a",)}, "none", "driver"),
        (
            {"on_disk": None},
            "fail",
            f"there is no NVIDIA module for the running kernel {K}: DKMS did not build it (`dkms",
        ),
        (
            {"on_disk": None, "dkms_failure": "the disk is full"},
            "fail",
            f"{K}: DKMS did not build it (the disk is full)",
        ),
        ({"on_disk": None, "headers": False}, "fail", f"since its headers (linux-headers-{K}) are not installed"),
        (
            {"on_disk": None, "newest_kernel": NEWER, "on_disk_newest": "580.95.05"},
            "reboot",
            f"the running kernel {K} has no NVIDIA module, and the newer {NEWER} has 580.95.05",
        ),
        (
            {"on_disk": None, "newest_kernel": NEWER, "on_disk_newest": None},
            "fail",
            "there is no NVIDIA module for the",
        ),
        (
            {"nouveau": True, "newest_kernel": NEWER, "on_disk_newest": None},
            "fail",
            f"a reboot is due (nouveau drives the card and gives it up only at a reboot), and the next boot takes kernel {NEWER}",
        ),
    ],
)
def test_what_is_done(change: dict[str, Any], action: str, reason: str) -> None:
    found = decide(replace(GOOD, **change))
    assert found.action == action
    assert reason in found.reason


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({}, ""),
        ({"newest_kernel": NEWER, "on_disk_newest": "580.95.05"}, ""),
        (
            {"newest_kernel": NEWER, "on_disk_newest": None},
            f"the next boot takes kernel {NEWER}, for which there is no NVIDIA module",
        ),
        (
            {"newest_kernel": NEWER, "on_disk_newest": None, "headers_newest": False},
            f"for which there is no NVIDIA module: its headers (linux-headers-{NEWER}) are missing",
        ),
        (
            {"newest_kernel": NEWER, "on_disk_newest": "570.1"},
            f"the next boot takes kernel {NEWER}, whose NVIDIA module is 570.1 while the library is 580.95.05",
        ),
        ({"newest_kernel": NEWER, "on_disk_newest": None, "userspace": None}, ""),
    ],
)
def test_what_the_next_boot_breaks(change: dict[str, Any], broken: str) -> None:
    found = decide(replace(GOOD, **change)).next_boot
    assert found.endswith(broken) if broken else found == ""


def test_a_newer_kernel_is_noted_where_there_is_a_driver() -> None:
    note = f"the next boot takes kernel {NEWER}"
    assert decide(GOOD).notes == ()
    assert decide(replace(GOOD, newest_kernel=NEWER, on_disk_newest="580.95.05")).notes == (note,)
    assert decide(replace(GOOD, newest_kernel=NEWER, userspace=None)).notes == (note,)
    assert decide(replace(GOOD, newest_kernel=NEWER, on_disk=None, userspace=None)).notes == ()
    (broken,) = decide(replace(GOOD, newest_kernel=NEWER, on_disk_newest=None)).notes
    assert broken == f"{note}, for which there is no NVIDIA module"


def test_what_statuses_mean() -> None:
    for status, words in {
        -1: "libcuda.so.1 was not found",
        100: "no device",
        802: "nvidia-fabricmanager",
        803: "another version than the loaded",
        804: "compatibility library",
        999: "dmesg",
    }.items():
        assert words in cuda_sentence(status), status
    assert cuda_sentence(1) == "cuInit answered 1"
    assert nvml_sentence(9) == "the driver is not loaded"
    assert "another version" in nvml_sentence(18) and "not found" in nvml_sentence(12)
    assert nvml_sentence(0) == "NVML answered 0"
