# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module that writes small files, on real files: written, kept, put right, removed, and only foretold in check mode."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host import text_files as on_host
from ansible_collections.gpuserve.fleet.plugins.modules import text_files


def call(
    capsys: pytest.CaptureFixture[str], files: dict[Path, str], check: bool = False, folders: tuple[Path, ...] = ()
) -> dict[str, Any]:
    """Run the module as Ansible would and return what it answers."""
    arguments = {
        "folders": [str(path) for path in folders],
        "files": [{"path": str(path), "content": content} for path, content in files.items()],
        "_ansible_check_mode": check,
    }
    with patch_module_args(arguments), pytest.raises(SystemExit):
        text_files.main()
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_writes_what_differs_and_makes_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One file is there already, one holds other text, one has no folder yet."""
    same, other, new = tmp_path / "same", tmp_path / "other", tmp_path / "docker.service.d" / "new.conf"
    same.write_text("a\n")
    same.chmod(0o644)
    other.write_text("b\n")
    answer = call(capsys, {same: "a", other: "c\n", new: "d"})
    assert answer["changed"] and answer["written"] == [str(other), str(new)] and not answer["removed"]
    assert [entry["before"] for entry in answer["diff"]] == ["b\n", ""]
    assert (other.read_text(), new.read_text()) == ("c\n", "d\n")
    assert new.stat().st_mode & 0o777 == 0o644
    assert not call(capsys, {same: "a", other: "c\n", new: "d"})["changed"]


def test_check_mode_writes_and_removes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The answer is the one of a real run, the files are as before."""
    old, new = tmp_path / "old", tmp_path / "folder" / "new"
    old.write_text("a\n")
    answer = call(capsys, {old: "", new: "b"}, check=True)
    assert answer["changed"] and answer["written"] == [str(new)] and answer["removed"] == [str(old)]
    assert old.exists() and not new.parent.exists()


def test_a_file_without_text_is_removed_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second run finds nothing to remove."""
    old = tmp_path / "old"
    old.write_text("a\n")
    assert call(capsys, {old: ""})["removed"] == [str(old)]
    assert not old.exists()
    assert not call(capsys, {old: ""})["changed"]


def test_an_empty_file_is_in_the_way_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that holds nothing is not the same as no file."""
    old = tmp_path / "old"
    old.touch()
    assert call(capsys, {old: ""})["removed"] == [str(old)]
    assert not old.exists()


def test_a_mode_that_apt_could_not_read_is_put_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The text is right and the mode is not."""
    file = tmp_path / "file"
    file.write_text("a\n")
    file.chmod(0o600)
    assert call(capsys, {file: "a"}, check=True)["changed"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert call(capsys, {file: "a"})["written"] == [str(file)]
    assert file.stat().st_mode & 0o777 == 0o644


def test_a_folder_in_the_way_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What stands where a folder has to be is said in one sentence."""
    (tmp_path / "file").write_text("")
    answer = call(capsys, {tmp_path / "file" / "below": "a"})
    assert answer["failed"] and "can't be written" in answer["msg"]


def test_folders_are_made_and_put_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Others may read there and not write; a link that an administrator has made stays one."""
    monkeypatch.setattr(on_host, "ROOT", (os.getuid(), os.getgid()))
    new, open_one, real, link = tmp_path / "a" / "new", tmp_path / "open", tmp_path / "real", tmp_path / "link"
    for path in (open_one, real):
        path.mkdir()
        path.chmod(0o777)
    link.symlink_to(real)
    folders = (new, open_one, link)
    answer = call(capsys, {}, check=True, folders=folders)
    assert answer["changed"] and answer["folders"] == [str(path) for path in folders] and not new.exists()
    assert call(capsys, {}, folders=folders)["folders"] == [str(path) for path in folders]
    assert [path.stat().st_mode & 0o777 for path in folders] == [0o755] * 3 and link.is_symlink()
    assert not call(capsys, {}, folders=folders)["changed"]


def test_a_file_has_the_mode_that_was_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "script.py"
    arguments = {"files": [{"path": str(script), "content": "print()", "mode": "0755"}]}
    for written in ([str(script)], []):
        with patch_module_args(arguments), pytest.raises(SystemExit):
            text_files.main()
        assert json.loads(capsys.readouterr().out)["written"] == written
        assert script.stat().st_mode & 0o777 == 0o755
