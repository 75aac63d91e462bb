# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens on TCP ports, as the kernel's socket tables (/proc/net/tcp, tcp6) write it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# TCP_LISTEN (include/net/tcp_states.h).
_LISTEN = "0A"
# What loopback is reached at: every address and 127.0.0.1, the same of IPv6, and IPv4's within it (words of a little-endian machine).
_REACHED_AT_LOOPBACK = {
    "00000000", "0100007F", "0" * 32, "0" * 24 + "01000000", "0000000000000000FFFF00000100007F",
}  # fmt: skip


@dataclass(frozen=True)
class Listener:
    """One socket that is listened on."""

    address: str  # in hexadecimal, as the table has it
    port: int
    uid: int
    inode: str

    @property
    def is_reached_at_loopback(self) -> bool:
        """Tell whether who asks 127.0.0.1 or ::1 comes here."""
        return self.address in _REACHED_AT_LOOPBACK


def parse(tables: Iterable[str]) -> tuple[Listener, ...]:
    """Return the listeners of these tables; a line that is no socket's (the head, or one cut short) is none."""
    return tuple(
        Listener(address, int(port, 16), int(fields[7]), fields[9])
        for table in tables
        for line in table.splitlines()
        if len(fields := line.split()) > 9 and fields[3] == _LISTEN
        for address, _colon, port in [fields[1].rpartition(":")]
    )
