# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that can have no stack at all is refused with what was read: an old Python, and Docker that does not answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.action.stack_info import ActionModule

ANSWERS = {"answers": True, "compose_version": "2.40.3"}
FOUND = {"changed": False, "python": {"executable": "/usr/bin/python3", "version": [3, 13]}, "docker": ANSWERS}
SYNTAX = {"failed": True, "msg": "SyntaxError: invalid syntax"}


class Call:
    """The action, the answers of the modules that it runs, and which it ran."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        found: dict[str, Any],
        python: tuple[int, int] | None = (3, 9),
        facts: dict[str, Any] | None = None,
        check_mode: bool = False,
        **arguments: Any,
    ) -> None:
        self.ran: list[tuple[str | None, dict[str, Any]]] = []
        task: Any = SimpleNamespace(args=arguments, async_val=0, check_mode=check_mode)
        connection: Any = SimpleNamespace(_shell=SimpleNamespace(tmpdir="unused"))
        unused: list[Any] = [SimpleNamespace(), None, None, None]
        action = ActionModule(task, connection, *unused)

        def execute(module_name: str | None = None, *, module_args: dict[str, Any], task_vars: Any) -> dict[str, Any]:
            self.ran.append((module_name, module_args))
            if module_name is None:
                return found
            version = dict(zip(("major", "minor"), python or (), strict=False))
            return {"ansible_facts": {"ansible_python": {"version": version}}} if python else {"failed": True}

        monkeypatch.setattr(action, "_execute_module", execute)
        self.answer: dict[str, Any] = action.run(
            task_vars={"inventory_hostname": "gpu01", "ansible_facts": facts or {}}
        )


def test_one_trip_tells_all_and_the_python_is_a_fact_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call(monkeypatch, FOUND, needs_compose=True, image="vllm")
    assert call.ran == [(None, {"image": "vllm"})]
    python = {"executable": "/usr/bin/python3", "version": {"major": 3, "minor": 13}}
    assert call.answer == {**FOUND, "ansible_facts": {"ansible_python": python}}


def test_what_was_asked_is_not_kept_with_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call(monkeypatch, {**FOUND, "invocation": {"module_args": {"files": [{"content": "33 KB"}]}}}, image="vllm")
    assert "33 KB" not in str(call.answer)


def test_a_python_that_is_known_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the modules is no host's Python."""
    assert "ansible_facts" not in Call(monkeypatch, FOUND, facts={"python": {"executable": "/usr/bin/python3"}}).answer


@pytest.mark.parametrize("found", [SYNTAX, {**FOUND, "python": {"executable": "python3", "version": [3, 9]}}])
def test_an_old_python_is_named_whether_or_not_it_knew_the_module(
    monkeypatch: pytest.MonkeyPatch, found: dict[str, Any]
) -> None:
    answer = Call(monkeypatch, found).answer
    assert answer["failed"]
    assert answer["msg"] == (
        "ansible_python_interpreter: gpu01 runs Python 3.9 and our modules need 3.10 or newer. Install one there and name it in this "
        "variable. Nothing was changed."
    )


@pytest.mark.parametrize("python", [(3, 13), None])
def test_another_failure_is_the_module_s_own(monkeypatch: pytest.MonkeyPatch, python: tuple[int, int] | None) -> None:
    assert Call(monkeypatch, SYNTAX, python=python).answer == SYNTAX


@pytest.mark.parametrize("docker", [{"answers": False, "compose_version": ""}, {**ANSWERS, "compose_version": ""}])
def test_docker_that_does_not_answer_is_refused_where_engines_start(
    monkeypatch: pytest.MonkeyPatch, docker: dict[str, Any]
) -> None:
    found = {**FOUND, "docker": docker}
    answer = Call(monkeypatch, found, needs_compose=True).answer
    assert answer["failed"] and answer["msg"].startswith("gpu01: Docker with Compose v2 does not answer there")
    assert "failed" not in Call(monkeypatch, found).answer
    # A bare host has none yet.
    assert "failed" not in Call(monkeypatch, found, needs_compose=True, check_mode=True).answer
