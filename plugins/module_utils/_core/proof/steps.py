# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof of a host with a card, step by step: which playbook, with what done to the host before, and what is looked at afterwards."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail


class Before(Enum):
    """What is done to the host before a step's playbooks."""

    NOTHING = "nothing"
    DOWN = "down"
    KILL_ENGINE = "kill_engine"
    STOP_GATEWAY = "stop_gateway"


class During(Enum):
    """What goes on on the host while a step's playbooks run."""

    NOTHING = "nothing"
    CLIENTS = "clients"
    FOREIGN = "foreign"


class Probe(Enum):
    """What is looked at on the host once a step's playbooks have ended."""

    FACTS = "facts"
    HELD = "held"
    ANSWERS = "answers"
    RATES = "rates"
    SATURATED = "saturated"
    FIRST_TOKENS = "first_tokens"
    LEFT = "left"


class Models(Enum):
    """Which models a step asks for, and how."""

    ALL = "all"
    SLOWEST_FIRST = "slowest_first"
    SMALLEST_CHANGED = "smallest_changed"
    LARGEST_CHANGED = "largest_changed"
    EAGER = "eager"


@dataclass(frozen=True)
class Step:
    """One step. A playbook of playbooks/ each, in their order; `expected` is the rule that diagnose.yml has to name."""

    name: str
    what: str
    playbooks: tuple[str, ...]
    usual_s: float
    models: Models = Models.ALL
    mode: str = ""
    order: str = ""
    before: Before = Before.NOTHING
    during: During = During.NOTHING
    probes: tuple[Probe, ...] = ()
    expected: str = ""
    fails: bool = False


# What an H200 took whose machine loads vLLM in 40 s, and some seconds more: three models of 1 to 6 billion parameters and a small one.
STEPS = (
    Step("plan", "the plan, before anything starts", ("plan.yml",), 10),
    Step(
        "cold",
        "all models at once, compile caches empty",
        ("site.yml",),
        140,
        mode="parallel",
        probes=(Probe.FACTS, Probe.HELD, Probe.ANSWERS),
    ),
    Step(
        "again",
        "a second run, and then load",
        ("site.yml",),
        60,
        probes=(Probe.RATES, Probe.SATURATED, Probe.FIRST_TOKENS),
    ),
    Step("benchmark", "the benchmark of the guide, through the gateway", ("benchmark.yml",), 120),
    Step(
        "change",
        "another flag for the smallest model while clients ask it",
        ("site.yml",),
        190,
        Models.SMALLEST_CHANGED,
        during=During.CLIENTS,
        probes=(Probe.HELD,),
    ),
    Step(
        "rollback",
        "back to the set before, while clients ask the same",
        ("rollback.yml",),
        170,
        during=During.CLIENTS,
        probes=(Probe.HELD,),
    ),
    Step(
        "killed",
        "an engine is killed",
        ("diagnose.yml",),
        10,
        before=Before.KILL_ENGINE,
        expected="killed",
    ),
    Step(
        "gateway",
        "the gateway is stopped",
        ("diagnose.yml",),
        10,
        before=Before.STOP_GATEWAY,
        expected="gateway_down",
    ),
    Step(
        "eager",
        "without CUDA graphs, as in the guide",
        ("site.yml",),
        145,
        Models.EAGER,
        mode="parallel",
        before=Before.DOWN,
        probes=(Probe.RATES,),
    ),
    Step("parallel", "all models at once", ("site.yml",), 100, mode="parallel", before=Before.DOWN),
    # Nothing else starts beside the first one: it shows what a start alone takes.
    Step(
        "serial",
        "one after the other, the slowest of them first",
        ("site.yml",),
        315,
        Models.SLOWEST_FIRST,
        mode="serial",
        order="listed",
        before=Before.DOWN,
    ),
    # The largest model's engine alone starts anew: what this is about is seen as well as with all of them, and sooner.
    Step(
        "foreign",
        "another process takes the card's memory while an engine starts",
        ("site.yml", "diagnose.yml"),
        110,
        Models.LARGEST_CHANGED,
        during=During.FOREIGN,
        expected="foreign_process",
        fails=True,
    ),
    Step("teardown", "everything is taken down", ("teardown.yml",), 20, probes=(Probe.LEFT,)),
)
FAULTS = tuple(step.name for step in STEPS if step.expected)
# What a step is made of that another one measured.
NEEDS: Mapping[Models, str] = {
    Models.SLOWEST_FIRST: "parallel",
    Models.SMALLEST_CHANGED: "cold",
    Models.LARGEST_CHANGED: "cold",
}


def due(wanted: Sequence[str], done: Collection[str]) -> list[Step]:
    """Return the steps that are still to be done, of those that are wanted (all, where none is named).

    Where all are wanted and one is to be done still, so is the teardown: the host ends as it was before.
    """
    known = [step.name for step in STEPS]
    for name in wanted:
        if name not in known:
            fail("prove_steps", f"there is no step {name!r}.", f"Known are {', '.join(known)}.")
    found = [step for step in STEPS if step.name not in done and (not wanted or step.name in wanted)]
    return [*found, STEPS[-1]] if found and not wanted and found[-1] is not STEPS[-1] else found


def begun_in(steps: Sequence[Step], left_s: float) -> Sequence[Step]:
    """Return those that can be expected to end within the time; 0 is any time."""
    if not left_s:
        return steps
    taken: list[Step] = []
    for step in steps:
        left_s -= step.usual_s
        if left_s < 0:
            break
        taken.append(step)
    return taken


def is_too_early(step: Step, due: Collection[str], outcomes: Mapping[str, Any]) -> bool:
    """Tell whether a step would come before one that this run had no time for: each finds the host as those before it leave it."""
    before = STEPS[: STEPS.index(step)]
    return any(one.name in due and one.name not in outcomes and not lacking(one, outcomes) for one in before)


def models_for(step: Step, models: Sequence[Mapping[str, Any]], outcomes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the entries of vllm_stack_models that a step asks for."""
    entries = [dict(model) for model in models]
    match step.models:
        case Models.SLOWEST_FIRST:
            slowest = slowest_of(outcomes)
            return sorted(entries, key=lambda entry: entry["name"] != slowest)
        case Models.SMALLEST_CHANGED | Models.LARGEST_CHANGED:
            name = model_of(step, outcomes)
            return [changed(entry) if entry["name"] == name else entry for entry in entries]
        case Models.EAGER:
            return [{**entry, "enforce_eager": True} for entry in entries]
        case _:
            return entries


def changed(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry whose engine gets another flag, and holds no more with it."""
    most = int(entry.get("max_num_seqs") or 8)
    return {**entry, "max_num_seqs": max(1, most // 2) if most > 1 else 2}


def model_of(step: Step, outcomes: Mapping[str, Any]) -> str:
    """Name the model that a step changes, kills or asks: the largest by its plan or else the smallest; empty where none was started yet."""
    started = _started(outcomes, "cold")
    by_size = sorted(started, key=lambda name: (started[name]["planned_bytes"], name))
    if not by_size:
        return ""
    return by_size[-1] if step.models is Models.LARGEST_CHANGED else by_size[0]


def slowest_of(outcomes: Mapping[str, Any]) -> str:
    """Name the model that was ready last when all started at once."""
    started = _started(outcomes, NEEDS[Models.SLOWEST_FIRST])
    return max(started, key=lambda name: (started[name]["ready_s"] or 0, name), default="")


def lacking(step: Step, outcomes: Mapping[str, Any]) -> str:
    """Name the step that has to be done before this one; empty where none is missing."""
    needed = NEEDS.get(
        step.models, "cold" if step.before is not Before.NOTHING or step.during is not During.NOTHING else ""
    )
    return needed if needed and not _started(outcomes, needed) else ""


def is_named(step: Step, findings: Sequence[Mapping[str, Any]], outcomes: Mapping[str, Any]) -> bool:
    """Tell whether the step's fault is among what diagnose.yml found; what it found before the fault was struck does not count."""
    before = {finding["text"] for name in outcomes if name != step.name for finding in _findings(outcomes, name)}
    return any(finding["rule"] == step.expected and finding["text"] not in before for finding in findings)


def _findings(outcomes: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    return (outcomes[name] or {}).get("findings") or []


def with_weights(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the models that can be asked a question: those that talk, with weights that are not made up."""
    return [
        str(model["name"])
        for model in models
        if "dummy" not in (model.get("extra_args") or ()) and model.get("task", "generate") == "generate"
    ]


def asks_gateway(step: Step) -> bool:
    """Tell whether something is asked through the gateway once a step's playbooks have ended."""
    return bool({Probe.ANSWERS, Probe.FIRST_TOKENS} & set(step.probes))


def _started(outcomes: Mapping[str, Any], name: str) -> dict[str, Any]:
    models = (outcomes.get(name) or {}).get("models") or []
    return {model["name"]: model for model in models if model.get("planned_bytes")}
