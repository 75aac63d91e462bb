# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is remembered between runs, on good disks and on bad ones."""

from __future__ import annotations

import fcntl
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout import state_dir
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.state_dir import StateDir
from tests.support.disk import FullDisk

PLANNED = {
    "name": "a",
    "model": "o/m",
    "gpu_uuids": ["GPU-0"],
    "engine_args": ["--max-num-seqs", "4"],
    "kv_cache_bytes": 1 << 30,
    "total_bytes": 4 << 30,
}
PLAN = {"gpus": [{"uuid": "GPU-0", "name": "NVIDIA GeForce RTX 5090"}], "image": "i@sha256:0"}


def test_what_was_kept_is_there_again_and_closed(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    state = StateDir(str(folder))
    state.keep_models({"a": {"ready_s": 4.5}})
    assert not state.begin("bringing up", {"a": "d"})
    assert state.begin("bringing up", {"a": "d"}), "the one before never ended"
    state.end()
    assert not state.begin("bringing up", {})
    state.learn(PLAN, [(PLANNED, 4 << 30)])
    assert StateDir(str(folder)).models() == {"a": {"ready_s": 4.5}}
    assert json.loads((folder / "calibration.json").read_text())["starts"]
    path = Path(state.keep_log("a", ["one", "two"]))
    assert path.read_text() == "one\ntwo\n"
    assert path.parent.stat().st_mode & 0o777 == 0o700
    for file in (path, folder / "state.json", folder / "calibration.json", folder / "journal.json"):
        assert file.stat().st_mode & 0o777 == 0o600
    assert state.notes == []


@pytest.mark.parametrize(
    "text", ["", "nope", "[]", "5", "null", '{"models": []}', '{"models": {"a": 5}}', "\udcff", '{"models": {"a"']
)
def test_a_file_that_went_bad_counts_as_absent(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_bytes(text.encode(errors="surrogateescape"))
    state = StateDir(str(tmp_path))
    assert state.models() == {}
    state.keep_models({"a": {"ready_s": 1}})
    assert StateDir(str(tmp_path)).models() == {"a": {"ready_s": 1}}


def test_what_went_bad_is_said_once_and_what_was_never_there_is_not(tmp_path: Path) -> None:
    state = StateDir(str(tmp_path))
    state.models()
    assert state.notes == []
    (tmp_path / "state.json").write_text("")
    state.models()
    state.models()
    assert len(state.notes) == 1
    assert "state.json can't be read" in state.notes[0]


@pytest.mark.parametrize("seconds", ["x", True, [], {}])
def test_a_start_of_another_shape_is_left_out(tmp_path: Path, seconds: Any) -> None:
    (tmp_path / "state.json").write_text(json.dumps({"models": {"a": {"ready_s": seconds}, "b": {"ready_s": 2}}}))
    assert StateDir(str(tmp_path)).models() == {"b": {"ready_s": 2}}


@pytest.mark.parametrize("text", ['{"starts": 5}', '{"starts": []}', "\x00", '{"starts": {"k": {"gpu": "g"}}}'])
def test_measurements_of_another_shape_are_begun_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "calibration.json").write_text(text)
    StateDir(str(tmp_path)).learn(PLAN, [(PLANNED, 4 << 30)])
    assert len(json.loads((tmp_path / "calibration.json").read_text())["starts"]) == 1


@pytest.mark.parametrize("room", [0, 1, 40])
def test_a_full_disk_is_a_note_and_never_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    before = StateDir(str(tmp_path))
    before.keep_models({"a": {"ready_s": 1}})
    before.learn(PLAN, [(PLANNED, 4 << 30)])
    calibrated = (tmp_path / "calibration.json").read_text()
    state = StateDir(str(tmp_path))
    disk = FullDisk(monkeypatch, room)
    state.begin("bringing up", {"a": "d" * 40})
    state.learn(PLAN, [(PLANNED, 5 << 30)])
    state.keep_models({"a": {"ready_s": 22222222222222222222222222}})
    assert state.keep_log("a", ["long " * 20]) == ""
    state.end()
    assert disk.refused == 4
    assert len(state.notes) == 4 and all("No space left" in note for note in state.notes)
    assert StateDir(str(tmp_path)).models() == {"a": {"ready_s": 1}}
    assert (tmp_path / "calibration.json").read_text() == calibrated


OTHER = {**PLANNED, "name": "b", "engine_args": ["--max-num-seqs", "8"]}


def test_what_a_bring_up_learns_while_others_are_taken_in_is_not_lost(tmp_path: Path) -> None:
    elsewhere = StateDir(str(tmp_path / "elsewhere"))
    elsewhere.learn(PLAN, [(OTHER, 5 << 30)])
    imported = elsewhere.calibration()["starts"]
    folder = str(tmp_path / "here")
    learner = threading.Thread(target=lambda: StateDir(folder).learn(PLAN, [(PLANNED, 4 << 30)]))

    def meanwhile(store: dict[str, Any]) -> dict[str, Any]:
        learner.start()
        # It has to wait until these are written; without a lock it would be done by then, and lost.
        learner.join(0.3)
        return {**store, "starts": imported}

    _before, after = StateDir(folder).take_in(meanwhile)
    learner.join()
    assert after["starts"] == imported
    kept = StateDir(folder).calibration()["starts"]
    assert set(imported) < set(kept) and len(kept) == 2


def test_one_who_holds_what_was_measured_for_long_is_a_note_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_dir, "LOCK_S", 0.1)
    state = StateDir(str(tmp_path))
    state.learn(PLAN, [(PLANNED, 4 << 30)])
    before = (tmp_path / "calibration.json").read_bytes()
    with open(tmp_path / "calibration.lock", "r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state.learn(PLAN, [(OTHER, 5 << 30)])
        other = StateDir(str(tmp_path))
        other.take_in(lambda store: {**store, "starts": {}})
    assert (tmp_path / "calibration.json").read_bytes() == before
    assert state.notes == other.notes
    assert "calibration.json could not be written (another process has held it for 0 s)" in state.notes[0]


def test_the_report_is_for_everybody_and_written_where_it_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = StateDir(str(tmp_path / "state"))
    state.keep_report([{"name": "a", "endpoint": "http://127.0.0.1:8001/v1"}])
    path = tmp_path / "state" / "report.json"
    assert json.loads(path.read_text())["models"][0]["name"] == "a"
    assert path.stat().st_mode & 0o777 == 0o644
    disk = FullDisk(monkeypatch, 0)
    state.keep_report([{"name": "a", "endpoint": "http://127.0.0.1:8001/v1"}])
    assert disk.refused == 0 and state.notes == []
    state.keep_report([{"name": "b"}])
    assert len(state.notes) == 1 and "report.json could not be written" in state.notes[0]
    assert json.loads(path.read_text())["models"][0]["name"] == "a"
