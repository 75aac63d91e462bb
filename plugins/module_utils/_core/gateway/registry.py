# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys that playbooks/keys.yml keeps: entries as in gateway_keys, by digest, each for all hosts or for some.

A change is made to the list and checked as the whole that it comes to; nothing here knows a key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import checks, keys

VARIABLE = "gateway_keys_file"
# What a rotated key is called while it still opens: the log tells who has yet to move.
OLD = ".old"
Verb = Literal["add", "revoke", "rotate"]
VERBS: tuple[Verb, ...] = ("add", "revoke", "rotate")
LIMITS = {
    "requests_per_minute": keys.MOST_A_MINUTE,
    "max_concurrent": keys.MOST_AT_ONCE,
    "tokens_per_day": keys.MOST_TOKENS,
    "tokens_per_month": keys.MOST_TOKENS,
}
Entry = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """One change of one key. hosts is empty for all; keep_until is a day, for the old key of one that is rotated."""

    verb: Verb
    name: str
    models: tuple[str, ...] = ()
    requests_per_minute: int = 0
    max_concurrent: int = 0
    tokens_per_day: int = 0
    tokens_per_month: int = 0
    expires: int = 0
    keep_until: str = ""
    hosts: tuple[str, ...] = ()

    def entry(self, sha256: str) -> Entry:
        """Return the entry that a new key gets."""
        key = keys.Key(
            name=self.name,
            sha256=sha256,
            models=self.models,
            requests_per_minute=self.requests_per_minute,
            max_concurrent=self.max_concurrent,
            expires=self.expires,
            tokens_per_day=self.tokens_per_day,
            tokens_per_month=self.tokens_per_month,
        )
        return {**key.as_entry(), **({"hosts": list(self.hosts)} if self.hosts else {})}


def change(request: Mapping[str, Any], hosts: Sequence[str] = (), now: float = 0) -> Change | None:
    """Return the change that variables ask for, None for none: key_add, key_revoke or key_rotate name the key.

    now is in seconds since 1970, for days that are over already.
    """
    verbs = [verb for verb in VERBS if request.get(verb)]
    if not verbs:
        return None
    if len(verbs) > 1:
        fail(f"key_{verbs[1]}", f"key_{verbs[0]} is set, too.", "Make one change at a time.")
    verb = verbs[0]
    name = keys.check_name(request[verb], f"key_{verb}")
    models = request.get("models") or ()
    if isinstance(models, str):
        models = [model.strip() for model in models.split(",") if model.strip()]
    keep_until = str(request.get("keep_until") or "")
    _to_come(keep_until, "key_keep_until", now)
    if keep_until and verb != "rotate":
        fail("key_keep_until", "it is for a key that is rotated.", "Leave it out, or set key_rotate.")
    if verb != "add":
        for setting in ("models", *LIMITS, "expires"):
            if request.get(setting):
                fail(f"key_{setting}", "it is for a key that is added.", "Revoke the key and add it anew.")
    return Change(
        verb=verb,
        name=name,
        models=tuple(str(model) for model in checks.items(models, "key_models")),
        **{limit: keys.limit(request.get(limit), f"key_{limit}", most) for limit, most in LIMITS.items()},
        expires=_to_come(request.get("expires"), "key_expires", now),
        keep_until=keep_until,
        hosts=tuple(hosts),
    )


def _to_come(day: Any, where: str, now: float) -> int:
    """Return the second from which a key opens nothing more; 0 where there is none."""
    ends = keys.expiry(day, where)
    if ends and ends <= now:
        fail(
            where,
            f"{checks.shown(day)} has begun, in UTC: the key would open nothing.",
            "Write a later day, or leave it out for a key without an end.",
        )
    return ends


def for_host(entries: Sequence[Mapping[str, Any]], host: str) -> list[Entry]:
    """Return the entries of one host, as gateway_keys has them."""
    return [
        {setting: value for setting, value in entry.items() if setting != "hosts"}
        for entry in entries
        if not entry.get("hosts") or host in entry["hosts"]
    ]


def changed(entries: Sequence[Mapping[str, Any]], wanted: Change, sha256: str = "") -> list[Entry]:
    """Return the entries after a change; sha256 is the new key's digest."""
    present = [dict(entry) for entry in entries]
    if wanted.verb == "add":
        for entry in present:
            if str(entry["name"]).lower() == wanted.name.lower():
                fail("key_add", f"{wanted.name} is a key already.", "Take another name, or set key_rotate.")
        return [*present, wanted.entry(sha256)]
    entry = _named(present, wanted)
    if wanted.verb == "revoke":
        left = [host for host in entry.get("hosts", []) if host not in wanted.hosts] if wanted.hosts else []
        if wanted.hosts and not entry.get("hosts"):
            fail("key_revoke", f"{wanted.name} is a key of all hosts.", "Run without -l, or add one for each host.")
        return [
            {**other, "hosts": left} if other is entry else other for other in present if other is not entry or left
        ]
    old = {**entry, "name": f"{wanted.name}{OLD}", "expires": wanted.keep_until}
    others = [other for other in present if other is not entry and other["name"] != old["name"]]
    return [*others, {**entry, "sha256": sha256}, *([old] if wanted.keep_until else [])]


def change_of_first(wanted: Change | None, names: Sequence[str]) -> Verb | None:
    """Return what is to become of a host's first key, which no list has: a change by its name is for it."""
    return wanted.verb if wanted and wanted.name == keys.FIRST and keys.FIRST not in names else None


def _named(entries: Sequence[Entry], wanted: Change) -> Entry:
    for entry in entries:
        if entry["name"] == wanted.name:
            return entry
    there = ", ".join(str(entry["name"]) for entry in entries) or "none"
    return fail(
        f"key_{wanted.verb}",
        f"{wanted.name} is no key of gateway_keys_file; there are {there}.",
        "Keys of gateway_keys are changed where they are written.",
    )


def table(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys for people: no digest, a line a key."""
    head = ("name", "models", "a minute", "at once", "tokens a day", "a month", "until", "hosts")
    rows: list[tuple[str, ...]] = [head]
    for entry in entries:
        limits = [str(entry.get(limit) or "-") for limit in (*LIMITS, "expires")]
        named = [", ".join(map(str, entry.get(many) or [])) or "all" for many in ("models", "hosts")]
        rows.append((str(entry["name"]), named[0], *limits, named[1]))
    widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
