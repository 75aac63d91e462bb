# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fingerprints of OpenPGP public keys, so that a repository's key is checked on hosts that have no gpg.

Only what RFC 4880 and RFC 9580 need for that: ASCII armour, packet headers and the version 4 and 6 fingerprints; and what of a
cleartext-signed file is signed, since nothing else in it may be believed.
It proves which key a file holds, not that the key is still valid: the package manager checks that when it reads the
index.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail

_PUBLIC_KEY = 6
_BEGIN = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
_END = "-----END PGP PUBLIC KEY BLOCK-----"
_SIGNED = "-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE, _SIGNATURE_END = "-----BEGIN PGP SIGNATURE-----", "-----END PGP SIGNATURE-----"


@dataclass(frozen=True)
class KeyFile:
    """A key file as apt takes it: bytes without armour, and the primary keys in it."""

    binary: bytes
    fingerprints: tuple[str, ...]


def normalise(fingerprint: str) -> str:
    """Write a fingerprint one way: upper case, no blanks."""
    return "".join(fingerprint.split()).upper()


def dearmour(data: bytes) -> bytes:
    """Return the packets of an armoured file; a file that is binary already comes back as it is."""
    if _BEGIN.encode() not in data:
        return data
    packets = b""
    block: list[str] | None = None
    for raw in data.decode("ascii", "replace").splitlines():
        line = raw.strip()
        if line == _BEGIN:
            block = []
        elif line == _END and block is not None:
            packets += _decode(block)
            block = None
        elif block is not None:
            block.append(line)
    return packets


def _decode(lines: list[str]) -> bytes:
    body = lines
    if "" in lines:
        body = lines[lines.index("") + 1 :]
    text = "".join(line for line in body if not line.startswith("=") and ":" not in line)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Walk the packets; anything that does not parse ends the walk with an error."""
    at = 0
    while at < len(data):
        head = data[at]
        if not head & 0x80:
            raise ValueError("no packet starts here")
        at += 1
        if head & 0x40:
            tag = head & 0x3F
            first = data[at]
            if first < 192:
                length, at = first, at + 1
            elif first < 224:
                length, at = ((first - 192) << 8) + data[at + 1] + 192, at + 2
            elif first == 255:
                length, at = int.from_bytes(data[at + 1 : at + 5], "big"), at + 5
            else:
                raise ValueError("partial lengths have no place in a key")
        else:
            tag = (head >> 2) & 0x0F
            kind = head & 0x03
            if kind == 3:
                raise ValueError("a key of unknown length")
            size = 1 << kind
            length, at = int.from_bytes(data[at : at + size], "big"), at + size
        if at + length > len(data):
            raise ValueError("the file ends inside a packet")
        yield tag, data[at : at + length]
        at += length


def _fingerprint(body: bytes) -> str:
    version = body[0] if body else 0
    if version == 4:
        return hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body, usedforsecurity=False).hexdigest().upper()
    if version == 6:
        return hashlib.sha256(b"\x9b" + len(body).to_bytes(4, "big") + body).hexdigest().upper()
    raise ValueError(f"a key of version {version}")


def read_key(data: bytes, origin: str) -> KeyFile:
    """Read a key file, armoured or not."""
    binary = dearmour(data)
    try:
        prints = tuple(_fingerprint(body) for tag, body in _packets(binary) if tag == _PUBLIC_KEY)
    except (ValueError, IndexError):
        prints = ()
    if not prints:
        fail(origin, "it is not an OpenPGP public key.", "Check the address: it may answer with a web page.")
    return KeyFile(binary=binary, fingerprints=prints)


def check_key(data: bytes, expected: list[str], origin: str, field: str) -> KeyFile:
    """Accept a file that holds the expected keys and no other: one key too many would be trusted as well."""
    key = read_key(data, origin)
    wanted = {normalise(fingerprint) for fingerprint in expected}
    if not wanted:
        fail(
            field,
            f"it is empty, and {origin} holds the key {', '.join(key.fingerprints)}.",
            f"Compare that with what its owner publishes, and set {field} to it. Nothing was changed.",
        )
    unexpected = [fingerprint for fingerprint in key.fingerprints if fingerprint not in wanted]
    if unexpected:
        fail(
            field,
            f"{origin} holds the key {unexpected[0]}, and {', '.join(sorted(wanted))} was expected.",
            f"If the repository really changed its key, set {field} to what its owner publishes. Nothing was changed.",
        )
    return key


def split_signed(data: bytes, origin: str) -> tuple[str, str]:
    """Return the signed text of a cleartext-signed file and its armoured signature.

    A file with anything before, after or between the two is refused: a reader that takes such a part for signed can be told anything.
    """
    try:
        lines = data.decode("utf-8").rstrip("\n").split("\n")
        begin = lines.index(_SIGNATURE)
        blank = lines.index("")
    except ValueError:  # no such line, or no text at all
        fail(origin, "it is not a signed file.", "Check the address: it may answer with a web page.")
    headers, body, signature = lines[:blank], lines[blank + 1 : begin], lines[begin:]
    whole = headers[0] == _SIGNED and all(line.startswith("Hash: ") for line in headers[1:])
    marks = [line for line in body + signature[1:-1] if line.startswith("-----")]
    if not whole or marks or signature[-1] != _SIGNATURE_END or begin < blank:
        fail(origin, "it holds more than one signed text.", "Nothing in it can be believed: use another mirror.")
    return "\n".join(line.removeprefix("- ") for line in body), "\n".join(signature) + "\n"
