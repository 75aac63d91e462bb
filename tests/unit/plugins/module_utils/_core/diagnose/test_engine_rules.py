# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of engines and gateway, and what of it follows from the host."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.diagnose import engine_rules, findings
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.diagnose.evidence import Container, Evidence
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.diagnose.findings import Finding, Severity
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet import quarantine

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


def test_a_part_of_a_group_that_has_ended_ends_the_group() -> None:
    part = Container("vllm-large", "large", group="1/2")
    assert judge(replace(WELL, containers=[part], expected=["vllm-large"], gateway_expected=False)) == []
    ended = replace(part, status="exited", exit_code=1, log=OOM)
    (found,) = judge(replace(WELL, containers=[ended], expected=["vllm-large"], gateway_expected=False))
    assert (found.rule, found.severity) == ("out_of_memory", Severity.FAIL)
    assert found.text.startswith(
        "it does not run (exited), and its group of hosts makes no token until all of them start it again: the card's memory ran out"
    )


def test_a_first_host_that_makes_no_token_is_named_though_it_is_healthy() -> None:
    first = Container("vllm-large", "large", health="healthy", group="0/2")
    assert judge(replace(WELL, containers=[first, GATEWAY], expected=["vllm-large"])) == []
    (found,) = judge(replace(WELL, containers=[replace(first, silent_s=20), GATEWAY], expected=["vllm-large"]))
    assert (found.rule, found.severity) == (engine_rules.GROUP_SILENT, Severity.FAIL)
    assert found.text == ("it calls itself healthy and made no token in 20 s: another host of its group died or hangs")
    # It is the other one's fault: no reason to take this one out of service.
    assert quarantine.reason([asdict(found)], quarantine.Cause.GATES) == ""


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
    change: dict[str, Any], rule: str, text: str
) -> None:
    (finding,) = judge(replace(WELL, containers=[replace(QWEN, **change), GATEWAY]))
    assert (finding.rule, finding.severity, finding.subject) == (rule, Severity.FAIL, "engine qwen")
    assert finding.text.startswith(text) and finding.remedy and not finding.because


BEGINS = "(APIServer pid=7) INFO 11-26 19:28:00 [api_server.py:1977] vLLM API server version 0.26.0"
SERVES = "(APIServer pid=7) INFO:     Application startup complete."
HUNG_UP = ["Traceback (most recent call last):", "BrokenPipeError: [Errno 32] Broken pipe"]
FAULT = ["RuntimeError: CUDA error: an illegal memory access was encountered"]


@pytest.mark.parametrize(
    ("log", "code", "rule"),
    [
        # What an earlier start ended by, or a request failed by, has not ended this one.
        ([*HUNG_UP, BEGINS, SERVES], 137, "killed"),
        ([BEGINS, *OOM, BEGINS, SERVES], 137, "killed"),
        ([BEGINS, SERVES, *HUNG_UP], 137, "killed"),
        ([BEGINS, *OOM, BEGINS, SERVES], 0, "exit"),
        # What came last is what ended it, and a cause that is known is one, however it ended.
        ([BEGINS, *OOM, BEGINS, SERVES, *FAULT], 1, "illegal_access"),
        ([BEGINS, SERVES, *FAULT], 137, "illegal_access"),
        ([BEGINS, SERVES, BEGINS, *OOM], 1, "out_of_memory"),
        ([BEGINS, *HUNG_UP], 137, "error"),
        ([BEGINS, SERVES, *HUNG_UP], 1, "error"),
    ],
)
def test_an_end_is_explained_by_what_was_said_since_the_last_start(log: list[str], code: int, rule: str) -> None:
    ended = replace(QWEN, status="exited", exit_code=code, log=log)
    (finding,) = judge(replace(WELL, containers=[ended, GATEWAY]))
    assert finding.rule == rule


def test_one_that_runs_is_explained_by_its_whole_log() -> None:
    """It has not ended: what is there to explain is why it began anew."""
    again = replace(QWEN, health="starting", restarts=3, log=[BEGINS, *OOM, BEGINS])
    (finding,) = judge(replace(WELL, containers=[again, GATEWAY]))
    assert finding.rule == "out_of_memory"


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


def of(cause_line: str, *host: str, **change: Any) -> Finding:
    """What is said of an engine that ended with this line, on a host of which these rules were found."""
    ended = replace(QWEN, status="exited", exit_code=1, log=[cause_line], **change)
    seen = [Finding(rule, Severity.WARN, "host", "x", "y") for rule in host]
    (found,) = judge(replace(WELL, containers=[ended, GATEWAY]), *seen)
    return found


@pytest.mark.parametrize(
    ("line", "cause", "because"),
    [
        ("RuntimeError: CUDA error: unspecified launch failure", "gpu_fault", "xid_79"),
        ("RuntimeError: CUDA error: unspecified launch failure", "gpu_fault", "no_card"),
        ("RuntimeError: CUDA error: unspecified launch failure", "gpu_fault", "driver_reboot"),
        ("RuntimeError: CUDA error: unspecified launch failure", "gpu_fault", "no_driver"),
        ("RuntimeError: CUDA error: unspecified launch failure", "gpu_fault", "nvml"),
        ("RuntimeError: CUDA error: unspecified launch failure", "gpu_fault", "api_mismatch"),
        ("RuntimeError: CUDA error: unspecified launch failure", "gpu_fault", "module_rejected"),
        ("Failed to initialize NVML: Driver/library version mismatch", "driver_mismatch", "api_mismatch"),
        ("Failed to initialize NVML: Driver/library version mismatch", "driver_mismatch", "driver_broken"),
        ("could not select device driver", "no_device", "no_driver"),
        ("torch.OutOfMemoryError: CUDA out of memory.", "out_of_memory", "foreign_process"),
        ("ValueError: No available memory for the cache blocks.", "no_cache_memory", "foreign_process"),
        (
            "ValueError: Free memory on device cuda:0 (3/31 GiB) on startup is less than desired GPU memory utilization",
            "free_memory",
            "foreign_process",
        ),
        ("OSError: [Errno 28] No space left on device", "disk_full", "disk_full"),
    ],
)
def test_what_a_cause_follows_from(line: str, cause: str, because: str) -> None:
    assert (of(line, because).rule, of(line, because).because) == (cause, because)
    assert of(line, "somebody_elses").because == "", "another finding explains nothing"


def test_the_first_reason_that_was_found_counts() -> None:
    line = "RuntimeError: CUDA error: unspecified launch failure"
    assert of(line, "driver_reboot", "xid_79", "no_card").because == "xid_79"


def test_what_explains_each_cause() -> None:
    gpu = ("xid_", "no_card", "driver_", "no_driver", "nvml", "api_mismatch", "module_rejected")
    assert dict(engine_rules._BECAUSE) == {
        **dict.fromkeys(("gpu_fault", "no_gpu_in_container", "lost_gpu", "driver_not_loaded", "no_device"), gpu),
        "driver_mismatch": ("driver_", "api_mismatch"),
        "illegal_access": ("xid_",),
        **dict.fromkeys(("killed", "host_memory"), ("kernel_oom",)),
        **dict.fromkeys(("out_of_memory", "free_memory", "no_cache_memory", "cublas_memory"), ("foreign_process",)),
        "disk_full": ("disk_full",),
        **dict.fromkeys(("disk_fault", "read_only"), ("disk_errors",)),
        **dict.fromkeys(("dns", "no_network"), ("dns",)),
        "clock": ("clock",),
        "no_docker": ("docker_down",),
    }


def test_what_docker_refused_is_the_cause_and_not_what_the_log_has() -> None:
    found = of(
        "torch.OutOfMemoryError: CUDA out of memory.", error="Bind for 127.0.0.1:8001 failed: port is already allocated"
    )
    assert found.rule == "port_taken"
    assert of("torch.OutOfMemoryError: CUDA out of memory.").rule == "out_of_memory"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"status": "running", "health": "unhealthy"}, "it runs and does not answer"),
        ({"status": "exited", "health": ""}, "it does not run (exited)"),
        ({"status": "created", "health": "healthy"}, "it does not run (created)"),
    ],
)
def test_a_gateway_that_is_down(change: dict[str, Any], text: str) -> None:
    log = ["2026 [notice] x", "[emerg] bind() failed", "[alert] later", "[notice] end"]
    down = replace(GATEWAY, log=log, **change)
    (found,) = judge(replace(WELL, containers=[QWEN, down]))
    assert (found.rule, found.severity, found.text, found.line) == (
        "gateway_down",
        Severity.FAIL,
        text,
        "[alert] later",
    )
    (refused,) = judge(replace(WELL, containers=[QWEN, replace(down, error="no such image")]))
    assert refused.line == "no such image"
    assert judge(replace(WELL, containers=[QWEN, replace(GATEWAY, health="starting")])) == []


def test_a_gateway_that_is_gone_is_named_where_one_is_expected() -> None:
    (found,) = judge(replace(WELL, containers=[QWEN]))
    assert (found.rule, found.subject, found.text) == ("gateway_missing", "gateway", "its container is gone")
    assert found.remedy == "Run site.yml with --tags gateway."
    assert judge(replace(WELL, containers=[QWEN], gateway_expected=False)) == []


def test_several_engines_serve() -> None:
    assert engine_rules.healthy(replace(WELL, containers=[QWEN, replace(QWEN, model="yi")])) == "qwen, yi serve"


def test_a_finding_is_shown_with_its_line_and_what_it_follows_from() -> None:
    first = Finding("disk_full", Severity.FAIL, "disk", "0.5 GiB free", "Free some.", "the line")
    second = Finding("out_of_memory", Severity.WARN, "engine qwen", "it ended", "Lower it.", because="foreign_process")
    assert findings.table("gpu01", [first, second], "well") == [
        "gpu01   fail",
        "  fail  disk: 0.5 GiB free [disk_full]",
        "        Free some.",
        "        > the line",
        "  warn  engine qwen: it ended [out_of_memory]",
        "        follows from foreign_process",
    ]
    assert findings.table("gpu01", [], "well") == ["gpu01   ok", "  well"]
    assert findings.worst([second]) == "warn"
