# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts serve a model that not all of them do: by its rule, evenly, and with few moves when hosts come and go.

Each model has an order of all hosts of its own, by a digest of both names (rendezvous hashing: Thaler and Ravishankar, 1998), so that
a host that leaves moves what it served and nothing else. Where a host may serve a number of models only, models ask in that order,
and a full host keeps those that it stands highest with (deferred acceptance: Gale and Shapley, 1962): the outcome is the same in
whatever order models are written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.placement_rule import PlacementRule
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.ports import MODELS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spelling import meant

LIMIT = "gpuserve_max_models"
_MOST_NAMED = 4


@dataclass(frozen=True)
class Host:
    """A host that may serve: its labels (groups are some), and why it is out of service, where it is."""

    name: str
    labels: frozenset[str] = frozenset()
    quarantine: str = ""


@dataclass(frozen=True)
class Request:
    """A model and its rule, with the hosts that list it and its place in their list."""

    model: str
    rule: PlacementRule
    listed_by: tuple[str, ...]
    index: int = 0
    # Whether the hosts serve it together, and not each by itself.
    together: bool = False

    @property
    def where(self) -> str:
        """The setting that says so, as people write it."""
        return f"{MODELS}[{self.index}].placement"

    @property
    def where_hosts(self) -> str:
        """The setting that says how many."""
        return f"{MODELS}[{self.index}].distributed.hosts" if self.together else self.where


@dataclass(frozen=True)
class Placement:
    """Hosts by model, for models with a rule; what stands in the way; and a sentence a model for people."""

    hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mistakes: tuple[FleetError, ...] = ()
    told: tuple[str, ...] = ()


def place(requests: Sequence[Request], hosts: Sequence[Host], limit: int = 0) -> Placement:
    """Return where each model is served. limit is how many models a host serves at most; 0 is any number."""
    by_name = {host.name: host for host in hosts}
    mistakes: list[FleetError] = []
    orders: dict[int, tuple[str, ...]] = {}
    for at, request in enumerate(requests):
        fitting = _fitting(request, by_name, hosts, mistakes)
        orders[at] = _order(request, fitting)
        wanted = request.rule.hosts or 0
        if fitting and wanted > len(fitting):
            bearing = f" with the label {request.rule.label}" if request.rule.label else ""
            mistakes.append(
                FleetError(
                    request.where_hosts,
                    f"{request.model} is to be served by {wanted} hosts{bearing}, and there "
                    f"{'is' if len(fitting) == 1 else 'are'} {len(fitting)} ({_named(fitting)}).",
                    "Add hosts." if request.together else f"Take {len(fitting)}, or add hosts.",
                )
            )
    if mistakes:
        return Placement(mistakes=tuple(mistakes))
    chosen, short = _matched(requests, orders, limit)
    for at, missing in short.items():
        mistakes.append(
            FleetError(
                LIMIT,
                f"at {limit} a host there is no room for {requests[at].model} on {missing} more "
                f"host{'s' if missing > 1 else ''}.",
                "Raise it, or add hosts.",
            )
        )
    found: dict[str, tuple[str, ...]] = {}
    for at, request in enumerate(requests):
        if not request.rule.is_everywhere:
            found[request.model] = tuple(sorted({*found.get(request.model, ()), *chosen[at]}))
    return Placement(found, tuple(mistakes), tuple(_told(request, chosen[at]) for at, request in enumerate(requests)))


def rank(model: str, host: str) -> int:
    """Return how high a host stands with a model: the same on every controller, and the same whoever else is there."""
    return int.from_bytes(hashlib.sha256(f"{model}\0{host}".encode()).digest()[:8], "big")


def _fitting(
    request: Request, by_name: Mapping[str, Host], hosts: Iterable[Host], mistakes: list[FleetError]
) -> list[Host]:
    """Return the hosts that may serve a model; a label or a group that none bears is a mistake."""
    listed = [by_name[name] for name in request.listed_by]
    bearing = [host for host in listed if not request.rule.label or request.rule.label in host.labels]
    if not bearing:
        known = sorted({label for host in hosts for label in host.labels})
        mistakes.append(
            FleetError(
                f"{request.where}.label",
                f"no host that lists {request.model} has the label {request.rule.label}.",
                f"{meant(request.rule.label, known)}Put a host into a group of that name, or add it to its gpuserve_labels.",
            )
        )
        return []
    for group in request.rule.spread:
        if not any(group in host.labels for host in bearing):
            mistakes.append(
                FleetError(
                    f"{request.where}.spread",
                    f"no host that may serve {request.model} is in {group}.",
                    "Correct the group, or take it out.",
                )
            )
    serving = [host for host in bearing if not host.quarantine]
    if not serving and request.rule.hosts is not None:
        mistakes.append(
            FleetError(
                request.where,
                f"every host that may serve {request.model} is in quarantine ({_named(bearing)}).",
                "Bring one back (playbooks/quarantine.yml, or its gpuserve_quarantine), or add hosts.",
            )
        )
    return serving


def _order(request: Request, fitting: Sequence[Host]) -> tuple[str, ...]:
    """Return the hosts in the order in which a model asks them: by rank, and a host of each group after the other."""
    ranked = sorted(fitting, key=lambda host: (-rank(request.model, host.name), host.name))
    if not request.rule.spread:
        return tuple(host.name for host in ranked)
    groups = sorted(request.rule.spread, key=lambda group: (-rank(request.model, group), group))
    rows: dict[str, list[str]] = {group: [] for group in groups}
    outside: list[str] = []
    for host in ranked:
        group = next((group for group in groups if group in host.labels), None)
        (rows[group] if group is not None else outside).append(host.name)
    turns = [name for turn in zip_longest(*rows.values()) for name in turn if name is not None]
    # Whoever is in none of the groups comes last.
    return (*turns, *outside)


def _matched(
    requests: Sequence[Request], orders: Mapping[int, Sequence[str]], limit: int
) -> tuple[dict[int, list[str]], dict[int, int]]:
    """Return the hosts of each request, and how many a request is short of."""
    served: dict[str, list[int]] = {}
    asked = dict.fromkeys(orders, 0)
    short: dict[int, int] = {}
    waiting: list[int] = []
    for at, request in enumerate(requests):
        # A model of every host has no choice.
        waiting += [at] * len(orders[at] if request.rule.hosts is None else range(request.rule.hosts))
    while waiting:
        at = waiting.pop()
        if asked[at] == len(orders[at]):
            short[at] = short.get(at, 0) + 1
            continue
        host = orders[at][asked[at]]
        asked[at] += 1
        held = served.setdefault(host, [])
        held.append(at)
        if limit and len(held) > limit:
            refused = min(held, key=lambda other: (_claim(requests[other], host), requests[other].model))
            held.remove(refused)
            waiting.append(refused)
    found: dict[int, list[str]] = {at: [] for at in orders}
    for host, held in served.items():
        for at in held:
            found[at].append(host)
    return {at: sorted(names) for at, names in found.items()}, short


def _claim(request: Request, host: str) -> tuple[bool, int]:
    return request.rule.hosts is None, rank(request.model, host)


def _told(request: Request, chosen: Sequence[str]) -> str:
    rule = request.rule
    asked = "every host" if rule.hosts is None else f"{rule.hosts} host{'s' if rule.hosts > 1 else ''}"
    bearing = f" with the label {rule.label}" if rule.label else ""
    spread = f", spread over {', '.join(rule.spread)}" if rule.spread else ""
    names = sorted(chosen, key=lambda host: (-rank(request.model, host), host)) if request.together else chosen
    together = " together, the first one serves" if request.together else ""
    return f"{request.model}: {asked}{together}{bearing}{spread}: {', '.join(names) or 'none'}"


def _named(hosts: Sequence[Host]) -> str:
    names = [host.name for host in hosts]
    more = len(names) - _MOST_NAMED
    return f"{', '.join(names[:_MOST_NAMED])}{f' and {more} more' if more > 0 else ''}"
