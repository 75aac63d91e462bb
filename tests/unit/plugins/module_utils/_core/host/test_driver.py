# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which driver a host gets, and what is refused.

For Enterprise Linux this, and molecule/rpm with Debian's dnf, is all that is tried: no real one was at hand.
"""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import driver as hd
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.distribution import Distribution
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.pci import Card

RTX_5090, RTX_4090, V100 = Card("0000:01:00.0", 0x2B85), Card("0000:01:00.0", 0x2684), Card("0000:02:00.0", 0x1DB6)
UBUNTU = Distribution("ubuntu", "24.04", "24", "noble", "debian", "Ubuntu 24.04 LTS")
UBUNTU_26 = Distribution("ubuntu", "26.04", "26", "resolute", "debian", "Ubuntu 26.04 LTS")
DEBIAN_12 = Distribution("debian", "12", "12", "bookworm", "debian", "Debian GNU/Linux 12")
DEBIAN_13 = Distribution("debian", "13", "13", "trixie", "debian", "Debian GNU/Linux 13")
ROCKY_9 = Distribution("rocky", "9.6", "9", "", "redhat", "Rocky Linux 9.6")
ALMA_10 = Distribution("almalinux", "10.1", "10", "", "redhat", "AlmaLinux 10.1")


def choose(distribution: Distribution = UBUNTU, *cards: Card, secure_boot: bool = False, **request: Any) -> hd.Choice:
    return hd.choose(hd.Request(**request), cards or (RTX_5090,), distribution, "x86_64", secure_boot)


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
        (ROCKY_9, 580, "rhel9", ("nvidia-driver-cuda", "kmod-nvidia-open-dkms")),
        (ALMA_10, 580, "rhel10", ("nvidia-driver-cuda", "kmod-nvidia-open-dkms")),
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


@pytest.mark.parametrize("identity", ["rhel", "rocky", "almalinux", "centos"])
@pytest.mark.parametrize(
    ("major", "folder", "key", "fingerprint", "stream"),
    [
        ("9", "rhel9", "D42D0685.pub", "610C7B14E068A878070DA4E99CD0A493D42D0685", "nvidia-driver:580-open"),
        ("10", "rhel10", "CDF6BA43.pub", "", ""),
    ],
)
def test_untested_on_a_real_el_each_clone_gets_the_repository_of_its_major_version(
    identity: str, major: str, folder: str, key: str, fingerprint: str, stream: str
) -> None:
    choice = choose(Distribution(identity, f"{major}.1", major, "", "redhat", identity))
    assert (choice.repository_folder, choice.repository_architecture) == (folder, "x86_64")
    assert (choice.repository_key, choice.repository_fingerprint) == (key, fingerprint)
    assert (choice.source, choice.dkms, choice.pin, choice.module_stream) == ("cuda_repo", True, "580.*", stream)
    assert choice.packages == ("nvidia-driver-cuda", "kmod-nvidia-open-dkms")


def test_untested_on_a_real_el_closed_modules_and_the_whole_desktop() -> None:
    closed = choose(ROCKY_9, RTX_4090, flavour="proprietary")
    assert closed.packages == ("nvidia-driver-cuda", "kmod-nvidia-latest-dkms")
    assert closed.module_stream == "nvidia-driver:580-dkms"
    assert choose(ALMA_10, compute_only=False).packages == ("nvidia-open",)
    assert choose(ALMA_10, version="580.95.05").pin == "580.95.05*"


def test_untested_on_a_real_el_secure_boot_has_no_signed_package_to_offer() -> None:
    with pytest.raises(FleetError) as caught:
        choose(ROCKY_9, secure_boot=True)
    assert "nvidia_driver_mok_enrolled: true" in caught.value.hint
    assert "distro" not in caught.value.hint


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
        "Set it to 580.",
    ),
    (
        "a version older than the card",
        {"version": "545.23.08"},
        "nvidia_driver_version: 545 is too old, NVIDIA GeForce RTX 5090 (Blackwell) needs 570 or newer.",
        "Set it to 580.",
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
        "Set it to 595.",
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
        "nvidia_driver: Secure Boot is on, and a kernel module built on this host would not load.",
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
        "nvidia_driver does not know Arch Linux.",
        "Debian 12 and 13",
    ),
]


@pytest.mark.parametrize(("request_", "message", "hint"), [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED])
def test_refused_with_the_reason_and_the_value_to_use(request_: dict[str, Any], message: str, hint: str) -> None:
    distribution = request_.pop("distribution", UBUNTU)
    with pytest.raises(FleetError) as caught:
        choose(distribution, **request_)
    assert caught.value.message == message
    assert hint in caught.value.hint
    assert caught.value.hint.endswith("Nothing was changed.")


def test_cards_that_no_one_driver_serves() -> None:
    with pytest.raises(FleetError, match="One host can't drive both"):
        choose(UBUNTU, RTX_5090, V100)


def test_the_open_modules_for_an_old_card_are_refused() -> None:
    with pytest.raises(FleetError, match="Set it to proprietary"):
        choose(UBUNTU, V100, flavour="open")


def test_a_host_without_a_card_is_refused_unless_allowed() -> None:
    with pytest.raises(FleetError, match="no NVIDIA card is on this host's PCI bus"):
        hd.choose(hd.Request(), (), UBUNTU, "x86_64", False)
    assert hd.choose(hd.Request(require_card=False), (), UBUNTU, "x86_64", False).flavour == "open"


def test_arm_takes_the_server_folder() -> None:
    assert hd.choose(hd.Request(), (RTX_5090,), UBUNTU, "aarch64", False).repository_architecture == "sbsa"
    with pytest.raises(FleetError, match="riscv64"):
        hd.choose(hd.Request(), (RTX_5090,), UBUNTU, "riscv64", False)
