# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stack finds on its host, read in one trip: on a bare host, and on one where it serves."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import docker_socket, text_files
from ansible_collections.gpuserve.fleet.plugins.modules import stack_info
from ansible_collections.gpuserve.fleet.tests.support.host_trees import HostTree

IMAGE = "vllm/vllm-openai:v0.33.0"
DIGEST = f"vllm/vllm-openai@sha256:{'0f3c' * 16}"
LIST = "/containers/json?filters=" + quote(json.dumps({"label": ["fleet.gpuserve.stack=gpuserve"]}))
ENGINE = {
    "Labels": {"fleet.gpuserve.model": "qwen", "fleet.gpuserve.port": "8002", "fleet.gpuserve.digest": "a1"},
    "Ports": [{"PrivatePort": 8000, "PublicPort": 8002, "Type": "tcp"}],
}
DAEMON = {"/info": {"ServerVersion": "29.10.0"}, "/version": {"Version": "29.10.0"}}


def read(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    root: Path,
    answers: dict[str, Any],
    image: str = IMAGE,
    **more: Any,
) -> dict[str, Any]:
    """Return what the module answers on a host of these files, and with a Docker that answers so."""
    program = "/usr/bin/docker" if answers else None
    monkeypatch.setattr(AnsibleModule, "run_command", lambda *_given, **_options: (0, "v2.40.3\n", ""))
    monkeypatch.setattr(AnsibleModule, "get_bin_path", lambda *_given, **_options: program)
    monkeypatch.setattr(docker_socket, "get", lambda _path, endpoint: answers.get(endpoint))
    folders = {
        "project_dir": "/opt/stack",
        "state_dir": "/var/lib/gpuserve",
        "venv": "/opt/venv",
        "boot_unit": "/etc/unit",
        "key_file": "/var/lib/gpuserve/engine-key",
    }
    with patch_module_args({"image": image, **folders, **more, "root": str(root)}), pytest.raises(SystemExit):
        stack_info.main()
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return {name: found[name] for name in yaml.safe_load(stack_info.RETURN)}


def test_a_bare_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = read(monkeypatch, capsys, tmp_path, {})
    assert found.pop("docker").pop("images_free_bytes") > 0
    assert found.pop("uid") == os.geteuid()
    assert found.pop("gpu")["gpus"] == []
    assert found.pop("python")["version"] == list(sys.version_info[:2])
    assert found.pop("in_place") is True
    assert found == {
        "family": "",
        "listening": [],
        "containers": [],
        "gateway": {"is_running": False, "ports": []},
        "image": None,
        "calibration": {},
        "proved": {},
        "venv_sha256": "",
        "has_key": False,
        "has_boot_unit": False,
        "boot_unit_enabled": False,
        "service_manager": "service",
    }


def test_a_host_that_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = HostTree(tmp_path)
    tree.write("var/lib/gpuserve/calibration.json", '{"starts": 1}')
    tree.write("opt/stack/proved/plan.json", '{"plan": {}}')
    tree.write("opt/venv/.complete", "docker==7\n")
    tree.write("etc/unit", "").write("etc/systemd/system/multi-user.target.wants/unit", "").write(
        "etc/os-release", "ID=debian\n"
    )
    monkeypatch.setattr(stack_info, "is_closed", lambda path: path == str(tmp_path / "var/lib/gpuserve/engine-key"))
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    there = {"RepoDigests": [DIGEST], "Config": {"Entrypoint": ["python3", "-m", "vllm"]}}
    found = read(monkeypatch, capsys, tmp_path, {**DAEMON, f"/images/{IMAGE}/json": there, LIST: [ENGINE]})
    assert found.pop("docker").items() > {"answers": True, "version": "29.10.0", "compose_version": "2.40.3"}.items()
    del found["uid"], found["gpu"]
    assert found.pop("python") == {"executable": sys.executable, "version": list(sys.version_info[:2])}
    assert found.pop("in_place") is True
    assert found == {
        "family": "debian",
        "listening": [],
        "containers": [{"model": "qwen", "port": 8002, "digest": "a1", "ports": [8002]}],
        "gateway": {"is_running": False, "ports": []},
        "image": {"name": DIGEST, "entrypoint": ["python3", "-m", "vllm"], "kept": False},
        "calibration": {"starts": 1},
        "proved": {"plan": {}},
        "venv_sha256": hashlib.sha256(b"docker==7\n").hexdigest(),
        "has_key": True,
        "has_boot_unit": True,
        "boot_unit_enabled": True,
        "service_manager": "systemd",
    }


def test_what_the_modules_need_is_in_place_once_folders_and_files_are_as_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(text_files, "ROOT", (os.getuid(), os.getgid()))
    asked: dict[str, Any] = {
        "folders": ["/var/lib/gpuserve"],
        "files": [
            {"path": "/var/lib/gpuserve/requirements.txt", "content": "docker==7\n\n"},
            {"path": "/gone", "content": ""},
        ],
    }

    def is_in_place() -> bool:
        return bool(read(monkeypatch, capsys, tmp_path, {}, **asked)["in_place"])

    assert not is_in_place()
    HostTree(tmp_path).write("var/lib/gpuserve/requirements.txt", "docker==7\n")
    folder, file = tmp_path / "var/lib/gpuserve", tmp_path / "var/lib/gpuserve/requirements.txt"
    folder.chmod(0o755)
    file.chmod(0o644)
    assert is_in_place()
    for spoil, mend in (
        (lambda: file.chmod(0o600), lambda: file.chmod(0o644)),
        (lambda: folder.chmod(0o777), lambda: folder.chmod(0o755)),
        (lambda: file.write_text("docker==6\n"), lambda: file.write_text("docker==7\n")),
        (lambda: (tmp_path / "gone").write_text("x"), (tmp_path / "gone").unlink),
    ):
        spoil()
        assert not is_in_place()
        mend()
        assert is_in_place()


@pytest.mark.parametrize(
    ("name", "there", "found"),
    [
        (IMAGE, {"RepoDigests": None, "Config": None}, {"name": IMAGE, "entrypoint": ["vllm", "serve"], "kept": True}),
        (
            "a@sha256:1",
            {"RepoDigests": ["b@sha256:2"], "Config": {}},
            {"name": "a@sha256:1", "entrypoint": ["vllm", "serve"], "kept": True},
        ),
    ],
    ids=["loaded from an archive", "named by its digest"],
)
def test_what_an_image_is_called(
    monkeypatch: pytest.MonkeyPatch, name: str, there: dict[str, Any], found: dict[str, Any]
) -> None:
    monkeypatch.setattr(docker_socket, "get", lambda _path, endpoint: {f"/images/{name}/json": there}.get(endpoint))
    assert stack_info.read_image("/var/run/docker.sock", name, {}) == found


def test_ports_of_the_gateway_are_those_of_its_own_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = HostTree(tmp_path)
    row = "{}: 0100007F:{:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 {} 1"
    tree.write("proc/net/tcp", "\n".join(["sl local", row.format(0, 8001, 71), row.format(1, 22, 72)]))
    for pid, inode, group in ((7, 71, "/docker/c0ffee"), (8, 72, "/system.slice/ssh.service")):
        tree.write(f"proc/{pid}/comm", "some\n").write(f"proc/{pid}/cgroup", f"0::{group}\n")
        (tmp_path / f"proc/{pid}/fd").mkdir()
        (tmp_path / f"proc/{pid}/fd/3").symlink_to(f"socket:[{inode}]")
    there = {"Id": "c0ffee", "State": {"Running": True}}
    found = read(monkeypatch, capsys, tmp_path, {**DAEMON, "/containers/gpuserve-gateway/json": there})
    assert (found["listening"], found["gateway"]) == ([22, 8001], {"is_running": True, "ports": [8001]})
    stopped = {"Id": "c0ffee", "State": {"Running": False}}
    found = read(monkeypatch, capsys, tmp_path, {**DAEMON, "/containers/gpuserve-gateway/json": stopped})
    assert found["gateway"] == {"is_running": False, "ports": []}


@pytest.mark.parametrize("text", ["", "{", "[1]", "null"])
def test_what_an_earlier_run_left_damaged_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    HostTree(tmp_path).write("opt/stack/proved/plan.json", text)
    assert read(monkeypatch, capsys, tmp_path, {})["proved"] == {}


def test_a_tag_is_what_was_kept_for_it_whatever_stands_under_it_by_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    HostTree(tmp_path).write("var/lib/gpuserve/images.json", json.dumps({IMAGE: DIGEST}))
    moved = {"RepoDigests": [f"vllm/vllm-openai@sha256:{'1' * 64}"]}
    answers = {**DAEMON, f"/images/{IMAGE}/json": moved, f"/images/{DIGEST}/json": {"RepoDigests": [DIGEST]}}
    image = read(monkeypatch, capsys, tmp_path, answers)["image"]
    assert (image["name"], image["kept"]) == (DIGEST, True)
    del answers[f"/images/{DIGEST}/json"]
    assert read(monkeypatch, capsys, tmp_path, answers)["image"] is None


def test_a_key_counts_where_only_root_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = tmp_path / "key"
    assert not stack_info.is_closed(str(key))
    key.write_text("k\n")
    real = os.lstat

    def seen(owner: tuple[int, int], path: str) -> os.stat_result:
        found = list(real(path))
        found[4:6] = owner
        return os.stat_result(found)

    for mode, owner, counts in ((0o600, (0, 0), True), (0o640, (0, 0), False), (0o600, (7, 0), False)):
        key.chmod(mode)
        monkeypatch.setattr(os, "lstat", partial(seen, owner))
        assert stack_info.is_closed(str(key)) is counts
    (tmp_path / "link").symlink_to(key)
    key.chmod(0o600)
    monkeypatch.setattr(os, "lstat", partial(seen, (0, 0)))
    assert not stack_info.is_closed(str(tmp_path / "link"))
