# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What on a host forbids its stack, before anything is changed: each with the variable that it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB, parse_size

OLDEST_PYTHON = (3, 10)


@dataclass(frozen=True)
class Found:
    """What was found on a host: who runs its tasks, which ports are taken, and by which of them ours; free bytes where images lie."""

    name: str
    uid: int
    listening: frozenset[int]
    ours: frozenset[int]
    images_free_bytes: int


def old_python(host: str, version: Sequence[int]) -> FleetError | None:
    """Return why a host's Python is too old for our modules."""
    if tuple(version[:2]) >= OLDEST_PYTHON:
        return None
    runs, needs = (".".join(map(str, one[:2])) for one in (version, OLDEST_PYTHON))
    what = f"{host} runs Python {runs} and our modules need {needs} or newer."
    return FleetError(
        "ansible_python_interpreter", what, "Install one there and name it in this variable. Nothing was changed."
    )


def no_compose(host: str, docker: Mapping[str, Any]) -> FleetError | None:
    """Return why a host's Docker can't have a stack."""
    if docker["answers"] and docker["compose_version"]:
        return None
    return FleetError(
        host,
        "Docker with Compose v2 does not answer there, and this role installs none.",
        "Run gpuserve.fleet.docker_engine first, as site.yml does without --tags. Nothing was changed.",
    )


def no_card(host: str, reason: str) -> FleetError:
    """Return that there is no card to plan for, and why none answers."""
    return FleetError(
        "vllm_stack_gpus",
        f"it names no card to plan for, and none answers on {host} ({reason or 'NVML lists none'}).",
        "Run the nvidia_driver role there, or name one. Nothing that serves was touched.",
    )


def refusals(
    host: Found, reasons: Sequence[str], ports: Mapping[str, int], image_disk: str, has_image: bool
) -> list[FleetError]:
    """Return all that forbids it, what is to be mended first before the rest.

    `reasons` is why the plan does not fit, `ports` what each variable asks for, and `image_disk` what an engine's image needs that is
    not on the host yet.
    """
    found = []
    if host.uid != 0:
        what = f"tasks on {host.name} run as an ordinary user, who may not install packages or talk to Docker."
        found.append(FleetError("ansible_become", what, "Set it to true for that host, or connect as root."))
    if reasons:
        found.append(FleetError("", " ".join(reasons), ""))
    taken = {name: port for name, port in ports.items() if port in host.listening and port not in host.ours}
    if taken:
        what = f"{', '.join(map(str, taken.values()))} is in use on {host.name} by a process that is not ours."
        found.append(FleetError(", ".join(taken), what, "End it, or choose another port."))
    if not has_image and host.images_free_bytes < parse_size(image_disk, "vllm_stack_image_disk"):
        free = round(host.images_free_bytes / GIB, 1)
        what = f"{host.name} has {free} GiB free where Docker keeps images and the engine's image needs {image_disk}."
        remedy = "Free some, or move Docker's data to a larger disk with docker_engine_data_root."
        found.append(FleetError("vllm_stack_image_disk", what, remedy))
    return found
