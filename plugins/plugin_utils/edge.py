# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edges of an inventory and the boxes behind them, from the variables of all hosts on the controller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from ansible.parsing.dataloader import DataLoader

from ansible_collections.gpuserve.fleet.plugins.filter.placed_models import placed_models
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import (
    addresses,
    checks,
    config,
    edge,
    registry,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.ports import MODELS
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import collection_variables, fleet
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.host_templates import HostTemplates
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.key_registry import Registry

GROUP = edge.GROUP
Placement = Mapping[str, Sequence[str]]


class Boxes:
    """The boxes as edges see them. declared holds the defaults of the roles, quarantine why a box is out of service."""

    def __init__(
        self, declared: Mapping[str, Any], read: fleet.Read, loader: DataLoader, quarantine: Mapping[str, str]
    ) -> None:
        self._quarantine = quarantine
        self._declared = declared
        self._read = read
        self._loader = loader

    def of(self, hosts: Mapping[str, Mapping[str, Any]], placement: Placement) -> list[edge.Box]:
        """Return the boxes among hosts."""
        return [self._box(host, raw, placement) for host, raw in hosts.items()]

    def endpoint(self, host: str, raw: Mapping[str, Any]) -> addresses.Endpoint:
        """Return where edges reach the gateway of a box."""
        address = self.value(host, raw, edge.ADDRESS) or self.value(host, raw, "ansible_host") or host
        port = checks.integer(self.value(host, raw, "gateway_port"), "gateway_port", 1, 65535)
        return addresses.Endpoint(addresses.host(address, edge.ADDRESS), port)

    def value(self, host: str, raw: Mapping[str, Any], name: str, default: Any = "") -> Any:
        """Return a variable of a host, or its role's default."""
        return self._read(host, name, raw.get(name, self._declared.get(name, default)))

    def _box(self, host: str, raw: Mapping[str, Any], placement: Placement) -> edge.Box:
        def value(name: str, default: Any = "") -> Any:
            return self.value(host, raw, name, default)

        tls = cast(edge.Trust, checks.choice(value("gateway_tls"), "gateway_tls", config.TLS))
        return edge.Box(
            name=host,
            address=(where := self.endpoint(host, raw)).host,
            port=where.port,
            tls=tls,
            tls_name=edge.certificate_name(host, tls, str(value("gateway_tls_name") or "")),
            planned=tuple(_planned(placed_models(value(MODELS, []), host, placement))),
            listens_at=addresses.host(value("gateway_address"), "gateway_address"),
            auth=checks.flag(value("gateway_auth"), "gateway_auth"),
            opened_by=edge.opened_by([*(value("gateway_keys") or []), *self._registered(host, value)]),
            quarantine=self._quarantine.get(host, ""),
        )

    def _registered(self, host: str, value: Any) -> list[dict[str, Any]]:
        path = str(value("gateway_keys_file") or "")
        return registry.for_host(Registry(Path(path), self._loader).entries(), host) if path else []


def endpoints(templar: Any, hostvars: Any, loader: DataLoader, hosts: Sequence[str]) -> list[str]:
    """Return how the inventory has an edge reach gateways of boxes, or of other edges."""
    declared = collection_variables.declared(loader)
    boxes = Boxes(declared, HostTemplates(templar, hostvars, lambda: declared).read, loader, {})
    return [str(boxes.endpoint(host, dict(hostvars.raw_get(host)))) for host in map(str, hosts)]


def _planned(models: Sequence[Any]) -> list[edge.Served]:
    found = []
    for entry in models if isinstance(models, (list, tuple)) else ():
        if isinstance(entry, Mapping) and entry.get("name"):
            adapters = [
                str(adapter.get("name")) for adapter in entry.get("lora_adapters") or () if isinstance(adapter, Mapping)
            ]
            others = (*(str(alias) for alias in entry.get("aliases") or ()), *adapters)
            found.append(edge.Served(str(entry["name"]), others))
    return found


def mistakes(
    edges: Mapping[str, Mapping[str, Any]], hosts: Mapping[str, Mapping[str, Any]], placement: Placement, boxes: Boxes
) -> list[FleetError]:
    """Return what is wrong with edges and the boxes behind them."""
    found: list[FleetError] = []
    try:
        behind = boxes.of(hosts, placement)
        for host, raw in edges.items():
            key, ca = (str(boxes.value(host, raw, name) or "") for name in (edge.KEY, edge.CA))
            found += [
                error for error in edge.mistakes([host], behind, key, bool(ca)) if str(error) not in map(str, found)
            ]
    except FleetError as error:
        found.append(error)
    return found
