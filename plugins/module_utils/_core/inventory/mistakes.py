# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the inventory of a run, of all its hosts together: each mistake once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError

UNTOUCHED = "Nothing was changed."
# A host's name is told apart from those of many by how few it takes to name them.
_MOST_NAMED = 4


def variable(error: FleetError) -> str:
    """Return the variable that a mistake is in: gateway_keys of gateway_keys[2].models."""
    return error.where.partition("[")[0].partition(".")[0]


def report(by_host: Mapping[str, Sequence[FleetError]]) -> str:
    """Return all mistakes as a person reads them: one as a sentence, several as a list. Nothing where there is none."""
    owners: dict[str, list[str]] = {}
    for host, errors in by_host.items():
        for error in errors:
            hosts = owners.setdefault(str(error), [])
            if host not in hosts:
                hosts.append(host)
    lines = [f"{_who(hosts, len(by_host))}{text}" for text, hosts in owners.items()]
    if len(lines) < 2:
        return f"{lines[0]} {UNTOUCHED}" if lines else ""
    return "\n".join([f"{len(lines)} mistakes in the inventory. {UNTOUCHED}", *(f"- {line}" for line in lines)])


def merged(first: Iterable[FleetError], *more: Iterable[FleetError]) -> list[FleetError]:
    """Return mistakes in the order of their finders; of a variable only what the first of them found."""
    found, seen = list(first), set[str]()
    seen |= {variable(error) for error in found}
    for errors in more:
        fresh = [error for error in errors if variable(error) not in seen]
        found += fresh
        seen |= {variable(error) for error in fresh}
    return found


def _who(hosts: Sequence[str], all_hosts: int) -> str:
    if len(hosts) == all_hosts:
        return ""
    named = ", ".join(hosts[:_MOST_NAMED])
    more = len(hosts) - _MOST_NAMED
    return f"{named}{f' and {more} more' if more > 0 else ''}: "
