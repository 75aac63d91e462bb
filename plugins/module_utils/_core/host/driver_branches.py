# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""NVIDIA's driver branches: what each is called, when it ends, and which one a host gets where nobody named one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from enum import Enum

# CUDA 12.8, the oldest that current engine images are built with, needs this branch.
FLOOR_BRANCH = 570
# The branch from which NVIDIA's packages for Ubuntu carry no number in their names.
RENAMED_BRANCH = 590
WARN_BEFORE_MONTHS = 3


class Kind(Enum):
    """What NVIDIA calls a branch, and by that how long it lives."""

    LONG_TERM = "long-term support branch"
    PRODUCTION = "production branch"
    NEW_FEATURE = "new feature branch"


@dataclass(frozen=True)
class Branch:
    """A branch and the month in which NVIDIA ends it."""

    number: int
    kind: Kind
    end_year: int
    end_month: int


# Source: https://docs.nvidia.com/datacenter/tesla/drivers/supported-drivers-and-cuda-toolkit-versions.html, the table "CUDA and
# Drivers" and releases.json beside it, as of November 2026. An older form of the page gave 580 until August 2028; the earlier
# month counts here, since a warning may come early and not late.
BRANCHES = {
    branch.number: branch
    for branch in (
        Branch(535, Kind.LONG_TERM, 2026, 6),
        Branch(570, Kind.PRODUCTION, 2026, 2),
        Branch(580, Kind.LONG_TERM, 2028, 6),
        Branch(595, Kind.PRODUCTION, 2027, 3),
        Branch(610, Kind.NEW_FEATURE, 2026, 8),
        Branch(620, Kind.LONG_TERM, 2029, 9),
    )
}
_PREFERENCE = (Kind.LONG_TERM, Kind.PRODUCTION)


def default_branch(available: Collection[int], newest_allowed: int | None = None) -> int | None:
    """Choose among the branches that a repository has: the newest long-term one, else the newest production one, else none."""
    allowed = [number for number in available if number >= FLOOR_BRANCH]
    if newest_allowed is not None:
        allowed = [number for number in allowed if number <= newest_allowed]
    for kind in _PREFERENCE:
        known = [number for number in allowed if number in BRANCHES and BRANCHES[number].kind is kind]
        if known:
            return max(known)
    return None


def end_warning(number: int, today: date) -> str:
    """Say that a branch ends within three months, or has ended; "" for one that lives on or that we don't know."""
    branch = BRANCHES.get(number)
    if branch is None:
        return ""
    months_left = (branch.end_year - today.year) * 12 + branch.end_month - today.month
    if months_left > WARN_BEFORE_MONTHS:
        return ""
    when = f"{branch.end_year}-{branch.end_month:02}"
    verb = "ended" if months_left < 0 else "ends"
    later = [other.number for other in BRANCHES.values() if _end(other) > _end(branch) and other.kind in _PREFERENCE]
    remedy = f"Set nvidia_driver_branch to {_either(sorted(later))}, whichever your repository has." if later else ""
    return f"NVIDIA's driver branch {number} ({branch.kind.value}) {verb} in {when}. {remedy}".strip()


def _end(branch: Branch) -> tuple[int, int]:
    return branch.end_year, branch.end_month


def _either(numbers: list[int]) -> str:
    return " or ".join(str(number) for number in numbers)
