# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two modules that hand measurements on, on real files: what is written, taken in, foretold and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gpuserve.fleet.plugins.modules import calibration, calibration_file

START = {
    "gpu": "NVIDIA GeForce RTX 5090",
    "image": "sha256:" + "b" * 64,
    "model": "Qwen/Qwen2.5-3B-Instruct",
    "args": ["--max-model-len", "1536"],
    "fixed_bytes": [5],
    "errors_bytes": [-1],
}


def call(module: Any, capsys: pytest.CaptureFixture[str], check: bool = False, **arguments: Any) -> dict[str, Any]:
    """Run a module as Ansible would and return what it answers."""
    with patch_module_args({**arguments, "_ansible_check_mode": check}), pytest.raises(SystemExit):
        module.main()
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_a_file_goes_from_host_to_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, file = tmp_path / "first", tmp_path / "second", tmp_path / "handed.json"
    first.mkdir()
    (first / "calibration.json").write_text(json.dumps({"starts": {"k": START}}))
    store = call(calibration, capsys, name="gpu01", state_dir=str(first))
    assert not store["changed"] and "1 measured" in store["table"][1]
    foretold = call(calibration_file, capsys, check=True, path=str(file), stores=[store["store"]])
    assert foretold["changed"] and not file.exists()
    written = call(calibration_file, capsys, path=str(file), stores=[store["store"]])
    assert written["changed"] and written["summary"] == ["Kinds of start in it: 1."]
    assert not call(calibration_file, capsys, path=str(file), stores=[store["store"]])["changed"]

    starts = call(calibration_file, capsys, read=[str(file)])["starts"]
    foretold = call(calibration, capsys, check=True, state_dir=str(second), starts=starts)
    assert foretold["changed"] and not second.exists()
    taken = call(calibration, capsys, state_dir=str(second), starts=starts)
    assert taken["changed"] and "imported" in taken["table"][1]
    kept = (second / "calibration.json").read_text()
    assert [start["fixed_bytes"] for start in json.loads(kept)["starts"].values()] == [[5]]
    assert not call(calibration, capsys, state_dir=str(second), starts=starts)["changed"]
    # Nothing to take in takes back what was.
    assert call(calibration, capsys, state_dir=str(second), starts=[])["store"] == {"starts": {}}


@pytest.mark.parametrize("content", [b"\xff\xfe", b"{", b'{"format": "other"}'])
def test_a_bad_file_is_one_sentence_and_nothing_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    call(calibration_file, capsys, path=str(good), stores=[])
    bad.write_bytes(content)
    answer = call(calibration_file, capsys, read=[str(good), str(bad)])
    assert answer["failed"] and answer["msg"].startswith(f"{bad}: ")


def test_a_file_that_is_not_there_and_a_folder_that_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = call(calibration_file, capsys, read=[str(tmp_path / "none")])
    assert "it can't be read (No such file or directory). Name a file that" in answer["msg"]
    answer = call(calibration_file, capsys, path=str(tmp_path / "none" / "file"), stores=[])
    assert "it can't be written (No such file or directory). Name a file in a folder that is there." in answer["msg"]


def test_starts_that_are_none_are_refused_on_the_host_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = call(calibration, capsys, state_dir=str(tmp_path), starts=[{**START, "host": "gpu01"}])
    assert answer["failed"] and "starts[0]: it has other fields" in answer["msg"]
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_can_not_be_read_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "calibration.json").mkdir()
    answer = call(calibration, capsys, state_dir=str(tmp_path), starts=[START])
    assert answer["failed"] and "calibration.json can" in answer["msg"]
