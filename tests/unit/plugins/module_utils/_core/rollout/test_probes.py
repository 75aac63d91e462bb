# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which questions are asked of a container, by how far its service is."""

from __future__ import annotations

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.probes import Probes, probes, surge_probes
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import Step, Track

EVERYTHING = Probes(image=True, health=True, token=True, figures=True, sleep=True)
BY_STEP = {
    Step.WAITING: Probes(health=True, figures=True),
    Step.STARTING: Probes(log=True, health=True, token=True),
    Step.DRAINING: Probes(health=True, figures=True),
}


def test_a_first_look_asks_for_all_that_decides() -> None:
    assert probes(None) == EVERYTHING
    assert probes(Track()) == EVERYTHING, "one of which nothing is decided yet is asked again"


@pytest.mark.parametrize("step", list(Step))
def test_each_step_asks_for_no_more_than_it_needs(step: Step) -> None:
    assert probes(Track(step, "why")) == BY_STEP.get(step, Probes())


@pytest.mark.parametrize("step", list(Step))
def test_at_the_end_everything_that_is_proved_is_asked_whether_it_is_well(step: Step) -> None:
    assert probes(Track(step, "why"), over=True).health == (step in (Step.READY, Step.KEPT, *BY_STEP))
    assert probes(Track(step, "why", doubted=1.0)).health == (step in (Step.READY, Step.KEPT, *BY_STEP))


def test_a_kept_one_is_asked_whether_it_sleeps_while_somebody_waits() -> None:
    assert probes(Track(Step.KEPT, "why"), waiting=True) == Probes(sleep=True)
    assert probes(Track(Step.READY, "why"), waiting=True) == Probes()


def test_a_surge_instance_is_looked_at_while_there_is_one() -> None:
    assert surge_probes(Track(Step.SURGING)) is None
    assert surge_probes(Track(Step.SURGING, surged=True)) == BY_STEP[Step.STARTING]
    assert surge_probes(Track(Step.RETIRING, surged=True)) == BY_STEP[Step.DRAINING]
    assert surge_probes(Track(Step.DRAINING, surged=True)) == Probes()
    assert surge_probes(Track(Step.FAILED, surge_serves=True)) == Probes()
