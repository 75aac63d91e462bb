# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Following a bring-up that works in the background: what is shown, and when nobody is there any more."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.gpuserve.fleet.plugins.action.bringup import (
    ALONE,
    EARLY_S,
    LOST_S,
    POLL_S,
    RUNNING,
    ActionModule,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.progress import ENDED, NEWS
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import this_run, unreached
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.group_board import Board

NOBODY = f"{ALONE}\n{RUNNING}\n"


class Host:
    """What the command on the host answers, one after the other; each takes two seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: Callable[[int], str]) -> None:
        self.now, self.asked, self.said = 1e6, 0, list[str]()
        self.commands: list[str] = []
        self._answers = answers
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self.sleep)

    _read = staticmethod(ActionModule._read)
    _name = "box"
    _what = ActionModule._what
    _board: Board | None = None
    _clear = ActionModule._clear

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def _say(self, _verbosity: int, line: str) -> None:
        self.said.append(line)

    def _low_level_execute_command(self, command: str) -> dict[str, Any]:
        self.asked, self.now = self.asked + 1, self.now + 2
        self.commands.append(command)
        assert self.asked < 500, "it is followed for ever"
        text = self._answers(self.asked)
        if text == "lost":
            raise AnsibleConnectionFailure("gone")
        return {"stdout": text}

    def follow(self) -> bool:
        patience = unreached.Patience(LOST_S, POLL_S, lambda line: self._say(0, line))
        return ActionModule._follow(self, "/p", "/r", patience)  # type: ignore[arg-type]


def test_what_is_written_is_shown_whole_line_by_line_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f" 0:00  a  starts\n 0:0{RUNNING}\n", f" 0:01  b  starts\r\n{RUNNING}\r\n", f"{ENDED}\n{RUNNING}\n", ""]
    host = Host(monkeypatch, lambda at: texts[at - 1])
    assert host.follow() is True
    assert host.said == [" 0:00  a  starts", " 0:01  b  starts"]
    assert f"tail -c +{len(' 0:00  a  starts') + 2} /p" in host.commands[1], "what was shown is not read again"


def test_what_is_for_other_hosts_is_carried_and_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    part = {"group": "large@192.0.2.1:29501", "hosts": 2, "settled": False}
    other = Board(tmp_path, "other", {"large": {**part, "rank": 1}})
    told = {"attempt": 1, "parts": {}, "is_done": True}
    texts = [f" 0:00  a  starts\n{NEWS}{json.dumps(told)}\n{RUNNING}\n", f"{ENDED}\n{RUNNING}\n", ""]
    host = Host(monkeypatch, lambda at: texts[at - 1])
    host._board = Board(tmp_path, "box", {"large": {**part, "rank": 0}})
    assert host.follow() is True
    assert host.said == [" 0:00  a  starts"]
    assert all(command.startswith("(umask 077; printf %s ") and " /p.peers; " in command for command in host.commands)
    assert '"is_done": true' in other.command("/p")


def together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **variables: Any) -> dict[str, Any]:
    """What the task of a host returns that is one of two; nobody else comes."""
    groups = {"large": {"group": "large@192.0.2.1:29501", "rank": 0, "hosts": 2, "settled": False}}
    first = {"groups": groups, "work": True, "models": [], "serving": []}
    monkeypatch.setattr(ActionBase, "run", lambda *_any: {})
    monkeypatch.setattr(ActionBase, "cleanup", lambda *_any: None)
    first |= variables.pop("first", {})
    execute = variables.pop("execute", lambda *_any, **_more: dict(first))
    monkeypatch.setattr(ActionModule, "_execute_module", execute)
    monkeypatch.setattr(this_run, "folder", lambda name: tmp_path / name)
    clock = Host(monkeypatch, lambda _at: "")
    none: Any = None
    task: Any = SimpleNamespace(args=variables.pop("args", {}), check_mode=False)
    result = ActionModule(task, none, none, none, none, none).run(None, {"inventory_hostname": "box", **variables})
    return {**result, "waited_s": clock.now - 1e6}


def test_a_step_without_room_for_a_group_is_refused_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = together(monkeypatch, tmp_path, ansible_play_batch=["box"])
    assert (found["failed"], found["waited_s"]) == (True, 0)
    assert found["msg"] == (
        "large: 2 hosts serve it together, and 1 is changed at once. Take all of them into one step (-e gpuserve_serial=2) and one -l. "
        "Nothing was changed here."
    )


def test_a_host_of_a_group_waits_for_the_others_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = together(monkeypatch, tmp_path, ansible_play_batch=["box", "other"])
    assert found["failed"] is True and 600 <= found["waited_s"] < 602
    assert found["msg"].startswith("2 hosts serve large together, and 1 came within 600 s.")


def test_a_host_of_a_group_that_cannot_begin_keeps_no_other_waiting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = together(monkeypatch, tmp_path, first={"failed": True, "msg": "its image is not on the host."})
    assert found["msg"] == "its image is not on the host."
    monkeypatch.setattr(this_run, "folder", lambda name: tmp_path / name)
    part = {"group": "large@192.0.2.1:29501", "rank": 1, "hosts": 2, "settled": False}
    assert Board(this_run.folder(this_run.GROUPS), "other", {"large": part}).refused() == {
        "box": "its image is not on the host."
    }


@pytest.mark.parametrize(
    ("play", "registered", "left"),
    [
        ({}, {"rendered": {"changed": True}, "fetched": {"skipped": True}}, False),
        ({}, {"rendered": {"failed": True}, "fetched": {}}, True),
        ({}, {"rendered": {"changed": False}}, True),
        # Out of the play, and no longer asked what it came by.
        ({"ansible_play_hosts": ["box"]}, {"rendered": {"changed": True}, "fetched": {"skipped": True}}, True),
        (
            {"ansible_play_hosts_all": ["box"], "ansible_play_hosts": ["box"]},
            {"rendered": {"a": 1}, "fetched": {"a": 1}},
            False,
        ),
    ],
)
def test_a_host_whose_other_one_failed_before_waits_for_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, play: dict[str, Any], registered: dict[str, Any], left: bool
) -> None:
    variables = {
        "ansible_play_hosts_all": ["box", "other"],
        "ansible_play_hosts": ["box", "other"],
        "hostvars": SimpleNamespace(raw_get=lambda _host: registered),
        **play,
    }
    args = {"together": ["box", "other"], "came_by": ["rendered", "fetched"]}
    found = together(monkeypatch, tmp_path, ansible_play_batch=["box", "other"], args=args, **variables)
    assert found["failed"] is True and (found["waited_s"] == 0) is left
    said = "other, with which it serves together, failed before any engine was to change."
    assert found["msg"].startswith(said) is left
    # A rollback renders nothing: there only who is out of the play is known to be.
    again = together(
        monkeypatch, tmp_path, ansible_play_batch=["box", "other"], args={**args, "came_by": []}, **variables
    )
    assert again["msg"].startswith(said) is (left and bool(play))


def test_what_a_probe_found_to_be_started_anew_is_not_asked_once_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A first host that hangs since another part ended: each task that asked it for a token would wait a minute."""
    asked: list[dict[str, Any]] = []
    part = {"group": "large@192.0.2.1:29501", "rank": 1, "hosts": 2, "settled": False}
    mine = {"large": {**part, "rank": 0, "settled": True}}
    kept = {"groups": mine, "work": False, "models": [{"name": "large", "action": "kept"}], "serving": ["large"]}

    def execute(_action: Any, *, module_args: dict[str, Any], **_more: Any) -> dict[str, Any]:
        asked.append(module_args)
        return dict(kept)

    for probes_only in (True, False, False):
        Board(tmp_path / this_run.GROUPS, "other", {"large": part})
        with monkeypatch.context() as patched:
            patched.setattr(ActionModule, "_begin", lambda _action, _arguments, first, _variables: first)
            # As the role gives it: the option is there either way.
            given = {"together": ["box", "other"], "probe_only": probes_only}
            known = SimpleNamespace(raw_get=lambda _host: {})
            found = together(
                patched, tmp_path, args=given, execute=execute, ansible_play_batch=["box", "other"], hostvars=known
            )
        assert found["work"] is True
    # The one after that is another task, of another set.
    assert [one.get("anew") for one in asked] == [None, ["large"], None]


@pytest.mark.parametrize(
    ("place", "other_settled", "anew", "waited_s"),
    [
        ("0/2", False, ["large"], 0),
        ("0/2", True, None, 0),
        # Nobody came yet: it is asked itself, and the others are waited for afterwards.
        ("0/2", None, None, EARLY_S),
        # It has no API, so that nothing is waited for anyway.
        ("1/2", False, None, 0),
    ],
)
def test_a_first_host_is_asked_for_no_token_once_another_part_of_its_group_has_ended(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    place: str,
    other_settled: bool | None,
    anew: list[str] | None,
    waited_s: float,
) -> None:
    asked: list[dict[str, Any]] = []
    entry = {"name": "large", "group": place, "meets": "192.0.2.1:29501"}

    def execute(_action: Any, *, module_args: dict[str, Any], **_more: Any) -> dict[str, Any]:
        asked.append({**module_args, "at": time.monotonic() - 1e6})
        return {"failed": True, "msg": "that is all that is asked here"}

    if other_settled is not None:
        part = {"group": "large@192.0.2.1:29501", "rank": 1, "hosts": 2, "settled": other_settled}
        Board(tmp_path / this_run.GROUPS, "other", {"large": part})
    known = SimpleNamespace(raw_get=lambda _host: {})
    args = {"together": ["box", "other"], "services": [entry, {"name": "alone"}]}
    together(monkeypatch, tmp_path, args=args, execute=execute, ansible_play_batch=["box", "other"], hostvars=known)
    assert (asked[0].get("anew"), asked[0]["at"]) == (anew, waited_s)


@pytest.mark.parametrize(("settled", "work"), [(True, False), (False, True)])
def test_a_probe_says_that_there_is_work_where_another_host_of_the_group_has_some(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settled: bool, work: bool
) -> None:
    part = {"group": "large@192.0.2.1:29501", "rank": 1, "hosts": 2, "settled": settled}
    Board(tmp_path / this_run.GROUPS, "other", {"large": part})
    mine = {"large": {**part, "rank": 0, "settled": True}}
    kept = {"groups": mine, "work": False, "models": [{"name": "large", "action": "kept"}], "serving": ["large"]}
    found = together(monkeypatch, tmp_path, ansible_play_batch=["box", "other"], args={"probe_only": True}, first=kept)
    assert found["work"] is work and found["waited_s"] == 0
    assert (found["serving"], found["models"][0]["action"]) == (([], "start") if work else (["large"], "kept"))


def test_a_module_that_was_killed_is_followed_no_longer_than_twenty_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, lambda _at: NOBODY)
    assert host.follow() is False
    assert host.asked == 11


def test_one_that_has_not_begun_yet_gets_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, lambda at: NOBODY if at % 10 else f"{RUNNING}\n" if at < 100 else "")
    assert host.follow() is True
    assert host.asked == 100


def test_a_lost_connection_is_no_sign_that_nobody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, lambda at: NOBODY if at < 9 else "lost" if at < 20 else NOBODY if at < 29 else "")
    assert host.follow() is True
    assert host.said == [
        "connection lost (gone); what was begun there goes on, and it is asked again for 5:00 minutes",
        "reached again after 0:44 minutes",
    ]


def test_a_host_that_stays_away_is_told_once_a_minute_and_given_up_after_five(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, lambda at: f" 0:00  a  starts\n{RUNNING}\n" if at == 1 else "lost")

    class Followed:
        _connection: Any = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))

        @unreached.is_failure
        def run(self, _tmp: Any, _task_vars: Any) -> dict[str, Any]:
            return {"followed": host.follow()}

    found = Followed().run(None, {unreached.IS_FAILURE: True})
    assert found["msg"] == "it was not reached any more for 5:04 minutes (gone). What it serves now is not known."
    assert (found["failed"], found["unreached"]) == (True, True)
    assert host.said[2:] == [
        f"not reached for {minutes}:00 minutes, and asked again until 5:00 (gone)" for minutes in (1, 2, 3, 4, 5)
    ]


def test_a_result_that_is_there_counts_though_nobody_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, lambda _at: f" 0:09  all ready in 9 s\n{ENDED}\n{ALONE}\n")
    assert host.follow() is True
    assert host.said == [" 0:09  all ready in 9 s"]


def test_what_is_said_of_one_that_died_tells_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, lambda _at: "")
    found = ActionModule._died(host, "/p q", "/r")  # type: ignore[arg-type]
    assert found["failed"] is True
    assert found["msg"] == (
        "The bring-up on box ended without a result: its process was killed, or the host went down. What it had done so far stands. Run "
        "the playbook again: it goes on from there."
    )
    assert host.commands == ["rm -f '/p q' /r"]


@pytest.mark.parametrize("gap", ["", "nobody serves a while the new one starts."])
def test_who_is_without_a_server_is_said_before_the_work_begins(monkeypatch: pytest.MonkeyPatch, gap: str) -> None:
    said: list[str] = []
    first = {"work": True, "models": [], "serving": [], "mode": {"mode": "serial", "reason": "why"}, "gap": gap}
    monkeypatch.setattr(ActionBase, "run", lambda *_any: {})
    monkeypatch.setattr(ActionBase, "cleanup", lambda *_any: None)
    monkeypatch.setattr(ActionModule, "_execute_module", lambda *_any, **_more: first)
    monkeypatch.setattr(ActionModule, "_say", lambda _self, _verbosity, line: said.append(line))

    def work(*_any: Any) -> dict[str, Any]:
        said.append("works")
        return {}

    monkeypatch.setattr(ActionModule, "_in_background", work)
    none: Any = None
    task: Any = SimpleNamespace(args={}, check_mode=False)
    ActionModule(task, none, none, none, none, none).run()
    assert said == [" 0:00  to start: nothing (serial: why)", *([f" 0:00  {gap}"] if gap else []), "works"]
