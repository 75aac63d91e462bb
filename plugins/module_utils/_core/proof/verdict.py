# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a proof showed, as one flat line: every figure, which aims were missed, what failed and what was not run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.proof.steps import FAULTS, STEPS, slowest_of
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB

Outcomes = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Aim:
    """A bound on one figure of the line, and how it is written."""

    key: str
    most: float | None = None
    least: float | None = None

    @property
    def text(self) -> str:
        """The bound as a person reads it."""
        return f"{self.key} <= {self.most:g}" if self.most is not None else f"{self.key} >= {self.least:g}"

    def is_missed(self, value: float | None) -> bool:
        """Tell whether a figure that was measured is beyond the bound."""
        if value is None:
            return False
        return (self.most is not None and value > self.most) or (self.least is not None and value < self.least)


AIMS = (
    Aim("second_run_changed", most=0),
    Aim("plan_error_worst_mib", most=64),
    Aim("parallel_over_slowest", most=1.1),
    Aim("tokens_over_eager_geomean", least=3.5),
    Aim("requests_lost", most=0),
    Aim("faults_unnamed", most=0),
    Aim("left_behind", most=0),
)


def line(outcomes: Outcomes) -> dict[str, Any]:
    """Return the line; None for what no step has measured."""
    ready = {name: _of(outcomes, name, "all_ready_s") for name in ("cold", "parallel", "serial")}
    alone = _alone_s(outcomes)
    planned = {model["name"]: model["planned_bytes"] for model in _models(outcomes, "cold")}
    saturated = _held(outcomes, "again", "saturated")
    errors = {name: mib(saturated[name] - planned[name]) for name in planned if name in saturated}
    graphs, eager = _rates(outcomes, "again"), _rates(outcomes, "eager")
    over = {name: round(graphs[name] / eager[name], 2) for name in graphs if eager.get(name)}
    firsts = _of(outcomes, "again", "first_tokens") or {}
    clients = [found for step in ("change", "rollback") if (found := _of(outcomes, step, "clients"))]
    named = {name: bool(_of(outcomes, name, "named")) for name in FAULTS if _done(outcomes, name)}
    left = _of(outcomes, "teardown", "left")
    found = {
        "bench": "gpu_proof",
        "date": _of(outcomes, "cold", "date"),
        **(_of(outcomes, "cold", "facts") or {}),
        "card_budget_mib": [mib(gpu["budget_bytes"]) for gpu in (_of(outcomes, "plan", "plan") or {}).get("gpus", [])],
        "ready_cold_s": ready["cold"],
        "ready_parallel_s": ready["parallel"],
        "ready_slowest_alone_s": alone,
        "ready_serial_s": ready["serial"],
        "parallel_over_slowest": _ratio(ready["parallel"], alone),
        "second_run_changed": _of(outcomes, "again", "changed"),
        "planned_mib": {name: mib(size) for name, size in planned.items()},
        "ready_mib": {name: mib(size) for name, size in _held(outcomes, "cold", "held").items()},
        "loaded_mib": {name: mib(size) for name, size in _held(outcomes, "again", "loaded").items()},
        "saturated_mib": {name: mib(size) for name, size in saturated.items()},
        "plan_error_mib": errors,
        "plan_error_worst_mib": max(map(abs, errors.values())) if errors else None,
        "tokens_per_s": graphs,
        "eager_tokens_per_s": eager,
        "tokens_over_eager": over,
        "tokens_over_eager_geomean": geomean(list(over.values())),
        "ttft_p50_ms": {name: one["gateway_p50_ms"] for name, one in firsts.items()},
        "gateway_ttft_added_ms": {name: one["added_p50_ms"] for name, one in firsts.items()},
        "benchmark": _benchmark(outcomes),
        "answers": _of(outcomes, "cold", "answers") or {},
        "requests": sum(one["requests"] for one in clients) if clients else None,
        "requests_lost": sum(one["lost"] for one in clients) if clients else None,
        "slowest_request_s": max((one["slowest_s"] for one in clients), default=None),
        "rolled_back": _rolled_back(outcomes),
        "faults_named": named,
        "faults_unnamed": sum(not one for one in named.values()) if named else None,
        "steps_s": {step.name: took for step in STEPS if (took := _of(outcomes, step.name, "took_s")) is not None},
        "left_behind": len(left) if left is not None else None,
        "left": left or [],
    }
    return {
        **found,
        "missed": [aim.text for aim in AIMS if aim.is_missed(found[aim.key])],
        "failed": {name: one["failed"] for name, one in outcomes.items() if one.get("failed")},
        "not_run": [step.name for step in STEPS if step.name not in outcomes],
    }


def mib(size: float) -> int:
    """Return bytes in whole MiB."""
    return round(size / MIB)


def geomean(values: list[float]) -> float | None:
    """Return the geometric mean; None of nothing."""
    return round(math.exp(sum(map(math.log, values)) / len(values)), 2) if values and min(values) > 0 else None


def _of(outcomes: Outcomes, step: str, key: str) -> Any:
    return (outcomes.get(step) or {}).get(key)


def _done(outcomes: Outcomes, step: str) -> bool:
    return step in outcomes


def _models(outcomes: Outcomes, step: str) -> list[Mapping[str, Any]]:
    return [model for model in _of(outcomes, step, "models") or [] if model.get("planned_bytes")]


def _held(outcomes: Outcomes, step: str, key: str) -> dict[str, int]:
    return dict(_of(outcomes, step, key) or {})


def _rates(outcomes: Outcomes, step: str) -> dict[str, float]:
    return {name: one["tokens_per_s"] for name, one in (_of(outcomes, step, "rates") or {}).items()}


def _alone_s(outcomes: Outcomes) -> float | None:
    """What the slowest takes that started first, before any other: from its start to its first token."""
    slowest = slowest_of(outcomes)
    return next((model["ready_s"] for model in _models(outcomes, "serial") if model["name"] == slowest), None)


def _ratio(above: float | None, below: float | None) -> float | None:
    return round(above / below, 3) if above and below else None


def _rolled_back(outcomes: Outcomes) -> bool | None:
    """Tell whether the set after the rollback is the one before the change, and the one between them was another."""
    before, between, after = (_of(outcomes, name, "digests") for name in ("cold", "change", "rollback"))
    return before == after != between if before and between and after else None


def _benchmark(outcomes: Outcomes) -> dict[str, Any]:
    """What the client of the engine's image measured, a row a model."""
    runs = (_of(outcomes, "benchmark", "record") or {}).get("runs") or []
    return {
        f"{run['model']} {run['way']}{' beside the others' if run['together'] else ''}": {
            "tokens_per_s": run["result"]["tokens_per_s"],
            "success": run["result"]["success"],
            "ttft_p50_ms": (run["result"]["ttft_ms"] or {}).get("p50"),
            "itl_p50_ms": (run["result"]["itl_ms"] or {}).get("p50"),
            "e2e_p95_ms": (run["result"]["e2e_ms"] or {}).get("p95"),
        }
        for run in runs
        if run["result"]
    }
