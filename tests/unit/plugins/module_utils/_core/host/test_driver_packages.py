# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The driver's packages as a set: names, versions, whose they are, and the two files that hold them."""

from __future__ import annotations

import re

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import driver_packages
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.distribution import Distribution, Package
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_packages import Source

DEBIAN = Distribution("debian", "13", "13", "trixie", "debian", "Debian GNU/Linux 13")
UBUNTU = Distribution("ubuntu", "24.04", "24", "noble", "debian", "Ubuntu 24.04 LTS")
# Of NVIDIA's repository for Debian: those whose names hold "nvidia", and those that don't.
MEMBERS = (
    *("nvidia-driver-cuda", "libnvidia-ml1", "firmware-nvidia-gsp", "libegl-nvidia0", "xserver-xorg-video-nvidia"),
    *("libcuda1", "libcudadebugger1", "libnvcuvid1", "libnvoptix1", "libxnvctrl0", "cuda-drivers"),
)
NOT_THE_DRIVERS = (
    *("nvidia-container-toolkit", "libnvidia-container1", "linux-image-nvidia", "linux-headers-nvidia"),
    *("cuda-toolkit-13-0", "libcudart13", "libcudart.so", "linux-modules-nvidia-580-generic"),
)


@pytest.mark.parametrize("name", MEMBERS)
def test_each_of_them_is_in_the_set_and_unattended_upgrades_leaves_it_alone(name: str) -> None:
    assert driver_packages.in_set(name)
    assert any(re.match(expression, name) for expression in blacklist())


@pytest.mark.parametrize("name", NOT_THE_DRIVERS)
def test_what_has_versions_of_its_own_is_not(name: str) -> None:
    assert not driver_packages.in_set(name)
    assert not any(re.match(expression, name) for expression in blacklist())


def blacklist() -> list[str]:
    return re.findall(r'^  "(.*)";$', driver_packages.unattended(prebuilt=False), re.MULTILINE)


def test_prebuilt_modules_and_their_kernel_are_not_held_apart() -> None:
    assert driver_packages.unattended(prebuilt=True) == ""


def test_the_pin_names_the_whole_set_in_every_architecture() -> None:
    stanza = driver_packages.preferences(Source.CUDA_REPO, "595.*", downgrade=False).rsplit("\n\n", maxsplit=1)[-1]
    for name in ("libcuda1:any", "libcudadebugger1:any", "libnvcuvid1:any", "libnvoptix1:any", "libxnvctrl*:any"):
        assert f" {name}" in stanza
    assert "Pin: version 595.*\nPin-Priority: 990" in stanza
    assert "Pin-Priority: 1001" in driver_packages.preferences(Source.CUDA_REPO, "595.*", downgrade=True)


def test_the_other_source_s_packages_are_kept_out() -> None:
    assert "Pin: release o=Ubuntu\nPin-Priority: -1" in driver_packages.preferences(Source.CUDA_REPO, "580.*", False)
    assert "Pin: release o=NVIDIA\nPin-Priority: -1" in driver_packages.preferences(Source.DISTRO, "580.*", False)


def test_the_closure_is_names_of_the_set_with_a_driver_s_version() -> None:
    installed = {
        "libcuda1": Package("595.84.01-1"),
        "libnvidia-egl-wayland1": Package("1:1.1.20-1"),
        "nvidia-container-toolkit": Package("1.20.1-1"),
    }
    assert set(driver_packages.closure(installed)) == {"libcuda1"}


def test_a_library_without_its_meta_is_a_driver_and_a_tool_is_none() -> None:
    library = driver_packages.installed_driver({"libcuda1": Package("595.84.01-1", held=True)}, DEBIAN)
    assert library is not None
    assert (library.source, library.version, library.held) == (Source.CUDA_REPO, "595.84.01", ("libcuda1",))
    assert driver_packages.installed_driver({"nvidia-settings": Package("510.47.03-0ubuntu4")}, UBUNTU) is None


def test_a_branch_that_was_left_behind_in_part_does_not_count() -> None:
    both = {
        "libnvidia-compute-580": Package("580.95.05-0ubuntu1"),
        "nvidia-dkms-580-open": Package("580.95.05-0ubuntu1"),
        "nvidia-kernel-common-550": Package("550.120-0ubuntu0.24.04.1"),
    }
    driver = driver_packages.installed_driver(both, UBUNTU)
    assert driver is not None
    assert (driver.branch, driver.source, driver.open_modules) == (580, Source.CUDA_REPO, True)
