# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is missing, what moves, and what nobody consented to."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import driver, driver_plan
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.distribution import Distribution, Package
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_packages import installed_driver
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_plan import Offer
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_request import Host, Request
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_state import DriverState
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.pci import Gpu

UBUNTU = Distribution("ubuntu", "24.04", "24", "noble", "debian", "Ubuntu 24.04 LTS")
DEBIAN = Distribution("debian", "13", "13", "trixie", "debian", "Debian GNU/Linux 13")
K = "6.12.48+deb13-amd64"
URL = "https://developer.download.nvidia.com/compute/cuda/repos"
REPOSITORY = f"{URL}/debian13/x86_64"
NVIDIAS = ("nvidia-driver-cuda", "nvidia-kernel-open-dkms", "libcuda1", "libnvidia-ml1")
UBUNTUS_595 = {
    "nvidia-driver-595-open": "595.84-0ubuntu0.24.04.1",
    "libnvidia-compute-595": "595.84-0ubuntu0.24.04.1",
    "nvidia-utils-595": "595.84-0ubuntu0.24.04.1",
    "nvidia-compute-utils-595": "595.84-0ubuntu0.24.04.1",
    "linux-modules-nvidia-595-open-generic-hwe-24.04": "6.17.0-14.14~24.04.1+1",
}


def state(**values: Any) -> DriverState:
    works = {"loaded": "595.84.01", "on_disk": "595.84.01", "userspace": "595.84.01", "cuda": "595.84.01"}
    return DriverState(**{"kernel": K, "newest_kernel": K, **works, **values})


def host(
    packages: dict[str, str], distribution: Distribution = DEBIAN, held: tuple[str, ...] = (), **read: Any
) -> Host:
    found = {name: Package(version, held=name in held) for name, version in packages.items()}
    driver_there = installed_driver(found, distribution)
    values: dict[str, Any] = {"gpus": (Gpu("0000:01:00.0", 0x2B85),), "state": state(), **read}
    return Host(distribution, "x86_64", installed=driver_there, packages=found, **values)


def plan(there: Host, known: set[str] | None = None, **asked: Any) -> driver_plan.Plan:
    request = Request(repository_url=URL, **asked)
    return driver_plan.plan(request, driver.choose(request, there), there, known)


def nvidia(version: str) -> dict[str, str]:
    return dict.fromkeys(NVIDIAS, f"{version}-1")


def test_a_driver_that_is_there_and_complete_needs_nothing() -> None:
    for there in (host(nvidia("595.84.01")), host(nvidia("610.57.04")), host(UBUNTUS_595, UBUNTU)):
        assert plan(there) == driver_plan.Plan((), (), False)


def test_a_bare_host_gets_the_packages_of_the_branch() -> None:
    bare = host({}, state=DriverState(K, K, headers=False))
    assert plan(bare) == driver_plan.Plan(
        ("nvidia-driver-cuda=595.*", "nvidia-kernel-open-dkms=595.*"), (f"linux-headers-{K}",), True
    )


def test_packages_of_two_versions_are_put_right() -> None:
    assert plan(host(nvidia("595.84.01"), state=state(cuda="610.57.04"))).touched


REFUSED: list[tuple[str, Host, dict[str, Any], str]] = [
    (
        "an older branch than NVIDIA's that is there",
        host(nvidia("610.57.04")),
        {"branch": 595},
        "nvidia_driver_branch: 595.* is older than the installed 610.57.04.",
    ),
    (
        "an older branch than Ubuntu's that is there",
        host(UBUNTUS_595, UBUNTU),
        {"branch": 580},
        "nvidia_driver_branch: 580.* is older than the installed 595.84.",
    ),
    (
        "an older version of the same branch",
        host(nvidia("595.84.01")),
        {"version": "595.71.05"},
        "nvidia_driver_version: 595.71.05* is older than the installed 595.84.01.",
    ),
    (
        "a hold on a package that is not named like the driver",
        host(nvidia("595.84.01"), held=("libcuda1",)),
        {"branch": 610},
        "libcuda1 is on hold and would have to change to 610.*.",
    ),
    (
        "a hold on Ubuntu's",
        host(UBUNTUS_595, UBUNTU, held=("libnvidia-compute-595", "nvidia-utils-595")),
        {"branch": 610},
        "libnvidia-compute-595, nvidia-utils-595 are on hold",
    ),
    (
        "a driver under an engine",
        host(nvidia("595.84.01"), state=state(gpu_users=("python3 (pid 4711)",))),
        {"branch": 610},
        "python3 (pid 4711) uses a card, and 610.* would be installed under it.",
    ),
]


@pytest.mark.parametrize(("there", "asked", "said"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_nobody_consented_to_is_refused(there: Host, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(FleetError) as caught:
        plan(there, **asked)
    assert said in caught.value.message
    assert caught.value.remedy.endswith("Nothing was changed.")
    consent: dict[str, Any] = {"allow_downgrade": True, "allow_held": True, "reboot": "always"}
    assert plan(there, **asked, **consent).touched


def test_a_hold_stands_in_nobody_s_way_while_nothing_moves() -> None:
    assert not plan(host(nvidia("595.84.01"), held=NVIDIAS)).touched


@pytest.mark.parametrize(
    ("metas", "known", "headers"),
    [
        (("linux-image-amd64",), {"linux-headers-amd64"}, ("linux-headers-amd64",)),
        # Metas without headers are no headers' names; and what apt does not know can't be asked for.
        (("linux-image-extra-virtual", "linux-image-amd64-dbg"), {"linux-headers-amd64"}, ()),
        (("linux-image-amd64",), None, ()),
        (("linux-image-6.12.48+deb13-amd64", "linux-image-unsigned-6.8.0-90-generic"), set(), ()),
        (("proxmox-default-kernel",), {"proxmox-default-headers"}, ("proxmox-default-headers",)),
    ],
)
def test_headers_of_kernels_to_come_are_what_apt_knows(
    metas: tuple[str, ...], known: set[str] | None, headers: tuple[str, ...]
) -> None:
    there = host({**nvidia("595.84.01"), **dict.fromkeys(metas, "6.12.48-1")})
    assert plan(there, known).headers == headers


def test_prebuilt_modules_need_no_headers() -> None:
    there = host({**UBUNTUS_595, "linux-image-generic-hwe-24.04": "6.17.0-14.14"}, UBUNTU, state=state(headers=False))
    assert plan(there, {"linux-headers-generic-hwe-24.04"}).headers == ()


MADISON = f"""libcuda1 | 610.57.04-1 | {REPOSITORY}  Packages
libcuda1 | 595.84.01-1 | {REPOSITORY}  Packages
libcuda1 | 595.71.05-1 | {REPOSITORY}  Packages
  libcuda1 | 550.163.01-2 | http://deb.example.org/debian trixie/non-free amd64 Packages
  libcuda1 | 550.163.01-2 | http://deb.example.org/debian trixie/non-free Sources
"""


def offers(*versions: str, origin: str = REPOSITORY) -> dict[str, list[Offer]]:
    return {name: [Offer(f"{version}-1", origin) for version in versions] for name in NVIDIAS}


def test_madison_names_versions_and_where_they_are_from() -> None:
    found = driver_plan.parse_madison(MADISON)
    assert [offer.version for offer in found["libcuda1"]] == [
        "610.57.04-1",
        "595.84.01-1",
        "595.71.05-1",
        "550.163.01-2",
    ]
    assert found["libcuda1"][0].origin == REPOSITORY and found["libcuda1"][-1].origin == "http://deb.example.org/debian"


def targets(there: Host, known: dict[str, list[Offer]], **asked: Any) -> driver_plan.Targets:
    request = Request(repository_url=URL, **asked)
    return driver_plan.targets(request, driver.choose(request, there), there, known)


def test_the_whole_set_moves_to_the_newest_of_the_branch() -> None:
    moved = targets(host(nvidia("595.71.05")), offers("610.57.04", "595.84.01", "595.71.05"), upgrade=True)
    assert moved.due == moved.install == tuple(f"{name}=595.84.01-1" for name in sorted(NVIDIAS))
    assert targets(host(nvidia("595.84.01")), offers("610.57.04", "595.84.01"), upgrade=True).due == ()


def test_a_library_that_ran_ahead_is_brought_back() -> None:
    there = host({**nvidia("595.84.01"), "libnvidia-ml1": "610.57.04-1"})
    asked = {"branch": 595, "allow_downgrade": True}
    assert targets(there, offers("610.57.04", "595.84.01"), **asked).due == ("libnvidia-ml1=595.84.01-1",)


def test_the_other_source_s_versions_are_not_taken() -> None:
    theirs = offers("595.99.99", origin="http://archive.ubuntu.com/ubuntu")
    with pytest.raises(FleetError, match=r"no nvidia-driver-cuda of 595\.\*; it has none at all"):
        targets(host({}), theirs)


def test_a_version_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(FleetError) as caught:
        targets(host({}), offers("610.57.04", "595.84.01"), version="595.99.99")
    assert "no nvidia-driver-cuda of 595.99.99*; it has 610.57.04-1, 595.84.01-1." in caught.value.message
    assert caught.value.remedy.endswith("No package was changed.")


def test_an_upgrade_stops_at_a_hold() -> None:
    with pytest.raises(FleetError, match="libcuda1 is on hold and would have to change to 595"):
        targets(host(nvidia("595.71.05"), held=("libcuda1",)), offers("595.84.01"), upgrade=True)


def test_no_signed_modules_for_the_kernel_is_said_before_any_package_changes() -> None:
    there = host({}, UBUNTU, secure_boot=True, state=DriverState("6.8.0-1020-azure", "6.8.0-1020-azure"))
    request = Request(repository_url=URL)
    choice = driver.choose(request, there)
    archive = "http://archive.ubuntu.com/ubuntu"
    known = {name: [Offer("580.159.03-0ubuntu0.24.04.1", archive)] for name in choice.packages[1:]}
    with pytest.raises(FleetError) as caught:
        driver_plan.targets(request, choice, there, known)
    assert "(linux-modules-nvidia-580-server-open-azure)" in caught.value.message
    assert "nvidia_driver_ubuntu_kernel" in caught.value.remedy
    signed = {**known, choice.packages[0]: [Offer("6.8.0-1020.23", archive)]}
    assert choice.packages[0] in driver_plan.targets(request, choice, there, signed).install


def test_the_branches_that_a_source_has() -> None:
    request, there = Request(repository_url=URL), host({})
    choice = driver.choose(request, there)
    assert driver_plan.available_branches(offers("620.11.01", "595.84.01"), choice, request, there) == {620, 595}
    elsewhere = offers("620.11.01", origin="http://mirror.example/other")
    assert driver_plan.available_branches(elsewhere, choice, request, there) == set()


def test_extra_packages_may_name_a_version() -> None:
    there = host({**nvidia("595.84.01"), "nvtop": "3.1.0-1"})
    assert plan(there, extra_packages=("nvtop=3.1*",)).missing == ()
    assert plan(there, extra_packages=("nvtop=3.2*",)).missing == ("nvtop=3.2*",)
    found = targets(there, offers("595.84.01"), extra_packages=("nvtop=3.2*",))
    assert (found.due, found.install[-1]) == (("nvtop=3.2*",), "nvtop=3.2*")
