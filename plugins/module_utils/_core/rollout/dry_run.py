# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bring-up would do, before it does anything: for check mode, for diff, and for who starts the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.concurrency import Mode
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.decide import Decision, Verdict, decide
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.gates import Fit, Gates
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import Container, Observation
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    Cause,
    Limits,
    Service,
    Step,
    assert_never,
    begin,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.target import Target
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.compose import model_of
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import gib

# What a result calls that which starts, and that which is left alone.
START, KEPT = "start", Step.KEPT.value


def decisions(target: Target, first: Observation, limits: Limits) -> dict[str, Decision]:
    """What is decided of each service at first sight."""
    return {one.name: decide(one, first.services[one.name], limits, first.listeners) for one in target.services}


def starting(target: Target, first: Observation, limits: Limits) -> list[Service]:
    """The services that have to start."""
    decided = decisions(target, first, limits)
    return [one for one in target.services if decided[one.name].verdict is Verdict.START]


def is_settled(decided: Mapping[str, Decision]) -> bool:
    """Whether nothing is left to wait for."""
    return all(one.verdict in (Verdict.KEEP, Verdict.REFUSE) for one in decided.values())


def is_doubtful(decided: Mapping[str, Decision]) -> bool:
    """Whether something has to be asked again before anything is decided."""
    return any(one.verdict is Verdict.ASK_AGAIN for one in decided.values())


def unkept(target: Target, first: Observation, decided: Mapping[str, Decision]) -> list[str]:
    """Proved ones that an interrupted run left without the policy by which Docker starts them again."""
    return [
        one.name
        for one in target.services
        if one.exact_kv
        and one.part is None
        and first.services[one.name].restart_policy == "no"
        and decided[one.name].verdict is Verdict.KEEP
    ]


def groups(target: Target, decided: Mapping[str, Decision]) -> dict[str, dict[str, Any]]:
    """Return the groups of hosts that this one is in, by model, and whether its own part can stay as it is."""
    return {
        one.name: {
            "group": one.part.group,
            "rank": one.part.rank,
            "hosts": one.part.hosts,
            "settled": decided[one.name].verdict is Verdict.KEEP,
        }
        for one in target.services
        if one.part is not None
    }


def unserved(services: Sequence[Service], first: Observation, limits: Limits) -> list[str]:
    """What serves and is to be replaced where no surge instance can serve meanwhile: for its own start it is without a server.

    `services` are those of the stack, each with whether a surge instance is possible, and what leaves.
    """
    state = begin(services, "listed", 0.0)
    gates = Gates(state.services, state.tracks, first, limits)
    found = []
    for name in state.order:
        service, seen = state.services[name], gates.seen(name)
        serves = seen.container is Container.RUNNING and (seen.healthy or seen.was_proved)
        starts = decide(service, seen, limits, first.listeners).verdict is Verdict.START
        if serves and starts and (not service.surge or gates.fit(service, seen) is Fit.NEVER):
            found.append(name)
    return found


def of_unserved(names: Sequence[str], expected_s: Mapping[str, float]) -> str:
    """What is said of them before anything is stopped; empty where there is none."""
    if not names:
        return ""
    each = [f"{name} (about {expected_s[name]:.0f} s)" if expected_s.get(name) else name for name in names]
    return (
        f"nobody serves {', '.join(each)} while the new one starts, since no surge instance fits beside the old one: it ends the requests "
        "that it has, and a gateway answers new ones 503 with Retry-After."
    )


def forecast(
    target: Target,
    first: Observation,
    decided: Mapping[str, Decision],
    leftovers: Sequence[str],
    mode: Mode,
    headroom_bytes: int,
    gap: str = "",
) -> dict[str, Any]:
    """The result of a bring-up that does nothing, with a diff of what it would do; `gap` is what is said of those that nobody serves
    meanwhile."""
    models, lines = [], [f"- {model_of(name)}: stopped and removed, it left the inventory" for name in leftovers]
    for service in target.services:
        decision = decided[service.name]
        action = _action(decision)
        # In a dry run on a bare box nothing is pulled yet.
        reason = "it is new" if decision.cause is Cause.IMAGE_MISSING else decision.reason
        models.append({"name": service.name, "action": action, "reason": reason})
        if action == START:
            is_new = first.services[service.name].container in (Container.ABSENT, Container.CREATED)
            lines.append(f"+ {service.name}: {'started' if is_new else 'replaced'}, {reason}")
    kept = unkept(target, first, decided)
    lines += [f"~ {name}: Docker starts it again from now on" for name in kept]
    named = {str(model["name"]) for model in models if model["action"] == START}
    lines += fits(target, first, named, headroom_bytes)
    lines += [f"! {gap}"] if gap else []
    changed = bool(named or leftovers or kept)
    return {
        "changed": changed,
        "models": models,
        "mode": {"mode": mode.name, "reason": mode.reason},
        "serving": [model["name"] for model in models if model["action"] == KEPT],
        "gap": gap,
        "report": [],
        **target.as_result,
        "diff": {"before": "", "after": "\n".join(lines) + "\n" if changed else ""},
    }


def fits(target: Target, first: Observation, named: set[str], headroom_bytes: int) -> list[str]:
    """A line for each card: what the starts need there, and what is free for them."""
    lines = []
    for uuid in target.gpus:
        services = [one for one in target.services if uuid in one.gpus and one.name in named]
        free = first.free_bytes.get(uuid)
        if not services or free is None:
            continue
        need = sum(one.need_bytes for one in services)
        given = sum(first.services[one.name].used_bytes.get(uuid, 0) for one in services)
        spare = free + given - need - headroom_bytes
        verdict = "fits" if spare >= 0 else f"is short by {gib(-spare)}"
        lines.append(
            f"= {uuid}: needs {gib(need)}, {gib(free)} free and {gib(given)} given back by what is replaced: {verdict}"
        )
    return lines


def _action(decision: Decision) -> str:
    """What a decision is called in a result."""
    match decision.verdict:
        case Verdict.KEEP | Verdict.ASK_AGAIN:
            return KEPT
        case Verdict.START:
            return START
        case Verdict.FOLLOW:
            return Step.STARTING.value
        case Verdict.REFUSE:
            return START if decision.cause is Cause.IMAGE_MISSING else Step.FAILED.value
        case _:
            assert_never(decision.verdict)
