# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ports of a host: who has which, and which are free for a model and its surge instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import whole_number

MODELS = "vllm_stack_models"
FIRST_PORT = 8001
LOWEST_PORT, HIGHEST_PORT = 1024, 65535


@dataclass(frozen=True)
class PortRules:
    """What a model's port has to keep clear of: the ports of other parts, by port, and its own surge instance's."""

    taken: Mapping[int, str] = field(default_factory=dict)
    surge_offset: int = 0
    kept: Mapping[str, int] = field(default_factory=dict)  # what models of the host have already, by name

    @classmethod
    def read(
        cls, reserved_ports: Mapping[str, Any], surge_offset: int, kept_ports: Mapping[str, Any] | None = None
    ) -> PortRules:
        """Read ports by the variable that sets them, as roles hand them over; 0 is none."""
        taken: dict[int, str] = {}
        for name, value in reserved_ports.items():
            port = whole_number(value)
            if port is None or not 0 <= port <= HIGHEST_PORT:
                fail(name, f"{value!r} is no port.", f"Take a whole number from 0 to {HIGHEST_PORT}.")
            if port in taken:
                fail(name, f"{port} is {taken[port]} already.", "Give each a port of its own.")
            if port:
                taken[port] = name
        kept = {str(name): port for name, value in (kept_ports or {}).items() if (port := _usable(value)) is not None}
        return cls(taken, surge_offset, kept)


# Where nothing else is on the host, and no surge instance is ever started.
NO_RULES = PortRules()


def kept_ports(proved: Mapping[str, Any], containers: Sequence[Sequence[Any]] = ()) -> dict[str, int]:
    """Return the ports that models of a host have, by name: those of its containers, (model, port) each, and of the set that was proved.

    What is there goes before what is remembered: a port that another model's container has by now is not kept for a model of the record.
    """
    found = {str(name): port for name, value in containers if (port := _usable(value)) is not None}
    services = proved.get("services")
    for service in services if isinstance(services, list) else []:
        name, port = (
            (service.get("name"), _usable(service.get("port"))) if isinstance(service, Mapping) else (None, None)
        )
        if isinstance(name, str) and name not in found and port is not None and port not in found.values():
            found[name] = port
    return found


def assign_ports(models: Sequence[Mapping[str, Any]], rules: PortRules = NO_RULES) -> list[int]:
    """Return the port of each model: as written, else the one it has already, else the lowest free one from 8001 up.

    The first mistake is a FleetError. What is assigned once and kept is assigned again, wherever the model stands in the list by then.
    """
    owners: dict[int, str] = {}
    for index, entry in enumerate(models):
        if entry.get("port") is not None:
            where = f"{MODELS}[{index}].port"
            port = _written(entry["port"], where)
            _check(port, where, owners, rules)
            owners[port] = str(entry.get("name", f"{MODELS}[{index}]"))
    by_model = {
        index: _written(entry["port"], MODELS) for index, entry in enumerate(models) if entry.get("port") is not None
    }
    for index, entry in enumerate(models):
        kept = rules.kept.get(str(entry.get("name")))
        if index not in by_model and kept is not None and kept not in _blocked(owners, rules):
            by_model[index] = kept
            owners[kept] = str(entry.get("name"))
    # A new one waits for nobody who leaves, and takes from nobody what is kept.
    held = {port: name for name, port in rules.kept.items()}
    for index, entry in enumerate(models):
        if index not in by_model:
            by_model[index] = port = _next_free({**held, **owners}, rules, FIRST_PORT)
            owners[port] = str(entry.get("name", ""))
    return [by_model[index] for index in range(len(models))]


def check_master_ports(groups: Mapping[int, int], owners: Mapping[int, str], rules: PortRules) -> None:
    """Refuse a port at which a group of hosts finds together, by the model's place in the list, that anything else of the host has."""
    taken = {**rules.taken, **{port: f"{name}'s" for port, name in owners.items()}}
    if rules.surge_offset:
        taken |= {port + rules.surge_offset: f"that of {name}'s surge instance" for port, name in owners.items()}
    for index, port in groups.items():
        where = f"{MODELS}[{index}].distributed.master_port"
        if port in taken:
            fail(where, f"{port} is {taken[port]} already.", "Take another port, the same on all hosts of the group.")
        taken[port] = f"that of {MODELS}[{index}]"


def _check(port: int, where: str, owners: Mapping[int, str], rules: PortRules) -> None:
    if port in rules.taken:
        free = _next_free(owners, rules, FIRST_PORT)
        fail(where, f"{port} is that of {rules.taken[port]}.", f"Ports from {free} are free.")
    if port in owners:
        free = _next_free({**owners, port: ""}, rules, max(owners) + 1)
        fail(where, f"{port} is already {owners[port]}'s.", f"Ports from {free} are free.")
    surge = port + rules.surge_offset
    if not rules.surge_offset:
        return
    if surge > HIGHEST_PORT:
        fail(
            where,
            f"the surge instance of {port} would listen on {surge}, beyond {HIGHEST_PORT}.",
            f"Take a port up to {HIGHEST_PORT - rules.surge_offset}, or a smaller vllm_stack_surge_offset.",
        )
    others = {**rules.taken, **{other: f"{name}'s own" for other, name in owners.items()}}
    if surge in others:
        fail(
            where,
            f"the surge instance of {port} would listen on {surge}, which is {others[surge]}.",
            "Take another port, or another vllm_stack_surge_offset.",
        )
    if port - rules.surge_offset in owners:
        fail(
            where,
            f"on {port} the surge instance of {owners[port - rules.surge_offset]} would listen.",
            "Take another port, or another vllm_stack_surge_offset.",
        )


def _blocked(owners: Mapping[int, str], rules: PortRules) -> set[int]:
    """Ports that one more model can't have."""
    offset = rules.surge_offset
    found = {*rules.taken, *owners}
    if offset:
        # No model on another's surge port, and no surge instance on a port that somebody has, or beyond the last.
        found |= {port + offset for port in owners} | {port - offset for port in found}
        found |= set(range(HIGHEST_PORT - offset + 1, HIGHEST_PORT + 1))
    return found


def _next_free(owners: Mapping[int, str], rules: PortRules, start: int) -> int:
    blocked = _blocked(owners, rules)
    for port in range(start, HIGHEST_PORT + 1):
        if port not in blocked:
            return port
    fail(MODELS, f"no port from {start} up is free for one more model.", "Take a smaller vllm_stack_surge_offset.")


def _written(value: Any, where: str) -> int:
    port = whole_number(value)
    if port is None or not LOWEST_PORT <= port <= HIGHEST_PORT:
        fail(where, f"{value!r} is out of bounds.", f"Take a whole number from {LOWEST_PORT} to {HIGHEST_PORT}.")
    return port


def _usable(value: Any) -> int | None:
    """A port as a file or a label of ours has it; None where it is none."""
    port = whole_number(value)
    return port if port is not None and LOWEST_PORT <= port <= HIGHEST_PORT else None
