# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines after a boot, one after the other: one that crashes over and over does not take the turn of the next."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "roles/vllm_stack/files/start_in_order.py"


class Host:
    """Docker and engines, by a clock that only waits move: what each container is at, a state a second, the last one for good."""

    def __init__(self, **states: list[tuple[str, int]]) -> None:
        self.states, self.now, self.since = states, 0.0, dict.fromkeys(states, 0.0)
        self.asked: list[str] = []

    def run(self, command: list[str], **_more: Any) -> Any:
        what, container = command[1], command[-1]
        if what != "inspect":
            self.asked.append(f"{what} {container}")
            self.since[container] = self.now
            return SimpleNamespace(returncode=0)
        status, restarts = self.at(container)
        return SimpleNamespace(stdout=f"{status.removesuffix('!')} {restarts}\n")

    def at(self, container: str) -> tuple[str, int]:
        states = self.states[container]
        return states[min(int(self.now - self.since[container]), len(states) - 1)]

    def healthy(self, engine: dict[str, Any]) -> bool:
        return self.at(engine["container"])[0].endswith("!")

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def started(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What it prints."""
    spec = importlib.util.spec_from_file_location("start_in_order", FILE)
    assert spec is not None and spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "subprocess", SimpleNamespace(run=host.run))
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: host.now, sleep=host.sleep))
    monkeypatch.setattr(module, "healthy", host.healthy)
    wanted = {"timeout_s": 1800, "engines": [{"container": name, "port": 8001} for name in host.states]}
    (tmp_path / "order.json").write_text(json.dumps(wanted))
    module.main(str(tmp_path / "order.json"))
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "loop",
    [
        [("restarting", 0), ("running", 0), ("restarting", 0)],
        [("running", 0), ("running", 1), ("running", 2)],
    ],
)
def test_a_crash_loop_is_known_in_seconds_and_the_next_has_its_turn(
    loop: list[tuple[str, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host = Host(one=loop, two=[("running!", 0)])
    said = started(host, tmp_path, monkeypatch, capsys)
    assert said == "one: it crashes over and over: stopped after 2 s\ntwo: healthy after 0 s\n"
    assert host.asked == ["start one", "stop one", "start two"]


def test_a_slow_start_and_one_crash_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = [("running", 5)] * 900 + [("running!", 5)]
    late = [("running", 0), ("restarting", 1), *[("running", 1)] * 30, ("running!", 1)]
    said = started(Host(slow=slow, late=late), tmp_path, monkeypatch, capsys)
    assert said == "slow: healthy after 900 s\nlate: healthy after 32 s\n"


def test_one_that_ends_or_takes_too_long_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host = Host(ended=[("running", 0), ("exited", 0)], hangs=[("running", 0)], gone=[("", 0)])
    assert started(host, tmp_path, monkeypatch, capsys).splitlines() == [
        "ended: it ended: stopped after 1 s",
        "hangs: not healthy within 1800 s: stopped after 1800 s",
        "gone: it ended: stopped after 0 s",
    ]
