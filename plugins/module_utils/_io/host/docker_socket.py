# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a Docker daemon over its socket with the standard library, on hosts where our venv does not stand yet."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket file instead of a port."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def get(path: str, endpoint: str, timeout_s: float = 10.0) -> Any:
    """Return the daemon's answer, or None where no daemon answers."""
    try:
        return json.loads(_read(path, endpoint, timeout_s) or b"null")
    except ValueError:
        return None


def log(path: str, container: str, lines: int, timeout_s: float = 10.0) -> list[str]:
    """Return the last lines that a container printed, on both of its streams in their order; none where no daemon answers."""
    endpoint = f"/containers/{quote(container, safe='')}/logs?stdout=1&stderr=1&tail={lines}"
    data = _read(path, endpoint, timeout_s) or b""
    return b"".join(_frames(data)).decode(errors="replace").splitlines()


def _frames(data: bytes) -> Iterator[bytes]:
    """Take the streams' frames apart: a byte for which it is, three zeros, four for the length. A terminal's log has none."""
    at = 0
    while at < len(data):
        head = data[at : at + 8]
        if len(head) < 8 or head[0] not in (0, 1, 2) or head[1:4] != b"\0\0\0":
            yield data[at:]
            return
        length = int.from_bytes(head[4:], "big")
        yield data[at + 8 : at + 8 + length]
        at += 8 + length


def _read(path: str, endpoint: str, timeout_s: float) -> bytes | None:
    connection = _UnixConnection(path, timeout_s)
    try:
        connection.request("GET", endpoint)
        answer = connection.getresponse()
        return answer.read() if answer.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
