# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: engine_transport
short_description: Whether engines listen on Unix sockets or on ports of loopback
version_added: 0.2.0
author:
  - gpuserve.fleet contributors (@gpuserve)
description:
  - Sockets where C(vllm_stack_transport) says so, or leaves it open, the engine takes them and a gateway serves.
options:
  _input:
    description:
      - C(vllm_stack_transport), one of V(auto), V(socket) and V(tcp).
    type: str
    required: true
  version:
    description:
      - The engine's version; empty is the newest that is known.
    type: str
    required: true
  gateway:
    description:
      - Whether a gateway of this host serves the engines.
    type: bool
    required: true
"""

EXAMPLES = r"""
transport: "{{ vllm_stack_transport | gpuserve.fleet.engine_transport('0.33.0', true) }}"
"""

RETURN = r"""
_value:
  description: V(socket) or V(tcp).
  type: str
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.transport import choose


def engine_transport(wanted: str, version: str, gateway: bool) -> str:
    """Return how engines are met."""
    try:
        return choose(str(wanted), str(version), bool(gateway))
    except FleetError as error:
        raise AnsibleFilterError(f"{error} Nothing was changed.") from error


class FilterModule:
    """The filter, as Ansible looks for it."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"engine_transport": engine_transport}
