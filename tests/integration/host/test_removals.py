# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the real apt would remove when Docker's packages replace others, on a small host of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import docker_engine as engine
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.distribution import Distribution
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.distribution import Package as Installed
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import packages
from ansible_collections.gpuserve.fleet.tests.support.stub_repository.packages import Package

NOBLE = Distribution("ubuntu", "24.04", "24", "noble", "debian", "Ubuntu 24.04")
# Ubuntu's names and the dependencies between them, cut down.
INSTALLED = [
    Package("docker.io", "28.2.2-0ubuntu1", "containerd (>= 1.2.6-0ubuntu1~), iptables"),
    Package("docker-buildx", "0.20.1-0ubuntu1"),
    Package("containerd", "1.7.28-0ubuntu1", "runc (>= 1.0.0~rc8~)"),
    Package("runc", "1.3.3-0ubuntu1"),
    Package("iptables", "1.8.10-3ubuntu2"),
]
DOCKER = [
    Package("docker-ce", "5:29.10.0-1", "containerd.io (>= 1.7.27), docker-ce-cli", conflicts="docker.io"),
    Package("docker-ce-cli", "5:29.10.0-1", conflicts="docker.io"),
    Package("containerd.io", "2.3.2-1", conflicts="containerd, runc"),
    Package("docker-buildx-plugin", "0.31.0-1"),
    Package("docker-compose-plugin", "5.0.0-1"),
]


class Apt:
    """A dpkg status and a package list of their own, read by the real apt."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        for name in ("etc/sources.list.d", "state/lists/partial", "cache/archives/partial", "repository"):
            (folder / name).mkdir(parents=True)
        settings = {
            "Dir::Etc": f"{folder}/etc/",
            "Dir::State": f"{folder}/state/",
            "Dir::State::status": f"{folder}/status",
            "Dir::Cache": f"{folder}/cache/",
            "APT::Architecture": "amd64",
            "APT::Sandbox::User": "root",
        }
        (folder / "apt.conf").write_text("".join(f'{key} "{value}";\n' for key, value in settings.items()))
        monkeypatch.setenv("APT_CONFIG", str(folder / "apt.conf"))
        self.install(*INSTALLED)

    def install(self, *installed: Package) -> None:
        stanzas = (f"{package.control()}Status: install ok installed\n" for package in installed)
        (self.folder / "status").write_text("\n".join(stanzas))

    def offer(self, *offered: Package) -> None:
        stanzas = (f"{each.control()}Filename: ./{each.name}.deb\nSize: 1\nSHA256: {'0' * 64}\n" for each in offered)
        (self.folder / "repository" / "Packages").write_text("\n".join(stanzas))
        (self.folder / "etc" / "sources.list").write_text(f"deb [trusted=yes] file:{self.folder}/repository ./\n")
        subprocess.run(["apt-get", "update"], check=True, capture_output=True)

    def run(self, command: list[str]) -> tuple[int, str, str]:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Apt:
    return Apt(tmp_path, monkeypatch)


CONFLICTS = ["docker.io", "docker-buildx", "containerd", "runc"]


def test_nothing_but_what_is_named_goes(apt: Apt) -> None:
    assert sorted(packages.read_removals(apt.run, "debian", CONFLICTS)) == sorted(CONFLICTS)


def test_what_leans_on_a_package_that_goes_is_told(apt: Apt) -> None:
    apt.install(*INSTALLED, Package("nerdctl", "1.7.7-1", "containerd"), Package("ubuntu-fan", "0.12.16", "docker.io"))
    removed = packages.read_removals(apt.run, "debian", CONFLICTS)
    too = sorted({*removed} - {*CONFLICTS})
    assert too == ["nerdctl", "ubuntu-fan"]
    host = engine.Host(uid=0, distribution=NOBLE, installed={name: Installed("1") for name in CONFLICTS})
    (said,) = engine.decide(engine.Request(), host, {}, too).refusals
    assert "and apt would remove nerdctl, ubuntu-fan with that." in said


def test_what_an_installation_pushes_out_is_told(apt: Apt) -> None:
    """Nobody names the fan, and it conflicts with what comes."""
    apt.install(*INSTALLED, Package("fan", "1"))
    apt.offer(*DOCKER[:2], Package("containerd.io", "2.3.2-1", conflicts="containerd, runc, fan"), *DOCKER[3:])
    removed, failure = packages.simulate_install(apt.run, "debian", engine.DOCKER_PACKAGES, CONFLICTS)
    assert (sorted(removed), failure) == (sorted([*CONFLICTS, "fan"]), "")


def test_docker_s_own_packages_take_only_the_place_of_the_named(apt: Apt) -> None:
    apt.offer(*DOCKER)
    wanted = engine.wanted(engine.Request(version="29.10.0"), engine.DistroDocker(), "5:")
    removed, failure = packages.simulate_install(apt.run, "debian", wanted, CONFLICTS)
    assert (sorted(removed), failure) == (sorted(CONFLICTS), "")


@pytest.mark.parametrize(
    ("offered", "said"),
    [
        ([Package("docker-ce", "5:29.10.0-1", "libnothing (>= 3)"), *DOCKER[1:]], "libnothing"),
        (DOCKER[:2], "containerd.io"),
    ],
)
def test_what_can_t_be_installed_is_said_before_the_old_docker_goes(
    apt: Apt, offered: list[Package], said: str
) -> None:
    apt.offer(*offered)
    _removed, failure = packages.simulate_install(apt.run, "debian", engine.DOCKER_PACKAGES, CONFLICTS)
    assert said in failure
    host = engine.Host(uid=0, distribution=NOBLE, installed={name: Installed("1") for name in CONFLICTS})
    (sentence,) = engine.decide(engine.Request(), host, {}, [], failure).refusals
    assert sentence.startswith("docker_engine_source: apt can't install docker-ce,") and said in sentence
