# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What starts after a boot, and in which order, where Docker can't be left to it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

# Docker before 28.2 asks for its CDI driver too late to bring containers with a GPU back when it starts (moby#49989).
_DOCKER_BRINGS_GPUS_BACK = (28, 2)


def boot_sequence(
    plan: Mapping[str, Any], services: Sequence[Mapping[str, Any]], order: str, docker_version: str, device: str
) -> list[dict[str, Any]]:
    """Return the engines that a unit starts one after the other after a boot, as [{container, port}].

    Engines with exact KV bytes are started by Docker, in any order; those that size their own caches would disturb each other.
    Where Docker forgets containers with a GPU the unit starts all, but for those of a group of hosts, which come back together or not at
    all. `order` is vllm_stack_order, `services` are compose_stack's.
    """
    planned: dict[str, Mapping[str, Any]] = {}
    needs: dict[str, int] = {}
    for gpu in plan["gpus"]:
        for model in gpu["models"]:
            planned[model["name"]] = model
            # A model over several GPUs stands on each with its share.
            needs[model["name"]] = needs.get(model["name"], 0) + int(model["total_bytes"])
    everything = device == "cuda" and _forgets(docker_version)
    alone = [service for service in services if not service.get("group")]
    due = [service for service in alone if everything or not planned[service["name"]]["exact_kv"]]
    if order != "listed":
        due.sort(key=lambda service: (needs[service["name"]], service["name"]), reverse=order == "largest_first")
    return [{key: service[key] for key in ("container", "port", "socket") if key in service} for service in due]


def _forgets(docker_version: str) -> bool:
    numbers = re.match(r"(\d+)\.(\d+)", docker_version)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) < _DOCKER_BRINGS_GPUS_BACK
