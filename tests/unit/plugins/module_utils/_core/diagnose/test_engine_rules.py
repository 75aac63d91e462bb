# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of engines and gateway, and what of it follows from the host."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.diagnose import engine_rules, findings
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.diagnose.evidence import Container, Evidence
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.diagnose.findings import Finding, Severity

OOM = [
    "INFO 11-24 03:01:35 [core.py:1] starting",
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
]
QWEN = Container("vllm-qwen", "qwen", health="healthy")
GATEWAY = Container("gpuserve-gateway", health="healthy")
WELL = Evidence(containers=[QWEN, GATEWAY], expected=["vllm-qwen"], gateway_expected=True)
FOREIGN = Finding("foreign_process", Severity.WARN, "card GPU-1", "a process", "End it.")


def judge(seen: Evidence, *host: Finding) -> list[Finding]:
    return engine_rules.judge(seen, host)


def test_nothing_is_said_of_what_serves() -> None:
    assert judge(WELL) == []
    assert engine_rules.healthy(WELL) == "qwen serves, and the gateway answers"
    assert engine_rules.healthy(Evidence()) == "nothing is wrong with the host; no engine of ours is on it"


@pytest.mark.parametrize(
    ("change", "rule", "text"),
    [
        (
            {"status": "exited", "exit_code": 1, "log": OOM},
            "out_of_memory",
            "it does not run (exited): the card's memory ran out",
        ),
        (
            {"health": "starting", "restarts": 7, "log": OOM},
            "out_of_memory",
            "it ends again and again (7 times): the card's",
        ),
        (
            {"status": "restarting", "restarts": 7, "log": OOM},
            "out_of_memory",
            "it ends again and again (7 times): the card's",
        ),
        ({"status": "exited", "exit_code": 137}, "killed", "it does not run (exited): it was killed"),
        (
            {"status": "exited", "exit_code": 1, "oom_killed": True, "log": OOM},
            "killed",
            "it does not run (exited): the kernel ended it",
        ),
        (
            {"status": "created", "error": "unresolvable CDI devices nvidia.com/gpu=0"},
            "no_device",
            "it does not run (created): Docker",
        ),
        ({"health": "unhealthy", "log": OOM}, "out_of_memory", "it runs and does not answer: the card's memory"),
        ({"health": "unhealthy"}, "unknown", "it runs and does not answer: it gave no reason"),
    ],
)
def test_an_engine_that_does_not_serve_is_explained_by_the_table_of_causes(
    change: dict[str, object], rule: str, text: str
) -> None:
    (finding,) = judge(replace(WELL, containers=[replace(QWEN, **change), GATEWAY]))  # type: ignore[arg-type]
    assert (finding.rule, finding.severity, finding.subject) == (rule, Severity.FAIL, "engine qwen")
    assert finding.text.startswith(text) and finding.remedy and not finding.because


def test_one_that_serves_after_restarts_and_one_that_starts_are_only_warned_of() -> None:
    restarted, starting = replace(QWEN, restarts=2, log=OOM), replace(QWEN, health="starting", age_s=601)
    assert judge(replace(WELL, containers=[replace(starting, age_s=599), GATEWAY])) == []
    found = judge(replace(WELL, containers=[restarted, starting, GATEWAY]))
    assert [(one.rule, one.severity) for one in found] == [
        ("out_of_memory", Severity.WARN),
        ("starting", Severity.WARN),
    ]


def test_what_is_gone_is_named() -> None:
    found = judge(replace(WELL, containers=[]))
    assert [(one.rule, one.subject) for one in found] == [
        ("container_missing", "engine vllm-qwen"),
        ("gateway_missing", "gateway"),
    ]
    assert judge(replace(WELL, containers=[], docker="Docker does not answer")) == []


def test_a_gateway_that_does_not_start_shows_its_line() -> None:
    line = "2026/11/26 07:00:00 [emerg] 1#1: bind() to 0.0.0.0:8000 failed (98: Address already in use)"
    (found,) = judge(replace(WELL, containers=[QWEN, replace(GATEWAY, status="restarting", log=["x", line, "y"])]))
    assert (found.rule, found.line) == ("gateway_down", line)


def test_an_engine_s_cause_follows_from_the_host_s() -> None:
    failed = replace(QWEN, status="exited", exit_code=1, log=OOM)
    (found,) = judge(replace(WELL, containers=[failed, GATEWAY]), FOREIGN)
    assert found.because == "foreign_process"
    assert findings.table("gpu01", [FOREIGN, found], "") == [
        "gpu01   fail",
        "  warn  card GPU-1: a process [foreign_process]",
        "        End it.",
        "  fail  engine qwen: it does not run (exited): the card's memory ran out [out_of_memory]",
        "        follows from foreign_process",
    ]
    xid = Finding("xid_79", Severity.FAIL, "card 0000:01:00", "gone", "Power off.")
    lost = replace(failed, log=["RuntimeError: No CUDA GPUs are available"])
    assert judge(replace(WELL, containers=[lost, GATEWAY]), xid)[0].because == "xid_79"


def test_the_table_of_a_host_that_is_well_is_two_lines() -> None:
    assert findings.table("gpu01", [], "qwen serves") == ["gpu01   ok", "  qwen serves"]
    assert (findings.worst([]), findings.worst([FOREIGN])) == ("ok", "warn")
