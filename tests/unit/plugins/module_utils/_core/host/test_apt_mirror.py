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


@pytest.mark.parametrize("text", ["", "12a", "-1", "1" * 16, "1.5"])
def test_a_size_that_is_none_or_that_nothing_has(text: str) -> None:
    with pytest.raises(FleetError, match="for a size"):
        hm.size(text)


def test_a_size_is_a_number_of_bytes() -> None:
    assert hm.size("1" * 15) == int("1" * 15)
    assert hm.size("0") == 0


def test_an_index_grows_to_what_its_plain_form_is_said_to_be_and_no_further() -> None:
    assert (hm.MAX_RELEASE_BYTES, hm.MAX_INDEX_BYTES) == (8 * 1024 * 1024, 512 * 1024 * 1024)
    plain, packed = hm.File("x/Packages", 7, "0" * 64), hm.File("x/Packages.gz", 3, "0" * 64)
    assert hm.unpacked_bytes([packed, plain]) == 7
    assert hm.unpacked_bytes([packed]) == hm.MAX_INDEX_BYTES
    assert hm.unpacked_bytes([hm.File("x/Packages", hm.MAX_INDEX_BYTES + 1, "0" * 64)]) == hm.MAX_INDEX_BYTES


def test_a_package_is_read_whole_or_not_at_all() -> None:
    stanza = {"Package": "a", "Version": "1:2-3", "Filename": "pool/a.deb", "Size": "9", "SHA256": "AB" * 32}

    def index(**change: str | None) -> str:
        return "".join(f"{key}: {value}\n" for key, value in {**stanza, **change}.items() if value is not None)

    assert hm.packages(index()) == [("a", "1:2-3", hm.File("pool/a.deb", 9, "ab" * 32))]
    for key in stanza:
        assert hm.packages(index(**{key: None})) == [], key
    with pytest.raises(FleetError, match="is no SHA-256"):
        hm.packages(index(SHA256="x" * 64))
    # A line that goes on is none of its own.
    assert hm.packages(index() + " Size: 7\n")[0][2].size_bytes == 9
