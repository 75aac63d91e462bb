# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traces of other Dockers and of who uses containerd, read from trees of files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.docker_engine import Daemon, Traces
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import docker_engine, docker_socket
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles

TASKS = "run/containerd/io.containerd.runtime.v2.task"


def traces(root: Path, *names: str) -> Traces:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return docker_engine.read_traces(HostFiles(str(root)))


def test_a_plain_host_shows_none(tmp_path: Path) -> None:
    assert traces(tmp_path, "etc/os-release", f"{TASKS}/moby/3f/config.json") == Traces()


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["snap/docker/current"], Traces(snap="/snap/docker/current")),
        (["run/user/1000/docker.sock"], Traces(rootless="/run/user/1000/docker.sock")),
        (["run/user/1000/podman/podman.sock"], Traces()),
        (["opt/docker-desktop/bin/x"], Traces(desktop="/opt/docker-desktop")),
        (["var/lib/kubelet/config.yaml"], Traces(runtime_users=("kubelet",))),
        (["usr/local/bin/k3s"], Traces(runtime_users=("k3s",))),
        ([f"{TASKS}/k8s.io/9a/config.json"], Traces(runtime_users=("namespace k8s.io of containerd",))),
    ],
)
def test_each_leaves_its_trace(tmp_path: Path, names: list[str], found: Traces) -> None:
    assert traces(tmp_path, *names) == found


def test_a_socket_that_is_podman_s(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/docker.sock").symlink_to("/run/podman/podman.sock")
    assert traces(tmp_path).podman_socket == "/var/run/docker.sock"


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ('version = 2\nroot = "/big/containerd"\n', "/big/containerd"),
        ('disabled_plugins = [\'cri\']\n#root = "/x"\n[plugins]\n  root = "/y"\n', "/var/lib/containerd"),
    ],
)
def test_containerd_s_folder(tmp_path: Path, text: str, root: str) -> None:
    (tmp_path / "etc/containerd").mkdir(parents=True)
    (tmp_path / "etc/containerd/config.toml").write_text(text)
    assert docker_engine.read_containerd_root(HostFiles(str(tmp_path))) == root


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_a_daemon_json_that_nobody_can_read_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "etc/docker").mkdir(parents=True)
    (tmp_path / "etc/docker/daemon.json").write_text(text)
    assert docker_engine.read_daemon_options(HostFiles(str(tmp_path))) == {}


def test_the_image_store_is_told_by_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    info = {
        "DockerRootDir": "/var/lib/docker",
        "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
        "SecurityOptions": ["name=apparmor", "name=rootless"],
        "OperatingSystem": "Docker Desktop",
    }
    answers = {"/info": info, "/version": {"Version": "29.10.0"}}
    monkeypatch.setattr(docker_socket, "get", lambda _path, endpoint: json.loads(json.dumps(answers[endpoint])))
    read = docker_engine.read_answers(
        "/x.sock", lambda _command: (0, "v2.40.3\n", ""), lambda _program: "/usr/bin/docker"
    )
    assert read["compose_version"] == "2.40.3"
    assert docker_engine.daemon(read) == Daemon(
        answers=True,
        version="29.10.0",
        root_dir="/var/lib/docker",
        operating_system="Docker Desktop",
        rootless=True,
        containerd_store=True,
    )
