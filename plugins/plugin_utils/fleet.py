# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All hosts of a run at once, on the controller: variables as written, hosts that are equal, and which models each serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible import template as templating
from ansible.parsing.dataloader import DataLoader

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import distributed_rule, placement_rule
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet import groups, placement
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.inventory import equal, names
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.ports import MODELS
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import collection_variables
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.plain import plain

# Where templates look for files, whatever they name.
PLACES = ("inventory_dir", "playbook_dir")
# Of a host, one variable's value by its name.
Read = Callable[[str, str, Any], Any]


def fingerprint(host: str, raw: Mapping[str, Any], more: Sequence[str] = ()) -> str:
    """Return what is the same for hosts whose variables of ours come to the same."""
    try:
        variables = plain(raw)
    except Exception:  # A vault without its password: whoever reads the variable says which one it is.
        return f"alone {host}"
    ours = (name for name in variables if name.startswith(names.PREFIXES) or name in PLACES or name in more)
    return equal.fingerprint(host, variables, ours)


def placed(
    hosts: Mapping[str, Mapping[str, Any]], read: Read, same: Mapping[str, str], quarantine: Mapping[str, str]
) -> placement.Placement:
    """Return which hosts serve the models that have a rule. same holds each host's fingerprint, quarantine why one is out of service."""
    requests: dict[tuple[str, placement_rule.PlacementRule], placement.Request] = {}
    rules: dict[str, list[tuple[int, str, placement_rule.PlacementRule, bool]]] = {}
    known: list[placement.Host] = []
    limits: set[int] = set()
    for host, raw in hosts.items():
        if same[host] not in rules:
            rules[same[host]] = _rules(read(host, MODELS, raw.get(MODELS, [])))
            limits.add(int(read(host, names.MAX_MODELS, raw.get(names.MAX_MODELS, 0))))
        for index, model, rule, together in rules[same[host]]:
            before = requests.get((model, rule), placement.Request(model, rule, (), index, together))
            requests[model, rule] = replace(before, listed_by=(*before.listed_by, host))
        known.append(placement.Host(host, labels_of(raw, _reader(host, read)), quarantine.get(host, "")))
    if all(rule.is_everywhere for _model, rule in requests):
        return placement.Placement()
    if len(limits) > 1:
        said = ", ".join(str(limit) for limit in sorted(limits))
        fail(names.MAX_MODELS, f"hosts differ in it ({said}).", "Set it for all hosts, in group_vars/all.yml.")
    return placement.place(list(requests.values()), known, max(limits, default=0))


def _rules(models: Any) -> list[tuple[int, str, placement_rule.PlacementRule, bool]]:
    """Return name and rule of each model, and whether its hosts serve it together; mistakes are said by whoever checks the host."""
    entries = models if isinstance(models, list) else []
    return [
        (
            index,
            str(entry["name"]),
            distributed_rule.rule_of(entry, f"{MODELS}[{index}]"),
            entry.get("distributed") is not None,
        )
        for index, entry in enumerate(entries)
        if isinstance(entry, Mapping) and entry.get("name")
    ]


def together(
    hosts: Mapping[str, Mapping[str, Any]], value: Callable[[str, str], Any], served: Mapping[str, Sequence[str]]
) -> tuple[dict[str, dict[str, dict[str, Any]]], list[FleetError]]:
    """Return what each host of a model over several is told, by model and host, and what is wrong with such groups.

    value is a variable of a host, or its role's default; served holds the hosts that were placed.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    mistakes: list[FleetError] = []
    for model, names_of_hosts in served.items():
        members = [_member(host, model, value) for host in names_of_hosts if host in hosts]
        group = [member for member in members if member is not None]
        if not group:
            continue
        mistakes += groups.mistakes(model, group)
        found[model] = groups.members(model, group)
    return found, mistakes


def _member(host: str, model: str, value: Callable[[str, str], Any]) -> groups.Host | None:
    """Return a host of a model's group; none where the model is each host's own."""
    for index, entry in enumerate(value(host, MODELS) or []):
        if isinstance(entry, Mapping) and entry.get("name") == model and entry.get("distributed") is not None:
            listed = value(host, "vllm_stack_gpus") or []
            return groups.Host(
                host,
                index,
                entry,
                str(value(host, groups.ADDRESS) or value(host, "ansible_host") or host),
                str(value(host, "vllm_stack_engine_image")),
                str(value(host, "vllm_stack_engine_version") or ""),
                str(value(host, "vllm_stack_device")),
                tuple(str(gpu.get("name")) for gpu in listed if isinstance(gpu, Mapping)),
            )
    return None


def _reader(host: str, read: Read) -> Callable[[Any], Any]:
    return lambda value: read(host, names.LABELS, value)


def labels_of(raw: Mapping[str, Any], templated: Callable[[Any], Any]) -> frozenset[str]:
    """Return the labels of a host: its own, and its groups."""
    labels = placement_rule.labels(templated(raw.get(names.LABELS, [])), names.LABELS)
    return frozenset((*labels, *(str(group) for group in raw.get("group_names", []))))


def canary_mistakes(hosts: Mapping[str, Mapping[str, Any]], read: Read) -> list[FleetError]:
    """Return what is wrong with a label of canaries that somebody named and no host bears."""
    named = {
        str(read(host, names.CANARY_LABEL, raw[names.CANARY_LABEL]))
        for host, raw in hosts.items()
        if raw.get(names.CANARY_LABEL)
    }
    borne = {label for host, raw in hosts.items() for label in labels_of(raw, _reader(host, read))} if named else set()
    return [
        FleetError(
            names.CANARY_LABEL,
            f"no host has the label {label}.",
            "Put one into a group of that name, add it to its gpuserve_labels, or leave it out.",
        )
        for label in sorted(named - borne)
    ]


def asked_of(host: str, raw: Mapping[str, Any], served: Mapping[str, Sequence[str]]) -> str:
    """Return a digest of what a host is asked for: its variables without those of the rollout itself, and what is placed there."""
    variables = {name: value for name, value in raw.items() if not name.startswith("gpuserve_")}
    here = sorted(model for model, hosts in served.items() if host in hosts)
    return f"{fingerprint(host, variables)}{'+'.join(['', *here])}"


def quarantine_reason(value: Any) -> str:
    """Return why a host is out of service, as somebody wrote; nothing where it is in service."""
    if value in (None, "", False):
        return ""
    if not isinstance(value, str) or not value.strip():
        fail(names.QUARANTINE, "it does not say why.", 'Write the reason, such as "Xid 79 on 20 November".')
    return " ".join(value.split())


def claims(loader: DataLoader) -> dict[str, Any]:
    """Return what the gateway's role hands over before engines are planned, by the tasks that do so."""
    path = collection_variables.COLLECTION / "roles" / "gateway" / "tasks" / "claims.yml"
    facts: dict[str, Any] = {}
    for task in collection_variables.load(loader, path):
        facts |= task.get("ansible.builtin.set_fact", {})
    return facts


def trusted(text: str) -> Any:
    """Return a text of ours as one that may be a template."""
    trust = getattr(templating, "trust_as_template", None)
    return trust(text) if callable(trust) else text


def merged(found: Mapping[str, list[FleetError]], more: Sequence[FleetError]) -> dict[str, list[FleetError]]:
    """Return the mistakes of hosts with those of all of them together, which are everybody's."""
    return {host: [*errors, *more] for host, errors in found.items()}
