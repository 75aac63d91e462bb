# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's own files, packed and unpacked on real folders: what is kept, what is never overwritten, and archives that are none."""

from __future__ import annotations

import fcntl
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout import state_dir
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import mark
from ansible_collections.gpuserve.fleet.plugins.modules import backup

OWN = {
    "gateway/default-key.sha256": "0" * 64,
    "gateway/tls/tls.crt": "certificate",
    "gateway/tls/tls.key": "private",
    "gateway/usage/usage-2027-01-team.a.jsonl": "{}\n",
    "state/calibration.json": '{"starts": {}}',
    "state/benchmarks/quick-20270131T101500Z.json": "{}",
}
# What is made anew, or is nobody's to keep.
OTHERS = {
    "gateway/compose.yml": "services",
    "gateway/tls/.draft": "x",
    "gateway/usage/usage-2027-01-a.jsonl.new-7": "x",
    "gateway/engine_keys/k": "engine's",
    "state/engine-key": "engine's",
    "state/hub-token": "hub's",
    "state/benchmarks/notes.txt": "x",
}
NAMES = [
    "benchmarks/quick-20270131T101500Z.json",
    "calibration/calibration.json",
    "key/default-key.sha256",
    "tls/tls.crt",
    "tls/tls.key",
    "usage/usage-2027-01-team.a.jsonl",
]


def lay_out(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def call(
    capsys: pytest.CaptureFixture[str], folder: Path, state: str, archive: Path, check: bool = False
) -> dict[str, Any]:
    """Run the module as Ansible would and return what it answers."""
    given = {"gateway_dir": str(folder / "gateway"), "state_dir": str(folder / "state"), "path": str(archive)}
    with patch_module_args({**given, "state": state, "_ansible_check_mode": check}), pytest.raises(SystemExit):
        backup.main()
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def written(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (mark.MARK, "calibration.lock")
    }


@pytest.fixture
def archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Keep a host that serves."""
    path = tmp_path / "kept.tar.gz"
    host = lay_out(tmp_path / "old", {**OWN, **OTHERS})
    (host / "gateway/usage/usage-2027-01-link.jsonl").symlink_to("/etc/hostname")
    assert call(capsys, host, "saved", path)["files"] == NAMES
    return path


def test_a_new_host_gets_what_the_old_one_had_and_nothing_else(
    tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert archive.stat().st_mode & 0o777 == 0o600
    host = tmp_path / "new"
    host.mkdir()
    assert call(capsys, host, "restored", archive, check=True)["changed"] and written(host) == {}
    answer = call(capsys, host, "restored", archive)
    assert answer["changed"] and answer["files"] == NAMES and answer["left"] == []
    assert written(host) == OWN
    modes = {name: (host / name).stat().st_mode & 0o777 for name in OWN}
    assert {name for name, mode in modes.items() if mode != 0o600} == {"gateway/usage/usage-2027-01-team.a.jsonl"}
    assert all(
        (host / name).stat().st_mode & 0o777 == 0o700 for name in ("gateway/tls", "gateway/usage", "state/benchmarks")
    )
    # The folder counts as ours, so that teardown may remove it.
    assert (host / "state" / mark.MARK).exists()
    again = call(capsys, host, "restored", archive)
    assert not again["changed"] and again["files"] == [] and again["left"] == []


def test_what_a_host_has_stays(tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = {"gateway/tls/tls.crt": "another", "state/calibration.json": "mine", "gateway/default-key.sha256": "0" * 64}
    host = lay_out(tmp_path / "new", mine)
    answer = call(capsys, host, "restored", archive)
    # Of a certificate that is there no key is put beside it.
    assert answer["left"] == ["calibration/calibration.json", "tls/tls.crt", "tls/tls.key"]
    assert written(host) == {name: text for name, text in {**OWN, **mine}.items() if name != "gateway/tls/tls.key"}
    assert not (host / "state" / mark.MARK).exists()


def test_what_a_start_measures_meanwhile_is_not_overwritten(
    tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = tmp_path / "new"
    host.mkdir()
    take = state_dir._take

    def after_another(handle: int, path: Path) -> None:
        take(handle, path)
        (host / "state/calibration.json").write_text("measured meanwhile")

    monkeypatch.setattr(state_dir, "_take", after_another)
    answer = call(capsys, host, "restored", archive)
    assert answer["left"] == ["calibration/calibration.json"]
    assert (host / "state/calibration.json").read_text() == "measured meanwhile"


def test_while_another_process_writes_what_was_measured_nothing_is_put(
    tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = lay_out(tmp_path / "new", {"state/calibration.lock": ""})
    monkeypatch.setattr(state_dir, "LOCK_S", 0.0)
    with open(host / "state/calibration.lock", "r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        answer = call(capsys, host, "restored", archive)
    assert answer["failed"] and "calibration.lock" in answer["msg"] and "another process has held it" in answer["msg"]
    assert written(host) == {}


def test_a_host_with_nothing_makes_an_archive_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "empty.tar.gz"
    assert call(capsys, tmp_path / "none", "saved", path)["files"] == []
    answer = call(capsys, tmp_path / "new", "restored", path)
    assert not answer["changed"] and not (tmp_path / "new").exists()
    assert call(capsys, tmp_path / "none", "saved", tmp_path / "foretold", check=True)["changed"]
    assert not (tmp_path / "foretold").exists()


def packed(path: Path, files: dict[str, bytes], manifest: Any = None, link: str = "") -> Path:
    names = [name.removeprefix("gpuserve-backup/") for name in files]
    given = {"format": "gpuserve.fleet backup", "version": 1, "files": sorted(names)} if manifest is None else manifest
    with tarfile.open(path, mode="w:gz") as made:
        for name, data in {"gpuserve-backup/manifest.json": json.dumps(given).encode(), **files}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            made.addfile(entry, io.BytesIO(data))
        if link:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc"
            made.addfile(entry)
    return path


@pytest.mark.parametrize(
    "bad",
    [
        {"files": {"../../etc/cron.d/x": b"x"}},
        {"files": {"/etc/passwd": b"x"}},
        {"files": {"gpuserve-backup/tls/../../x": b"x"}},
        {"files": {"gpuserve-backup/tls/.draft": b"x"}},
        {"files": {"gpuserve-backup/engine/engine-key": b"x"}},
        {"files": {"gpuserve-backup/key/default-key.sha256": b"x"}, "manifest": {"format": "other"}},
        {"files": {}, "manifest": []},
        {"files": {}, "manifest": {"format": "gpuserve.fleet backup", "version": 1, "files": ["tls/tls.key"]}},
        {"files": {}, "link": "gpuserve-backup/tls"},
        {"files": {"gpuserve-backup/calibration/calibration.json": b"x" * (64 * 1024 * 1024 + 1)}},
    ],
)
def test_an_archive_of_somebody_else_puts_nothing_anywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], bad: dict[str, Any]
) -> None:
    answer = call(capsys, tmp_path / "new", "restored", packed(tmp_path / "bad.tar.gz", **bad))
    assert answer["failed"] and answer["msg"].startswith(
        "backup_dir: the archive is no backup of a host. Take one that"
    )
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_an_archive_that_is_cut_short_is_known(
    tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str], share: float
) -> None:
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * share)])
    answer = call(capsys, tmp_path / "new", "restored", archive)
    assert answer["failed"] and "the archive can't be read, or is cut short. Take another backup." in answer["msg"]
    assert not (tmp_path / "new").exists()


def test_an_archive_of_a_later_version_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    later = {"format": "gpuserve.fleet backup", "version": 2, "files": []}
    answer = call(capsys, tmp_path / "new", "restored", packed(tmp_path / "later.tar.gz", {}, later))
    assert "of another version than 1. Restore it with the version" in answer["msg"]
