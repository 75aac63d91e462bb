# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that are not there answer as one did that was: the same question, as often asked, gets the same answer."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.tests.bench import answers


def test_what_is_asked_is_a_module_or_a_line_of_shell_without_what_changes() -> None:
    code = b"def main(module_fqn: str):\n ...\nmain(\nmodule_fqn='ansible_collections.gpuserve.fleet.plugins.modules.host_info',\n)"
    assert answers.question("/bin/sh -c 'python3'", code) == "host_info"
    assert answers.question("/bin/sh -c 'python3'", b"module_fqn='ansible.modules.command'," + b"x" * 9000) == "command"
    first = answers.question(
        "mkdir /root/.ansible/tmp/ansible-tmp-1795705159.25-5868-101302; echo BECOME-SUCCESS-abc", None
    )
    again = answers.question(
        "mkdir /root/.ansible/tmp/ansible-tmp-1795705160.11-5999-773302; echo BECOME-SUCCESS-xyz", None
    )
    assert first == again != answers.question("rm /root/.ansible/tmp/ansible-tmp-1795705159.25-5868-101302", None)


def test_each_host_is_answered_in_the_order_that_was_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_RECORD", str(tmp_path / "recorded"))
    for said in (b"first", b"second"):
        answers.record("command", 0, said, b"")
    answers.record("stat", 4, b"", b"no")
    known = answers.sorted_out(tmp_path / "recorded", tmp_path / "answers")
    for host in (tmp_path / "a", tmp_path / "b"):
        told = [answers.answer(known, host, "command")[1] for _time in range(3)]
        assert told == [b"first", b"second", b"second"]
    assert answers.answer(known, tmp_path / "a", "stat") == (4, b"", b"no")
    status, _out, err = answers.answer(known, tmp_path / "a", "setup")
    assert status == 1 and err == b"nobody was asked for setup while answers were recorded"


def test_the_recording_connection_is_ansible_s_own_with_its_options(tmp_path: Path) -> None:
    environment = answers.recorder(tmp_path)
    tree = ast.parse((Path(environment["ANSIBLE_CONNECTION_PLUGINS"]) / "ssh.py").read_text())
    names = [
        node.targets[0].id
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    ]
    assert "DOCUMENTATION" in names and "_exec_command" in names
