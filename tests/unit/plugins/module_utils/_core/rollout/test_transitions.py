# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of transitions is the whole truth: every step is in it, nothing leaves a step without it, and the page shows it."""

from __future__ import annotations

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.machine import TRANSITIONS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import Observation
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import Limits, Step, begin
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.turn import Turn
from ansible_collections.gpuserve.fleet.tests.support.rollout_diagram import FIRST, LAST, PAGE, renewed
from ansible_collections.gpuserve.fleet.tests.support.worlds.hand import SMALL


def test_the_page_shows_the_table() -> None:
    text = PAGE.read_text()
    assert renewed(text) == text, "docs/reliability.md is out of date: run `make docs-rollout`"


def test_every_step_can_be_come_to_and_left() -> None:
    assert {new for _old, new in TRANSITIONS} | set(FIRST) == set(Step)
    assert {old for old, _new in TRANSITIONS} | set(LAST) == set(Step)
    assert all(when for when in TRANSITIONS.values())


def test_no_other_change_is_possible() -> None:
    turn = Turn(begin([SMALL], "listed", 1e6), Observation({}, {}), 1e6, Limits(), TRANSITIONS)
    turn.to("small", Step.STARTING)
    with pytest.raises(AssertionError, match="small can't go from starting to kept"):
        turn.to("small", Step.KEPT)
