# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which files of a repository are carried into an air gap."""

from __future__ import annotations

import pytest

from ansible_collections.gpuserve.fleet.plugins.filter.driver_packages import driver_packages
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import apt_mirror as hm

A, B, C = "a" * 64, "b" * 64, "c" * 64
RELEASE = f"""-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA512

Origin: NVIDIA
MD5Sum:
 {"d" * 32} 10 Packages
SHA256:
 {A} 10 Packages
 {B} 7 Packages.gz
 {C} 9 stable/binary-amd64/Packages.xz
SHA512:
 {"e" * 128} 10 Packages
-----BEGIN PGP SIGNATURE-----
"""
INDEX = f"""Package: nvidia-open
Version: 580.178.04-1
Filename: ./nvidia-open_580.178.04-1_amd64.deb
Size: 100
SHA256: {A}
Description: a driver
 with Version: 1 in its text

Package: nvidia-open
Version: 610.43.02-1
Filename: ./nvidia-open_610.43.02-1_amd64.deb
Size: 200
SHA256: {B}

Package: half
Version: 1
"""


def test_a_flat_repository_has_its_index_at_the_root() -> None:
    assert hm.index_files(RELEASE, "") == [hm.File("Packages", 10, A), hm.File("Packages.gz", 7, B)]


def test_another_one_has_it_by_component_and_architecture() -> None:
    assert hm.index_files(RELEASE, "stable/binary-amd64") == [hm.File("stable/binary-amd64/Packages.xz", 9, C)]


def test_only_what_is_asked_for_is_carried() -> None:
    chosen = hm.select(hm.packages(INDEX), [hm.Wanted("*nvidia*", "580.*")])
    assert chosen == {"nvidia-open=580.178.04-1": hm.File("nvidia-open_580.178.04-1_amd64.deb", 100, A)}
    assert hm.total_bytes(chosen) == 100


def test_a_pattern_that_matches_nothing_is_said_before_the_gap() -> None:
    with pytest.raises(FleetError, match=r"no nvidia-open of version 595\.\*, it has 580\.178\.04-1, 610\.43\.02-1"):
        hm.select(hm.packages(INDEX), [hm.Wanted("nvidia-open", "595.*")])
    with pytest.raises(FleetError, match="no package of that name"):
        hm.select(hm.packages(INDEX), [hm.Wanted("nvidia-close")])


def test_patterns_that_only_some_repositories_have_may_match_nothing() -> None:
    """NVIDIA's names for Debian: five libraries of the driver's source have no "nvidia" in them; the bundle's list is the pin's."""
    names = (
        *("nvidia-driver-cuda", "libcuda1", "libcudadebugger1", "libnvidia-ml1", "libnvidia-ptxjitcompiler1"),
        *("nvidia-persistenced", "nvidia-kernel-open-dkms", "nvidia-kernel-support", "firmware-nvidia-gsp"),
        *("libnvcuvid1", "libnvoptix1", "nvidia-modprobe", "libxnvctrl0"),
    )
    index = [(name, "595.84.01-1", hm.File(f"{name}.deb", 1, "0" * 64)) for name in names]
    wanted = [hm.Wanted(**entry) for entry in driver_packages("595.*")]
    assert {name.split("=")[0] for name in hm.select(index, wanted)} == set(names)
