# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens on TCP ports, as the kernel's socket tables (/proc/net/tcp, tcp6) write it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

# TCP_LISTEN (include/net/tcp_states.h).
_LISTEN = "0A"
# Every address, of both families.
_EVERY = ("00000000", "0" * 32)
_LOCALHOST = ("127.0.0.1", "::1")


@dataclass(frozen=True)
class Listener:
    """One socket that is listened on."""

    address: str  # in hexadecimal, as the table has it
    port: int
    uid: int
    inode: str


def parse(tables: Iterable[str]) -> tuple[Listener, ...]:
    """Return the listeners of these tables; a line that is no socket's (the head, or one cut short) is none."""
    return tuple(
        Listener(address, int(port, 16), int(fields[7]), fields[9])
        for table in tables
        for line in table.splitlines()
        if len(fields := line.split()) > 9 and fields[3] == _LISTEN
        for address, _colon, port in [fields[1].rpartition(":")]
    )


@dataclass(frozen=True)
class Rows:
    """How the tables write a port at one address, and at every address."""

    own: tuple[str, ...]
    every: tuple[str, ...]


def rows(host: str, port: int) -> Rows:
    """Return who can get what is sent to a host's loopback address."""
    hosts = _LOCALHOST if host == "localhost" else (host,)
    own = [form for one in hosts for form in _forms(ipaddress.ip_address(one))]
    return Rows(tuple(f"{form}:{port:04X}" for form in own), tuple(f"{form}:{port:04X}" for form in _EVERY))


def is_foreign(listeners: Iterable[Listener], host: str, port: int, ours: Iterable[int]) -> bool:
    """Tell whether another account gets what is sent there. Where nobody listens it does not.

    The kernel hands a connection to who listens at its very address, and only where nobody does to who listens at every one: another
    account can take a port at every address while one of ours has it at loopback, and gets nothing by that.
    """
    wanted = rows(host, port)
    own: set[int] = set()
    every: set[int] = set()
    for one in listeners:
        row = f"{one.address}:{one.port:04X}"
        (own if row in wanted.own else every if row in wanted.every else set()).add(one.uid)
    return bool((own or every) - set(ours))


def _forms(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> list[str]:
    """Words of a little-endian machine; IPv4 also as IPv6 has it."""
    words = [address.packed[at : at + 4][::-1].hex().upper() for at in range(0, len(address.packed), 4)]
    text = "".join(words)
    return [text] if address.version == 6 else [text, f"{'0' * 16}FFFF0000{text}"]
