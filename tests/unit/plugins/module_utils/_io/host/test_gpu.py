# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading cards and driver from trees of files that stand for hosts (a double: see tests/support/host_trees.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import driver, driver_state
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.distribution import Distribution
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_request import Host, Request
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.virtualization import Platform
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import gpu
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles
from ansible_collections.gpuserve.fleet.tests.support.host_trees import CLOSED, KERNEL, NEWER, TREES, HostTree

V580 = "580.178.04"


@pytest.fixture
def tree(tmp_path: Path) -> HostTree:
    return HostTree(tmp_path).kernel(KERNEL)


def state(tree: HostTree, kernel: str = KERNEL) -> driver_state.DriverState:
    return gpu.read_driver_state(HostFiles(str(tree.root)), tree.modinfo, kernel)


def decide(tree: HostTree, kernel: str = KERNEL) -> tuple[str, str]:
    decision = driver_state.decide(state(tree, kernel))
    return decision.action, decision.reason


def test_an_rtx_5090_and_not_its_sound(tree: HostTree) -> None:
    tree.gpu("0000:01:00.0", 0x2B85).gpu("0000:01:00.1", 0x22E8, kind="0x040300")
    tree.gpu("0000:00:02.0", 0xA780, vendor="0x8086")
    (card,) = gpu.gpus(HostFiles(str(tree.root)))
    assert (card.address, card.name) == ("0000:01:00.0", "NVIDIA GeForce RTX 5090")
    assert (card.generation.name, card.generation.open_modules) == ("Blackwell", "required")
    assert (card.pcie_width, card.bar_bytes) == (16, 32 << 30)


def test_two_cards_one_of_them_a_3d_controller(tree: HostTree) -> None:
    tree.gpu("0000:01:00.0", 0x2684).gpu("0000:41:00.0", 0x2335, kind="0x030200")
    found = gpu.gpus(HostFiles(str(tree.root)))
    assert [(card.name, card.generation.name) for card in found] == [
        ("NVIDIA GeForce RTX 4090", "Ada Lovelace"),
        ("NVIDIA H200", "Hopper"),
    ]


def test_no_card_and_no_sysfs(tree: HostTree) -> None:
    assert gpu.gpus(HostFiles(str(tree.root))) == []


def test_secure_boot_is_read_from_the_firmware_variable(tree: HostTree) -> None:
    files = HostFiles(str(tree.root))
    assert gpu.secure_boot(files) is False
    assert gpu.secure_boot(HostFiles(str(tree.secure_boot(False).root))) is False
    assert gpu.secure_boot(HostFiles(str(tree.secure_boot(True).root))) is True


def test_a_bare_host_needs_nothing(tree: HostTree) -> None:
    assert decide(tree) == ("none", "no NVIDIA driver is installed")


def test_a_host_that_works(tree: HostTree) -> None:
    tree.kernel(KERNEL, V580).loaded(V580).library(V580)
    assert state(tree).loaded_open is True
    assert decide(tree)[0] == "none"


def test_fresh_packages_wait_for_their_module(tree: HostTree) -> None:
    assert decide(tree.kernel(KERNEL, V580).library(V580)) == (
        "module_reload",
        f"the kernel module {V580} is installed and not loaded",
    )


def test_nouveau_asks_for_a_reboot(tree: HostTree) -> None:
    assert decide(tree.kernel(KERNEL, V580).library(V580).nouveau())[0] == "reboot"


def test_a_mismatch_is_mended_without_a_reboot_while_nobody_uses_the_card(tree: HostTree) -> None:
    tree.kernel(KERNEL, V580).library(V580).loaded("580.95.05")
    tree.process(900, "nvidia-persistenced"[:15], "/dev/nvidia0")
    assert decide(tree)[0] == "module_reload"


def test_a_mismatch_under_a_running_engine_asks_for_a_reboot(tree: HostTree) -> None:
    tree.kernel(KERNEL, V580).library(V580).loaded("580.95.05").process(4711, "python3", "/dev/nvidia0")
    assert decide(tree) == (
        "reboot",
        f"the kernel runs driver 580.95.05, and {V580} is installed, and python3 (pid 4711) uses the card",
    )


def test_other_modules_of_the_same_version_are_a_mismatch(tree: HostTree) -> None:
    tree.kernel(KERNEL, V580).library(V580).loaded(V580, CLOSED)
    assert decide(tree) == (
        "module_reload",
        "the kernel runs the proprietary modules, and the open ones are installed",
    )


def test_a_module_that_dkms_did_not_build_is_a_failure_and_no_reboot(tree: HostTree) -> None:
    action, reason = decide(tree.library(V580))
    assert action == "fail"
    assert "DKMS did not build it" in reason


def test_missing_headers_are_named(tmp_path: Path) -> None:
    tree = HostTree(tmp_path).write(f"lib/modules/{KERNEL}/modules.dep", "").library(V580)
    action, reason = decide(tree)
    assert (action, f"linux-headers-{KERNEL}" in reason) == ("fail", True)


def test_a_kernel_without_module_beside_a_newer_one_with_it_asks_for_a_reboot(tree: HostTree) -> None:
    assert decide(tree.kernel(NEWER, V580).library(V580))[0] == "reboot"


def test_the_next_boot_s_kernel_without_module_is_noted(tree: HostTree) -> None:
    tree.kernel(KERNEL, V580).kernel(NEWER).library(V580).loaded(V580)
    decision = driver_state.decide(state(tree))
    assert decision.action == "none"
    assert decision.notes == (f"the next boot takes kernel {NEWER}, for which there is no NVIDIA module",)
    assert decision.next_boot == decision.notes[0]


def test_a_next_boot_that_brings_the_driver_breaks_nothing(tree: HostTree) -> None:
    tree.kernel(KERNEL, V580).kernel(NEWER, V580).library(V580).loaded(V580)
    decision = driver_state.decide(state(tree))
    assert (decision.action, decision.next_boot) == ("none", "")
    assert decision.notes == (f"the next boot takes kernel {NEWER}",)


def test_a_next_boot_with_a_module_of_another_version_breaks_it(tree: HostTree) -> None:
    tree.kernel(KERNEL, V580).kernel(NEWER, "580.95.05").library(V580).loaded(V580)
    assert driver_state.decide(state(tree)).next_boot.endswith(
        f"whose NVIDIA module is 580.95.05 while the library is {V580}"
    )


@pytest.mark.parametrize("why", ["nouveau", "users", "no module"])
def test_no_reboot_into_a_kernel_that_has_no_module(tree: HostTree, why: str) -> None:
    tree.kernel(NEWER, None if why != "no module" else "580.95.05").library(V580)
    if why != "no module":
        tree.kernel(KERNEL, V580)
    if why == "nouveau":
        tree.nouveau()
    if why == "users":
        tree.loaded("580.95.05").process(4711, "python3", "/dev/nvidia0")
    action, reason = decide(tree)
    assert action == "fail"
    assert reason.startswith("a reboot is due (") and f"the next boot takes kernel {NEWER}" in reason


PERSISTENCE = "usr/lib/systemd/system/nvidia-persistenced.service"
UBUNTU_UNIT = """[Unit]
Description=NVIDIA Persistence Daemon
StopWhenUnneeded=true

[Service]
Type=forking
ExecStart=/usr/bin/nvidia-persistenced --user nvidia-persistenced --no-persistence-mode --verbose
"""
DEBIAN_UNIT = """[Service]
ExecStart=/usr/bin/nvidia-persistenced --user nvpd
[Install]
WantedBy=multi-user.target
"""


def test_a_persistence_daemon_with_its_purpose_off_gets_it_back(tree: HostTree) -> None:
    files = HostFiles(str(tree.write(PERSISTENCE, UBUNTU_UNIT).root))
    found = gpu.read_persistence(files, "# ours")
    assert found["drop_in"] == (
        "# ours\n[Unit]\nStopWhenUnneeded=false\n\n[Service]\nExecStart=\n"
        "ExecStart=/usr/bin/nvidia-persistenced --user nvidia-persistenced --persistence-mode --verbose\n"
        "\n[Install]\nWantedBy=multi-user.target\n"
    )
    assert (found["unit"], found["in_place"]) == (True, False)
    tree.write(gpu.PERSISTENCE_DROP_IN.lstrip("/"), found["drop_in"])
    assert gpu.read_persistence(files, "# ours")["in_place"]


def test_a_persistence_daemon_that_does_what_it_is_for_is_left_alone(tree: HostTree) -> None:
    files = HostFiles(str(tree.write(PERSISTENCE, DEBIAN_UNIT).root))
    assert gpu.read_persistence(files, "# ours") == {
        "unit": True,
        "enabled": False,
        "path": gpu.PERSISTENCE_DROP_IN,
        "drop_in": "",
        "in_place": True,
    }
    tree.write("etc/systemd/system/multi-user.target.wants/nvidia-persistenced.service", "")
    assert gpu.read_persistence(files, "# ours")["enabled"]
    # One that was needed once and is no longer goes.
    tree.write(gpu.PERSISTENCE_DROP_IN.lstrip("/"), "# ours\n[Service]\n")
    assert not gpu.read_persistence(files, "# ours")["in_place"]


def test_a_host_without_the_daemon_needs_no_drop_in(tree: HostTree) -> None:
    found = gpu.read_persistence(HostFiles(str(tree.root)), "# ours")
    assert (found["unit"], found["drop_in"], found["in_place"]) == (False, "", True)


def test_packages_of_two_versions_are_a_failure(tree: HostTree) -> None:
    assert decide(tree.kernel(KERNEL, V580).library("610.57.04"))[0] == "fail"


def test_kernels_are_ordered_by_number() -> None:
    releases = ["6.8.0-101-generic", "6.8.0-90-generic", "6.12.48+deb13-amd64", "6.12.9+deb13-amd64"]
    assert sorted(releases, key=driver_state.kernel_key) == [
        "6.8.0-90-generic",
        "6.8.0-101-generic",
        "6.12.9+deb13-amd64",
        "6.12.48+deb13-amd64",
    ]


UBUNTU = Distribution("ubuntu", "24.04", "24", "noble", "debian", "Ubuntu 24.04 LTS")
DEBIAN = Distribution("debian", "13", "13", "trixie", "debian", "Debian GNU/Linux 13")
# For each host: what Ubuntu gets (source and flavour), what Debian gets, and what the driver that is there needs.
FATES = {
    "RTX 5090": ("cuda_repo open", "cuda_repo open", "none"),
    "RTX 4090": ("cuda_repo open", "cuda_repo open", "none"),
    "two cards": ("cuda_repo open", "cuda_repo open", "none"),
    "no card": ("no NVIDIA card", "no NVIDIA card", "none"),
    "a driver that works": ("cuda_repo open", "cuda_repo open", "none"),
    "nouveau": ("cuda_repo open", "cuda_repo open", "reboot"),
    "mismatch": ("cuda_repo open", "cuda_repo open", "module_reload"),
    "DKMS missing": ("cuda_repo open", "cuda_repo open", "fail"),
    "Secure Boot on": ("distro open", "Secure Boot is on", "none"),
}


def fate(files: HostFiles, distribution: Distribution) -> str:
    try:
        host = Host(distribution, "x86_64", gpus=gpu.gpus(files), secure_boot=gpu.secure_boot(files))
        choice = driver.choose(Request(), host)
    except FleetError as error:
        return error.message
    return f"{choice.source} {choice.flavour}"


@pytest.mark.parametrize("name", TREES)
def test_each_host_from_its_files_to_the_decision(tmp_path: Path, name: str) -> None:
    tree = TREES[name](HostTree(tmp_path))
    files = HostFiles(str(tree.root))
    on_ubuntu, on_debian, needs = FATES[name]
    assert on_ubuntu in fate(files, UBUNTU)
    assert on_debian in fate(files, DEBIAN)
    assert decide(tree)[0] == needs


OLDER = "570.86.10"
LIBRARIES = "usr/lib/x86_64-linux-gnu"


def test_the_library_is_what_the_soname_leads_to_and_not_what_lies_there(tree: HostTree) -> None:
    tree.kernel(KERNEL, V580).loaded(V580).library(V580).lone_library("libnvidia-ml", OLDER, linked=False)
    assert (state(tree).userspace, decide(tree)[0]) == (V580, "none")
    # The other way round: packages of one branch, and what an old .run file left in front of them.
    tree.lone_library("libnvidia-ml", "595.84").lone_library("libcuda", "595.84")
    assert state(tree).userspace == "595.84"
    assert decide(tree)[0] == "fail"


def test_a_library_behind_debian_s_alternatives(tree: HostTree) -> None:
    tree.write(f"{LIBRARIES}/nvidia/current/libnvidia-ml.so.{V580}", "")
    tree.link(f"{LIBRARIES}/libnvidia-ml.so.1", "/etc/alternatives/nvidia--libnvidia-ml.so.1")
    tree.link("etc/alternatives/nvidia--libnvidia-ml.so.1", f"/{LIBRARIES}/nvidia/current/libnvidia-ml.so.1")
    tree.link(f"{LIBRARIES}/nvidia/current/libnvidia-ml.so.1", f"libnvidia-ml.so.{V580}")
    assert state(tree).userspace == V580


def test_a_libcuda_of_another_branch_than_nvml_is_a_failure(tree: HostTree) -> None:
    tree.kernel(KERNEL, V580).loaded(V580).library(V580).lone_library("libcuda", "615.71.09")
    action, reason = decide(tree)
    assert action == "fail"
    assert reason.startswith(f"libcuda.so.1, which engines load, is 615.71.09 and libnvidia-ml.so.1 is {V580}")
    assert state(tree).split


def test_a_kernel_that_was_removed_and_not_purged_is_no_next_kernel(tree: HostTree) -> None:
    tree.kernel(KERNEL, V580).loaded(V580).library(V580).write(f"boot/vmlinuz-{KERNEL}", "")
    tree.write(f"lib/modules/{NEWER}/modules.dep", "")
    assert (state(tree).newest_kernel, driver_state.decide(state(tree)).next_boot) == (KERNEL, "")
    tree.write(f"boot/vmlinuz-{NEWER}", "")
    assert state(tree).newest_kernel == NEWER


def test_headers_behind_a_link_that_leads_nowhere_are_none(tmp_path: Path) -> None:
    tree = HostTree(tmp_path).write(f"lib/modules/{KERNEL}/modules.dep", "").library(V580)
    tree.link(f"lib/modules/{KERNEL}/build", f"/usr/src/linux-headers-{KERNEL}")
    assert not state(tree).headers
    tree.write(f"usr/src/linux-headers-{KERNEL}/Makefile", "")
    assert state(tree).headers


def test_a_desktop_that_holds_the_display_is_ended_by_a_reboot(tree: HostTree) -> None:
    tree.kernel(KERNEL, V580).library(V580).nouveau()
    tree.process(1200, "gnome-shell", "/dev/dri/card1").process(800, "systemd-logind", "/dev/dri/card1")
    found = state(tree)
    assert (found.gpu_users, found.reboot_ends) == ((), ("gnome-shell (pid 1200)",))
    # On the card itself it stands in the way of a fresh module, too.
    tree.gpu("0000:01:00.0", 0x2B85).write("sys/bus/pci/devices/0000:01:00.0/drm/card1/dev", "226:1\n")
    assert state(tree).gpu_users == ("gnome-shell (pid 1200)",)


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        ("make[1]: /bin/sh: 1: gcc-13: not found", "the compiler that built the kernel is not there"),
        (
            "gcc: error: unrecognized command-line option '-fmin-function-alignment=16'",
            "the compiler is another one than built the kernel",
        ),
        ("Compiler version check failed:\n*** Failed CC version check.", "the compiler is another one"),
        ("fatal error: generated/autoconf.h: No such file or directory", "headers are not complete"),
        ("nv-dmabuf.c:852:9: error: implicit declaration of function 'dma_buf_get'", "too old for that kernel"),
        ("write error: No space left on device", "the disk is full"),
        ("nv.c:1: error: something new", "make.log says: nv.c:1: error: something new"),
        ("", "make.log say why"),
    ],
)
def test_a_build_that_failed_is_explained(tree: HostTree, log: str, cause: str) -> None:
    tree.library(V580).write(f"var/lib/dkms/nvidia/{V580}/build/make.log", f"DKMS make.log for nvidia-{V580}\n{log}\n")
    action, reason = decide(tree)
    assert action == "fail"
    assert "DKMS did not build it (" in reason and cause in reason


def test_a_run_file_is_told_by_its_uninstaller_and_a_library_that_no_package_owns(tree: HostTree) -> None:
    files = HostFiles(str(tree.library(V580).root))
    asked = []

    def owned(status: int) -> gpu.Run:
        def run(arguments: list[str]) -> tuple[int, str, str]:
            asked.append(arguments[-1])
            return status, "", ""

        return run

    assert not gpu.is_run_file(files, owned(1), V580)
    tree.write("usr/bin/nvidia-uninstall", "")
    assert gpu.is_run_file(files, owned(1), V580)
    assert not gpu.is_run_file(files, owned(0), V580)
    assert asked == [f"*/libnvidia-ml.so.{V580}"] * 2


@pytest.mark.parametrize(
    ("name", "text", "platform"),
    [
        ("proc/version", "Linux version 6.6.87.2-microsoft-standard-WSL2 (root@x)", Platform.WSL2),
        ("run/systemd/container", "lxc\n", Platform.CONTAINER),
        ("proc/1/environ", "TERM=linux\0container=lxc\0", Platform.CONTAINER),
        ("proc/version", "Linux version 6.8.12-1-pve (build@proxmox)", Platform.MACHINE),
    ],
)
def test_where_the_kernel_is(tree: HostTree, name: str, text: str, platform: Platform) -> None:
    assert gpu.read_platform(HostFiles(str(tree.write(name, text).root))) is platform


def test_a_card_that_is_bound_to_vfio_is_for_a_machine(tree: HostTree) -> None:
    tree.gpu("0000:01:00.0", 0x2B85).link(
        "sys/bus/pci/devices/0000:01:00.0/driver", "../../../bus/pci/drivers/vfio-pci"
    )
    (card,) = gpu.gpus(HostFiles(str(tree.root)))
    assert (card.driver, card.passed_through) == ("vfio-pci", True)


def test_a_proxmox_kernel_s_headers_have_another_name(tmp_path: Path) -> None:
    tree = HostTree(tmp_path).library(V580).write("lib/modules/6.8.12-1-pve/modules.dep", "")
    assert "(proxmox-headers-6.8.12-1-pve)" in decide(tree, "6.8.12-1-pve")[1]
