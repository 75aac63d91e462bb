# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module reads of a host, on trees of files: which disks it measures, and what kind of system it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import docker_socket
from ansible_collections.gpuserve.fleet.plugins.modules import preflight
from ansible_collections.gpuserve.fleet.tests.support.host_trees import HostTree

SNAPSHOTTER = [["driver-type", "io.containerd.snapshotter.v1"]]


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run no process, and ask no daemon of this machine."""
    monkeypatch.setattr(AnsibleModule, "run_command", lambda *_given, **_options: (1, "", ""))
    monkeypatch.setattr(docker_socket, "get", lambda _path, _endpoint: None)


def disks(root: Path, capsys: pytest.CaptureFixture[str], **images: Any) -> list[str]:
    """Return where the module measured, and for what."""
    given = {"root": str(root), "images": {"min_bytes": 0, **images}, "need_card": False}
    with patch_module_args(given), pytest.raises(SystemExit):
        preflight.main()
    answer = json.loads(capsys.readouterr().out)
    return [check["found"].partition(" free in ")[2] for check in answer["checks"] if check["id"] == "disk"]


def test_a_host_without_docker_gets_docker_29_whose_images_are_containerd_s(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert disks(tmp_path, capsys) == [
        "/var/lib/containerd for images",
        "/var/lib/docker for containers and volumes",
    ]
    assert disks(tmp_path, capsys, source="distro") == ["/var/lib/docker for images"]
    assert disks(tmp_path, capsys, data_root="/data/docker") == ["/data/docker for images"]


def test_a_daemon_says_where_its_images_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    info: dict[str, Any] = {"DockerRootDir": "/srv/docker"}
    answers = {"/info": info, "/version": {"Version": "29.10.0"}}
    monkeypatch.setattr(docker_socket, "get", lambda _path, endpoint: answers.get(endpoint))
    assert disks(tmp_path, capsys) == ["/srv/docker for images"]
    info["DriverStatus"] = SNAPSHOTTER
    (tmp_path / "etc/containerd").mkdir(parents=True)
    (tmp_path / "etc/containerd/config.toml").write_text('root = "/big/containerd"\n')
    assert disks(tmp_path, capsys) == [
        "/big/containerd for images",
        "/srv/docker for containers and volumes",
    ]


def found(root: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Return what the module found, by check."""
    with patch_module_args({"root": str(root)}), pytest.raises(SystemExit):
        preflight.main()
    return {check["id"]: check["found"] for check in json.loads(capsys.readouterr().out)["checks"]}


def test_wsl2_is_recognised_with_and_without_a_card_of_windows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = HostTree(tmp_path).write("proc/version", "Linux version 6.6.87.2-microsoft-standard-WSL2\n")
    tree.gpu("0000:01:00.0", 0x008E, kind="0x030200", vendor="0x1414")
    assert found(tmp_path, capsys)["card"] == "Windows hands none over"
    tree.write("usr/lib/wsl/lib/libnvidia-ml.so.1", "")
    assert found(tmp_path, capsys)["card"].startswith("whichever Windows hands over")


def test_a_card_bound_to_vfio_is_recognised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    HostTree(tmp_path).gpu("0000:01:00.0", 0x2B85)
    (tmp_path / "sys/bus/pci/devices/0000:01:00.0/driver").symlink_to("../../../bus/pci/drivers/vfio-pci")
    assert "is bound to vfio-pci" in found(tmp_path, capsys)["card"]


@pytest.mark.parametrize(
    ("name", "text", "platform"),
    [
        ("run/systemd/container", "lxc\n", "a container (LXC or another), whose kernel is its host's"),
        ("proc/1/environ", "TERM=linux\0container=lxc\0", "a container (LXC or another), whose kernel is its host's"),
        ("etc/pve/local", "", "a Proxmox host"),
        ("etc/hostname", "gpu01\n", "a machine of its own, or a virtual one"),
    ],
)
def test_the_kind_of_system_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, platform: str
) -> None:
    HostTree(tmp_path).write(name, text)
    assert found(tmp_path, capsys)["platform"] == platform
