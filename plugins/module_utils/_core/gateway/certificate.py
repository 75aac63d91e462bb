# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of a self-signed certificate: which it has to bear, and which one bears already, as openssl says both."""

from __future__ import annotations

import ipaddress
import re

LIFETIME_DAYS, RENEWED_BEFORE_DAYS = 397, 30
_EVERY = ("0.0.0.0", "::")
_NAME = re.compile(r"(DNS|IP Address|IP):([^,\s]+)")


def names(wanted: str, address: str) -> list[str]:
    """Return names as subjectAltName takes them. Clients compare an address with IP entries only."""
    own = [wanted, "localhost", "127.0.0.1", "::1", *([] if address in _EVERY else [address])]
    return list(dict.fromkeys(_entry(name) for name in own if name))


def named_in(text: str) -> set[str]:
    """Return the names that `openssl x509 -ext subjectAltName` prints."""
    # An address that was entered as a host's name is none to clients.
    return {f"DNS:{value.lower()}" if kind == "DNS" else _entry(value) for kind, value in _NAME.findall(text)}


def subject(wanted: str) -> str:
    """Return a common name; one of more than 64 characters is none, and clients read subjectAltName anyway."""
    return f"/CN={wanted if len(wanted) <= 64 else 'gpuserve-gateway'}"


def _entry(name: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name.lower()}"
