# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the real apt would do with what the driver's role asks of it, on repositories with the relations of the real ones (simulated)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import driver_packages
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.distribution import Distribution
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_request import Host, Request
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_state import DriverState
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.pci import Gpu
from ansible_collections.gpuserve.fleet.plugins.modules import driver_info
from ansible_collections.gpuserve.fleet.tests.support.apt_world import AptWorld

UBUNTU = Distribution("ubuntu", "24.04", "24", "noble", "debian", "Ubuntu 24.04 LTS")
DEBIAN = Distribution("debian", "13", "13", "trixie", "debian", "Debian GNU/Linux 13")
K = "6.17.0-14-generic"
DEBIAN_VERSIONS = ("580.178.04-1", "595.71.05-1", "595.84.01-1", "610.57.04-1", "615.71.09-1")


def debian(root: Path, relation: str) -> AptWorld:
    """NVIDIA's repository for Debian: metas that ask for at least, exactly, or any version of libraries, each branch in one index."""
    world = AptWorld(root)
    repository = world.repository("cuda/repos/debian13/x86_64", "NVIDIA")

    def on(name: str, version: str) -> str:
        return f"{name} ({relation} {version})" if relation else name

    for version in DEBIAN_VERSIONS:
        names = ("libcuda1", "libcudadebugger1", "libnvcuvid1", "libnvoptix1", "libnvidia-ml1", "nvidia-persistenced")
        at_least = ", ".join(f"{name} ({relation or '>='} {version})" for name in names)
        repository.add("nvidia-driver-cuda", version, at_least)
        repository.add("libcuda1", version, on("libnvidia-ptxjitcompiler1", version))
        repository.add("libcudadebugger1", version, "libcuda1")
        for name in ("libnvcuvid1", "libnvoptix1"):
            repository.add(name, version, on("libcuda1", version))
        for name in ("libnvidia-ptxjitcompiler1", "libnvidia-ml1", "nvidia-persistenced", "nvidia-kernel-support"):
            repository.add(name, version)
        repository.add("nvidia-kernel-open-dkms", version, f"nvidia-kernel-support ({relation or '>='} {version})")
    return world


def ubuntu(root: Path) -> AptWorld:
    """Ubuntu's archive and NVIDIA's repository, whose packages of 580 have the same names (relations after packages.ubuntu.com)."""
    world = AptWorld(root)
    archive = world.repository("ubuntu", "Ubuntu")
    for branch, version in (
        (580, "580.159.03-0ubuntu0.24.04.1"),
        (595, "595.71.05-0ubuntu0.24.04.1"),
        (595, "595.84-0ubuntu0.24.04.1"),
    ):
        archive.add(f"libnvidia-compute-{branch}", version, "", "libnvidia-compute")
        for name in ("utils", "compute-utils"):
            archive.add(f"nvidia-{name}-{branch}", version, f"libnvidia-compute-{branch}", f"nvidia-{name}")
        archive.add(f"nvidia-kernel-common-{branch}", version, "", "nvidia-kernel-common")
        modules = f"linux-modules-nvidia-{branch}-open-generic-hwe-24.04"
        archive.add(f"nvidia-dkms-{branch}-open", version, f"nvidia-kernel-common-{branch}", "nvidia-dkms-kernel")
        parts = ("libnvidia-compute", "nvidia-utils", "nvidia-compute-utils", "nvidia-kernel-common")
        depends = ", ".join(f"{name}-{branch}" for name in parts)
        archive.add(f"nvidia-driver-{branch}-open", version, f"{depends}, {modules} | nvidia-dkms-{branch}-open")
    for branch in (580, 595):
        archive.add(
            f"linux-modules-nvidia-{branch}-open-generic-hwe-24.04",
            "6.17.0-14.14~24.04.1+1",
            f"nvidia-kernel-common-{branch}",
        )
    nvidia = world.repository("cuda/repos/ubuntu2404/x86_64", "NVIDIA")
    version = "580.178.04-1ubuntu1"
    nvidia.add("libnvidia-compute-580", version, "", "libnvidia-compute")
    for name in ("utils", "compute-utils"):
        nvidia.add(f"nvidia-{name}-580", version, "libnvidia-compute-580", f"nvidia-{name}")
    nvidia.add("nvidia-kernel-common-580", version, "", "nvidia-kernel-common")
    nvidia.add("nvidia-dkms-580-open", version, f"nvidia-kernel-common-580 (>= {version})", "nvidia-dkms-kernel")
    return world


def own(branch: int, version: str) -> dict[str, str]:
    """Ubuntu's own driver, as ubuntu-drivers installs it."""
    names = ("libnvidia-compute", "nvidia-utils", "nvidia-compute-utils", "nvidia-kernel-common")
    return {
        **{f"{name}-{branch}": version for name in names},
        f"nvidia-driver-{branch}-open": version,
        f"linux-modules-nvidia-{branch}-open-generic-hwe-24.04": "6.17.0-14.14~24.04.1+1",
    }


def decide(world: AptWorld, distribution: Distribution, version: str = "", **asked: Any) -> dict[str, Any]:
    """Decide as the module does, on this world."""
    packages = driver_info.read_packages(world.run, ())
    state = DriverState(K, K)
    if version:
        state = replace(state, loaded=version, on_disk=version, userspace=version, cuda=version)
    host = Host(
        distribution,
        "x86_64",
        gpus=(Gpu("0000:01:00.0", 0x2B85),),
        installed=driver_packages.installed_driver(packages, distribution),
        packages=packages,
        state=state,
    )
    request = Request(repository_url=f"file:{world.root}/cuda/repos", **asked)
    _choice, _plan, decided = driver_info.decide(world.run, request, host, candidates=True, check_mode=False)
    return decided


@pytest.mark.parametrize("relation", [">=", "=", ""], ids=["at least", "exactly", "any"])
@pytest.mark.parametrize(("branch", "version"), [(595, "595.84.01-1"), (610, "610.57.04-1")])
def test_on_debian_the_whole_set_is_of_the_branch(tmp_path: Path, relation: str, branch: int, version: str) -> None:
    world = debian(tmp_path, relation)
    world.start()
    decided = decide(world, DEBIAN, branch=branch)
    world.prefer(decided["choice"]["preferences"])
    new, removed, errors = world.simulate(*decided["targets"]["install"])
    assert (removed, errors) == ([], "")
    assert {"libcuda1", "libcudadebugger1", "libnvcuvid1", "libnvoptix1", "libnvidia-ptxjitcompiler1"} <= set(new)
    assert set(new.values()) == {version}


def test_without_the_five_names_in_the_pin_it_would_not_be(tmp_path: Path) -> None:
    """The double shows the fault that it is there for."""
    world = debian(tmp_path, ">=")
    world.start()
    world.prefer("Package: *nvidia* cuda-drivers*\nPin: version 595.*\nPin-Priority: 990\n")
    _new, _removed, errors = world.simulate("nvidia-driver-cuda=595.84.01-1", "nvidia-kernel-open-dkms=595.84.01-1")
    assert "E: Unable to correct problems" in errors


def test_an_upgrade_moves_all_of_it_within_the_branch(tmp_path: Path) -> None:
    world = debian(tmp_path, ">=")
    names = [
        stanza.splitlines()[0].split(": ")[1] for stanza in world.repositories["cuda/repos/debian13/x86_64"].stanzas
    ]
    world.install(dict.fromkeys(names, "595.71.05-1"))
    world.start()
    decided = decide(world, DEBIAN, "595.71.05", upgrade=True)
    world.prefer(decided["choice"]["preferences"])
    new, removed, errors = world.simulate(*decided["targets"]["install"])
    assert (removed, errors) == ([], "")
    assert new == dict.fromkeys(set(names), "595.84.01-1")
    # Nothing but the role would: the pin holds against whatever else upgrades the host.
    assert set(world.simulate("nvidia-driver-cuda")[0].values()) == {"595.84.01-1"}


def test_the_pin_holds_32_bit_libraries_too(tmp_path: Path) -> None:
    world = AptWorld(tmp_path)
    for version in ("595.84.01-1", "610.57.04-1"):
        world.repository("cuda/repos/debian13/x86_64", "NVIDIA").add("libcuda1", version, architecture="i386")
    world.start(("amd64", "i386"))
    world.prefer(driver_packages.preferences(driver_packages.Source.CUDA_REPO, "595.*", downgrade=False))
    assert world.simulate("libcuda1:i386")[0] == {"libcuda1:i386": "595.84.01-1"}


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize(
    ("branch", "version"), [(595, "595.84-0ubuntu0.24.04.1"), (580, "580.159.03-0ubuntu0.24.04.1")]
)
def test_ubuntu_s_own_driver_that_works_is_left_alone(tmp_path: Path, branch: int, version: str, held: bool) -> None:
    world = ubuntu(tmp_path)
    world.install(own(branch, version), held)
    world.start()
    decided = decide(world, UBUNTU, version.split("-", maxsplit=1)[0])
    assert (decided["choice"]["source"], decided["choice"]["branch"]) == ("distro", branch)
    assert (decided["plan"]["missing"], decided["plan"]["touched"], decided["targets"]["due"]) == ((), False, [])


def test_an_upgrade_of_ubuntu_s_own_takes_ubuntu_s_and_keeps_its_signed_modules(tmp_path: Path) -> None:
    world = ubuntu(tmp_path)
    world.install(own(595, "595.71.05-0ubuntu0.24.04.1"))
    world.start()
    decided = decide(world, UBUNTU, "595.71.05", upgrade=True)
    world.prefer(decided["choice"]["preferences"])
    new, removed, errors = world.simulate(*decided["targets"]["install"])
    assert (removed, errors, set(new.values())) == ([], "", {"595.84-0ubuntu0.24.04.1"})
    assert not decided["choice"]["dkms"] and not any("dkms" in name for name in new)


def test_nvidia_s_packages_of_the_same_names_stay_out_of_ubuntu_s_own(tmp_path: Path) -> None:
    world = ubuntu(tmp_path)
    world.install(own(580, "580.159.03-0ubuntu0.24.04.1"))
    world.start()
    assert "libnvidia-compute-580" in world.simulate("libnvidia-compute-580")[0], "apt alone would mix them"
    decided = decide(world, UBUNTU, "580.159.03", upgrade=True)
    world.prefer(decided["choice"]["preferences"])
    assert decided["targets"]["due"] == ()
    assert world.simulate("libnvidia-compute-580") == ({}, [], "")


def test_a_bare_ubuntu_gets_nvidia_s_of_one_source(tmp_path: Path) -> None:
    world = ubuntu(tmp_path)
    world.start()
    decided = decide(world, UBUNTU)
    world.prefer(decided["choice"]["preferences"])
    new, removed, errors = world.simulate(*decided["targets"]["install"])
    assert (removed, errors, set(new.values())) == ([], "", {"580.178.04-1ubuntu1"})
