# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one reader of who listens on a host: without ss or netstat, which it need not have."""

from __future__ import annotations

import socket
import struct

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.listeners import Listener, parse
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")

# include/uapi/linux/netlink.h, sock_diag.h and inet_diag.h.
_SOCK_DIAG = 4
_BY_FAMILY, _ERROR, _DONE = 20, 2, 3
_REQUEST_DUMP, _INTERRUPTED = 0x301, 0x10
_HEADER = struct.Struct("=IHHII")
_LISTEN_STATES = 1 << 10
_ANSWER_BYTES = 1 << 16


def read(files: HostFiles | None = None) -> tuple[Listener, ...]:
    """Return who listens; with `files` as the tables of that root have it. A host without IPv6 has no second table."""
    if files is None:
        # The kernel writes a table by walking every connection it could have, 4 ms on a small host and more on a big one; asked for
        # listeners alone it looks at those. Not every kernel can be asked.
        try:
            return (*_ask(socket.AF_INET), *_ask(socket.AF_INET6))
        except OSError:
            files = HostFiles()
    return parse(files.read(table) or "" for table in TABLES)


def _ask(family: int) -> list[Listener]:
    """Ask the kernel for the listeners of one family; raise OSError where it can't be asked or changed its mind meanwhile."""
    request = struct.pack("=BBBBI48x", family, socket.IPPROTO_TCP, 0, 0, _LISTEN_STATES)
    found: list[Listener] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as asked:
        asked.settimeout(5)
        asked.send(_HEADER.pack(_HEADER.size + len(request), _BY_FAMILY, _REQUEST_DUMP, 0, 0) + request)
        while True:
            answer = asked.recv(_ANSWER_BYTES)
            while answer:
                size, kind, flags, _number, _port = _HEADER.unpack_from(answer)
                if kind == _DONE:
                    return found
                if kind == _ERROR or flags & _INTERRUPTED:
                    raise OSError("the kernel did not list its listeners")
                found.append(_listener(answer[_HEADER.size : size]))
                answer = answer[(size + 3) & ~3 :]


def _listener(message: bytes) -> Listener:
    """Read a struct inet_diag_msg; addresses as the tables write them, by words of a little-endian machine."""
    family, port, source, uid, inode = struct.unpack_from("=B3x2s2x16s40xII", message)
    words = 1 if family == socket.AF_INET else 4
    address = "".join(source[at : at + 4][::-1].hex().upper() for at in range(0, 4 * words, 4))
    return Listener(address, int.from_bytes(port, "big"), uid, str(inode))
