# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the host itself: driver, cards, kernel, disks, network, clock, Docker, and files of ours that were left behind."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.diagnose import xid
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.diagnose.evidence import Evidence
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.diagnose.findings import Finding, Severity
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_state import decide
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.text import harmless
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB, gib

FAIL, WARN = Severity.FAIL, Severity.WARN
# An engine writes logs and caches; a file system this full stops the next start.
FULL_BYTES, NEARLY_FULL = 1 * GIB, 0.05
# Smaller than a CUDA context: a monitor's, or a desktop's cursor.
FOREIGN_BYTES = 256 << 20
# A drained endpoint comes back by itself well before, whatever is replaced.
DRAINED_S = 2 * 3600
_KERNEL = (
    (
        "kernel_oom",
        FAIL,
        re.compile(r"(?:Out of memory|oom-kill|Memory cgroup out of memory).*?(?:Killed process|task=)"),
        "the kernel ended a process since memory ran out",
        "Give the host more memory, or fewer engines at once (vllm_stack_mode: serial).",
    ),
    (
        "disk_errors",
        FAIL,
        re.compile(r"I/O error, dev|EXT4-fs error|XFS .*corruption|Remounting filesystem read-only"),
        "a disk reports errors",
        "Save what matters, then look at `smartctl -a` of that disk.",
    ),
    (
        "pcie_errors",
        WARN,
        re.compile(r"AER: (?:.*[Uu]ncorrect|.*Fatal)|PCIe Bus Error: severity=Uncorrect"),
        "the PCI bus reports errors that were not corrected",
        "Look at slot, riser and power of the card, and at the firmware's PCIe generation: one lower often ends it.",
    ),
    (
        "module_rejected",
        FAIL,
        re.compile(
            r"Loading of .*(?:module|nvidia).* (?:is rejected|rejected)|nvidia: module verification failed.*rejected|Key was rejected"
        ),
        "the kernel rejects the driver's module, whose key it does not know (Secure Boot)",
        "Run site.yml with --tags nvidia_driver: it says how the key is enrolled here.",
    ),
    (
        "api_mismatch",
        FAIL,
        re.compile(r"NVRM: API mismatch"),
        "the driver's library and its module are of two versions",
        "Reboot the host, or run site.yml with --tags nvidia_driver.",
    ),
)


def judge(seen: Evidence) -> list[Finding]:
    """Name what is wrong, the lowest layer first."""
    return [
        *_gpus(seen),
        *_driver(seen),
        *_kernel(seen),
        *_memory(seen),
        *_surroundings(seen),
        *_docker(seen),
        *_ours(seen),
    ]


def _gpus(seen: Evidence) -> Iterator[Finding]:
    if seen.need_card and not seen.gpus:
        yield Finding(
            "no_card",
            FAIL,
            "host",
            "no NVIDIA card is on the PCI bus",
            "Power the host off and look whether the card sits and has power; one that fell off the bus comes back after that.",
        )
    for event in xid.events(seen.kernel_log or ()):
        finding = f"Xid {event.number}, {event.meaning.text}"
        severity = FAIL if event.meaning.fatal else WARN
        yield Finding(
            f"xid_{event.number}",
            severity,
            f"card {event.address}",
            finding,
            event.meaning.action.value,
            harmless(event.line),
        )


def _driver(seen: Evidence) -> Iterator[Finding]:
    if not any(not gpu.passed_through for gpu in seen.gpus):
        return
    decision = decide(seen.driver)
    remedies = {
        "reboot": ("driver_reboot", "Reboot the host, or run site.yml with --tags nvidia_driver, which does."),
        "fail": ("driver_broken", "Run site.yml with --tags nvidia_driver, which says what has to be repaired first."),
        "module_reload": ("driver_not_loaded", "Run site.yml with --tags nvidia_driver, which loads it."),
    }
    installed = seen.driver.loaded or seen.driver.on_disk or seen.driver.userspace
    if decision.action in remedies:
        rule, remedy = remedies[decision.action]
        yield Finding(rule, FAIL, "driver", decision.reason, remedy)
    elif not installed:
        yield Finding("no_driver", FAIL, "driver", "none is installed", "Run site.yml with --tags nvidia_driver.")
    elif seen.nvml:
        yield Finding(
            "nvml",
            FAIL,
            "driver",
            f"NVML does not answer: {harmless(seen.nvml)}",
            "See `dmesg | grep NVRM` on the host.",
        )
    if decision.next_boot:
        yield Finding(
            "next_boot",
            WARN,
            "driver",
            decision.next_boot,
            "Install that kernel's headers and run `dkms autoinstall` before anybody reboots.",
        )


def _kernel(seen: Evidence) -> Iterator[Finding]:
    for rule, severity, pattern, text, remedy in _KERNEL:
        lines = [line for line in seen.kernel_log or () if pattern.search(line)]
        if lines:
            yield Finding(rule, severity, "kernel", text, remedy, harmless(lines[-1]))


def _memory(seen: Evidence) -> Iterator[Finding]:
    for gpu in seen.memory:
        for process in gpu.processes:
            if not process.ours and process.used_bytes >= FOREIGN_BYTES:
                yield Finding(
                    "foreign_process",
                    WARN,
                    f"card {gpu.uuid}",
                    f"a process that is not ours ({harmless(process.name)}, pid {process.pid}) uses {gib(process.used_bytes)}",
                    "End it, or leave room for it: vllm_stack_reserved.",
                )


def _surroundings(seen: Evidence) -> Iterator[Finding]:
    for disk in seen.disks:
        left = f"{gib(disk.free_bytes)} of {gib(disk.total_bytes)} are free in {disk.path} ({disk.purpose})"
        if disk.free_bytes < FULL_BYTES:
            yield Finding("disk_full", FAIL, "disk", left, "Free some, or use a larger disk.")
        elif disk.total_bytes and disk.free_bytes < NEARLY_FULL * disk.total_bytes:
            yield Finding("disk_nearly_full", WARN, "disk", left, "Free some before the next model or image comes.")
    for name in seen.unresolved:
        remedy = "Check /etc/resolv.conf, or set up mirrors (docs/airgap.md)."
        yield Finding("dns", WARN, "network", f"{harmless(name)} is not resolved", remedy)
    if seen.time_synchronised is False:
        remedy = "Install chrony or systemd-timesyncd: certificates and tokens need a right clock."
        yield Finding("clock", WARN, "clock", "it is not synchronised", remedy)


def _docker(seen: Evidence) -> Iterator[Finding]:
    if seen.docker:
        yield Finding(
            "docker_down",
            FAIL,
            "docker",
            harmless(seen.docker),
            "See `systemctl status docker` and `journalctl -u docker`, or run site.yml with --tags docker_engine.",
        )


def _ours(seen: Evidence) -> Iterator[Finding]:
    if seen.unfinished:
        remedy = "Run site.yml again: it goes on from what is there. Where one still runs, wait for it."
        yield Finding("unfinished", WARN, "stack", f"a run has not ended: {harmless(seen.unfinished)}", remedy)
    for endpoint, age_s in seen.drained:
        if age_s > DRAINED_S:
            remedy = "Run site.yml again, or remove that file from the gateway's drain folder."
            text = f"the gateway has left {harmless(endpoint)} out for {age_s / 3600:.0f} hours"
            yield Finding("drained", WARN, "gateway", text, remedy)
