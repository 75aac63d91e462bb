# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model that is too large for one host: distributed of its entry, as people write it and as a host of its group has it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import entry_values, placement_rule
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spelling import meant

# What the engine takes by itself (vLLM, config/parallel.py).
MASTER_PORT = 29501
MOST_HOSTS = 64
LOWEST_PORT, HIGHEST_PORT = 1024, 65535
# The checks of all hosts together put it beside what people write.
MEMBER = "member"
_SETTINGS = ("hosts", "pipeline_parallel", "master_port")


@dataclass(frozen=True)
class Member:
    """One host of a group: its place (the first one serves), its own address, and the first one's."""

    rank: int
    address: str
    master_address: str


@dataclass(frozen=True)
class Distributed:
    """Over how many hosts a model's layers are spread, a stage of its pipeline on each, and the port at which they find together."""

    hosts: int
    master_port: int = MASTER_PORT
    member: Member | None = None

    @property
    def is_headless(self) -> bool:
        """Whether this host's engine only computes: the first one of the group answers for all."""
        return self.member is not None and self.member.rank > 0


def parse(value: Any, where: str) -> Distributed | None:
    """Return the setting as written; None where the model is served by each host alone."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        fail(where, f"{entry_values.shown(value)} is no mapping.", "Write it as {hosts: 2}.")
    for setting in value:
        if setting not in (*_SETTINGS, MEMBER):
            fail(
                f"{where}.{setting}",
                "there is no such setting.",
                f"{meant(str(setting), _SETTINGS)}Known are {', '.join(_SETTINGS)}.",
            )
    hosts = entry_values.integer(value.get("hosts"), f"{where}.hosts", 2, MOST_HOSTS)
    stages = entry_values.integer(value.get("pipeline_parallel", hosts), f"{where}.pipeline_parallel", 1, MOST_HOSTS)
    if stages != hosts:
        fail(
            f"{where}.pipeline_parallel",
            f"{stages} stages do not go on {hosts} hosts: each has one.",
            f"Set it to {hosts}, and split a stage over the cards of its host with tensor_parallel_size.",
        )
    port = entry_values.integer(
        value.get("master_port", MASTER_PORT), f"{where}.master_port", LOWEST_PORT, HIGHEST_PORT
    )
    return Distributed(hosts, port, _member(value.get(MEMBER), f"{where}.{MEMBER}", hosts))


def _member(value: Any, where: str, hosts: int) -> Member | None:
    if value is None:
        return None
    if not isinstance(value, Mapping) or set(value) != {"rank", "address", "master_address"}:
        fail(where, "it is none that inventory_check decided.", "Leave it out.")
    return Member(
        entry_values.integer(value["rank"], f"{where}.rank", 0, hosts - 1),
        address(value["address"], f"{where}.address"),
        address(value["master_address"], f"{where}.master_address"),
    )


def address(value: Any, where: str) -> str:
    """Return an IP address at which other hosts reach one: engines bind it, so that a name will not do."""
    try:
        found = ipaddress.ip_address(str(value))
    except ValueError:
        fail(where, f"{entry_values.shown(value)} is no IP address.", "Write the one that the other hosts reach.")
    if found.is_loopback or found.is_unspecified or found.is_multicast or (found.version == 6 and found.is_link_local):
        fail(where, f"no other host reaches {found}.", "Write the address that they reach.")
    return str(found)


def rule_of(entry: Mapping[str, Any], at: str) -> placement_rule.PlacementRule:
    """Return the rule by which hosts are found for a model; one over several hosts asks for as many as its group has."""
    rule = placement_rule.parse(entry.get("placement"), f"{at}.placement")
    group = parse(entry.get("distributed"), f"{at}.distributed")
    if group is None:
        return rule
    if rule.hosts not in (None, group.hosts):
        fail(
            f"{at}.placement",
            f"{rule.hosts} hosts are asked for, and distributed spreads the model over {group.hosts}.",
            "Leave the number out here: a model over several hosts has one group.",
        )
    return replace(rule, hosts=group.hosts)
