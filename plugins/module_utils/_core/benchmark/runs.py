# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which runs a benchmark is made of: each model alone, directly and through the gateway, and then all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.benchmark.client import POOLING, Engine
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.benchmark.comparison import ENGINE, GATEWAY
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.benchmark.load import Load, fitted


@dataclass(frozen=True)
class Run:
    """One call of the client."""

    engine: Engine
    load: Load
    way: str
    together: bool


def planned(
    engines: Sequence[Engine], loads: Sequence[Load], gateway: bool, together: bool, directly: bool = True
) -> list[list[Run]]:
    """Return the runs in their order; those of one list are made at once. Without a gateway engines are always asked directly."""
    ways = [*([ENGINE] if directly or not gateway else []), *([GATEWAY] if gateway else [])]
    alone = [[Run(engine, load, way, False)] for engine in engines for load in _loads(engine, loads) for way in ways]
    if not together or len(engines) < 2:
        return alone
    # What a neighbour costs shows best under the most that is asked.
    return [*alone, [Run(engine, _loads(engine, loads)[-1], ENGINE, True) for engine in engines]]


def _loads(engine: Engine, loads: Sequence[Load]) -> list[Load]:
    """The loads that an engine takes at once: more would measure its queue."""
    most = int(engine.value("--max-num-seqs") or 0)
    taken = [load for load in loads if not most or load.concurrency <= most] or [replace(loads[0], concurrency=most)]
    return [fitted(load, engine.max_model_len, engine.task in POOLING) for load in taken]


def with_task(engine: Engine, task: str) -> Engine:
    """Return the engine with what its model is for."""
    return replace(engine, task=task)


def described(engine: Engine) -> dict[str, Any]:
    """Return what ran, as a record keeps it."""
    return {
        "model": engine.model,
        "image": engine.image,
        "args": list(engine.args),
        "task": engine.task,
        "digest": engine.digest,
    }
