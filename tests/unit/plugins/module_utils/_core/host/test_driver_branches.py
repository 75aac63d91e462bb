# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Branches and their ends."""

from __future__ import annotations

from datetime import date

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_branches import (
    BRANCHES,
    default_branch,
    end_warning,
)


@pytest.mark.parametrize(
    ("available", "newest_allowed", "branch"),
    [
        ({580, 595, 610, 620}, None, 620),
        ({580, 595, 610, 620}, 580, 580),
        ({590, 595, 610}, None, 595),
        # 535 is a long-term one, and too old for CUDA 12.8; 570 is the oldest that will do.
        ({535, 570}, None, 570),
        ({535, 610, 999}, None, None),
        ((), None, None),
    ],
)
def test_the_newest_long_term_branch_else_the_newest_production_one(
    available: set[int], newest_allowed: int | None, branch: int | None
) -> None:
    assert default_branch(available, newest_allowed) == branch


@pytest.mark.parametrize(
    ("today", "said"),
    [
        (date(2026, 11, 30), ""),
        (date(2026, 12, 1), "NVIDIA's driver branch 595 (production branch) ends in 2027-03."),
        (date(2027, 3, 31), "ends in 2027-03."),
        (date(2027, 4, 1), "ended in 2027-03. Set nvidia_driver_branch to 580 or 620"),
    ],
)
def test_a_branch_that_ends_within_three_months_is_warned_of(today: date, said: str) -> None:
    warning = end_warning(595, today)
    assert said in warning and bool(said) == bool(warning)


def test_an_unknown_branch_has_no_end_and_the_last_one_no_successor() -> None:
    assert end_warning(999, date(2040, 1, 1)) == ""
    assert end_warning(max(BRANCHES), date(2040, 1, 1)).endswith("ended in 2029-09.")
