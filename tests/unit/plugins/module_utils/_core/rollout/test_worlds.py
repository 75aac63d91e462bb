# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state machine in 1,500 made-up worlds (`make worlds` takes more of them), and in those that once told of a fault."""

from __future__ import annotations

from collections import Counter

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.machine import TRANSITIONS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import Step
from ansible_collections.gpuserve.fleet.tests.support.worlds.kinds import KINDS
from ansible_collections.gpuserve.fleet.tests.support.worlds.run import Report, run

COUNTS = {"any": 550, "flaky": 300, "slow": 150, "calm": 500}

# What so few worlds come to is walked by hand, in test_lost.py and test_bridges.py.
RARE = {
    (Step.DRAINING, Step.WAITING),
    (Step.DRAINING, Step.GONE),
    (Step.STOPPING, Step.FAILED),
    (Step.RETIRING, Step.WAITING),
    (Step.RETIRING, Step.STARTING),
    (Step.RETIRING, Step.FAILED),
    (Step.KEPT, Step.FAILED),
    (Step.LEAVING, Step.GONE),
    (Step.YIELDING, Step.FAILED),
}


def brought_up(kind: str, seeds: range) -> list[Report]:
    return [run(KINDS[kind](seed)) for seed in seeds]


def broken(reports: list[Report]) -> list[str]:
    return [f"seed {report.seed}: {rule}, {text}" for report in reports for rule, text in report.broken]


@pytest.fixture(scope="module")
def reports() -> dict[str, list[Report]]:
    return {kind: brought_up(kind, range(count)) for kind, count in COUNTS.items()}


@pytest.mark.long
@pytest.mark.parametrize("kind", COUNTS)
def test_no_rule_breaks_in_any_world(reports: dict[str, list[Report]], kind: str) -> None:
    assert broken(reports[kind]) == []


@pytest.mark.long
def test_in_calm_worlds_nothing_fails_and_nobody_waits_for_another(reports: dict[str, list[Report]]) -> None:
    assert [report.seed for report in reports["calm"] if report.failed] == []
    gaps = {report.seed: report.gap_over_start for report in reports["calm"]}
    assert {seed: gap for seed, gap in gaps.items() if gap > 1.15} == {}
    # Ports that are another's are among them, some in rings of models that have no room for a surge instance.
    exchanged = [report for report in reports["calm"] if report.ports_change_hands]
    assert len(exchanged) > 50
    assert sum(report.changes[Step.WAITING, Step.YIELDING] for report in exchanged) > 3


@pytest.mark.long
def test_every_kind_of_end_is_among_them(reports: dict[str, list[Report]]) -> None:
    """Worlds in which nothing ever fails, or nothing is ever replaced beside, would hold whatever the machine does."""
    walked: Counter[tuple[Step, Step]] = Counter()
    for found in reports.values():
        for report in found:
            walked += report.changes
    assert set(walked) <= set(TRANSITIONS)
    assert [change for change in TRANSITIONS if change not in walked and change not in RARE] == []


# What once told of a fault; the numbers are seeds of today's worlds.
TELLING = {
    "any": (1087,),  # one that had room beside its surge instance, and finds it taken
    "calm": (
        70,  # what leaves is not judged by a probe from before it was drained
        150,  # memory that was freed for one is nobody else's: it waited four starts long
        206,  # two models that change ports, and a surge instance that kept the other from going
        343,  # a ring of ports in which one grows
        983,  # its port's owner waits for its turn on another card, longer than any gate
        1106,
        1602,  # a ring of ports, seen just as memory was given back
        2941,  # memory that another gives back once its turn comes on another card
        5622,  # one that went before the bridge that it was to wait for
    ),
    "flaky": (43,),  # a missed probe of one that serves, more than five seconds after another one
}


@pytest.mark.parametrize(("kind", "seed"), [(kind, seed) for kind, seeds in TELLING.items() for seed in seeds])
def test_what_once_told_of_a_fault(kind: str, seed: int) -> None:
    report = run(KINDS[kind](seed))
    assert report.broken == []
    assert kind != "calm" or (report.failed == [] and report.gap_over_start <= 1.15)
