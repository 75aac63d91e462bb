# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that is compared with what the last run noted: its note stays while it serves, and is gone before anybody changes the host."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.last_applied import RECORD
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.docker import DockerError
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.bringup import Refused
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.sets import Sets
from ansible_collections.gpuserve.fleet.plugins.modules import last_applied

ACCESS = {"port": 8000, "auth": True, "key_file": "/keys/gpu01"}
GATEWAY = {"url": "http://127.0.0.1:8000", "generation": "g1"}
SERVES = {"endpoints": [{"name": "qwen"}], "generating": ["qwen"], "report": []}
SET: dict[str, Any] = {"services": [], "endpoints": [], "plan": {}}


class World:
    """What engines and gateway of this host come to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept: dict[str, Any] | None = SET
        self.probe: Callable[[], dict[str, Any]] = lambda: dict(SERVES)
        self.current = True
        self.asked: list[tuple[str, str]] = []
        self.told: dict[str, Any] = {}

    def run(self, capsys: pytest.CaptureFixture[str], state: str = "compared", **params: Any) -> dict[str, Any]:
        given = {
            "state": state,
            "asked": "wish",
            "project_dir": str(self.folder / "stack"),
            "state_dir": str(self.folder / "state"),
            "cache_dir": str(self.folder / "cache"),
            "gateway_dir": str(self.folder / "gateway"),
            "device": "cpu",
            "docker_socket": str(self.folder / "no.sock"),
            "root": str(self.folder),
            "gateway": GATEWAY,
            "access": ACCESS,
            "key": "sk-key",
            **params,
        }
        with patch_module_args(given), pytest.raises(SystemExit):
            last_applied.main()
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert not answer.get("failed"), answer
        return answer

    @property
    def is_noted(self) -> bool:
        return (self.folder / "state" / RECORD).exists()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[World]:
    # The module closes it for its own process, which is that of all tests here.
    mask = os.umask(0o022)
    there = World(tmp_path)
    for name in ("stack", "state", "gateway"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)

    class Bringup:
        def __init__(self, params: dict[str, Any], check_mode: bool) -> None:
            there.told = params

        def run(self) -> dict[str, Any]:
            return there.probe()

    class Gateway:
        def __init__(self, _folder: Path, url: str, generation: str, _run: Any) -> None:
            assert {"url": url, "generation": generation} == GATEWAY

        def is_current(self) -> bool:
            return there.current

    def prove(stream: Callable[[str], Any], models: list[str], _timeout_s: float) -> dict[str, float]:
        there.asked += [(model, stream(model).key) for model in models]
        return {}

    monkeypatch.setattr(last_applied, "Bringup", Bringup)
    monkeypatch.setattr(last_applied, "Serving", Gateway)
    monkeypatch.setattr(last_applied, "prove", prove)
    monkeypatch.setattr(Sets, "read", lambda _self, _name: there.kept)
    there.run(capsys, "recorded")
    yield there
    os.umask(mask)


def test_a_host_that_is_as_it_was_tells_what_it_serves(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    answer = world.run(capsys)
    assert {name: answer[name] for name in SERVES} == SERVES
    assert (answer["as_before"], answer["why"], answer["changed"], answer["access"]) == (True, "", False, ACCESS)
    assert world.asked == [("qwen", "sk-key")] and world.is_noted
    # Nothing is begun there, whatever is found.
    assert world.told["probe_only"] is True and world.told["services"] == []


def test_nobody_is_asked_with_a_key_that_may_be_another_controllers(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.run(capsys, key_is_first=True)["as_before"] and world.asked == [("qwen", "sk-key")]
    world.asked.clear()
    world.run(capsys, "recorded", access={**ACCESS, "key_file": ""})
    assert world.run(capsys, key_is_first=True)["as_before"] and world.asked == []
    assert world.run(capsys, key="")["as_before"] and world.asked == []
    world.run(capsys, "recorded", access={**ACCESS, "auth": False})
    assert world.run(capsys, key="")["as_before"] and world.asked == [("qwen", "")]


def fails(error: Exception) -> Callable[[], dict[str, Any]]:
    def probe() -> dict[str, Any]:
        raise error

    return probe


DIFFERENCES: dict[str, tuple[Callable[[World], Any], str]] = {
    "a file": (
        lambda world: (world.folder / "stack/file").write_text("x"),
        "stack/file differs from what the last run left",
    ),
    "an engine": (lambda world: setattr(world, "probe", lambda: {**SERVES, "work": True}), "an engine does not serve"),
    "an engine that failed": (
        lambda world: setattr(world, "probe", lambda: {**SERVES, "failures": [{}]}),
        "an engine does not serve",
    ),
    "the gateway": (lambda world: setattr(world, "current", False), "the gateway does not serve as it did"),
    "no proved set": (lambda world: setattr(world, "kept", None), "no set of engines has served whole there"),
    "a probe that is refused": (lambda world: setattr(world, "probe", fails(Refused("No."))), "No."),
    "Docker": (lambda world: setattr(world, "probe", fails(DockerError("No Docker."))), "No Docker."),
    "a model": (
        lambda world: setattr(world, "probe", fails(FleetError("a", "no token.", "Look."))),
        "a: no token. Look.",
    ),
    "a disk": (lambda world: setattr(world, "probe", fails(OSError(5, "Input/output error"))), "Input/output error"),
}


@pytest.mark.parametrize("what", DIFFERENCES)
def test_a_difference_is_told_and_the_note_is_gone(world: World, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    change, why = DIFFERENCES[what]
    change(world)
    answer = world.run(capsys)
    assert not answer["as_before"] and why in answer["why"]
    assert not world.is_noted


def test_a_note_of_another_wish_is_gone_before_the_host_is_read(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = world.run(capsys, asked="another wish")
    assert not answer["as_before"] and not world.is_noted and world.told == {}


def test_a_dry_run_leaves_the_note(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    (world.folder / "stack/file").write_text("x")
    assert not world.run(capsys, _ansible_check_mode=True)["as_before"]
    assert world.is_noted
    before = (world.folder / "state" / RECORD).read_text()
    world.run(capsys, "recorded", _ansible_check_mode=True)
    assert (world.folder / "state" / RECORD).read_text() == before


def test_who_asks_for_nothing_that_can_be_told_notes_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert not world.run(capsys, asked="")["as_before"] and not world.is_noted
    world.run(capsys, "recorded", asked="")
    assert not world.is_noted


def test_a_copy_that_somebody_else_has_counts(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    path = world.folder / "gateway/file"
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    assert world.run(capsys, copies={str(path): right})["as_before"]
    answer = world.run(capsys, copies={str(path): ""})
    assert answer["why"] == f"{path} is not what the controller has of it" and not world.is_noted


def test_what_is_known_to_differ_is_told_and_nothing_is_read(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    answer = world.run(capsys, differs="edge01 sends it no new requests")
    assert answer["why"] == "edge01 sends it no new requests" and not world.is_noted and world.told == {}


def test_the_engines_key_is_read_where_it_lies(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    (world.folder / "key").write_text("engines-key\n")
    assert world.run(capsys, api_key_file=str(world.folder / "key"))["as_before"]
    assert world.told["api_key"] == "engines-key"
    assert not world.run(capsys, api_key_file=str(world.folder / "absent"))["as_before"]
