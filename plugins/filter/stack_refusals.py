# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: stack_refusals
short_description: What on a host forbids its stack
version_added: 0.2.0
author:
  - gpuserve.fleet contributors (@gpuserve)
description:
  - An ordinary user, models that do not fit, ports of foreign processes, no room for the engine's image.
options:
  _input:
    description:
      - The host, as M(gpuserve.fleet.stack_info) returns it.
    type: dict
    required: true
  host:
    description:
      - What messages call it.
    type: str
    required: true
  plan:
    description:
      - What M(gpuserve.fleet.memory_plan) returned; one that was skipped forbids nothing.
    type: dict
    required: true
  ports:
    description:
      - Ports by the variable that sets each, as P(gpuserve.fleet.model_ports#filter) gives them.
    type: dict
    required: true
  image_disk:
    description:
      - What the engine's image needs, as people write it.
    type: str
    required: true
  image:
    description:
      - What M(gpuserve.fleet.image_pin) returned of it; skipped where it was not looked for.
    type: dict
    required: true
"""

EXAMPLES = r"""
refused: "{{ seen | gpuserve.fleet.stack_refusals('gpu01', planned, {'vllm_stack_models[0].port': 8001}, '30GiB', pinned) }}"
"""

RETURN = r"""
_value:
  description: A sentence for each, with its remedy; what is to be mended first before the rest.
  type: list
  elements: str
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.preflight import Found, refusals


def stack_refusals(
    seen: Mapping[str, Any],
    host: str,
    plan: Mapping[str, Any],
    ports: Mapping[str, int],
    image_disk: str,
    image: Mapping[str, Any],
) -> list[str]:
    """Return what forbids the stack, as sentences."""
    planned = plan.get("plan") or {"feasible": True}
    own = {port for container in seen["containers"] for port in container["ports"]}
    found = Found(
        name=host,
        uid=int(seen["uid"]),
        listening=frozenset(seen["listening"]),
        ours=frozenset({*own, *seen["gateway"]["ports"]}),
        images_free_bytes=int(seen["docker"]["images_free_bytes"]),
    )
    reasons = [] if planned["feasible"] else planned.get("reasons") or ["The models do not fit."]
    try:
        return [str(one) for one in refusals(found, reasons, ports, image_disk, bool(image.get("present")))]
    except FleetError as error:
        raise AnsibleFilterError(f"{error} Nothing was changed.") from error


class FilterModule:
    """The filter, as Ansible looks for it."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"stack_refusals": stack_refusals}
