# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read all that a diagnosis rests on. Nothing is changed, and what can't be read is absent and no error."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.diagnose.engine_rules import RUNNING
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.diagnose.evidence import (
    Container,
    Disk,
    Evidence,
    GpuMemory,
    Process,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.driver_state import nvml_sentence
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.proofs import GENERATE
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import address
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.compose import GROUP, LABEL, is_headless
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.text import harmless
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.docker import seconds_of
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway.probe import CONTAINER
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import docker_socket, gpu, net
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.nvml import Nvml, NvmlError
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.proc import command_of
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout import engine_keys
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.engine_http import Engine

Run = Callable[[list[str]], tuple[int, str, str]]
LOG_LINES, KERNEL_LINES, LINE = 2000, 5000, 4000
# A token of an engine that has others to wait for, and its own count of those that it made.
TOKEN_S, MADE = 20.0, "generation_tokens_total"


@dataclass(frozen=True)
class Places:
    """Where things are on the host, as the inventory says."""

    project: str
    project_dir: str
    state_dir: str
    upgrade_mark: str
    drain_dir: str
    socket: str
    disks: Sequence[tuple[str, str]]
    names: Sequence[str]
    need_card: bool
    need_gateway: bool


def read(files: HostFiles, run: Run, places: Places) -> Evidence:
    """Read the host."""
    containers, why_not = _containers(places)
    gpus = gpu.gpus(files)
    memory, nvml = _memory(set(containers)) if gpus or places.need_card else ([], "")
    return Evidence(
        docker=why_not,
        containers=list(containers.values()),
        expected=_expected(places),
        gateway_expected=places.need_gateway,
        need_card=places.need_card,
        gpus=gpus,
        memory=memory,
        nvml=nvml,
        driver=gpu.read_driver_state(files, run, platform.release()),
        kernel_log=_kernel_log(run),
        disks=[_disk(files, path, purpose) for path, purpose in places.disks],
        unresolved=[name for name in places.names if not net.resolves(name)],
        time_synchronised=net.time_synchronised(files, run),
        unfinished=_unfinished(places),
        drained=_drained(places),
    )


def _containers(places: Places) -> tuple[dict[str, Container], str]:
    """Read our containers by their ids, or say why Docker does not answer."""
    if docker_socket.get(places.socket, "/version") is None:
        there = os.path.exists(places.socket)
        return {}, "Docker does not answer" if there else "Docker is not there or does not run: it has no socket"
    listed = docker_socket.get(places.socket, "/containers/json?all=1") or []
    found = {}
    for entry in listed:
        name = str((entry.get("Names") or [""])[0]).lstrip("/")
        labels = entry.get("Labels") or {}
        mine = labels.get(f"{LABEL}.stack") == places.project
        if not mine and name != CONTAINER:
            continue
        inspected = docker_socket.get(places.socket, f"/containers/{entry['Id']}/json") or {}
        log = docker_socket.log(places.socket, entry["Id"], LOG_LINES)
        one = _container(name, labels.get(f"{LABEL}.model", "") if mine else "", inspected, log)
        # Its own /health says nothing of the other hosts of its group.
        answers = one.group and not is_headless(labels) and one.status == RUNNING and one.health == "healthy"
        found[entry["Id"]] = replace(one, silent_s=_silent_s(one, inspected)) if answers else one
    return found, ""


def _silent_s(one: Container, inspected: Mapping[str, Any]) -> float:
    """Return for how long an engine was asked for a token in vain; one that is busy makes some for others meanwhile."""
    where = address.where(one.name, address.labels_of(inspected), address.port_of(inspected, 0))
    engine = Engine(where, one.model, engine_keys.of_container(inspected))
    made = engine.figures().get(MADE, 0.0)
    proved, refused = engine.proves(GENERATE, TOKEN_S)
    return 0 if proved or refused or engine.figures().get(MADE, 0.0) > made else TOKEN_S


def _container(name: str, model: str, inspected: Mapping[str, Any], log: Sequence[str]) -> Container:
    state = inspected.get("State") or {}
    return Container(
        name=name,
        model=model,
        status=str(state.get("Status", "")),
        health=str((state.get("Health") or {}).get("Status", "")),
        exit_code=state.get("ExitCode"),
        oom_killed=bool(state.get("OOMKilled")),
        restarts=int(inspected.get("RestartCount") or 0),
        age_s=max(0.0, time.time() - (seconds_of(str(state.get("StartedAt", ""))) or time.time())),
        error=str(state.get("Error") or ""),
        log=[harmless(line, LINE) for line in log],
        group=str(((inspected.get("Config") or {}).get("Labels") or {}).get(GROUP, "")),
    )


def _expected(places: Places) -> list[str]:
    services = HostFiles().mapping(f"{places.project_dir}/proved/plan.json").get("services")
    rows = services if isinstance(services, list) else []
    return [str(one["container"]) for one in rows if isinstance(one, dict) and "container" in one]


def _memory(ours: set[str]) -> tuple[list[GpuMemory], str]:
    """Ask NVML, through its Python package where our environment has it, else only whether it answers."""
    try:
        with Nvml() as nvml:
            return [_gpu_memory(device, ours) for device in nvml.gpus()], ""
    except NvmlError:
        answer = gpu.nvml()
        return [], nvml_sentence(answer["status"]) if answer["status"] else ""


def _gpu_memory(device: Mapping[str, Any], ours: set[str]) -> GpuMemory:
    return GpuMemory(
        uuid=device["uuid"],
        name=device["name"],
        total_bytes=device["memory_total_bytes"],
        free_bytes=device["memory_free_bytes"],
        processes=[
            Process(
                pid=one["pid"],
                name=command_of(one["pid"]),
                used_bytes=one["used_bytes"] or 0,
                ours=one["container"] in ours,
            )
            for one in device["processes"]
        ],
    )


def _kernel_log(run: Run) -> list[str] | None:
    """Read the kernel's log since the boot: by journalctl, which goes back further than the kernel's own buffer."""
    for command in (["journalctl", "-k", "-b", "-n", str(KERNEL_LINES), "--no-pager", "-o", "short-iso"], ["dmesg"]):
        status, out, _err = run(command)
        if status == 0 and out.strip():
            return [harmless(line, LINE) for line in out.splitlines()[-KERNEL_LINES:]]
    return None


def _disk(files: HostFiles, path: str, purpose: str) -> Disk:
    free, total = files.free_bytes(path)
    return Disk(path, purpose, free, total)


def _unfinished(places: Places) -> str:
    files, journal = HostFiles(), f"{places.state_dir}/journal.json"
    # A run that ended has removed it; what one wrote that was cut off says as much by being there.
    if files.exists(journal):
        return str(files.mapping(journal).get("doing") or "a bring-up")
    return "an upgrade" if os.path.exists(places.upgrade_mark) else ""


def _drained(places: Places) -> list[tuple[str, float]]:
    found = []
    try:
        for entry in os.scandir(places.drain_dir):
            found.append((entry.name, max(0.0, time.time() - entry.stat(follow_symlinks=False).st_mtime)))
    except OSError:
        return []
    return sorted(found)
