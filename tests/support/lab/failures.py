# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What failed in a whole test, short enough to be its last words: a name, and the lines that say why."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

LINES = 15
# Of more than these only the names are told: who shows the end of an output shows little of it.
TOLD = 8
WIDTH = 240
# Molecule destroys its box after a failure: what it prints from here on hides the failure.
CLEANS_UP = "An error occurred during the "


@dataclass(frozen=True)
class Failure:
    """One test or one step that failed, and why."""

    name: str
    lines: tuple[str, ...]


def failed_tests(suite: str, report: Path) -> list[Failure]:
    """Return each test that failed by pytest's XML report, with the beginning of its message and where it stopped."""
    if not report.exists():
        return []
    return [
        Failure(f"{suite}: {case.get('classname', '')}::{case.get('name', '')}", _why(case, outcome))
        for case in ET.parse(report).getroot().iter("testcase")
        for outcome in _outcomes(case)
    ]


def _outcomes(case: ET.Element) -> Iterator[ET.Element]:
    yield from case.findall("failure")
    yield from case.findall("error")


def _why(case: ET.Element, outcome: ET.Element) -> tuple[str, ...]:
    message = _kept((outcome.get("message") or "").splitlines())
    stopped = _kept((outcome.text or "").splitlines())[-1:]
    return (*message[: LINES - 1], *stopped)


def step_failure(name: str, log: Path) -> Failure:
    """Return a step's failure: the last lines of its log, or what molecule's scenario stopped at."""
    lines = _kept(log.read_text(errors="replace").splitlines()) if log.exists() else []
    cleaned_up = next((at for at, line in enumerate(lines) if CLEANS_UP in line), None)
    if cleaned_up is None:
        return Failure(name, tuple(lines[-LINES:]))
    verdict = [line for line in lines[cleaned_up:] if line.startswith("ERROR ")][:1]
    return Failure(name, (*_failed_task(lines[:cleaned_up]), *verdict))


def over_time(name: str, log: Path, limit_s: float) -> Failure:
    """Return the failure of a part that was ended for its time: at which test or task it stood."""
    lines = _kept(log.read_text(errors="replace").splitlines()) if log.exists() else []
    stood = [line for line in lines if "::" in line or line.startswith("TASK [")][-1:]
    at = f", at {stood[0]}" if stood else ""
    return Failure(name, (f"ended after the {max(0, limit_s):.0f} s that were left to it{at}",))


def _failed_task(lines: list[str]) -> list[str]:
    """Return how the last play's failed task begins and ends, which is what Ansible says of it and what the task returned."""
    play = lines[max((at for at, line in enumerate(lines) if line.endswith("] Executing")), default=0) :]
    play = play[: next((at for at, line in enumerate(play) if line.startswith("PLAY RECAP")), len(play))]
    task = play[max((at for at, line in enumerate(play) if line.startswith("TASK [")), default=0) :]
    half = (LINES - 1) // 2
    return task if len(task) <= 2 * half else [*task[:half], *task[-half:]]


def _kept(lines: Sequence[str]) -> list[str]:
    return [line.rstrip()[:WIDTH] for line in lines if line.strip()]


def told(failures: Sequence[Failure]) -> list[str]:
    """Return the lines that tell of failures: why, then the names alone, so that an end that is cut short still has them."""
    lines = []
    for failure in failures[:TOLD]:
        lines += ["", f"FAILED {failure.name}", *(f"   | {line}" for line in failure.lines)]
    if failures:
        lines += ["", f"{len(failures)} failed:", *(f"  {failure.name}" for failure in failures)]
    return lines
