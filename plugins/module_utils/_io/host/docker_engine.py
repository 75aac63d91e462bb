# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read which Docker a host has: the daemon's own answer, its files, and the traces of other runtimes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import credentials
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.distribution import Distribution
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.docker_engine import (
    CONTAINERD_ROOT,
    Daemon,
    Host,
    Traces,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import docker_socket
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles

Run = Callable[[list[str]], tuple[int, str, str]]
Which = Callable[[str], "str | None"]

DAEMON_JSON = "/etc/docker/daemon.json"
# Where docker_daemon_config notes which options are its own.
DAEMON_RECORD = "/var/lib/gpuserve/docker_daemon.json"
_SNAPSHOTTER = "io.containerd.snapshotter.v1"
_TASKS = "/run/containerd/io.containerd.runtime.v2.task"
_ORCHESTRATORS = {
    "kubelet": ("/var/lib/kubelet/config.yaml", "/etc/kubernetes/kubelet.conf", "/usr/bin/kubelet"),
    "k3s": ("/etc/rancher/k3s", "/usr/local/bin/k3s"),
    "RKE2": ("/etc/rancher/rke2", "/usr/local/bin/rke2"),
}
_CONTAINERD_ROOT = re.compile(r"""^root\s*=\s*["']([^"']+)["']""", re.MULTILINE)


def read_answers(socket_path: str, run: Run, which: Which) -> dict[str, Any]:
    """Ask the daemon and the Compose plug-in; empty answers where there is none."""
    info = docker_socket.get(socket_path, "/info") or {}
    version = docker_socket.get(socket_path, "/version") or {}
    client = which("docker")
    compose = ""
    if client:
        status, out, _err = run([client, "compose", "version", "--short"])
        compose = out.strip().lstrip("v") if status == 0 else ""
    return {
        "answers": bool(info and version),
        "program": which("dockerd") or "",
        "version": version.get("Version", ""),
        "api_version": version.get("ApiVersion", ""),
        "containers_running": info.get("ContainersRunning", 0),
        "live_restore": bool(info.get("LiveRestoreEnabled")),
        "swarm_active": (info.get("Swarm") or {}).get("LocalNodeState", "inactive") not in ("", "inactive"),
        "root_dir": info.get("DockerRootDir", ""),
        "compose_version": compose,
        "cdi_spec_dirs": info.get("CDISpecDirs") or [],
        "operating_system": info.get("OperatingSystem", ""),
        "rootless": any("name=rootless" in option for option in info.get("SecurityOptions") or []),
        "containerd_store": any(_SNAPSHOTTER in pair for pair in info.get("DriverStatus") or []),
    }


def daemon(answers: dict[str, Any]) -> Daemon:
    """Keep of the answers what is decided on."""
    return Daemon(**{name: answers[name] for name in Daemon.__dataclass_fields__})


def read_host(answers: dict[str, Any], files: HostFiles, release: Distribution) -> Host:
    """Keep what tells where images lie: the daemon, its options, and containerd's folder."""
    return Host(
        uid=os.geteuid(),
        distribution=release,
        installed={},
        daemon=daemon(answers),
        daemon_options=read_daemon_options(files),
        containerd_root=read_containerd_root(files),
    )


def read_traces(files: HostFiles) -> Traces:
    """Look for other Dockers, and for who runs containers on containerd."""
    accounts = (f"/run/user/{name}/docker.sock" for name in files.names("/run/user"))
    podman = files.link("/run/docker.sock") or files.link("/var/run/docker.sock") or ""
    return Traces(
        snap=_first(files, "/snap/docker/current", "/var/snap/docker/current"),
        rootless=_first(files, *accounts),
        desktop=_first(files, "/opt/docker-desktop", "/mnt/wsl/docker-desktop"),
        podman_socket="/var/run/docker.sock" if "podman" in podman else "",
        runtime_users=(
            *(name for name, signs in _ORCHESTRATORS.items() if _first(files, *signs)),
            *(
                f"namespace {name} of containerd"
                for name in files.names(_TASKS)
                if name != "moby" and files.names(f"{_TASKS}/{name}")
            ),
        ),
    )


def read_daemon_options(files: HostFiles) -> dict[str, Any]:
    """Read daemon.json as far as it can be read; docker_daemon_config says what is wrong with it."""
    try:
        options = json.loads(files.read(DAEMON_JSON) or "{}")
    except ValueError:
        return {}
    return options if isinstance(options, dict) else {}


def read_daemon_json(files: HostFiles) -> dict[str, Any]:
    """Read what docker_daemon_config is told as `known`: the options, and which of them it noted as its own.

    Nothing where either can't be read, says what nobody may see, or stands open to others.
    """
    try:
        options = json.loads(files.read(DAEMON_JSON) or "")
        noted = json.loads(files.read(DAEMON_RECORD) or "")
        mode = os.stat(files.path(DAEMON_RECORD)).st_mode
    except (OSError, ValueError):
        return {}
    whole = isinstance(options, dict) and isinstance(noted, list) and not mode & 0o077
    return {"options": options, "record": noted} if whole and not credentials.secrets(options) else {}


def read_containerd_root(files: HostFiles) -> str:
    """Read where containerd keeps its data."""
    match = _CONTAINERD_ROOT.search(files.read("/etc/containerd/config.toml") or "")
    return match.group(1) if match else CONTAINERD_ROOT


def _first(files: HostFiles, *paths: str) -> str:
    return next((path for path in paths if files.exists(path)), "")
