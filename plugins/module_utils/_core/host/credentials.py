# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials in addresses: found wherever they stand in a value, hidden where it is shown, concealed where it is remembered."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

# An account in an address, up to the last @ before the path: passwords hold any sign.
_CREDENTIALS = re.compile(r"://([^/\s\"]*)@")
_CONCEALED = "sha256"


def conceal(value: Any) -> Any:
    """Put a digest in the place of every text that holds credentials: enough to know it again, and nothing to steal."""
    if isinstance(value, str) and _CREDENTIALS.search(value):
        return {_CONCEALED: hashlib.sha256(value.encode()).hexdigest()}
    return [conceal(item) for item in value] if isinstance(value, list) else value


def secrets(options: Any) -> set[str]:
    """Collect every text that must not be shown: whole addresses with an account, the account, and its password."""
    if isinstance(options, Mapping):
        return {text for value in options.values() for text in secrets(value)}
    if isinstance(options, list):
        return {text for value in options for text in secrets(value)}
    match = _CREDENTIALS.search(options) if isinstance(options, str) else None
    if match is None:
        return set()
    account = match.group(1)
    return {text for text in (str(options), account, account.partition(":")[2]) if text}


def redact(text: str) -> str:
    """Hide the credentials of proxy addresses before a diff is shown."""
    return _CREDENTIALS.sub("://***@", text)
