# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that dies while it changes fails, so that the run goes on and tells how it ended: in every task of ours on its way."""

from __future__ import annotations

import configparser
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.plugins.action import ActionBase

COLLECTION = Path(__file__).parents[2]
ACTIONS = "ansible_collections.gpuserve.fleet.plugins.action"
NESTED = ("block", "rescue", "always")


def tasks_of(path: Path, passed: set[Path]) -> Iterator[dict[str, Any]]:
    """Walk over the tasks of a file and of all that it names: tasks beside it, and roles of ours."""
    if path in passed:
        return
    passed.add(path)
    yield from walked(yaml.safe_load(path.read_text(encoding="utf-8")) or [], path, passed)


def walked(tasks: list[dict[str, Any]], path: Path, passed: set[Path]) -> Iterator[dict[str, Any]]:
    for task in tasks:
        yield task
        for part in NESTED:
            yield from walked(task.get(part, []), path, passed)
        for follow in ("include_tasks", "import_tasks"):
            named = task.get(f"ansible.builtin.{follow}", "")
            file = path.parent / str(named["file"] if isinstance(named, dict) else named)
            if file.is_file():
                yield from tasks_of(file, passed)
        for follow in ("include_role", "import_role"):
            if role := task.get(f"ansible.builtin.{follow}"):
                name = role["name"].removeprefix("gpuserve.fleet.")
                file = COLLECTION / "roles" / name / "tasks" / role.get("tasks_from", "main.yml")
                if file.is_file():
                    yield from tasks_of(file, passed)


def modules_on_the_way(*begin: str) -> set[str]:
    """Name our modules that a host is changed by."""
    passed: set[Path] = set()
    found = {name for path in begin for task in tasks_of(COLLECTION / path, passed) for name in task}
    return {name.removeprefix("gpuserve.fleet.") for name in found if name.startswith("gpuserve.fleet.")}


@pytest.mark.parametrize(
    ("begin", "known"), [("playbooks/tasks/rollout_step.yml", "bringup"), ("playbooks/tasks/edge.yml", "gateway_serve")]
)
def test_every_module_on_the_way_of_a_host_fails_where_it_is_not_reached(begin: str, known: str) -> None:
    names = modules_on_the_way(begin)
    assert {known, "gateway_config", "image_pin"} <= names
    unreachable = set()
    for name in names:
        has_action = (COLLECTION / "plugins/action" / f"{name}.py").exists()
        action = importlib.import_module(f"{ACTIONS}.{name}").ActionModule if has_action else ActionBase
        source = inspect.getsource(inspect.getmodule(action) or action)
        asks = action._requires_connection or "_execute_module" in source
        # One that goes on without its host says so itself.
        if asks and not getattr(action.run, "unreached_is_failure", "AnsibleConnectionFailure" in source):
            unreachable.add(name)
    assert not unreachable


def test_plays_that_can_go_on_after_a_failure_take_such_a_host_as_one() -> None:
    plays = {play["name"]: play for play in yaml.safe_load((COLLECTION / "playbooks/site.yml").read_text())}
    for name in ("Start what serves on a host alone", "Start what serves, step by step", "Configure the edges"):
        assert plays[name]["vars"]["_unreached_is_failure"] is True, name
        assert any(
            {"rescue", "always"} & set(task) for task in walked(plays[name]["tasks"], COLLECTION / "playbooks/x", set())
        )


def test_a_host_that_loses_its_power_is_noticed_before_tcp_gives_up() -> None:
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(COLLECTION / "ansible.cfg")
    words = dict(word.split("=") for word in settings["ssh_connection"]["ssh_args"].split() if "=" in word)
    assert int(words["ServerAliveInterval"]) * int(words["ServerAliveCountMax"]) <= 60
    # What Ansible has by itself is in place of nothing: one connection for all tasks of a host.
    assert (words["ControlMaster"], words["ControlPersist"]) == ("auto", "60s")
