# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts are out of service, and why: what of a diagnosis takes one out, and what has to be gone before it comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.text import harmless

FILE = "gpuserve_quarantine_file"
# Of a card by itself, besides its Xid errors: what no other set of models would serve better on.
_OF_GPUS = ("no_card", "nvml")
_XID = "xid_"
# Of an engine whose group lacks another host: no reason to take this one out.
_OF_OTHERS = ("group_silent",)
_LONGEST = 200


class Cause(Enum):
    """What takes a host out of service: its cards, or its engines and gateway as well."""

    GPUS = "cards"
    GATES = "gates"


@dataclass(frozen=True)
class Entry:
    """A host that is out of service: why, and since when."""

    reason: str
    since: str = ""


@dataclass(frozen=True)
class Register:
    """The hosts that were taken out of service, as the controller keeps them."""

    hosts: Mapping[str, Entry] = field(default_factory=dict)

    @classmethod
    def read(cls, data: Any, where: str) -> Register:
        """Read what is kept. A register that can't be read is no empty one: hosts in it would come back unasked."""
        hosts = data.get("hosts") if isinstance(data, Mapping) else None
        if not isinstance(hosts, Mapping) or not all(_is_entry(entry) for entry in hosts.values()):
            fail(
                FILE,
                f"{where} is no register of quarantine.",
                "Restore it, or remove it and take the hosts in it out of service anew.",
            )
        return cls({str(host): Entry(str(one["reason"]), str(one.get("since") or "")) for host, one in hosts.items()})

    def data(self) -> dict[str, Any]:
        """Return what is kept."""
        return {"hosts": {host: asdict(self.hosts[host]) for host in sorted(self.hosts)}}

    def with_host(self, host: str, reason: str, now: str) -> Register:
        """Return the register with a host; one that is in it keeps its day, and has the newest reason."""
        since = self.hosts[host].since if host in self.hosts else now
        return replace(self, hosts={**self.hosts, host: Entry(harmless(reason, _LONGEST), since)})

    def without(self, host: str) -> Register:
        """Return the register without a host."""
        return replace(self, hosts={name: entry for name, entry in self.hosts.items() if name != host})


def reason(findings: Sequence[Mapping[str, Any]], cause: Cause) -> str:
    """Return why a diagnosis takes a host out of service, by its first such finding; empty where it does not."""
    for finding in findings:
        if finding["severity"] != "fail" or finding["because"]:
            continue
        if _is_of_gpus(finding) or (cause is Cause.GATES and _is_of_gates(finding)):
            return f"{finding['subject']}: {finding['text']}"
    return ""


def check_release(host: str, findings: Sequence[Mapping[str, Any]]) -> None:
    """Fail where a card still is what took a host out of service. Engines come back once the host is changed again."""
    still = reason(findings, Cause.GPUS)
    if still:
        remedies = [str(finding["remedy"]) for finding in findings if _is_of_gpus(finding) and finding["remedy"]]
        fail(host, f"it stays in quarantine: {still}.", remedies[0] if remedies else "Run playbooks/diagnose.yml.")


def _is_of_gpus(finding: Mapping[str, Any]) -> bool:
    return str(finding["rule"]).startswith(_XID) or finding["rule"] in _OF_GPUS


def _is_of_gates(finding: Mapping[str, Any]) -> bool:
    return str(finding["subject"]).partition(" ")[0] in ("engine", "gateway") and finding["rule"] not in _OF_OTHERS


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, Mapping) and isinstance(entry.get("reason"), str) and bool(entry["reason"].strip())
