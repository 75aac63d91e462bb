# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses and ports: where the gateway listens, where engines answer, and which ports that takes from others."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import sockets
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import checks

_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*\.?")
# Addresses that stand for every one of a host, and where the host itself reaches them: many a host has no IPv6 at all.
_EVERY = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}


@dataclass(frozen=True)
class Endpoint:
    """A host and a port; an IPv6 address is kept without its brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def listen(self) -> str:
        """What nginx's listen takes. [::] stands for both families: nginx alone would leave IPv4 out."""
        return f"{self} ipv6only=off" if self.host == "::" else str(self)

    @property
    def local(self) -> str:
        """Where the host itself reaches what listens here."""
        host = _EVERY.get(self.host)
        return f"{host}:{self.port}" if host else str(self)

    @property
    def is_loopback(self) -> bool:
        """Whether only the host itself reaches what listens here."""
        return is_loopback(self.host)

    def meets(self, other: Endpoint) -> bool:
        """Whether both can't be listened at: the same port at the same address, or at every address."""
        if self.port != other.port:
            return False
        every = self.host in _EVERY or other.host in _EVERY
        return self.host == other.host or (every and not self._is_elsewhere and not other._is_elsewhere)

    @property
    def _is_elsewhere(self) -> bool:
        """Whether the address may well be another machine's: only loopback is surely this one."""
        return not (self.host in _EVERY or self.is_loopback)


def is_loopback(host: str) -> bool:
    """Tell whether only the host itself reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def host(value: Any, where: str) -> str:
    """Return an address or a host's name; an IPv6 address with or without brackets."""
    text = str(value or "")
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in bare:
        try:
            return str(ipaddress.IPv6Address(bare))
        except ValueError:
            pass
    elif text == bare and _HOST.fullmatch(text) and not _misspelt(text):
        return text
    return fail(where, checks.said(value, "is no address."), "Write one such as 0.0.0.0, 127.0.0.1 or [::].")


def _misspelt(text: str) -> bool:
    """Tell an IPv4 address that is none: digits and dots alone are no host's name."""
    if not re.fullmatch(r"[0-9.]+", text):
        return False
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return True
    return False


def endpoint(value: Any, where: str) -> Endpoint:
    """Return HOST:PORT in its parts."""
    text = str(value or "")
    name, colon, port = text.rpartition(":")
    remedy = "Write HOST:PORT, such as 127.0.0.1:8001 or [::1]:8001."
    digits = re.fullmatch(r"[0-9]{1,5}", port) and 1 <= int(port) <= 65535
    if not colon or not digits or (":" in name and not name.startswith("[")):
        fail(where, checks.said(value, "is no endpoint."), remedy)
    return Endpoint(host(name, where), int(port))


@dataclass(frozen=True)
class Socket:
    """A Unix socket on this host, which is in no port's way."""

    path: str

    def __str__(self) -> str:
        return f"{sockets.SCHEME}{self.path}"


def engine(value: Any, where: str) -> Endpoint | Socket:
    """Return where an engine answers: HOST:PORT, or unix:PATH."""
    text = str(value or "")
    if not text.startswith(sockets.SCHEME):
        return endpoint(value, where)
    path = text.removeprefix(sockets.SCHEME)
    if not sockets.is_path(path):
        fail(
            where,
            f"{checks.shown(value)} is no socket.",
            f"Write unix:/PATH, with letters, digits and . _ -, at most {sockets.LONGEST} bytes.",
        )
    return Socket(path)
