# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What root without its powers may do, by owner and mode."""

from __future__ import annotations

import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage.powerless import blocked


@pytest.mark.parametrize(
    ("owner", "group", "mode", "reads", "writes"),
    [
        (0, 0, 0o700, True, True),
        (0, 0, 0o500, True, False),
        (0, 0, 0o077, False, False),
        (1000, 1000, 0o700, False, False),
        (1000, 1000, 0o755, True, False),
        (1000, 1000, 0o777, True, True),
        (1000, 0, 0o770, True, True),
        (1000, 0, 0o707, False, False),
        (1000, 1000, 0o754, False, False),
    ],
)
def test_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: int, group: int, mode: int, reads: bool, writes: bool
) -> None:
    def seen(_path: Path, **_more: Any) -> Any:
        return SimpleNamespace(st_uid=owner, st_gid=group, st_mode=stat.S_IFDIR | mode)

    monkeypatch.setattr(Path, "stat", seen)
    assert (blocked(tmp_path, write=False) == "") == reads
    assert (blocked(tmp_path, write=True) == "") == writes
    if reads and not writes:
        said = f"{tmp_path} belongs to uid {owner} with mode {mode:04o}: the engine can't write in it"
        assert blocked(tmp_path, write=True) == said


def test_the_first_file_that_can_t_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "snapshots" / "0").mkdir(parents=True)
    (tmp_path / "snapshots" / "0" / "model.safetensors").touch()
    (tmp_path / "snapshots" / "0" / "dangling").symlink_to("nothing")
    stat_of = Path.stat

    def seen(path: Path, **more: Any) -> Any:
        found = stat_of(path, **more)
        closed = path.name == "model.safetensors"
        kind = stat.S_IFMT(found.st_mode)
        return SimpleNamespace(st_uid=1000, st_gid=1000, st_mode=kind | (0o600 if closed else 0o755))

    monkeypatch.setattr(Path, "stat", seen)
    assert (
        blocked(tmp_path, write=False)
        == f"{tmp_path}/snapshots/0/model.safetensors belongs to uid 1000 with mode 0600: the engine can't read it"
    )


def test_only_the_folder_itself_is_asked_for_where_what_is_in_it_is_an_engines_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "compiled").write_text("x")
    monkeypatch.setattr("os.walk", lambda *_any: pytest.fail("it is looked through"))
    assert blocked(tmp_path, write=True, deep=False) == ""
