# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks the inventory on the controller, of all hosts of a run together, before any of them is touched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.action import ActionBase

from ansible_collections.gpuserve.fleet.plugins.filter.placed_models import placed_models
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet import groups, placement, rollout
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.inventory import addresses, mistakes, names, values
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.ports import MODELS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spelling import meant, nearest
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import (
    asked,
    collection_variables,
    edge,
    fleet,
    host_variables,
    quarantine_register,
)
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.host_templates import HostTemplates
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.plain import plain

ARGUMENTS = ("hosts", "names_only", "need_models", "groups", "edges", "steps", "steps_named", "asked")
DEFAULT_GROUP = "gpu_hosts"
# What a playbook does with hosts that serve a model together: nothing that matters, the same to all at once, or one after the other.
GROUPS = ("any", "whole", "none")


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Say all that is wrong at once; nothing is asked of a host."""

    _requires_connection = False
    _supports_check_mode = True
    # What roles declare, read once a run.
    _of_roles: Mapping[str, Any] | None = None

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the hosts of the run, or fail with every mistake."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._variables = task_vars or {}
        args = plain(self._task.args)
        try:
            _check_arguments(args)
            edges = self._groups().get(edge.GROUP, ()) if values.flag(args.get("edges", False), "edges") else ()
            hosts, named, changed_edges = self._hosts(args["hosts"], edges)
            warnings = self._check_tags()
            names_only = values.flag(args.get("names_only", False), "names_only")
            need_models = values.flag(args.get("need_models", False), "need_models")
            hostvars = self._variables["hostvars"]
            self._templates = HostTemplates(self._templar, hostvars, self._declared)
            raw = {host: dict(hostvars.raw_get(host)) for host in self._candidates(named)}
            same = {host: fleet.fingerprint(host, variables) for host, variables in raw.items()}
            raw_edges = {host: dict(hostvars.raw_get(host)) for host in self._groups().get(edge.GROUP, ())}
            found = self._all_mistakes(hosts, raw, same, names_only, need_models)
            for host in changed_edges:
                wrong = host_variables.names_and_options(raw_edges[host], self._templates.of(raw_edges[host]))
                if wrong or not hosts:
                    found.setdefault(host, wrong)
            found = fleet.merged(found, addresses.twice({**raw, **raw_edges}))
            out = self._quarantine(raw)
            taken = _choice(args.get("groups", "any"))
            steps = rollout.parse_steps(args.get("steps", 1), str(args.get("steps_named", rollout.STEPS)))
            known = places = placement.Placement()
            members: dict[str, Any] = {}
            if names_only:
                known, members = self._known_groups(raw, same, out)
                found = fleet.merged(found, self._refused(members, hosts, taken))
            elif not any(found.values()):
                known = places = fleet.placed(raw, self._templates.read, same, out)
                members, more = fleet.together(raw, self._value(raw), places.hosts)
                routes = groups.routes(places.hosts, members)
                more += [*self._refused(members, hosts, taken), *self._edge_mistakes(raw, raw_edges, routes, out)]
                more += fleet.canary_mistakes(raw, self._templates.read)
                found = fleet.merged(found, [*places.mistakes, *more])
        except FleetError as error:
            return {**result, "failed": True, "msg": f"{error} {mistakes.UNTOUCHED}", "field": error.where}
        said = mistakes.report(found)
        if said:
            return {**result, "failed": True, "msg": said}
        served = {model: list(names) for model, names in places.hosts.items()}
        told = list(places.told) if served else []
        order = rollout.plan(hosts, steps, together=[list(told) for told in members.values()])
        value, answered_at = self._value(raw), groups.routes(known.hosts, members)
        return {
            **result,
            "changed": False,
            "hosts": hosts,
            "warnings": warnings,
            "placement": served,
            "routes": groups.routes(served, members),
            "members": members,
            "together": groups.units(members),
            "order": {"hosts": list(order.hosts), "batches": list(order.batches) or [1]},
            "headless": groups.headless(
                members, lambda host: bool(placed_models(plain(value(host, MODELS)), host, answered_at))
            ),
            "told": told,
            "quarantine": out,
            "asked": self._asked(hosts, raw, served, members) if values.flag(args.get("asked", False), "asked") else {},
        }

    def _asked(
        self,
        hosts: Sequence[str],
        raw: Mapping[str, Mapping[str, Any]],
        served: Mapping[str, Sequence[str]],
        members: Mapping[str, Any],
    ) -> dict[str, str]:
        """Return a digest of what each host is asked for; none of one that serves a model together with others."""
        wishes = asked.Asked(self._declared(), self._templates.of)
        told_by = self._variables["hostvars"].raw_get(self._variables["inventory_hostname"])
        of_the_play = asked.of_the_play(self._variables, told_by)
        together = {host for told in members.values() for host in told}
        edges = sorted(self._groups().get(edge.GROUP, ()))
        found: dict[str, str] = {}
        for host in hosts:
            if host not in together:
                variables = {**raw[host], **of_the_play}
                here = sorted(model for model, on in served.items() if host in on)
                more = {"edges": edges, "served": here}
                found[host] = wishes.digest(variables, fleet.fingerprint(host, variables), more)
        return found

    def _groups(self) -> Mapping[str, Sequence[str]]:
        groups: Mapping[str, Sequence[str]] = self._variables.get("groups", {})
        return groups

    def _hosts(self, pattern: Any, edges: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
        """Return the hosts of the run, those that the playbook is for without --limit, and the edges of the run, of those that it changes.

        No host at all is a mistake, and no success.
        """
        groups = self._groups()
        loader = DataLoader()
        inventory = InventoryManager(loader=loader, parse=False)
        for group, members in groups.items():
            inventory.add_group(group)
            for host in members:
                inventory.add_host(host, group)
        named = [host.name for host in inventory.list_hosts(pattern)]
        shown = ", ".join(pattern) if isinstance(pattern, list) else str(pattern)
        if not named:
            others = sorted(group for group in set(groups) - {"all", "ungrouped", edge.GROUP} if groups[group])
            anybody = next(iter(others), "all" if groups.get("all") else "GROUP")
            fail(
                "gpuserve_hosts",
                f"no host of the inventory is in {shown}"
                f" ({_inventories(self._variables.get('ansible_inventory_sources'))}).",
                f"{meant(shown, others)}Put your hosts into a group {DEFAULT_GROUP}, or name yours with "
                f"-e gpuserve_hosts={nearest(shown, others) or anybody}.",
            )
        limit = self._variables.get("ansible_limit")
        if limit:
            inventory.subset(limit)
            left = [host.name for host in inventory.list_hosts(pattern)]
            edges = [host.name for host in inventory.list_hosts(edge.GROUP)] if edges else []
            if not left and not edges:
                fail(
                    "gpuserve_hosts",
                    f"--limit {limit} leaves no host of {shown}.",
                    f"Its hosts are {', '.join(named[:8])}{' ...' if len(named) > 8 else ''}.",
                )
            return left, named, edges
        return named, named, list(edges)

    def _check_tags(self) -> list[str]:
        """Refuse a tag that is a misspelt one of ours; say of another one that nothing bears it."""
        known, warnings = collection_variables.tags(), []
        for option, variable in (("tags", "ansible_run_tags"), ("skip-tags", "ansible_skip_tags")):
            for tag in self._variables.get(variable) or ():
                if tag in known:
                    continue
                near = nearest(str(tag), known)
                if near:
                    fail(f"--{option} {tag}", "no task has this tag.", f"Did you mean {near}?")
                warnings.append(f"--{option} {tag}: no task of gpuserve.fleet has this tag.")
        return warnings

    def _candidates(self, named: Sequence[str]) -> list[str]:
        """Return the hosts that a playbook is for and those of the usual group: no limit moves a model."""
        return list(dict.fromkeys((*named, *self._groups().get(DEFAULT_GROUP, ()))))

    def _known_groups(
        self, raw: Mapping[str, Mapping[str, Any]], same: Mapping[str, str], out: Mapping[str, str]
    ) -> tuple[placement.Placement, dict[str, Any]]:
        """Return placement and groups where only names are checked; none where the rest of the inventory does not come to any."""
        try:
            places = fleet.placed(raw, self._templates.read, same, out)
            members, wrong = fleet.together(raw, self._value(raw), places.hosts)
        except FleetError:
            return placement.Placement(), {}
        return (placement.Placement(), {}) if wrong or places.mistakes else (places, members)

    def _refused(self, members: Mapping[str, Any], hosts: Sequence[str], taken: str) -> list[FleetError]:
        """Return why a playbook can't have hosts of groups as it takes them."""
        if taken == "none":
            return groups.one_by_one(members, hosts)
        forks = int(self._variables.get("ansible_forks") or 0)
        few = groups.out_of_forks(members, hosts, forks) if forks else []
        return [*groups.parted(members, hosts), *few] if taken == "whole" else []

    def _quarantine(self, raw: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        """Return the hosts that are out of service and why: what the inventory says of one goes before the register."""
        path = self._templar.template(self._variables.get(names.QUARANTINE_FILE, ""))
        folder = self._variables.get("inventory_dir") or self._variables.get("playbook_dir")
        kept = quarantine_register.read(quarantine_register.path_of(path, folder)).hosts
        out = {host: kept[host].reason for host in raw if host in kept}
        for host, variables in raw.items():
            if names.QUARANTINE in variables:
                value = self._templates.read(host, names.QUARANTINE, variables[names.QUARANTINE])
                reason = fleet.quarantine_reason(value)
                out |= {host: reason} if reason else {}
        return out

    def _all_mistakes(
        self,
        hosts: Sequence[str],
        raw: Mapping[str, Mapping[str, Any]],
        same: Mapping[str, str],
        names_only: bool,
        need_models: bool,
    ) -> dict[str, list[FleetError]]:
        """Return the mistakes of each host; hosts that are equal are looked at once."""
        known: dict[tuple[str, str], list[FleetError]] = {}
        found: dict[str, list[FleetError]] = {}
        for host in hosts:
            template = self._templates.of(raw[host])
            variables = {**self._declared(), **raw[host]}
            own = "" if names_only else host_variables.own_part(host, variables, template, self._loader)
            key = (same[host], own)
            if key not in known:
                known[key] = (
                    host_variables.names_and_options(raw[host], template)
                    if names_only
                    else host_variables.all_mistakes(host, raw[host], template, self._loader, need_models)
                )
            found[host] = known[key]
        return found

    def _edge_mistakes(
        self,
        raw: Mapping[str, Mapping[str, Any]],
        edges: Mapping[str, Mapping[str, Any]],
        placed: edge.Placement,
        quarantine: Mapping[str, str],
    ) -> list[FleetError]:
        """Return what is wrong with edges, where there are any, and the boxes behind them."""
        if not edges:
            return []
        boxes = {host: raw[host] for host in self._groups().get(DEFAULT_GROUP, ()) if host in raw}
        behind = edge.Boxes(self._declared(), self._templates.read, self._loader, quarantine)
        return edge.mistakes(edges, boxes, placed, behind)

    def _value(self, raw: Mapping[str, Mapping[str, Any]]) -> Callable[[str, str], Any]:
        """Return what reads a variable of a host, or its role's default."""
        return lambda host, name: self._templates.read(host, name, raw[host].get(name, self._declared().get(name)))

    def _declared(self) -> Mapping[str, Any]:
        if self._of_roles is None:
            self._of_roles = collection_variables.declared(self._loader)
        return self._of_roles


def _check_arguments(args: Mapping[str, Any]) -> None:
    for name in args:
        if name not in ARGUMENTS:
            fail(name, "there is no such option.", f"Known are {', '.join(ARGUMENTS)}.")
    if not args.get("hosts"):
        # As a script's -e gpuserve_hosts=$GROUP is where GROUP is not set: nobody meant all of them.
        fail("gpuserve_hosts", "it is empty.", f"Name a group, or leave it out for {DEFAULT_GROUP}.")


def _choice(value: Any) -> str:
    if value not in GROUPS:
        fail("groups", f"{str(value)[:40]} is none of its values.", f"Known are {', '.join(GROUPS)}.")
    return str(value)


def _inventories(sources: Any) -> str:
    named = ", ".join(str(source) for source in sources) if isinstance(sources, (list, tuple)) else ""
    return f"read from {named}" if named else "no inventory was given with -i"
