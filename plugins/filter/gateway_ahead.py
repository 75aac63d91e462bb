# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: gateway_ahead
short_description: What a gateway is told before its engines move between ports and sockets
version_added: 0.2.0
author: gpuserve.fleet contributors (@gpuserve)
description:
  - Returns the models that serve, each told of where its engine is about to be met as well, so that no request is lost meanwhile.
options:
  _input:
    description: The models as a gateway was told of them, C(endpoints) of what P(gpuserve.fleet.proved_set#filter) returns.
    type: list
    elements: dict
    required: true
  transport:
    description: Where engines are about to listen, V(socket) or V(tcp).
    type: str
  surge_offset:
    description: How far above its port a surge instance of an engine listens; V(0) for none.
    type: int
  endpoints:
    description: Where the models of another set are met, in place of O(transport).
    type: list
    elements: dict
"""

EXAMPLES = r"""
gateway_models: "{{ serving.endpoints | gpuserve.fleet.gateway_ahead('socket', 0) }}"
"""

RETURN = r"""
_value:
  description: The models to tell the gateway of, in the form of C(gateway_models); empty where it knows all of it.
  type: list
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import handover


def gateway_ahead(
    serving: Sequence[Mapping[str, Any]],
    transport: str = "",
    surge_offset: Any = 0,
    endpoints: Sequence[Mapping[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """Return the models with what they are about to be."""
    if endpoints is None:
        endpoints = handover.coming(serving, transport, int(surge_offset))
    return handover.ahead(serving, endpoints)


class FilterModule:
    """The filter, for Ansible to find."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name it."""
        return {"gateway_ahead": gateway_ahead}
