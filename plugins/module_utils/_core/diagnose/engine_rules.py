# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the engines and the gateway: whether each runs and answers, and by the table of causes, why not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.diagnose.evidence import Container, Evidence
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.diagnose.findings import Finding, Severity
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.diagnosis import KILLED, Cause, diagnose
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.log import of_the_end
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.text import harmless

# What the host's findings explain of an engine's: the first rule of the list that was found is the reason.
_GPU = ("xid_", "no_card", "driver_", "no_driver", "nvml", "api_mismatch", "module_rejected")
_BECAUSE: Mapping[str, Sequence[str]] = {
    "gpu_fault": _GPU,
    "no_gpu_in_container": _GPU,
    "lost_gpu": _GPU,
    "driver_not_loaded": _GPU,
    "driver_mismatch": ("driver_", "api_mismatch"),
    "no_device": _GPU,
    "illegal_access": ("xid_",),
    "killed": ("kernel_oom",),
    "host_memory": ("kernel_oom",),
    "out_of_memory": ("foreign_process",),
    "free_memory": ("foreign_process",),
    "no_cache_memory": ("foreign_process",),
    "cublas_memory": ("foreign_process",),
    "disk_full": ("disk_full",),
    "disk_fault": ("disk_errors",),
    "read_only": ("disk_errors",),
    "dns": ("dns",),
    "no_network": ("dns",),
    "clock": ("clock",),
    "no_docker": ("docker_down",),
}
RUNNING = "running"
# /health of an engine says nothing of the others of its group.
GROUP_SILENT = "group_silent"
LONG_START_S = 600


def judge(seen: Evidence, host: Sequence[Finding]) -> list[Finding]:
    """Name what is wrong with our containers, with `host`, the findings that may explain it."""
    if seen.docker:
        return []
    found = {container.name: container for container in seen.containers}
    findings: list[Finding] = []
    for name in seen.expected:
        if name not in found:
            remedy = "Run site.yml, which makes it again."
            findings.append(
                Finding("container_missing", Severity.FAIL, f"engine {name}", "its container is gone", remedy)
            )
    for container in seen.containers:
        findings += _gateway(container) if not container.model else _engine(container, host)
    if seen.gateway_expected and not any(not container.model for container in seen.containers):
        remedy = "Run site.yml with --tags gateway."
        findings.append(Finding("gateway_missing", Severity.FAIL, "gateway", "its container is gone", remedy))
    return findings


def _engine(one: Container, host: Sequence[Finding]) -> Iterator[Finding]:
    subject = f"engine {one.model}"
    if one.status == RUNNING and one.health in ("", "healthy"):
        if one.silent_s:
            text = f"it calls itself healthy and made no token in {one.silent_s:.0f} s: another host of its group died or hangs"
            remedy = "Run diagnose.yml for all of its hosts, and site.yml, which starts all parts again."
            yield Finding(GROUP_SILENT, Severity.FAIL, subject, text, remedy)
        if one.restarts:
            text = f"it has been started anew {one.restarts} times since it was made"
            yield _because(_cause_of(one), subject, Severity.WARN, text, host)
        return
    if one.status == RUNNING and one.health == "starting" and not one.restarts:
        # Docker says so until its first probe as well, of an engine that serves already.
        if one.age_s > LONG_START_S:
            text = f"it has been starting for {one.age_s / 60:.0f} minutes"
            yield Finding(
                "starting",
                Severity.WARN,
                subject,
                text,
                "Read `docker logs` of it: a large one takes long, and one whose log stands still hangs.",
            )
        return
    again = f"it ends again and again ({one.restarts} times)"
    # One that ends over and over is seen between two ends as often as not.
    states = {RUNNING: again if one.health == "starting" else "it runs and does not answer", "restarting": again}
    text = states.get(one.status, f"it does not run ({harmless(one.status)})")
    if one.group:
        text = f"{text}, and its group of hosts makes no token until all of them start it again"
    yield _because(_cause_of(one), subject, Severity.FAIL, text, host)


def _cause_of(one: Container) -> Cause:
    if one.oom_killed:
        # Docker knows: the kernel ended it within its own bound.
        return Cause("killed", "the kernel ended it, since its memory ran out", "Give the host more memory.", True)
    refused = [f"Error response from daemon: {one.error}"] if one.error else []
    if one.status == RUNNING:
        return diagnose([*refused, *one.log])
    lines, has_served = of_the_end(one.log)
    cause = diagnose([*refused, *lines], one.exit_code)
    if cause.id == "error" and has_served and one.exit_code == KILLED:
        # What went wrong with a request ends no engine by SIGKILL.
        return diagnose([], one.exit_code)
    return cause


def _because(cause: Cause, subject: str, severity: Severity, state: str, host: Sequence[Finding]) -> Finding:
    reasons = _BECAUSE.get(cause.id, ())
    because = next((finding.rule for reason in reasons for finding in host if finding.rule.startswith(reason)), "")
    return Finding(cause.id, severity, subject, f"{state}: {cause.text}", cause.remedy, because=because)


def _gateway(one: Container) -> Iterator[Finding]:
    if one.status != RUNNING or one.health == "unhealthy":
        last = next((line for line in reversed(one.log) if "[emerg]" in line or "[alert]" in line), "")
        text = "it runs and does not answer" if one.status == RUNNING else f"it does not run ({harmless(one.status)})"
        remedy = "Run site.yml with --tags gateway, which checks its configuration before it starts."
        yield Finding("gateway_down", Severity.FAIL, "gateway", text, remedy, harmless(one.error or last))


def healthy(seen: Evidence) -> str:
    """Say what works, where nothing is wrong."""
    engines = [container.model for container in seen.containers if container.model]
    if not engines:
        return "nothing is wrong with the host; no engine of ours is on it"
    gateway = ", and the gateway answers" if any(not container.model for container in seen.containers) else ""
    return f"{', '.join(engines)} {'serves' if len(engines) == 1 else 'serve'}{gateway}"
