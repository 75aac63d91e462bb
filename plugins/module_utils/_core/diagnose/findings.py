# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong on a host, first causes before what follows from them; and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """Whether something does not work, or will not for long."""

    FAIL = "fail"
    WARN = "warn"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: by which rule, with what, what to do, and the line that shows it.

    `because` is the rule of the finding that it follows from; what has one needs no remedy of its own.
    """

    rule: str
    severity: Severity
    subject: str
    text: str
    remedy: str
    line: str = ""
    because: str = ""


def worst(findings: Sequence[Finding]) -> str:
    """Name the worst severity there is: fail, warn or ok."""
    severities = {finding.severity for finding in findings}
    return next((severity.value for severity in Severity if severity in severities), "ok")


def table(host: str, findings: Sequence[Finding], healthy: str) -> list[str]:
    """Write the lines that a person reads, one to three for each finding; `healthy` is said where there is none."""
    lines = [f"{host}   {worst(findings)}"]
    if not findings:
        return [*lines, f"  {healthy}"]
    for finding in findings:
        lines.append(f"  {finding.severity.value:<4}  {finding.subject}: {finding.text} [{finding.rule}]")
        lines.append(f"        {'follows from ' + finding.because if finding.because else finding.remedy}")
        if finding.line:
            lines.append(f"        > {finding.line}")
    return lines
