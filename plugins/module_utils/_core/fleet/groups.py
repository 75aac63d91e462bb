# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that serve one model together: which of them is which, and what has to be the same on all before any is touched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import distributed_rule
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.placement import rank
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.rollout import bound
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.ports import MODELS

ADDRESS = "gpuserve_address"
# Keys of an entry that a host may have its own way.
_OWN = ("port", "gpus", "info", "config_path", "env")


@dataclass(frozen=True)
class Host:
    """A host of a group as the inventory has it. index is the model's place in its list, cards the names of those that it lists."""

    name: str
    index: int
    entry: Mapping[str, Any]
    address: str
    image: str = ""
    version: str = ""
    device: str = ""
    cards: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The setting that makes it one of a group."""
        return f"{MODELS}[{self.index}].distributed"


def ranked(model: str, hosts: Sequence[Host]) -> list[Host]:
    """Return the hosts of a group, the one that serves first: as the placement ranks them, whoever else is there."""
    return sorted(hosts, key=lambda host: (-rank(model, host.name), host.name))


def members(model: str, hosts: Sequence[Host]) -> dict[str, dict[str, Any]]:
    """Return what each host of a group is told, by its name."""
    order = ranked(model, hosts)
    return {
        host.name: {"rank": at, "address": host.address, "master_address": order[0].address}
        for at, host in enumerate(order)
    }


def routes(placed: Mapping[str, Sequence[str]], groups: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return which hosts answer for each placed model: of a group the first one alone, since the others have no API."""
    return {
        model: [host for host in hosts if int(groups.get(model, {}).get(host, {}).get("rank", 0)) == 0]
        for model, hosts in placed.items()
    }


def mistakes(model: str, hosts: Sequence[Host]) -> list[FleetError]:
    """Return why hosts can't serve a model together."""
    first, *others = hosts
    group = distributed_rule.parse(first.entry.get("distributed"), first.where)
    found: list[FleetError] = []
    for host in hosts:
        if distributed_rule.MEMBER in host.entry.get("distributed", {}):
            found.append(FleetError(f"{host.where}.member", "the placement decides it.", "Leave it out."))
        found += _address_mistakes(host)
    # Only addresses that are ones are compared.
    more = () if found else (("IPv4 and IPv6", _family, f"Set {ADDRESS} of each to one kind."),)
    found += [] if found else _twice(hosts)
    for what, of, remedy in (*more, *_THE_SAME):
        other = next((host for host in others if of(host) != of(first)), None)
        if other is not None:
            found.append(
                FleetError(first.where, f"{first.name} and {other.name} differ in {what} for {model}.", remedy)
            )
    if group is not None and len(hosts) != group.hosts:
        found.append(
            FleetError(
                first.where,
                f"{model} is to be spread over {group.hosts} hosts, and {len(hosts)} have it.",
                "Write its entry once, in group_vars of all its hosts.",
            )
        )
    return found


def together(
    members_by_model: Mapping[str, Mapping[str, Mapping[str, Any]]], plans: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Return what hosts serve together by their plans, a sentence a model; nothing of one that not all of its hosts planned."""
    found = []
    for model, told in members_by_model.items():
        order = _in_order(told)
        stages = {host: stage for host in order if (stage := _planned(model, plans.get(host, {})))}
        if len(stages) < len(order):
            continue
        short = [host for host in order if not plans[host]["feasible"]]
        least = min(order, key=lambda host: stages[host]["kv_cache_tokens"])
        tokens, length = stages[least]["kv_cache_tokens"], stages[least]["max_model_len"]
        served = f"{tokens:,} tokens, {int(stages[least]['max_concurrency'])} requests of {length:,} at once"
        fewest = f": the stage on {least} has the fewest" if _differ(stages) else ""
        outcome = f"it does not fit on {', '.join(short)}" if short else f"{served}{fewest}"
        found.append(f"{model} over {', '.join(order)}: {outcome}.")
    return found


def _planned(model: str, plan: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return next((one for gpu in plan.get("gpus", []) for one in gpu["models"] if one["name"] == model), None)


def _differ(stages: Mapping[str, Mapping[str, Any]]) -> bool:
    return len({stage["kv_cache_tokens"] for stage in stages.values()}) > 1


def one_by_one(groups: Mapping[str, Mapping[str, Any]], hosts: Sequence[str]) -> list[FleetError]:
    """Return why a playbook that takes one host after the other can't have hosts of a run, a mistake a model."""
    return [
        FleetError(
            MODELS,
            f"{', '.join(_in_order(told))} serve {model} together, and this playbook takes one host after the other.",
            f"Leave these hosts out (-l), or give each, before it serves, models that it holds alone: -l {_in_order(told)[-1]} -e @FILE, "
            f"with {MODELS} in FILE. What they serve together, acceptance and playbooks/benchmark.yml measure.",
        )
        for model, told in groups.items()
        if any(host in hosts for host in told)
    ]


def out_of_forks(groups: Mapping[str, Mapping[str, Any]], hosts: Sequence[str], forks: int) -> list[FleetError]:
    """Return why a run has too few processes for hosts that wait for each other: each has one for as long as it waits."""
    unit = max(bound(hosts, list(groups.values())), key=len, default=())
    if len(unit) <= max(forks, 1):
        return []
    return [
        FleetError(
            "forks",
            f"{', '.join(unit)} serve together and change at the same time, and Ansible works on {forks} at once.",
            f"Run with --forks {len(unit)}, or more.",
        )
    ]


def headless(groups: Mapping[str, Mapping[str, Any]], answers: Callable[[str], bool]) -> list[str]:
    """Return the hosts that compute for others alone: they have a part of a model, no API, and so no gateway and no route.

    answers says of a host whether it has a model that it answers for.
    """
    others = {host for told in groups.values() for host, member in told.items() if int(member["rank"]) > 0}
    return sorted(host for host in others if not answers(host))


def units(groups: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return for each host of a group the hosts with which it changes, itself among them."""
    hosts = sorted({host for told in groups.values() for host in told})
    return {host: list(unit) for unit in bound(hosts, list(groups.values())) for host in unit}


def parted(groups: Mapping[str, Mapping[str, Any]], hosts: Sequence[str]) -> list[FleetError]:
    """Return which models a run would change on some of their hosts only: engines of a group start and end together."""
    found = []
    for model, told in groups.items():
        order = _in_order(told)
        missing = [host for host in order if host not in hosts]
        if missing and len(missing) < len(order):
            found.append(
                FleetError(
                    MODELS,
                    f"{', '.join(order)} serve {model} together, and {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} "
                    "not among the hosts of this run.",
                    f"Name all of them (-l {','.join(order)}), or none.",
                )
            )
    return found


def _in_order(told: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the hosts of a group, the one that serves first."""
    return sorted(told, key=lambda host: int(told[host]["rank"]))


def _address_mistakes(host: Host) -> list[FleetError]:
    try:
        distributed_rule.address(host.address, ADDRESS)
    except FleetError as error:
        return [
            FleetError(ADDRESS, f"{host.name} is one of several hosts of a model, and {error.what}", error.remedy),
        ]
    return []


def _twice(hosts: Sequence[Host]) -> list[FleetError]:
    owners: dict[str, list[str]] = {}
    for host in hosts:
        owners.setdefault(host.address, []).append(host.name)
    return [
        FleetError(ADDRESS, f"{' and '.join(names)} have one, {address}.", "Give each its own.")
        for address, names in owners.items()
        if len(names) > 1
    ]


def _family(host: Host) -> bool:
    return ":" in host.address


def _entry(host: Host) -> Mapping[str, Any]:
    return {key: value for key, value in host.entry.items() if key not in _OWN}


_THE_SAME: tuple[tuple[str, Callable[[Host], Any], str], ...] = (
    ("the model's entry", _entry, "Write it once, in group_vars of all its hosts."),
    (
        "vllm_stack_engine_image",
        lambda host: host.image,
        "Engines of two versions do not understand each other: set one for all.",
    ),
    ("vllm_stack_engine_version", lambda host: host.version, "Set one for all."),
    ("vllm_stack_device", lambda host: host.device, "Set one for all."),
    (
        "vllm_stack_gpus",
        lambda host: host.cards,
        "The slowest stage decides for all: take hosts with cards of one kind.",
    ),
)
