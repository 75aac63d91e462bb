# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an engine answers, by what Docker says of its container: as it was made, not as it should be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import sockets
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.compose import LABEL, SOCKET, instance_of


def where(container: str, labels: Mapping[str, str], port: int) -> int | str:
    """A port of loopback, or the path of a socket."""
    if labels.get(f"{LABEL}.transport") == SOCKET:
        return sockets.path(instance_of(container))
    return port


def port_of(found: Mapping[str, Any], otherwise: int = 0) -> int:
    """The port on this host that a container of ours was made for: the one that is published, else the one of its label."""
    published = (found.get("HostConfig") or {}).get("PortBindings") or {}
    for bindings in published.values():
        for binding in bindings or []:
            if str(binding.get("HostPort", "")).isdigit():
                return int(binding["HostPort"])
    label = str(labels_of(found).get(f"{LABEL}.port", ""))
    return int(label) if label.isdigit() else otherwise


def labels_of(found: Mapping[str, Any]) -> Mapping[str, str]:
    """The labels of a container that was inspected."""
    return (found.get("Config") or {}).get("Labels") or {}


def endpoint(where: int | str) -> str:
    """What a gateway is told of it."""
    return f"127.0.0.1:{where}" if isinstance(where, int) else f"{sockets.SCHEME}{where}"
