# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bring-up would do, before it does anything: for check mode, for diff, and for who starts the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.concurrency import Mode
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.machine import decide
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    KEPT,
    SETTLED,
    Limits,
    Observation,
    Service,
    Track,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.target import Target
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.compose import model_of
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import gib


def decisions(target: Target, first: Observation, limits: Limits | None = None) -> dict[str, Track | str]:
    """What is decided of each service at first sight."""
    return {one.name: decide(one, first.services[one.name], 0.0, limits) for one in target.services}


def starting(target: Target, first: Observation) -> list[Service]:
    """The services that have to start."""
    found = decisions(target, first)
    return [one for one in target.services if isinstance(found[one.name], str)]


def is_settled(found: Mapping[str, Track | str]) -> bool:
    """Whether nothing is left to wait for."""
    return all(isinstance(one, Track) and one.step in SETTLED for one in found.values())


def unkept(target: Target, first: Observation, found: Mapping[str, Track | str]) -> list[str]:
    """Proved ones that an interrupted run left without the policy by which Docker starts them again."""
    return [
        one.name
        for one in target.services
        if one.exact_kv and first.services[one.name].restart_policy == "no" and _is_kept(found[one.name])
    ]


def forecast(
    target: Target,
    first: Observation,
    found: Mapping[str, Track | str],
    leftovers: Sequence[str],
    mode: Mode,
    headroom_bytes: int,
) -> dict[str, Any]:
    """The result of a bring-up that does nothing, with a diff of what it would do."""
    models, lines = [], [f"- {model_of(name)}: stopped and removed, it left the inventory" for name in leftovers]
    for service in target.services:
        decision = found[service.name]
        # In a dry run on a bare box nothing is pulled yet.
        absent = isinstance(decision, Track) and "image is not on the host" in decision.reason
        if absent or not isinstance(decision, Track):
            reason = "it is new" if absent else str(decision)
            models.append({"name": service.name, "action": "start", "reason": reason})
            is_new = first.services[service.name].container in ("absent", "created")
            lines.append(f"+ {service.name}: {'started' if is_new else 'replaced'}, {reason}")
        else:
            models.append({"name": service.name, "action": decision.step, "reason": decision.reason})
    kept = unkept(target, first, found)
    lines += [f"~ {name}: Docker starts it again from now on" for name in kept]
    named = {str(model["name"]) for model in models if model["action"] == "start"}
    lines += fits(target, first, named, headroom_bytes)
    changed = bool(named or leftovers or kept)
    return {
        "changed": changed,
        "models": models,
        "mode": {"mode": mode.name, "reason": mode.reason},
        "serving": [model["name"] for model in models if model["action"] == KEPT],
        "report": [],
        "diff": {"before": "", "after": "\n".join(lines) + "\n" if changed else ""},
    }


def fits(target: Target, first: Observation, named: set[str], headroom_bytes: int) -> list[str]:
    """A line for each card: what the starts need there, and what is free for them."""
    lines = []
    for uuid in target.cards:
        services = [one for one in target.services if uuid in one.gpus and one.name in named]
        free = first.free_bytes.get(uuid)
        if not services or free is None:
            continue
        need = sum(one.need_bytes for one in services)
        given = sum(first.services[one.name].held_bytes.get(uuid, 0) for one in services)
        spare = free + given - need - headroom_bytes
        verdict = "fits" if spare >= 0 else f"is short by {gib(-spare)}"
        lines.append(
            f"= {uuid}: needs {gib(need)}, {gib(free)} free and {gib(given)} given back by what is replaced: {verdict}"
        )
    return lines


def fits_with_leftovers(target: Target, first: Observation, headroom_bytes: int) -> bool:
    """Whether what is to start has room while what left the inventory still runs: it may serve until the end then."""
    new = starting(target, first)
    return all(
        first.free_bytes.get(uuid, 0) >= need + headroom_bytes
        for uuid in target.cards
        if (need := sum(one.need_bytes for one in new if uuid in one.gpus))
    )


def _is_kept(found: Track | str) -> bool:
    return isinstance(found, Track) and found.step == KEPT
