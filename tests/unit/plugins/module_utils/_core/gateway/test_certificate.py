# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of a self-signed certificate, against what openssl prints of them."""

from __future__ import annotations

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import certificate

PRINTED = """X509v3 Subject Alternative Name:
    DNS:box, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1
Certificate will not expire
"""


def test_an_address_is_an_ip_entry() -> None:
    assert certificate.names("10.0.0.5", "0.0.0.0") == ["IP:10.0.0.5", "DNS:localhost", "IP:127.0.0.1", "IP:::1"]
    assert certificate.names("fd00::1", "10.0.0.5")[0] == "IP:fd00::1"
    assert certificate.names("fd00::1", "10.0.0.5")[-1] == "IP:10.0.0.5"


def test_names_are_told_once_and_in_small_letters() -> None:
    assert certificate.names("LOCALHOST", "127.0.0.1") == ["DNS:localhost", "IP:127.0.0.1", "IP:::1"]


def test_what_openssl_prints_is_what_it_was_given() -> None:
    assert certificate.named_in(PRINTED) == set(certificate.names("box", "::"))
    assert certificate.named_in(PRINTED) != set(certificate.names("other", "::"))


def test_a_long_name_is_no_common_name() -> None:
    assert certificate.subject("box") == "/CN=box"
    assert certificate.subject("a" * 65) == "/CN=gpuserve-gateway"
