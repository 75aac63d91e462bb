# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe that a role begins with: what it refuses before and after the host was asked, and what it sends there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.action import container_toolkit_info, docker_engine_info, driver_info
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import host_probe
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.host_probe import HostProbe

ACTIONS = (container_toolkit_info, docker_engine_info, driver_info)
NOTED = {"changed": False, "decision": {"refusals": [], "notes": ["the daemon will be restarted"]}}
REFUSED = {"changed": False, "decision": {"refusals": ["it is on hold.", "and more."], "notes": ["a note"]}}


class Call:
    """An action, what it sent to its host, and what it showed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, found: dict[str, Any], **arguments: Any) -> None:
        self.sent: list[dict[str, Any]] = []
        self.shown: list[str] = []
        task: Any = SimpleNamespace(args=arguments, async_val=0, check_mode=False)
        connection: Any = SimpleNamespace(_shell=SimpleNamespace(tmpdir="unused"))
        unused: list[Any] = [SimpleNamespace(), None, None, None]
        action = HostProbe(task, connection, *unused)

        def execute(module_args: dict[str, Any], task_vars: Any) -> dict[str, Any]:
            self.sent.append(module_args)
            return found

        monkeypatch.setattr(action, "_execute_module", execute)
        monkeypatch.setattr(host_probe, "shown", self.shown.extend)
        self.answer: dict[str, Any] = action.run(task_vars={})


def test_each_role_s_probe_is_one() -> None:
    assert all(issubclass(action.ActionModule, HostProbe) for action in ACTIONS)


def test_an_address_with_an_account_is_refused_before_the_host_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call(
        monkeypatch, NOTED, addresses={"nvidia_driver_repository_url": "https://me:secret-word@mirror"}, nvml=True
    )
    assert call.answer["failed"] and call.sent == []
    assert call.answer["msg"].startswith("nvidia_driver_repository_url: it holds an account")
    assert call.answer["msg"].endswith("Nothing was changed.") and "secret-word" not in str(call.answer)


def test_what_is_refused_by_is_not_sent_and_the_answer_is_the_module_s(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call(monkeypatch, NOTED, addresses={"a_repository_url": "https://mirror"}, refuse=True, version="1.20.1")
    assert call.sent == [{"version": "1.20.1"}]
    assert call.answer == NOTED
    assert call.shown == ["the daemon will be restarted"]


def test_the_first_refusal_is_all_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call(monkeypatch, REFUSED, refuse=True)
    assert call.answer == {"failed": True, "changed": False, "msg": "it is on hold. Nothing was changed."}
    assert call.shown == []


def test_whoever_asks_for_no_refusal_gets_the_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call(monkeypatch, REFUSED)
    assert call.answer == REFUSED and call.shown == []


def test_a_module_that_fails_says_why_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call(monkeypatch, {"failed": True, "msg": "branch 610 is not there."}, refuse=True)
    assert call.answer == {"failed": True, "msg": "branch 610 is not there."}
