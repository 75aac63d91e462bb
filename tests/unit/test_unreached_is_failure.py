# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that dies while it changes fails, so that the run goes on and tells how it ended: in every task on its way."""

from __future__ import annotations

import configparser
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

COLLECTION = Path(__file__).parents[2]
ACTIONS = "ansible_collections.gpuserve.fleet.plugins.action"
NESTED = ("block", "rescue", "always")
# Whose tasks only decide on the controller.
ASKS_NO_HOST = {
    "add_host",
    "assert",
    "debug",
    "fail",
    "group_by",
    "import_tasks",
    "include_role",
    "include_tasks",
    "import_role",
}
ASKS_NO_HOST |= {"include_vars", "meta", "set_fact"}
# What names its tasks by a variable: what that may be, or that they are an owner's own, who has gpuserve.fleet.host_task for them.
NAMED = {
    "{{ gpuserve_before_host | gpuserve.fleet.controller_path }}": [],
    "{{ gpuserve_after_host | gpuserve.fleet.controller_path }}": [],
    "{{ _vllm_stack_fetch_file }}": ["roles/vllm_stack/tasks/fetch.yml", "roles/vllm_stack/tasks/fetch_with_token.yml"],
    "{{ _vllm_stack_before_change.tasks_from }}": ["roles/gateway/tasks/drain.yml"],
    "packages_{{ _docker_engine_family }}.yml": [
        "roles/docker_engine/tasks/packages_debian.yml",
        "roles/docker_engine/tasks/packages_redhat.yml",
    ],
}
BEGIN = {"rollout step": "playbooks/tasks/rollout_step.yml", "edge": "playbooks/tasks/edge.yml"}
Task = dict[str, Any]


def tasks_of(path: Path, passed: set[Path]) -> Iterator[tuple[Path, Task]]:
    """Walk over the tasks of a file and of all that it names: files of tasks, roles of ours with their handlers."""
    assert path.is_file(), path
    if path not in passed:
        passed.add(path)
        yield from walked(yaml.safe_load(path.read_text(encoding="utf-8")) or [], path, passed)


def walked(tasks: list[Task], path: Path, passed: set[Path]) -> Iterator[tuple[Path, Task]]:
    for task in tasks:
        yield path, task
        for part in NESTED:
            yield from walked(task.get(part, []), path, passed)
        for file in named_by(task, path):
            yield from tasks_of(file, passed)


def named_by(task: Task, path: Path) -> Iterator[Path]:
    for follow in ("include_tasks", "import_tasks"):
        if named := task.get(f"ansible.builtin.{follow}"):
            file = str(named["file"] if isinstance(named, dict) else named)
            # A handler's are with the role's tasks.
            folder = path.parent.parent / "tasks" if path.parent.name == "handlers" else path.parent
            yield from [COLLECTION / one for one in NAMED[file]] if "{{" in file else [folder / file]
    for follow in ("include_role", "import_role"):
        if role := task.get(f"ansible.builtin.{follow}"):
            file = role.get("tasks_from", "main.yml")
            folder = COLLECTION / "roles" / role["name"].removeprefix("gpuserve.fleet.")
            yield from [COLLECTION / one for one in NAMED[file]] if "{{" in file else [folder / "tasks" / file]
            if "{{" not in file and (handlers := folder / "handlers/main.yml").is_file():
                yield handlers


def module_of(task: Task) -> str:
    """Return the name of the task's module; none for a block."""
    return next((word for word in task if "." in word), "")


def asks_its_host(task: Task) -> bool:
    name = module_of(task).removeprefix("ansible.builtin.")
    return name not in {"", *ASKS_NO_HOST} and task.get("delegate_to") != "localhost"


def fails_where_it_is_lost(module: str) -> bool:
    """Tell whether a task of this module fails, and its host goes on to rescue, where Ansible would take the host out of the run."""
    name = module.removeprefix("gpuserve.fleet.")
    if name == module or not (COLLECTION / "plugins/action" / f"{name}.py").exists():
        return False
    action = importlib.import_module(f"{ACTIONS}.{name}").ActionModule
    source = Path(inspect.getsourcefile(action) or "").read_text(encoding="utf-8")
    asks = action._requires_connection or "_execute_module" in source
    # One that goes on without its host says so itself.
    return not asks or getattr(action.run, "unreached_is_failure", "AnsibleConnectionFailure" in source)


@pytest.fixture(params=list(BEGIN))
def tasks(request: pytest.FixtureRequest) -> list[tuple[str, Task]]:
    """The tasks by which hosts change, in any run."""
    walk = tasks_of(COLLECTION / BEGIN[request.param], set())
    found = [(path.relative_to(COLLECTION).as_posix(), task) for path, task in walk if asks_its_host(task)]
    known = {"gpuserve.fleet.gateway_config", "gpuserve.fleet.image_pin", "gpuserve.fleet.host_task"}
    assert known <= {module_of(task) for _file, task in found}
    return found


def test_every_task_on_the_way_of_a_host_fails_where_it_is_not_reached(tasks: list[tuple[str, Task]]) -> None:
    lost = [(file, task["name"]) for file, task in tasks if not fails_where_it_is_lost(module_of(task))]
    assert lost == [], "a host that is lost there ends the run: gpuserve.fleet.host_task runs any module"


def test_no_task_on_the_way_takes_a_lost_host_for_an_answer(tasks: list[tuple[str, Task]]) -> None:
    for file, task in tasks:
        assert not task.get("ignore_errors"), (file, task["name"])
        for word in ("failed_when", "until"):
            assert word not in task or f"{task.get('register')}.unreached" in str(task[word]), (file, task["name"])


@pytest.mark.parametrize(
    "module", ["ansible.builtin.slurp", "gpuserve.fleet.stack_containers", "community.docker.docker_image"]
)
def test_a_task_of_another_module_is_found(module: str) -> None:
    assert asks_its_host({"name": "Read", module: {}}) and not fails_where_it_is_lost(module)


def test_plays_that_can_go_on_after_a_failure_take_such_a_host_as_one() -> None:
    plays = {play["name"]: play for play in yaml.safe_load((COLLECTION / "playbooks/site.yml").read_text())}
    for name in ("Start what serves on a host alone", "Start what serves, step by step", "Configure the edges"):
        assert plays[name]["vars"]["_unreached_is_failure"] is True, name
        assert any(
            {"rescue", "always"} & set(task)
            for _, task in walked(plays[name]["tasks"], COLLECTION / "playbooks/x", set())
        )


def test_a_host_that_loses_its_power_is_noticed_before_tcp_gives_up() -> None:
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(COLLECTION / "ansible.cfg")
    words = dict(word.split("=") for word in settings["ssh_connection"]["ssh_args"].split() if "=" in word)
    assert int(words["ServerAliveInterval"]) * int(words["ServerAliveCountMax"]) <= 60
    # What Ansible has by itself is in place of nothing: one connection for all tasks of a host.
    assert (words["ControlMaster"], words["ControlPersist"]) == ("auto", "60s")
