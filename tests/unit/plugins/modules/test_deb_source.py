# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on the disk when writing apt's sources fails half-way."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host.apt_sources import Edit
from ansible_collections.gpuserve.fleet.plugins.modules import deb_source


def test_what_was_written_is_taken_back(tmp_path: Path) -> None:
    new, old = tmp_path / "new.sources", tmp_path / "old.list"
    old.write_text("old\n")
    old.chmod(0o600)
    # The last can't be done: a folder can't be unlinked.
    edits = [Edit(str(new), None, "new\n"), Edit(str(old), "old\n", None), Edit(str(tmp_path), "text\n", None)]
    with pytest.raises(FleetError) as caught:
        deb_source.commit(edits)
    assert "Nothing was changed in apt's sources." in str(caught.value)
    assert not new.exists() and old.read_text() == "old\n" and old.stat().st_mode & 0o777 == 0o600


def test_the_mode_of_a_file_with_credentials_stays(tmp_path: Path) -> None:
    file = tmp_path / "sources.list"
    file.write_text("a\nb\n")
    file.chmod(0o600)
    deb_source.commit([Edit(str(file), "a\nb\n", "a\n")])
    assert file.read_text() == "a\n" and file.stat().st_mode & 0o777 == 0o600
