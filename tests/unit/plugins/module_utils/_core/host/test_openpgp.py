# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fingerprints of key files. Both keys were made for these tests with gpg, which also named their fingerprints."""

from __future__ import annotations

import hashlib

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import openpgp

ED25519 = """-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawSXCBYJKwYBBAHaRw8BAQdAUysbsyz4D8C4MKo+bNsFKcoFCpolaKdpsc1o
fDEzmKy0JUZpeHR1cmUga2V5IDxmaXh0dXJlQGV4YW1wbGUuaW52YWxpZD6IlgQT
FggAPhYhBBTD8yj3ZsAtUH2P2Ugf29f2Q0SfBQJrBJcIAhsDBQkD9ra4BQsJCAcC
BhUKCQgLAgQWAgMBAh4BAheAAAoJEEgf29f2Q0Sf+u0A/2hhIywED+vw9OaDbKjW
Bts/7/R6+UyaiPLjB1ii+3FGAP9K7bssHnYOb+WJJHsP8CsWa1Azmq15aFSpC6y0
rRdaAQ==
=0NRj
-----END PGP PUBLIC KEY BLOCK-----
"""
ED25519_PRINT = "14C3F328F766C02D507D8FD9481FDBD7F643449F"
RSA = """-----BEGIN PGP PUBLIC KEY BLOCK-----
Comment: a header line, as older programs write it

mQENBGsElwgBCADCwRD4+pRpYJwLU9R5xw+44KkjqVKr4VpgkeT8YdPBXtK8OM9w
tenBnM4yG/lPHZ3BDnJ9jdwsFNnFQ373Tr1KxghU8lroQrx2hUsdvdagtRM0OpzB
j/WI5YPTLm9Imi1S/fQiGqOINBiQ2/rAp78U5i7WLFPHVHoHuQEDDi1xwKzjmml0
epIKOx1NhSFh6zwuqYnG76JxcGltTz4dkKAzmBmzUzez5BS319uFmg+dPkDF4azL
bvRdPgNxEHKiwbE2lkeWCm9x1W6FqTBvMYw9pVtmVD5UkI3CspF3bbzIyy6tlVlC
ahZ4qmGSk6TCN71carw7WcY7cIygkkfWrJTRABEBAAG0I1NlY29uZCBrZXkgPHNl
Y29uZEBleGFtcGxlLmludmFsaWQ+iQFOBBMBCgA4FiEEF/9luiqtzmYKnzhqH43y
5NJ7mKMFAmsElwgCGwMFCwkIBwIGFQoJCAsCBBYCAwECHgECF4AACgkQH43y5NJ7
mKMsnwf8DA6U7rMEAF/m66vgULX1Ti2fm6GtRK9PKlPwENs4CJ/0OLVEpOWlG14j
BFOoXjSjnnuu/pYXgcf/s5lyzmfECTRQa1N6aEVIKsko7oRIwRJrjvKl+qyIS7f+
Tp0lc2sKBFoSN0g1ddyXa5iqfpQqMAh9X13ZiU2CgRJTPqTsBQZoSdN5stfpPFyc
9mCVW4HXq3A7Lbvn3PpfUlf/C52B9ZGQxGXdgcPyUBEI+nBC9Psiag/INhRDcewp
7YyrLNBVN5sg4rU6D+o2u3gGmw7P4J8zMU7EyCA7jvbrXIG460LfMwICPIlRGhPK
aaJwg5WthC9sZQMeuLRL/PAO5IN3Hg==
=wXxA
-----END PGP PUBLIC KEY BLOCK-----
"""
RSA_PRINT = "17FF65BA2AADCE660A9F386A1F8DF2E4D27B98A3"


@pytest.mark.parametrize(("armoured", "fingerprint"), [(ED25519, ED25519_PRINT), (RSA, RSA_PRINT)])
def test_reads_what_gpg_reads(armoured: str, fingerprint: str) -> None:
    assert openpgp.read_key(armoured.encode(), "key").fingerprints == (fingerprint,)


def test_a_key_without_armour_reads_the_same() -> None:
    binary = openpgp.dearmour(RSA.encode())
    assert openpgp.read_key(binary, "key") == openpgp.read_key(RSA.encode(), "key")


def test_a_fingerprint_may_be_written_as_gpg_shows_it() -> None:
    spaced = "17FF 65BA 2AAD CE66 0A9F  386A 1F8D F2E4 D27B 98a3"
    assert openpgp.check_key(RSA.encode(), [spaced], "key", "f").fingerprints == (RSA_PRINT,)


def test_another_key_is_refused_and_named() -> None:
    with pytest.raises(FleetError) as caught:
        openpgp.check_key(RSA.encode(), [ED25519_PRINT], "https://mirror/key", "docker_engine_repository_fingerprints")
    assert caught.value.message == (
        "docker_engine_repository_fingerprints: https://mirror/key holds the key "
        f"{RSA_PRINT}, and {ED25519_PRINT} was expected."
    )
    assert "docker_engine_repository_fingerprints" in caught.value.remedy


def test_no_fingerprint_is_no_trust() -> None:
    with pytest.raises(FleetError) as caught:
        openpgp.check_key(RSA.encode(), [], "https://mirror/key", "f")
    assert caught.value.message == f"f: it is empty, and https://mirror/key holds the key {RSA_PRINT}."
    assert "set f to it" in caught.value.remedy


def test_a_second_key_behind_the_right_one_is_refused() -> None:
    with pytest.raises(FleetError, match=RSA_PRINT):
        openpgp.check_key((ED25519 + RSA).encode(), [ED25519_PRINT], "key", "f")


def test_two_expected_keys_in_one_file_are_fine() -> None:
    key = openpgp.check_key((ED25519 + RSA).encode(), [RSA_PRINT, ED25519_PRINT], "key", "f")
    assert key.fingerprints == (ED25519_PRINT, RSA_PRINT)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>Please log in</html>",
        ED25519.replace("mDME", "!!!!").encode(),
        openpgp.dearmour(RSA.encode())[:100],
    ],
    ids=["empty", "a web page", "damaged armour", "cut off"],
)
def test_what_is_no_key_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(FleetError, match="the file: it is not an OpenPGP public key"):
        openpgp.read_key(data, "the file")


def packet(body: bytes, form: str) -> bytes:
    """A packet of a public key, with its length written in one of the ways there are."""
    size = len(body)
    if form == "old 1":
        return bytes([0x98, size]) + body
    if form == "old 2":
        return b"\x99" + size.to_bytes(2, "big") + body
    if form == "old 4":
        return b"\x9a" + size.to_bytes(4, "big") + body
    if form == "new 1":
        return bytes([0xC6, size]) + body
    if form == "new 2":
        return bytes([0xC6, 192 + ((size - 192) >> 8), (size - 192) & 0xFF]) + body
    return b"\xc6\xff" + size.to_bytes(4, "big") + body


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("size", "form"),
    [
        (180, "old 1"),
        (300, "old 2"),
        (300, "old 4"),
        (191, "new 1"),
        (192, "new 2"),
        (193, "new 2"),
        (700, "new 2"),
        (8383, "new 2"),
        (300, "new 5"),
    ],
)
def test_a_length_in_each_of_its_forms(version: int, size: int, form: str) -> None:
    body = bytes([version]) + bytes(at % 251 for at in range(size - 1))
    if version == 4:
        wanted = hashlib.sha1(b"\x99" + size.to_bytes(2, "big") + body, usedforsecurity=False).hexdigest().upper()
    else:
        wanted = hashlib.sha256(b"\x9b" + size.to_bytes(4, "big") + body).hexdigest().upper()
    data = packet(body, form)
    assert openpgp.read_key(data, "key").fingerprints == (wanted,)
    assert openpgp.read_key(data + data, "key").fingerprints == (wanted, wanted)
    with pytest.raises(FleetError, match="it is not an OpenPGP public key"):
        openpgp.read_key(data[:-1], "key")


@pytest.mark.parametrize(
    "data",
    [
        packet(b"\x03old", "old 1"),  # a version that nobody trusts
        b"\xc6\xe0\x04abc",  # a part of a packet
        b"\x9b\x04abc",  # without a length
        packet(b"\x04abc", "old 1") + b"\x00",
        b"\xc6",
    ],
)
def test_what_is_no_whole_key(data: bytes) -> None:
    with pytest.raises(FleetError, match="it is not an OpenPGP public key"):
        openpgp.read_key(data, "key")


SIGNED = """-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA512

Origin: x
- -dashed
-----BEGIN PGP SIGNATURE-----

abc=
-----END PGP SIGNATURE-----
"""


def test_a_signed_text_and_its_signature() -> None:
    text, signature = openpgp.split_signed(SIGNED.encode(), "InRelease")
    assert text == "Origin: x\n-dashed"
    assert signature == "-----BEGIN PGP SIGNATURE-----\n\nabc=\n-----END PGP SIGNATURE-----\n"


@pytest.mark.parametrize(
    "text",
    [
        f"before\n{SIGNED}",
        f"{SIGNED}after\n",
        SIGNED.replace("Hash: SHA512", "Hash: SHA512\nNote: x"),
        SIGNED.replace("Origin: x", "-----BEGIN PGP SIGNED MESSAGE-----"),
        SIGNED.replace("abc=", "-----BEGIN PGP SIGNATURE-----"),
        SIGNED.replace("SIGNED MESSAGE", "MESSAGE"),
    ],
)
def test_more_than_one_signed_text_is_none(text: str) -> None:
    with pytest.raises(
        FleetError, match=r"InRelease: it holds more than one signed text. Nothing in it can be believed"
    ):
        openpgp.split_signed(text.encode(), "InRelease")


@pytest.mark.parametrize("data", [b"<html>", b"", b"\xff\xfe", SIGNED.replace("\n\n", "\n").encode()])
def test_what_is_no_signed_text(data: bytes) -> None:
    with pytest.raises(FleetError, match=r"InRelease: it is not a signed file. Check the address"):
        openpgp.split_signed(data, "InRelease")
