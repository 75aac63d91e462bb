# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of our own: when one is made anew. openssl's words are recorded; what it makes is in the scenario."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import certificate
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway.own_certificate import OwnCertificate

NAMES = certificate.names("10.0.0.5", "0.0.0.0")
SAN = "X509v3 Subject Alternative Name: \n    IP Address:10.0.0.5, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1\n"


class Openssl:
    """openssl, which answers in its words."""

    def __init__(self, san: str = SAN, lasts: int = 0, of_key: str = "one", makes: int = 0) -> None:
        self.san, self.lasts, self.of_key, self.makes = san, lasts, of_key, makes

    def __call__(self, argv: list[str]) -> tuple[int, str, str]:
        if "req" in argv:
            for option in ("-keyout", "-out"):
                Path(argv[argv.index(option) + 1]).write_text("new\n")
            return self.makes, "", "req: no such thing\n" if self.makes else ""
        if "pkey" in argv:
            return 0, self.of_key, ""
        return (0, "one", "") if "-pubkey" in argv else (self.lasts, self.san, "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).write_text("old\n")
    return tmp_path


def test_one_with_the_right_names_serves(folder: Path) -> None:
    assert OwnCertificate(folder, Openssl()).serves(NAMES)


@pytest.mark.parametrize(
    "openssl",
    [
        Openssl(san=SAN.replace("IP Address:10.0.0.5", "DNS:10.0.0.5")),
        Openssl(san=SAN.replace("10.0.0.5", "10.0.0.6")),
        Openssl(san=SAN + ", DNS:another"),
        Openssl(lasts=1),
        Openssl(of_key="other"),
    ],
    ids=["an address as DNS", "another address", "a name too many", "expires soon", "another's key"],
)
def test_one_that_no_longer_serves_is_made_anew(folder: Path, openssl: Openssl) -> None:
    assert not OwnCertificate(folder, openssl).serves(NAMES)


def test_both_files_are_put_once_both_are_made(folder: Path) -> None:
    OwnCertificate(folder, Openssl()).make("10.0.0.5", NAMES)
    assert (folder / "tls.key").read_text() == "new\n" and (folder / "tls.key").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700 and sorted(path.name for path in folder.iterdir()) == [
        "tls.crt",
        "tls.key",
    ]


def test_what_openssl_refuses_leaves_the_old_ones(folder: Path) -> None:
    with pytest.raises(FleetError, match="gateway_tls_name: openssl makes no certificate"):
        OwnCertificate(folder, Openssl(makes=1)).make("10.0.0.5", NAMES)
    assert (folder / "tls.key").read_text() == "old\n" and not (folder / ".draft").exists()
