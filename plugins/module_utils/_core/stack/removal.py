# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which containers and networks belong to a stack that is taken down, told by their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.containers import LABEL

STACK = f"{LABEL}.stack"
PROJECT = "com.docker.compose.project"
FOLDER = "com.docker.compose.project.working_dir"


@dataclass(frozen=True)
class Removal:
    """Identities of what goes, and names of containers of other stacks of ours that stay."""

    containers: tuple[str, ...]
    networks: tuple[str, ...]
    others: tuple[str, ...]


def choose(
    project: str, folder: str, containers: Sequence[Mapping[str, Any]], networks: Sequence[Mapping[str, Any]]
) -> Removal:
    """Choose what the stack of this name put up, and what one did from the same folder under the name it had before."""
    ours = [container for container in containers if STACK in _labels(container)]
    mine = [each for each in ours if _labels(each)[STACK] == project or _labels(each).get(FOLDER) == folder]
    projects = {project, *(_labels(each).get(PROJECT, project) for each in mine)}
    return Removal(
        containers=tuple(str(each["Id"]) for each in mine),
        networks=tuple(str(each["Id"]) for each in networks if _labels(each).get(PROJECT) in projects),
        others=tuple(sorted(f"{_name(each)} ({_labels(each)[STACK]})" for each in ours if each not in mine)),
    )


def _labels(thing: Mapping[str, Any]) -> Mapping[str, str]:
    return thing.get("Labels") or {}


def _name(container: Mapping[str, Any]) -> str:
    return next((str(name).lstrip("/") for name in container.get("Names") or []), str(container["Id"])[:12])
