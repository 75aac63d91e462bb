# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which driver a host gets, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import driver as hd
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.distribution import Distribution, Package
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_packages import (
    InstalledDriver,
    Source,
    installed_driver,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_request import Choice, Host, Request
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_state import DriverState
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.pci import Gpu
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.virtualization import Platform

RTX_5090, RTX_4090, V100 = Gpu("0000:01:00.0", 0x2B85), Gpu("0000:01:00.0", 0x2684), Gpu("0000:02:00.0", 0x1DB6)
UBUNTU = Distribution("ubuntu", "24.04", "24", "noble", "debian", "Ubuntu 24.04 LTS")
UBUNTU_26 = Distribution("ubuntu", "26.04", "26", "resolute", "debian", "Ubuntu 26.04 LTS")
DEBIAN_12 = Distribution("debian", "12", "12", "bookworm", "debian", "Debian GNU/Linux 12")
DEBIAN_13 = Distribution("debian", "13", "13", "trixie", "debian", "Debian GNU/Linux 13")
ROCKY_9 = Distribution("rocky", "9.6", "9", "", "redhat", "Rocky Linux 9.6")
K = "6.8.0-90-generic"
WORKS = DriverState(K, K, loaded="595.84", loaded_open=True, on_disk="595.84", userspace="595.84", cuda="595.84")


def host(distribution: Distribution = UBUNTU, *gpus: Gpu, **read: Any) -> Host:
    return Host(distribution, "x86_64", **{"gpus": gpus or (RTX_5090,), "state": DriverState(K, K), **read})


def choose(distribution: Distribution = UBUNTU, *gpus: Gpu, secure_boot: bool = False, **request: Any) -> Choice:
    return hd.choose(Request(**request), host(distribution, *gpus, secure_boot=secure_boot))


def found_by(packages: dict[str, str], distribution: Distribution = UBUNTU) -> InstalledDriver:
    driver = installed_driver({name: Package(version) for name, version in packages.items()}, distribution)
    assert driver is not None
    return driver


@pytest.mark.parametrize(
    ("distribution", "branch", "folder", "packages"),
    [
        (
            UBUNTU,
            580,
            "ubuntu2404",
            ("libnvidia-compute-580", "nvidia-dkms-580-open", "nvidia-utils-580", "nvidia-compute-utils-580"),
        ),
        (UBUNTU_26, 595, "ubuntu2604", ("libnvidia-compute", "nvidia-dkms-open")),
        (DEBIAN_12, 580, "debian12", ("nvidia-driver-cuda", "nvidia-kernel-open-dkms")),
        (DEBIAN_13, 595, "debian13", ("nvidia-driver-cuda", "nvidia-kernel-open-dkms")),
    ],
    ids=lambda value: value.name if isinstance(value, Distribution) else None,
)
def test_a_5090_gets_the_open_modules_and_nothing_for_desktops(
    distribution: Distribution, branch: int, folder: str, packages: tuple[str, ...]
) -> None:
    choice = choose(distribution)
    assert (choice.source, choice.flavour) == ("cuda_repo", "open")
    assert (choice.branch, choice.repository_folder, choice.packages) == (branch, folder, packages)
    assert choice.pin == f"{branch}.*"


def test_the_whole_desktop_on_request() -> None:
    assert choose(compute_only=False).packages == ("nvidia-open-580",)
    assert choose(UBUNTU_26, compute_only=False).packages == ("nvidia-open",)
    assert choose(UBUNTU, RTX_4090, compute_only=False, flavour="proprietary").packages == ("cuda-drivers-580",)


def test_an_exact_version_pins_it_and_names_its_branch() -> None:
    choice = choose(version="580.95.05")
    assert (choice.branch, choice.pin) == (580, "580.95.05*")


def test_secure_boot_on_ubuntu_takes_the_signed_modules() -> None:
    choice = choose(secure_boot=True)
    assert (choice.source, choice.dkms) == ("distro", False)
    assert "linux-modules-nvidia-580-server-open-generic" in choice.packages


def test_secure_boot_with_an_enrolled_key_builds_as_ever() -> None:
    assert choose(DEBIAN_13, secure_boot=True, mok_enrolled=True).source == "cuda_repo"


def test_an_old_card_gets_the_last_branch_that_knows_it() -> None:
    choice = choose(UBUNTU, V100)
    assert (choice.branch, choice.flavour) == (580, "proprietary")


@pytest.mark.parametrize(
    ("distribution", "key"),
    [(UBUNTU, "3bf863cc.pub"), (UBUNTU_26, "60DF8A40.pub"), (DEBIAN_12, "3bf863cc.pub"), (DEBIAN_13, "8793F200.pub")],
    ids=lambda value: value.name if isinstance(value, Distribution) else None,
)
def test_each_repository_has_the_key_that_signs_it(distribution: Distribution, key: str) -> None:
    choice = choose(distribution)
    assert choice.repository_key == key
    # NVIDIA names its key files after the end of the fingerprint.
    assert choice.repository_fingerprint.endswith(key.removesuffix(".pub").upper())
    assert len(choice.repository_fingerprint) == 40


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "a branch older than the card",
        {"branch": 545},
        "nvidia_driver_branch: 545 is too old, NVIDIA GeForce RTX 5090 (Blackwell) needs 570 or newer.",
        "Set nvidia_driver_branch to 580.",
    ),
    (
        "a version older than the card",
        {"version": "545.23.08"},
        "nvidia_driver_version: 545 is too old, NVIDIA GeForce RTX 5090 (Blackwell) needs 570 or newer.",
        "Set nvidia_driver_version to 580.",
    ),
    (
        "closed modules for Blackwell",
        {"flavour": "proprietary"},
        "nvidia_driver_flavour: proprietary does not drive NVIDIA GeForce RTX 5090, Blackwell cards need "
        "the open kernel modules.",
        "Set it to open.",
    ),
    (
        "a branch that Debian 13's repository lacks",
        {"distribution": DEBIAN_13, "branch": 580},
        "nvidia_driver_branch: 580 is not in NVIDIA's repository for Debian GNU/Linux 13, which starts at 590.",
        "Set nvidia_driver_branch to 595.",
    ),
    (
        "Debian's own driver",
        {"distribution": DEBIAN_13, "source": "distro"},
        "nvidia_driver_source: Debian GNU/Linux 13 ships no driver of branch 570 or newer.",
        "Set it to cuda_repo.",
    ),
    (
        "Secure Boot on Debian",
        {"distribution": DEBIAN_13, "secure_boot": True},
        "nvidia_driver_mok_enrolled: Secure Boot is on, and a kernel module built on this host would not load.",
        "nvidia_driver_mok_enrolled: true",
    ),
    (
        "a version of another branch",
        {"branch": 580, "version": "595.71.05"},
        "nvidia_driver_version: 595.71.05 is not of branch 580.",
        "nvidia_driver_branch: 595",
    ),
    (
        "a distribution we don't know",
        {"distribution": Distribution("arch", "", "", "", "", "Arch Linux")},
        "nvidia_driver_source: none is installed on Arch Linux.",
        "Debian 12 and 13",
    ),
]


@pytest.mark.parametrize(("request_", "message", "remedy"), [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED])
def test_refused_with_the_reason_and_the_value_to_use(request_: dict[str, Any], message: str, remedy: str) -> None:
    distribution = request_.pop("distribution", UBUNTU)
    with pytest.raises(FleetError) as caught:
        choose(distribution, **request_)
    assert caught.value.message == message
    assert remedy in caught.value.remedy
    assert caught.value.remedy.endswith("Nothing was changed.")


def test_cards_that_no_one_driver_serves() -> None:
    with pytest.raises(FleetError, match="One host can't drive both"):
        choose(UBUNTU, RTX_5090, V100)


def test_the_open_modules_for_an_old_card_are_refused() -> None:
    with pytest.raises(FleetError, match="Set it to proprietary"):
        choose(UBUNTU, V100, flavour="open")


def test_a_host_without_a_card_is_refused_unless_allowed() -> None:
    bare = host(gpus=())
    with pytest.raises(FleetError, match="no NVIDIA card is on this host's PCI bus"):
        hd.choose(Request(), bare)
    assert hd.choose(Request(require_card=False), bare).flavour == "open"


def test_arm_takes_the_server_folder() -> None:
    arm = Host(UBUNTU, "aarch64", gpus=(RTX_5090,))
    assert hd.choose(Request(), arm).repository_architecture == "sbsa"
    with pytest.raises(FleetError, match="riscv64"):
        hd.choose(Request(), Host(UBUNTU, "riscv64", gpus=(RTX_5090,)))


def test_a_gb10_needs_580() -> None:
    spark = Gpu("0000:01:00.0", 0x2E12)
    assert spark.name == "NVIDIA GB10"
    with pytest.raises(FleetError, match="needs 580 or newer"):
        choose(UBUNTU, spark, branch=570)


@pytest.mark.parametrize(
    ("available", "gpu", "branch"),
    [
        ({580, 595, 610, 620}, RTX_5090, 620),
        ({580, 595, 610}, RTX_5090, 580),
        ({595, 610}, RTX_5090, 595),
        ({610}, RTX_5090, 580),
        ({580, 595, 620}, V100, 580),
    ],
)
def test_the_default_is_the_newest_long_term_branch_that_the_repository_has(
    available: set[int], gpu: Gpu, branch: int
) -> None:
    choice = hd.choose(Request(), host(UBUNTU, gpu), available)
    assert (choice.branch, choice.pin) == (branch, f"{branch}.*")


def test_unnumbered_names_where_the_default_is_newer_than_590() -> None:
    assert hd.choose(Request(), host(), {580, 620}).packages == ("libnvidia-compute", "nvidia-dkms-open")


# What works stays: a driver that is there and nothing that asks for another one.
UBUNTUS_595 = {
    "nvidia-driver-595-open": "595.84-0ubuntu0.24.04.1",
    "libnvidia-compute-595": "595.84-0ubuntu0.24.04.1",
    "nvidia-utils-595": "595.84-0ubuntu0.24.04.1",
    "nvidia-compute-utils-595": "595.84-0ubuntu0.24.04.1",
    "nvidia-kernel-common-595": "595.84-0ubuntu0.24.04.1",
    "linux-modules-nvidia-595-open-generic-hwe-24.04": "6.17.0-14.14~24.04.1+1",
    "linux-modules-nvidia-595-open-6.17.0-14-generic": "6.17.0-14.14~24.04.1+1",
}
UBUNTUS_580_SERVER = {
    "nvidia-headless-no-dkms-580-server-open": "580.159.03-0ubuntu0.24.04.1",
    "libnvidia-compute-580-server": "580.159.03-0ubuntu0.24.04.1",
    "nvidia-dkms-580-server-open": "580.159.03-0ubuntu0.24.04.1",
}
PPA = {"libnvidia-compute-595": "595.84-0ubuntu0~gpu24.04.1", "nvidia-dkms-595": "595.84-0ubuntu0~gpu24.04.1"}
NVIDIAS_610 = {
    "nvidia-open": "610.57.04-1ubuntu1",
    "libnvidia-compute": "610.57.04-1ubuntu1",
    "nvidia-dkms-open": "610.57.04-1ubuntu1",
}
NVIDIAS_580 = {"libnvidia-compute-580": "580.95.05-0ubuntu1", "nvidia-dkms-580-open": "580.95.05-0ubuntu1"}


@pytest.mark.parametrize(
    ("packages", "source", "branch", "wanted"),
    [
        (UBUNTUS_595, "distro", 595, "linux-modules-nvidia-595-open-generic-hwe-24.04"),
        (UBUNTUS_580_SERVER, "distro", 580, "nvidia-dkms-580-server-open"),
        (PPA, "distro", 595, "nvidia-dkms-595"),
        (NVIDIAS_610, "cuda_repo", 610, "nvidia-dkms-open"),
        (NVIDIAS_580, "cuda_repo", 580, "nvidia-dkms-580-open"),
    ],
    ids=["Ubuntu's, prebuilt", "Ubuntu's, server, DKMS", "PPA", "NVIDIA's 610", "NVIDIA's 580"],
)
def test_a_driver_that_is_there_keeps_source_branch_and_modules(
    packages: dict[str, str], source: str, branch: int, wanted: str
) -> None:
    gpu = RTX_4090 if packages is PPA else RTX_5090
    choice = hd.choose(Request(), host(UBUNTU, gpu, installed=found_by(packages)))
    assert (choice.source, choice.branch) == (source, branch)
    assert wanted in choice.packages
    # A prebuilt signed module is not exchanged for one of DKMS's.
    assert choice.dkms == ("dkms" in wanted)
    assert set(choice.packages) & {"nvidia-dkms-595-open", "nvidia-dkms-595-server-open"} == set()


def test_on_another_branch_the_same_kernels_have_prebuilt_modules() -> None:
    # The running kernel's flavour is not told from packages here: the modules' own metas say which kernels get them.
    choice = hd.choose(Request(branch=620), host(UBUNTU, RTX_5090, installed=found_by(UBUNTUS_595)), {595, 620})
    assert choice.packages[0] == "linux-modules-nvidia-620-open-generic-hwe-24.04"
    assert not choice.dkms


def test_a_driver_of_the_other_source_is_not_mixed_with() -> None:
    for packages, asked, whose in ((UBUNTUS_595, "cuda_repo", "Ubuntu's own"), (NVIDIAS_610, "distro", "NVIDIA's")):
        with pytest.raises(FleetError) as caught:
            hd.choose(Request(source=asked), host(installed=found_by(packages)))
        assert f"nvidia_driver_source: {asked}, and {whose} driver" in caught.value.message
        assert "`apt-get purge " in caught.value.remedy and "Set it to auto to keep that" in caught.value.remedy


def test_debian_s_own_driver_has_to_go_first() -> None:
    own = found_by({"libcuda1": "550.163.01-2", "nvidia-kernel-dkms": "550.163.01-2"}, DEBIAN_13)
    with pytest.raises(FleetError, match=r"Debian.s own driver 550\.163\.01 is installed"):
        hd.choose(Request(), host(DEBIAN_13, installed=own))


def test_a_run_file_s_driver_is_refused_with_its_uninstaller_and_kept_on_request() -> None:
    run_file = InstalledDriver(Source.RUN_FILE, 595, "595.84")
    with pytest.raises(FleetError) as caught:
        hd.choose(Request(), host(installed=run_file))
    assert "driver 595.84 comes from NVIDIA's .run file" in caught.value.message
    assert "`nvidia-uninstall`" in caught.value.remedy
    kept = hd.choose(Request(source="host"), host(installed=run_file, state=WORKS))
    assert (kept.source, kept.branch, kept.packages, kept.flavour) == ("host", 595, (), "open")


def test_enterprise_linux_uses_the_driver_that_is_there_and_gets_none() -> None:
    assert hd.choose(Request(), host(ROCKY_9, state=WORKS)).source == "host"
    with pytest.raises(FleetError) as caught:
        hd.choose(Request(), host(ROCKY_9))
    assert caught.value.message == "nvidia_driver_source: none is installed on Rocky Linux 9.6."
    assert "a driver that works is used as it is" in caught.value.remedy
    with pytest.raises(FleetError, match=r"none is installed on Rocky Linux 9\.6"):
        hd.choose(Request(source="cuda_repo"), host(ROCKY_9))


@pytest.mark.parametrize(
    ("distribution", "request_", "remedy"),
    [
        (DEBIAN_13, {}, "needs branch 580, and so Debian 12, or Ubuntu, or a newer card"),
        (DEBIAN_13, {"branch": 580}, "needs branch 580, and so Debian 12, or Ubuntu, or a newer card"),
        (DEBIAN_13, {"branch": 595}, "needs branch 580, and so Debian 12, or Ubuntu, or a newer card"),
        (UBUNTU_26, {"source": "cuda_repo"}, "Set nvidia_driver_source to distro"),
        (UBUNTU, {"branch": 595}, "Set nvidia_driver_branch to 580."),
    ],
)
def test_advice_for_old_cards_ends_somewhere(distribution: Distribution, request_: dict[str, Any], remedy: str) -> None:
    with pytest.raises(FleetError) as caught:
        choose(distribution, V100, **request_)
    assert remedy in caught.value.remedy


def test_an_old_card_on_ubuntu_26_gets_ubuntu_s_580() -> None:
    choice = choose(UBUNTU_26, V100)
    assert (choice.source, choice.branch, choice.flavour) == ("distro", 580, "proprietary")


def test_an_installed_branch_that_the_card_can_t_use_names_the_one_to_set() -> None:
    old = found_by({"libnvidia-compute-550": "550.90-0ubuntu1", "nvidia-dkms-550": "550.90-0ubuntu1"})
    with pytest.raises(FleetError) as caught:
        hd.choose(Request(), host(installed=old))
    assert str(caught.value).startswith(
        "nvidia_driver_branch: 550 is installed and is too old, NVIDIA GeForce RTX 5090"
    )
    assert "Set nvidia_driver_branch to 580." in caught.value.remedy
    assert hd.choose(Request(branch=580), host(installed=old)).branch == 580


@pytest.mark.parametrize(
    ("platform", "said"),
    [(Platform.WSL2, "this is WSL2, where the driver is Windows's"), (Platform.CONTAINER, "this is a container (LXC")],
)
def test_where_the_kernel_is_not_the_host_s_own_nothing_is_installed(platform: Platform, said: str) -> None:
    with pytest.raises(FleetError) as caught:
        hd.choose(Request(require_card=False), host(platform=platform))
    assert said in caught.value.message
    assert "--skip-tags nvidia_driver" in caught.value.remedy


def test_a_card_for_a_virtual_machine_is_not_ours() -> None:
    passed = Gpu("0000:01:00.0", 0x2B85, driver="vfio-pci")
    with pytest.raises(FleetError) as caught:
        choose(UBUNTU, passed)
    assert "RTX 5090 at 0000:01:00.0 is bound to vfio-pci" in caught.value.message
    assert "Run this on that machine" in caught.value.remedy
    # Beside another one that is: a V100 for a machine does not decide the branch.
    assert choose(UBUNTU, RTX_5090, Gpu("0000:02:00.0", 0x1DB6, driver="vfio-pci")).flavour == "open"


def test_only_root_may() -> None:
    with pytest.raises(FleetError, match="needs root"):
        hd.choose(Request(), host(uid=1000))


@pytest.mark.parametrize(
    ("distribution", "said"),
    [
        (UBUNTU, "/var/lib/shim-signed/mok/MOK.der"),
        (DEBIAN_12, "`openssl req -new -x509"),
        (DEBIAN_13, "`dkms generate_mok`, `mokutil --import /var/lib/dkms/mok.pub`"),
    ],
)
def test_the_steps_to_enrol_a_key_are_those_of_the_distribution(distribution: Distribution, said: str) -> None:
    with pytest.raises(FleetError) as caught:
        choose(distribution, source="cuda_repo", secure_boot=True)
    assert said in caught.value.remedy


def test_a_module_that_is_loaded_under_secure_boot_proves_its_key() -> None:
    found = hd.choose(Request(), host(installed=found_by(NVIDIAS_610), secure_boot=True, state=WORKS))
    assert found.source == "cuda_repo"


@pytest.mark.parametrize(
    ("kernel", "metas", "flavour"),
    [
        ("6.8.0-90-generic", {"linux-image-generic": "6.8.0-90.91"}, "generic"),
        (
            "6.17.0-14-generic",
            {"linux-image-generic": "6.8.0-95.95", "linux-image-generic-hwe-24.04": "6.17.0-14.14~24.04.1"},
            "generic-hwe-24.04",
        ),
        ("6.17.0-14-generic", {"linux-image-virtual-hwe-24.04": "6.17.0-14.14~24.04.1"}, "generic-hwe-24.04"),
        ("6.14.0-1018-aws", {"linux-image-aws": "6.14.0-1018.18~24.04.1"}, "aws"),
        ("6.11.0-1027-oem", {"linux-image-oem-24.04b": "6.11.0-1027.27"}, "oem-24.04b"),
        ("6.8.0-1020-azure", {}, "azure"),
    ],
)
def test_prebuilt_modules_are_for_the_kernel_that_runs(kernel: str, metas: dict[str, str], flavour: str) -> None:
    packages = {name: Package(version) for name, version in metas.items()}
    choice = hd.choose(Request(), host(secure_boot=True, packages=packages, state=DriverState(kernel, kernel)))
    assert choice.packages[0] == f"linux-modules-nvidia-580-server-open-{flavour}"
    # They move together with their kernel, by whatever upgrades that.
    assert choice.unattended == ""
