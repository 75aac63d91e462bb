# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of ours on a real disk: made, marked, and removed only with a mark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gpuserve.fleet.plugins.modules import owned_folders


def call(capsys: pytest.CaptureFixture[str], state: str, *folders: Any, check: bool = False) -> dict[str, Any]:
    """Run the module as Ansible would and return what it answers."""
    given = [folder if isinstance(folder, dict) else {"path": str(folder)} for folder in folders]
    arguments = {"folders": given, "state": state, "_ansible_check_mode": check}
    with patch_module_args(arguments), pytest.raises(SystemExit):
        owned_folders.main()
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_what_we_made_is_removed_with_all_that_is_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "opt" / "stack"
    assert call(capsys, "present", folder)["made"] == [str(folder)]
    assert not call(capsys, "present", folder)["changed"]
    assert folder.stat().st_mode & 0o777 == 0o755
    (folder / "env").mkdir()
    (folder / "env" / "a.env").touch()
    assert call(capsys, "absent", folder)["removed"] == [str(folder)]
    assert not folder.exists() and folder.parent.exists()
    assert not call(capsys, "absent", folder)["changed"]


def test_a_shared_folder_that_a_variable_names_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: warned.append(text))
    shared = tmp_path / "weights"
    shared.mkdir()
    (shared / "of-the-team").touch()
    assert not call(capsys, "present", shared)["changed"]
    answer = call(capsys, "absent", shared)
    assert not answer["changed"]
    assert answer["left"] == {str(shared): "it bears no mark of ours (.gpuserve)"}
    assert warned == [
        f"{shared} was left as it is: it bears no mark of ours (.gpuserve). Remove it by hand if nothing else needs it."
    ]
    assert (shared / "of-the-team").exists()


def test_an_empty_folder_is_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "present", tmp_path)["made"] == [str(tmp_path)]
    assert (tmp_path / ".gpuserve").read_text().startswith("Made by gpuserve.fleet")


def test_marks_of_older_versions_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    venv = tmp_path / "venv"
    venv.mkdir()
    (venv / ".complete").touch()
    assert call(capsys, "absent", venv)["left"]
    assert call(capsys, "absent", {"path": str(venv), "marks": [".complete"]})["removed"] == [str(venv)]


def test_a_link_a_file_and_a_mount_are_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    call(capsys, "present", tmp_path / "ours")
    (tmp_path / "link").symlink_to(tmp_path / "ours")
    (tmp_path / "file").touch()
    left = call(capsys, "absent", tmp_path / "link", tmp_path / "file")["left"]
    assert list(left.values()) == ["it is a link", "it is no folder"]
    monkeypatch.setattr(Path, "is_mount", lambda _path: True)
    assert list(call(capsys, "absent", tmp_path / "ours")["left"].values()) == ["something is mounted there"]
    assert (tmp_path / "ours" / ".gpuserve").exists()


def test_a_dry_run_touches_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "stack"
    assert call(capsys, "present", folder, check=True)["made"] == [str(folder)]
    assert not folder.exists()
    call(capsys, "present", folder)
    assert call(capsys, "absent", folder, check=True)["removed"] == [str(folder)]
    assert folder.exists()


def test_what_can_t_be_made_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    answer = call(capsys, "present", tmp_path / "file" / "below")
    assert answer["failed"] and f"{tmp_path}/file/below can't be made or removed" in answer["msg"]
