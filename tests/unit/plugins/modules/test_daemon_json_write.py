# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker's configuration is replaced as it was: its mode, and where a link says that it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.plugins.modules.docker_daemon_config import write


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_it_keeps_the_mode_that_it_had(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "daemon.json"
    path.write_text("{}")
    path.chmod(mode)
    write(str(path), '{"a": 1}\n', 0o644)
    assert path.read_text() == '{"a": 1}\n' and path.stat().st_mode & 0o777 == mode


def test_a_new_one_is_open_and_its_folder_made(tmp_path: Path) -> None:
    path = tmp_path / "docker" / "daemon.json"
    write(str(path), "{}\n", 0o644)
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_link_of_an_administrator_stays_one(tmp_path: Path) -> None:
    (tmp_path / "kept.json").write_text("{}")
    path = tmp_path / "daemon.json"
    path.symlink_to(tmp_path / "kept.json")
    write(str(path), "[]\n", 0o644)
    assert path.is_symlink() and (tmp_path / "kept.json").read_text() == "[]\n"
