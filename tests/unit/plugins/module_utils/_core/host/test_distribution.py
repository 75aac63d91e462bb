# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading what package managers and /etc/os-release say."""

from __future__ import annotations

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import distribution

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_ID="13"\nVERSION_CODENAME=trixie\nID=debian\n'
UBUNTU = 'PRETTY_NAME="Ubuntu 24.04.3 LTS"\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\nID=ubuntu\nID_LIKE=debian\n'
ROCKY = 'VERSION_ID="9.6"\nID="rocky"\nID_LIKE="rhel centos fedora"\nPRETTY_NAME="Rocky Linux 9.6 (Blue Onyx)"\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (DEBIAN, distribution.Distribution("debian", "13", "13", "trixie", "debian", "Debian GNU/Linux 13 (trixie)")),
        (UBUNTU, distribution.Distribution("ubuntu", "24.04", "24", "noble", "debian", "Ubuntu 24.04.3 LTS")),
        (ROCKY, distribution.Distribution("rocky", "9.6", "9", "", "redhat", "Rocky Linux 9.6 (Blue Onyx)")),
        (
            'ID=alpine\nNAME="\n# comment\nVERSION_ID=3.22\n',
            distribution.Distribution("alpine", "3.22", "3", "", "", "alpine"),
        ),
        ('ID="broken\n', distribution.Distribution("", "", "", "", "", "an unnamed system")),
    ],
)
def test_os_release(text: str, expected: distribution.Distribution) -> None:
    assert distribution.parse_os_release(text) == expected


def test_dpkg_counts_only_what_is_installed() -> None:
    text = "docker.io\t26.1.5+dfsg1-9+b1\tii \nrunc\t1.1.15\thi \ncontainerd\t1.7\trc \npodman-docker\t\tun \n"
    assert distribution.parse_dpkg(text) == {
        "docker.io": distribution.Package("26.1.5+dfsg1-9+b1"),
        "runc": distribution.Package("1.1.15", held=True),
    }


def test_rpm_skips_what_is_not_there() -> None:
    assert distribution.parse_rpm("docker-ce\t29.10.0-1.el9\npackage podman is not installed\n") == {
        "docker-ce": distribution.Package("29.10.0-1.el9")
    }


def test_apt_policy() -> None:
    text = "docker.io:\n  Candidate: 26.1.5\n  Version table:\nghost:\n  Installed: (none)\n  Candidate: (none)\n"
    assert distribution.parse_apt_policy(text) == {"docker.io": "26.1.5"}


def test_missing_is_absent_or_of_another_version() -> None:
    installed = {"docker-ce": distribution.Package("5:29.10.0-1~debian.13~trixie"), "runc": distribution.Package("1.1")}
    wanted = ["docker-ce=5:29.10.0*", "docker-ce=5:29.9.0*", "runc", "containerd.io"]
    assert distribution.missing_packages(wanted, installed) == ["docker-ce=5:29.9.0*", "containerd.io"]


def test_unavailable_goes_by_name() -> None:
    assert distribution.unavailable_packages(["a=1*", "b"], {"a": "1.0"}) == ["b"]


@pytest.mark.parametrize(
    ("status", "err", "reason"),
    [
        (0, "", ""),
        (0, "W: Download is performed unsandboxed as root", ""),
        (100, "W: OpenPGP signature verification failed: Missing key E039ED, which is needed", "Missing key E039ED"),
        (
            100,
            "W: GPG error: http://m InRelease: NO_PUBKEY 6A415BD9\nE: The repository is not signed.",
            "NO_PUBKEY 6A415BD9",
        ),
        (0, "W: Failed to fetch http://m  Could not connect to m:80 (refused).", "Could not connect to m:80 (refused)"),
        (100, "E: The repository 'http://m' has no Release file.", "The repository 'http://m' has no Release file"),
        (2, "", "apt-get update ended with 2"),
    ],
)
def test_why_a_repository_can_t_be_used(status: int, err: str, reason: str) -> None:
    assert distribution.apt_update_failure(status, "Hit:1 http://mirror.example/debian trixie InRelease", err) == reason


@pytest.mark.parametrize("reason", ["Missing key EB693B30", "NO_PUBKEY A4B469963BF863CC", "EXPKEYSIG A4B469963BF863CC"])
def test_what_a_new_key_would_mend(reason: str) -> None:
    assert distribution.is_about_the_key(reason)


@pytest.mark.parametrize("reason", ["404 Not Found", "Hash Sum mismatch", "Could not resolve 'mirror.internal'"])
def test_what_no_key_would_mend(reason: str) -> None:
    assert not distribution.is_about_the_key(reason)


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("ID=centos\n", "redhat"),
        ("ID=fedora\n", "redhat"),
        ('ID=rocky\nID_LIKE="rhel centos fedora"\n', "redhat"),
        ("ID=debian\n", "debian"),
        ("ID=linuxmint\nID_LIKE=ubuntu\n", "debian"),
        ("ID=arch\n", ""),
        ("", ""),
    ],
)
def test_whose_family_a_system_is_of(text: str, family: str) -> None:
    assert distribution.parse_os_release(text).family == family


def test_only_what_is_installed_counts() -> None:
    found = distribution.parse_dpkg("a\t1\tii\nb\t2\thi \nc\t3\trc\nd\t4\ti\ne\t5\nf\t6\tii\tx\n")
    assert {name: (one.version, one.held) for name, one in found.items()} == {"a": ("1", False), "b": ("2", True)}
