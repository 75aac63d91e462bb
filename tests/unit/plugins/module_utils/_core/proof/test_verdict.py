# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The line of a proof, its aims, and how it is told."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.proof import page, playbook, verdict
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.proof.steps import STEPS

MIB = 1 << 20
# The keys that others read of it.
KEYS = {
    "ready_parallel_s",
    "parallel_over_slowest",
    "second_run_changed",
    "plan_error_mib",
    "tokens_per_s",
    "tokens_over_eager",
    "ttft_p50_ms",
    "gateway_ttft_added_ms",
    "requests_lost",
    "faults_named",
}


def started(**ready_s: float) -> list[dict[str, Any]]:
    """Return what a bring-up says of engines that it started."""
    return [{"name": name, "planned_bytes": MIB, "ready_s": seconds} for name, seconds in ready_s.items()]


def outcomes(**changes: Any) -> dict[str, dict[str, Any]]:
    """Return those of a whole proof in which all went well."""
    digests = {"qwen": "a", "yi": "b"}
    clients = {"requests": 50, "lost": 0, "slowest_s": 0.5}
    result = {
        "tokens_per_s": 900.0,
        "success": 1.0,
        "ttft_ms": {"p50": 31.0},
        "itl_ms": {"p50": 9.0},
        "e2e_ms": {"p95": 700.0},
    }
    whole: dict[str, dict[str, Any]] = {
        "plan": {"plan": {"gpus": [{"budget_bytes": 32113 * MIB}]}},
        "cold": {
            "date": "2026-11-26",
            "facts": {"card": "NVIDIA H100", "card_usable_mib": [81000], "driver": "580"},
            "took_s": 141.5,
            "all_ready_s": 130.0,
            "models": [
                {"name": "qwen", "planned_bytes": 8443 * MIB, "ready_s": 1},
                {"name": "yi", "planned_bytes": 15013 * MIB, "ready_s": 2},
            ],
            "held": {"qwen": 8194 * MIB, "yi": 14598 * MIB},
            "digests": digests,
            "answers": {"qwen": "Paris."},
        },
        "again": {
            "changed": 0,
            "rates": {"qwen": {"tokens_per_s": 3900.0}, "yi": {"tokens_per_s": 2700.0}},
            "loaded": {"qwen": 8358 * MIB, "yi": 14764 * MIB},
            "saturated": {"qwen": 8460 * MIB, "yi": 15006 * MIB},
            "first_tokens": {"qwen": {"gateway_p50_ms": 22.0, "added_p50_ms": 0.4}},
        },
        "benchmark": {
            "record": {
                "runs": [
                    {"model": "qwen", "way": "gateway", "together": False, "result": result},
                    {"model": "yi", "way": "engine", "together": False, "result": None},
                ]
            }
        },
        "change": {"digests": {"qwen": "c", "yi": "b"}, "clients": clients},
        "rollback": {"digests": digests, "clients": {**clients, "slowest_s": 0.9}},
        "killed": {"named": True},
        "gateway": {"named": True},
        "parallel": {"all_ready_s": 82.0, "models": started(qwen=61.0, yi=81.5)},
        "serial": {"all_ready_s": 221.0, "models": started(qwen=64.0, yi=91.0)},
        "eager": {"rates": {"qwen": {"tokens_per_s": 530.0}, "yi": {"tokens_per_s": 570.0}}},
        "foreign": {"named": True},
        "teardown": {"took_s": 8.5, "left": []},
    }
    return {name: {**whole[name], **changes.get(name, {})} for name in whole}


def test_a_whole_proof_has_every_figure_and_no_complaint() -> None:
    line = verdict.line(outcomes())
    assert set(line) >= KEYS
    assert (line["missed"], line["failed"], line["not_run"]) == ([], {}, [])
    assert line["plan_error_mib"] == {"qwen": 17, "yi": -7}
    assert line["plan_error_worst_mib"] == 17
    # The slowest of those at once, as it starts before the others, one after the other.
    assert (line["ready_slowest_alone_s"], line["parallel_over_slowest"]) == (91.0, 0.901)
    assert line["tokens_over_eager"] == {"qwen": 7.36, "yi": 4.74}
    assert line["tokens_over_eager_geomean"] == 5.91
    assert (line["requests"], line["requests_lost"], line["slowest_request_s"]) == (100, 0, 0.9)
    assert line["rolled_back"] is True
    assert line["steps_s"] == {"cold": 141.5, "teardown": 8.5}
    assert "- The steps took 2.5 minutes; seconds of each: cold 142, teardown 8." in page.page([line])
    assert line["benchmark"] == {
        "qwen gateway": {
            "tokens_per_s": 900.0,
            "success": 1.0,
            "ttft_p50_ms": 31.0,
            "itl_p50_ms": 9.0,
            "e2e_p95_ms": 700.0,
        }
    }


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({"again": {"changed": 1}}, "second_run_changed <= 0"),
        ({"again": {"saturated": {"qwen": 8508 * MIB}}}, "plan_error_worst_mib <= 64"),
        ({"again": {"saturated": {"qwen": 8378 * MIB}}}, "plan_error_worst_mib <= 64"),
        ({"parallel": {"all_ready_s": 101.0}}, "parallel_over_slowest <= 1.1"),
        ({"eager": {"rates": {"qwen": {"tokens_per_s": 2000.0}}}}, "tokens_over_eager_geomean >= 3.5"),
        ({"change": {"clients": {"requests": 9, "lost": 1, "slowest_s": 1}}}, "requests_lost <= 0"),
        ({"foreign": {"named": False}}, "faults_unnamed <= 0"),
        ({"teardown": {"left": ["/opt/gpuserve/stack"]}}, "left_behind <= 0"),
    ],
)
def test_each_aim_can_be_missed(changes: dict[str, Any], missed: str) -> None:
    assert verdict.line(outcomes(**changes))["missed"] == [missed]


def test_the_bounds_themselves_are_met() -> None:
    line = verdict.line(outcomes(again={"saturated": {"qwen": (8443 + 64) * MIB}}, parallel={"all_ready_s": 100.1}))
    assert (line["plan_error_worst_mib"], line["parallel_over_slowest"], line["missed"]) == (64, 1.1, [])


def test_what_was_not_run_is_named_and_has_no_figure() -> None:
    line = verdict.line({})
    assert line["not_run"] == [step.name for step in STEPS]
    assert line["missed"] == []
    assert {line[aim.key] for aim in verdict.AIMS} == {None}
    shown = page.screen("gpu01", line)
    assert shown[0].startswith(f"gpu01   0 of {len(STEPS)} steps")
    assert sum("not run" in row for row in shown) == len(verdict.AIMS) + 1
    assert "Not run: plan, cold" in page.page([line])


def test_a_rollback_to_another_set_is_none() -> None:
    assert verdict.line(outcomes(rollback={"digests": {"qwen": "c", "yi": "b"}}))["rolled_back"] is False
    assert verdict.line(outcomes(change={"digests": {"qwen": "a", "yi": "b"}}))["rolled_back"] is False


def test_a_step_that_failed_is_told_with_its_reason() -> None:
    line = verdict.line({**outcomes(), "serial": {"failed": "no\x1b[31m memory"}})
    assert line["failed"] == {"serial": "no\x1b[31m memory"}
    assert any("failed  serial: no memory" in row for row in page.screen("gpu01", line))
    assert "Failed: serial: no memory." in page.page([line])


def test_the_page_has_every_figure() -> None:
    text = page.page([verdict.line(outcomes())])
    for part in (
        "## 2026-11-26: NVIDIA H100",
        "| `plan_error_worst_mib` | <= 64 | 17 | met |",
        "| one after the other, warm | 221 |",
        "| the last less the plan | 17 | -7 |",
        "| ratio | 7.36 | 4.74 |",
        "| qwen gateway | 900 | 1 | 31 | 9 | 700 |",
        "100 requests of it through the gateway: 0 lost, the slowest took 0.9 s.",
        "The rollback brought the set before.",
        '"Paris."',
        "The teardown left nothing of ours.",
        "Every step was run.",
    ):
        assert part in text, part


RUN = """\
TASK [x] ***
  gpu01  0:02  qwen starts
fatal: [gpu01]: FAILED! => {"changed": false, "msg": "no memory"}

PLAY RECAP ****
gpu01                      : ok=33   changed=2    unreachable=0    failed=1
localhost                  : ok=1    changed=5    unreachable=0    failed=0
""".splitlines()


def test_a_run_is_read_from_what_it_prints() -> None:
    assert playbook.changed(RUN, "gpu01") == 2
    assert playbook.changed(RUN, "gpu0") is None
    assert playbook.failure(RUN)["msg"] == "no memory"
    assert playbook.failure(RUN[:2]) == {}
    assert playbook.failure(["fatal: [gpu01]: FAILED! => {cut"]) == {"msg": "fatal: [gpu01]: FAILED! => {cut"}
    assert [line for line in RUN if playbook.live(line, "gpu01")] == ["  gpu01  0:02  qwen starts"]


def test_a_failure_over_several_lines_is_read_whole() -> None:
    assert playbook.failure(["fatal: [gpu01]: FAILED! => {", '    "msg": "x"', "}", "later"])["msg"] == "x"
