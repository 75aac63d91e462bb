# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes when a stack is taken down, and that nothing does while Docker does not answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import removal
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import docker_socket
from ansible_collections.gpuserve.fleet.plugins.modules import stack_containers

FOLDER = "/opt/gpuserve/stack"


def container(identity: str, stack: str = "", project: str = "", folder: str = FOLDER) -> dict[str, Any]:
    labels = {removal.PROJECT: project or stack, removal.FOLDER: folder}
    return {
        "Id": identity,
        "Names": [f"/{identity}"],
        "Labels": {**labels, **({removal.STACK: stack} if stack else {})},
    }


def network(identity: str, project: str) -> dict[str, Any]:
    return {"Id": identity, "Labels": {removal.PROJECT: project}}


CONTAINERS = [
    container("qwen", "gpuserve"),
    # From the same folder, under the name that the stack had before.
    container("old", "llm", "llm"),
    container("gateway", "gpuserve-gateway", folder="/opt/gpuserve/gateway"),
    container("theirs", "", "theirs", "/srv/theirs"),
    {"Id": "bare", "Names": None, "Labels": None},
]
NETWORKS = [network("n1", "gpuserve"), network("n2", "llm"), network("n3", "theirs"), {"Id": "bridge", "Labels": None}]


def call(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answers: dict[str, Any],
    program: str | None = "/usr/bin/docker",
    check: bool = False,
) -> tuple[dict[str, Any], list[list[str]]]:
    """Run the module on a Docker that is a double; its answer, and the commands that it ran."""
    ran: list[list[str]] = []

    def run(_module: Any, command: list[str], **_options: Any) -> tuple[int, str, str]:
        ran.append(command)
        return 0, "", ""

    monkeypatch.setattr(AnsibleModule, "run_command", run)
    monkeypatch.setattr(AnsibleModule, "get_bin_path", lambda *_given, **_options: program)
    monkeypatch.setattr(docker_socket, "get", lambda _path, endpoint: answers.get(endpoint))
    given = {"project": "gpuserve", "folder": FOLDER, "_ansible_check_mode": check}
    with patch_module_args(given), pytest.raises(SystemExit):
        stack_containers.main()
    return json.loads(capsys.readouterr().out), ran


THERE = {"/containers/json?all=true": CONTAINERS, "/networks": NETWORKS}


def test_the_stack_s_own_go_under_the_old_name_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer, ran = call(monkeypatch, capsys, THERE)
    assert ran == [
        ["docker", "rm", "--force", "--volumes", "qwen", "old"],
        ["docker", "network", "rm", "n1", "n2"],
    ]
    assert answer["changed"] and answer["others"] == ["gateway (gpuserve-gateway)"]


def test_check_mode_only_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answer, ran = call(monkeypatch, capsys, THERE, check=True)
    assert answer["changed"] and answer["containers"] == ["qwen", "old"] and ran == []


def test_docker_that_was_stopped_is_said_before_anything_goes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer, ran = call(monkeypatch, capsys, {})
    assert answer["failed"] and "Docker is installed and does not answer" in answer["msg"] and ran == []


def test_a_host_without_docker_has_nothing_to_take_down(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer, ran = call(monkeypatch, capsys, {}, program=None)
    assert not answer["changed"] and ran == []
