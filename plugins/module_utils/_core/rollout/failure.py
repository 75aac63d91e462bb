# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a service of a stack did not start, as plain data and as one sentence: the first true cause, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import diagnosis
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import Track
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB, gib

# Below this a neighbour's process is not what a start failed of.
FOREIGN_GROWTH_BYTES = 256 * MIB
END_IT = "End that process, or lower vllm_stack_preset."


def foreign_growth(
    before: Mapping[int, tuple[str, int]], now: Mapping[int, tuple[str, int]], commands: Mapping[int, str]
) -> str:
    """A process that is nobody's here and has taken memory on our cards since the work began; (card, bytes) by pid."""
    for pid, (uuid, size) in now.items():
        took = size - before.get(pid, ("", 0))[1]
        if took >= FOREIGN_GROWTH_BYTES:
            return f"a process that is not ours ({commands.get(pid, '?')}, pid {pid}) took {gib(took)} on card {uuid} meanwhile"
    return ""


def refused(name: str, track: Track, foreign_process: str) -> dict[str, Any]:
    """One that never started: a gate stayed closed, or Docker would not do it."""
    cause = diagnosis.diagnose([track.reason])
    known = cause.id not in ("unknown", "error")
    return {
        "name": name,
        "cause": f"{foreign_process}; {track.reason}" if foreign_process else track.reason,
        "remedy": END_IT if foreign_process else (cause.remedy if known else ""),
        "log": [],
        "id": cause.id if known else "refused",
        "after_s": None,
        "noticed_s": None,
    }


def ended(
    name: str,
    track: Track,
    log: Sequence[str],
    exit_code: int | None,
    noticed_s: float | None,
    foreign_process: str,
) -> dict[str, Any]:
    """One that was started. `exit_code` is None where it still ran; `noticed_s` is how long ago its container had ended."""
    cause = diagnosis.diagnose(log, exit_code)
    known: str
    text, remedy, known = _joined(track.reason, cause.text), cause.remedy, cause.id
    if foreign_process and (cause.memory or track.memory):
        text, remedy = f"{foreign_process}; {text}", END_IT
    elif cause.id == "unknown" and track.reason:
        text, known = track.reason, "timeout"
    return {
        "name": name,
        "cause": text,
        "remedy": remedy,
        "id": known,
        "after_s": round((track.ended or 0) - (track.started or 0), 1),
        "noticed_s": noticed_s,
        "log": list(log[-20:]),
    }


def _joined(reason: str, cause: str) -> str:
    """What was seen, and what its log says of it, as one sentence."""
    return f"{reason.rstrip('.')}: {cause}" if reason and cause else reason or cause


def sentence(failure: Mapping[str, Any]) -> str:
    """What a person reads of one failure."""
    return f"{failure['name']} did not start: {failure['cause'].rstrip('.')}. {failure['remedy']}".strip()


def message(
    failures: Sequence[Mapping[str, Any]],
    restored: Sequence[str],
    serving: Sequence[str],
    missing: Sequence[Mapping[str, Any]] = (),
) -> str:
    """What a person reads of a bring-up that failed; `missing` is what did not come back of the set before."""
    back = "The set before is back and proved. " if restored else ""
    if missing:
        names = ", ".join(str(one["name"]) for one in missing)
        back = f"Of the set before {names} did not come back: {' '.join(sentence(one) for one in missing)} "
    return f"{' '.join(sentence(one) for one in failures)} {back}Serving now: {', '.join(serving) or 'no model'}."
