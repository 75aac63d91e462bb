# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why an engine did not start: the first true cause in its log, and what to do about it.

Lines that an engine marks as its own information, warnings or requests are none of an error; the rules are in `causes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.causes import (
    BUS_ERROR_REMEDY,
    BUS_ERROR_TEXT,
    PYTHON_WARNING,
    RULES,
    SEGFAULT_REMEDY,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.rule import CauseId, Rule
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.text import harmless


@dataclass(frozen=True)
class Cause:
    """A cause a person can act on; `memory`: another try, alone, may have enough."""

    id: CauseId
    text: str
    remedy: str
    memory: bool = False


# 128 and the signal: SIGBUS, SIGKILL, SIGSEGV.
BUS_ERROR, KILLED, SEGFAULT = 135, 137, 139
SEE_LOG = "See the last lines of its log below."
# What the engine says of its own end, and never the reason.
WRAPPERS = re.compile(
    r"Engine core initialization failed|EngineCore failed to start|EngineDeadError|EngineCore encountered"
    # SGLang's, whose end has no status of its own: 0 as the container's first process.
    r"|Scheduler hit an exception|[Rr]eceived sigquit|SIGQUIT received|Initialization failed\. warmup error"
)
_ERROR = re.compile(r"\b(\w*(?:Error|Exception)): (.{3,300})")
_DOCKER = re.compile(r"Error response from daemon: (?P<what>.+)")
# The level that a line begins with: vLLM's own (a time follows), uvicorn's and Python's (a colon).
_LEVEL = re.compile(r"(?:^|[\s)])(DEBUG|INFO|WARNING|ERROR|CRITICAL)(?: \d\d-\d\d \d\d:|:)")
_QUIET = ("DEBUG", "INFO", "WARNING")


def diagnose(log: Sequence[str], exit_code: int | None = None) -> Cause:
    """The first cause in a log; the last resort is what the process itself said last."""
    errors = [line for line in log if not is_quiet(line)]
    # What Docker itself refuses is why nothing else came about.
    refused = [match.group("what") for line in errors if (match := _DOCKER.search(line))]
    for cause in _causes(refused, warnings=True, consequences=True):
        return cause
    if refused:
        return Cause("docker", f"Docker refuses it: {harmless(refused[0])}", "Mend what it names, then run again.")
    # PyTorch warns of a card or a driver that it can't use, and fails of something else later.
    for warnings, consequences in ((False, False), (True, False), (True, True)):
        for cause in _causes(errors, warnings, consequences):
            return cause
    for line in errors:
        match = _ERROR.search(line)
        if match and not WRAPPERS.search(line):
            return Cause("error", harmless(f"{match.group(1)}: {match.group(2).strip()}"), SEE_LOG)
    return _by_exit(exit_code)


def is_quiet(line: str) -> bool:
    """Whether a line is information, a warning or a request, whatever words are in it."""
    level = _LEVEL.search(line)
    return level is not None and level.group(1) in _QUIET


def _causes(lines: Sequence[str], warnings: bool, consequences: bool) -> Iterator[Cause]:
    """Causes in the order of the lines, and of the rules for one line."""
    for line in lines:
        if PYTHON_WARNING in line and not warnings:
            continue
        for rule in RULES:
            if (consequences or not rule.consequence) and (match := _match(rule, line)):
                yield _cause(rule, match)


def _match(rule: Rule, line: str) -> re.Match[str] | None:
    found = (re.search(pattern, line) for pattern in rule.patterns)
    return next((match for match in found if match), None)


def _cause(rule: Rule, match: re.Match[str]) -> Cause:
    what = harmless(match.groupdict().get("what") or "its log says which", 200)
    return Cause(rule.id, rule.text.replace("{what}", what), rule.remedy, rule.memory)


def _by_exit(code: int | None) -> Cause:
    if code == KILLED:
        return Cause(
            "killed", "it was killed, most likely since the host's memory ran out", "Give the host more memory.", True
        )
    if code == SEGFAULT:
        return Cause("segfault", "it crashed with a segmentation fault", SEGFAULT_REMEDY)
    if code == BUS_ERROR:
        return Cause("bus_error", BUS_ERROR_TEXT, BUS_ERROR_REMEDY)
    if code is not None:
        return Cause("exit", f"it ended with exit status {code}", SEE_LOG)
    return Cause("unknown", "it gave no reason", SEE_LOG)
