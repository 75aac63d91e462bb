# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts that leave a host in a support bundle, without the secrets in them.

Two ways, one after the other: whatever stands in our files of secrets goes wherever it occurs, and what has the form of a secret goes,
whoever's it is. A word too many that is hidden costs nothing; so values of keys that sound like secrets go whatever they look like.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

HIDDEN = "[removed]"
# Shorter ones occur by chance, and would tear words apart.
SHORTEST = 6
_SECRETIVE = "token(?!s|iz)|passw(?:or)?d|secret|api[_-]?key|access[_-]?key|private[_-]?key|credential|auth"
_NAMES = rf"(?:[\w.-]*(?:{_SECRETIVE})[\w.-]*|key)"
_PATTERNS = (
    # A block of a private key, over lines.
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    # user:password@ in addresses.
    re.compile(r"(?<=://)[^/\s:@'\"]*:[^/\s@'\"]+(?=@)"),
    # Forms that their makers gave their keys.
    re.compile(r"\bhf_[A-Za-z0-9]{8,}"),
    re.compile(r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{8,}"),
    re.compile(r"\b(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{8,}"),
    re.compile(r"\bgh[pousr]_[A-Za-z0-9]{16,}|\bgithub_pat_[A-Za-z0-9_]{16,}"),
    re.compile(r"\bglpat-[A-Za-z0-9_-]{12,}"),
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}"),
    re.compile(r"\bAIza[A-Za-z0-9_-]{20,}"),
    re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{8,}"),
    re.compile(
        r"\bnpm_[A-Za-z0-9]{16,}|\bpypi-[A-Za-z0-9_-]{16,}|\bdckr_pat_[A-Za-z0-9_-]{12,}|\bnvapi-[A-Za-z0-9_-]{12,}"
    ),
    re.compile(r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*"),
)
_KEPT = (
    # Authorization: Bearer ...; X-API-Key: ...; Cookie: ...
    re.compile(r"(?i)\b((?:proxy-)?authorization['\"]?\s*[:=]\s*['\"]?(?:bearer|basic|digest|token)\s+)[^\s'\",]+"),
    re.compile(r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"(?i)\b((?:set-)?cookie['\"]?\s*[:=]\s*['\"]?)[^'\"\r\n]+"),
    # --api-key VALUE, API_KEY=VALUE, "auth": "VALUE", key: VALUE
    re.compile(rf"(?i)(--{_NAMES}(?:\s+|=)['\"]?)[^\s'\",]+"),
    re.compile(rf"(?i)((?<![\w-]){_NAMES}['\"]?\s*(?:=|:(?=\s|['\"]))\s*['\"]?)(?!\[removed\])[^\s'\",}}\]]+"),
)


def redact(text: str, known: Iterable[str] = ()) -> str:
    """Return the text without the secrets that are `known`, and without what has the form of one."""
    for secret in sorted({value for value in known if len(value) >= SHORTEST}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    for pattern in _PATTERNS:
        text = pattern.sub(HIDDEN, text)
    for pattern in _KEPT:
        text = pattern.sub(rf"\g<1>{HIDDEN}", text)
    return text
