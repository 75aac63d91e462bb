# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any module on a host: what is handed to it, and what becomes of a host that is lost in it or right after it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.playbook.task import Task

from ansible_collections.gpuserve.fleet.plugins.action.host_task import ActionModule
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import unreached

GOES_ON = {"_unreached_is_failure": True}
LOST = AnsibleConnectionFailure(
    "Failed to connect to the host via ssh: ssh: connect to host 192.0.2.1 port 22: Timed out"
)


class Played:
    """A task of this action, and the action that it hands on to."""

    def __init__(self, module: str, *, lost: bool = False, lost_after: bool = False, **args: Any) -> None:
        self.asked: list[str] = []
        self.task: Any = None
        self.variables: Any = None
        self._lost = lost
        task = Task()
        task.action, task.args, task.check_mode = "gpuserve.fleet.host_task", {"module": module, "args": args}, True
        self.shell = SimpleNamespace(tmpdir=None)
        actions = SimpleNamespace(has_plugin={"ansible.builtin.fetch"}.__contains__, get=self._get)
        none: Any = None
        connection: Any = SimpleNamespace(_shell=self.shell)
        loader: Any = SimpleNamespace(action_loader=actions)
        self.action: Any = ActionModule(task, connection, none, none, none)
        self.action._shared_loader_obj = loader
        self._lost_after = lost_after

    def _get(self, name: str, *, task: Any, **_more: Any) -> Any:
        self.asked.append(name)
        self.task = task
        return self

    def run(self, task_vars: Any) -> dict[str, Any]:
        self.variables = task_vars
        self.shell.tmpdir = "/root/.ansible/tmp/ansible-tmp-1"
        if self._lost:
            raise LOST
        return {"changed": True, "content": "aGVsbG8="}

    def cleanup(self) -> None:
        if self.shell.tmpdir is not None:
            self.asked.append(f"rm -rf {self.shell.tmpdir}")
            if self._lost or self._lost_after:
                raise LOST
            self.shell.tmpdir = None

    def answer(self, variables: dict[str, Any]) -> dict[str, Any]:
        """Return the answer of the task, as Ansible asks for it: it cleans up whatever came of it."""
        try:
            found: dict[str, Any] = self.action.run(None, variables)
            return found
        finally:
            self.action.cleanup()


@pytest.mark.parametrize(
    ("module", "runs_it"),
    [("ansible.builtin.slurp", "ansible.builtin.normal"), ("ansible.builtin.fetch", "ansible.builtin.fetch")],
)
def test_a_module_is_run_with_its_own_options_by_what_runs_it_in_ansible(module: str, runs_it: str) -> None:
    played = Played(module, src="/etc/hostname")
    assert played.answer({"a": 1}) == {"changed": True, "content": "aGVsbG8="}
    assert played.asked == [runs_it, "rm -rf /root/.ansible/tmp/ansible-tmp-1"]
    assert (played.task.action, played.task.args, played.task.check_mode) == (module, {"src": "/etc/hostname"}, True)
    assert played.variables == {"a": 1}
    assert played.action._task.args["module"] == module, "the next item of a loop is run by the same task"


def test_a_play_s_defaults_of_the_module_hold_and_the_innermost_and_what_is_written_go_first() -> None:
    played = Played("ansible.builtin.dnf", name="docker-ce")
    played.action._task.module_defaults = [
        {"ansible.builtin.dnf": {"use_backend": "dnf5", "name": "all", "lock_timeout": "{{ seconds }}"}},
        {"ansible.builtin.dnf": {"use_backend": "dnf4"}, "ansible.builtin.apt": {"update_cache": True}},
    ]
    played.action._templar = SimpleNamespace(template=lambda values: {**values, "lock_timeout": 30})
    played.answer({})
    assert played.task.args == {"name": "docker-ce", "use_backend": "dnf4", "lock_timeout": 30}


@pytest.mark.parametrize("when", ["lost", "lost_after"])
def test_a_host_that_is_lost_fails_where_the_play_goes_on(when: str) -> None:
    found = Played("ansible.builtin.slurp", **{when: True}).answer(GOES_ON)  # type: ignore[arg-type]
    assert (found["failed"], found["unreached"]) == (True, True)
    assert found["msg"].startswith("it was not reached any more (ssh: connect to host 192.0.2.1 port 22: Timed out).")


@pytest.mark.parametrize("when", ["lost", "lost_after"])
def test_a_host_that_is_lost_elsewhere_is_ansible_s_to_handle(when: str) -> None:
    with pytest.raises(AnsibleConnectionFailure):
        Played("ansible.builtin.slurp", **{when: True}).answer({})  # type: ignore[arg-type]


class Cleaned:
    """An action of ours that has done its work, on a host where it made a folder to work in; its host dies before that is gone."""

    def __init__(self) -> None:
        self._connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/root/.ansible/tmp/ansible-tmp-1"))

    @unreached.is_failure
    def run(self, _tmp: Any, _task_vars: Any) -> dict[str, Any]:
        return {"changed": True}

    def cleanup(self) -> None:
        if self._connection._shell.tmpdir is not None:
            raise LOST


def test_what_ansible_cleans_up_of_a_lost_host_takes_it_not_out_of_the_run() -> None:
    action = Cleaned()
    assert action.run(None, GOES_ON)["failed"] is True
    action.cleanup()
    with pytest.raises(AnsibleConnectionFailure):
        Cleaned().run(None, {})
