# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""API keys: what each opens, how much, how long. Only digests leave this place."""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import access_keys
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import checks, policy
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway.policy import UNSET, Policy
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spelling import meant
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import whole_number

MOST_A_MINUTE, MOST_AT_ONCE = 1_000_000, 65_535
MOST_TOKENS = 10**12
FIRST = "default"
KNOWN = (
    "name",
    "key",
    "sha256",
    "models",
    "requests_per_minute",
    "max_concurrent",
    "expires",
    "tokens_per_day",
    "tokens_per_month",
    "policy",
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_DAY = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True)
class Key:
    """One key: its digest, and what it opens. Zero is no limit, and no day of expiry."""

    name: str
    sha256: str
    models: tuple[str, ...] = ()
    requests_per_minute: int = 0
    max_concurrent: int = 0
    expires: int = 0
    tokens_per_day: int = 0
    tokens_per_month: int = 0
    policy: Policy = UNSET

    def as_entry(self) -> dict[str, Any]:
        """Return the key as an entry of gateway_keys, by its digest."""
        day = datetime.datetime.fromtimestamp(self.expires, datetime.timezone.utc).strftime("%Y-%m-%d")
        limits = {"requests_per_minute": self.requests_per_minute, "max_concurrent": self.max_concurrent}
        limits |= {"tokens_per_day": self.tokens_per_day, "tokens_per_month": self.tokens_per_month}
        return {
            "name": self.name,
            "sha256": self.sha256,
            **({"models": list(self.models)} if self.models else {}),
            **{limit: value for limit, value in limits.items() if value},
            **({"expires": day} if self.expires else {}),
            **({"policy": self.policy.as_entry()} if self.policy != UNSET else {}),
        }


def digest(secret: str) -> str:
    """Return the SHA-256 digest of a key in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def check_name(value: Any, where: str) -> str:
    """Return the name of a key; it stands in the log and in figures."""
    return checks.matching(_NAME, value, where, "name of a key", "Use letters, digits and . _ @ -, at most 64.")


def parse(entries: Any, models: Sequence[str], variable: str = "gateway_keys") -> tuple[Key, ...]:
    """Return the keys as written; the first mistake is a FleetError that names its place and no secret."""
    found: list[Key] = []
    names: dict[str, str] = {}
    digests: dict[str, str] = {}
    for index, entry in enumerate(checks.items(entries, variable)):
        where = f"{variable}[{index}]"
        key = _parse(entry, where, models)
        # nginx's maps read names without regard to case.
        other = names.setdefault(key.name.lower(), key.name)
        if other != key.name or key.name in [seen.name for seen in found]:
            fail(
                f"{where}.name",
                f"{key.name} is another key already{'' if other == key.name else f', {other}'}.",
                "Give each key a name that differs by more than small and capital letters.",
            )
        owner = digests.setdefault(key.sha256, key.name)
        if owner != key.name:
            fail(where, f"{key.name} is the same key as {owner}.", "Give each name a key of its own, or take one out.")
        found.append(key)
    return tuple(found)


def _parse(entry: Any, where: str, models: Sequence[str]) -> Key:
    if not isinstance(entry, Mapping):
        fail(where, "it is no entry of a key.", "Write name: and key: or sha256: below it.")
    for setting in entry:
        if setting not in KNOWN:
            fail(f"{where}.{setting}", "there is no such setting.", f"Known are {', '.join(KNOWN)}.")
    name = check_name(entry.get("name"), f"{where}.name")
    wanted = tuple(str(model) for model in checks.items(entry.get("models"), f"{where}.models"))
    for model in wanted:
        if model not in models:
            fail(
                f"{where}.models",
                f"there is no model {checks.shown(model)}.",
                f"{meant(str(model), models)}There are {', '.join(models)}.",
            )
    return Key(
        name=name,
        sha256=_sha256(entry, where, name),
        models=wanted,
        requests_per_minute=limit(entry.get("requests_per_minute"), f"{where}.requests_per_minute", MOST_A_MINUTE),
        max_concurrent=limit(entry.get("max_concurrent"), f"{where}.max_concurrent", MOST_AT_ONCE),
        expires=expiry(entry.get("expires"), f"{where}.expires"),
        tokens_per_day=limit(entry.get("tokens_per_day"), f"{where}.tokens_per_day", MOST_TOKENS),
        tokens_per_month=limit(entry.get("tokens_per_month"), f"{where}.tokens_per_month", MOST_TOKENS),
        policy=policy.parse(entry.get("policy"), f"{where}.policy"),
    )


def _sha256(entry: Mapping[str, Any], where: str, name: str) -> str:
    secret, given = entry.get("key") or "", entry.get("sha256") or ""
    if bool(secret) == bool(given):
        fail(where, f"{name} needs either key or sha256.", "Write one of them.")
    if given:
        if not isinstance(given, str) or not _DIGEST.fullmatch(given):
            fail(f"{where}.sha256", "it is no digest.", "Write 64 hexadecimal digits in small letters.")
        return str(given)
    return digest(access_keys.check(secret, f"{where}.key", name))


def limit(value: Any, where: str, high: int) -> int:
    """Return a limit; 0 where there is none."""
    if value in (None, ""):
        return 0
    whole = whole_number(value)
    if whole is None or not 1 <= whole <= high:
        fail(
            where,
            f"{checks.shown(value)} is no limit.",
            f"Take a whole number from 1 to {high}, or leave it out for no limit.",
        )
    return whole


def expiry(value: Any, where: str) -> int:
    """Return the second at which a day begins in UTC; 0 where there is none."""
    if value in (None, ""):
        return 0
    text = str(value)
    try:
        if not _DAY.fullmatch(text):
            raise ValueError(text)
        day = datetime.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        fail(where, f"{checks.shown(value)} is no day.", 'Write one as YYYY-MM-DD, such as "2027-01-31".')
    return int(day.timestamp())
