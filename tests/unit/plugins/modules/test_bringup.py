# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shell of bringup: what it tells beside what the bring-up returns."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gpuserve.fleet.plugins.modules import bringup

TEXT = "d /run/gpuserve 0755 root root -\n"


def call(capsys: pytest.CaptureFixture[str], **arguments: Any) -> dict[str, Any]:
    """Run the module as Ansible would and return what it answers."""
    mask = os.umask(0o022)
    try:
        with patch_module_args(arguments), pytest.raises(SystemExit):
            bringup.main()
    finally:
        os.umask(mask)
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


@pytest.mark.parametrize(
    ("kept", "mode", "at_boot", "in_place"),
    [
        (TEXT, 0o644, TEXT, True),
        (TEXT, 0o600, TEXT, False),
        ("older\n", 0o644, TEXT, False),
        (None, 0, TEXT, False),
        # Engines on ports need no folder.
        (None, 0, "", True),
        (TEXT, 0o644, "", False),
    ],
)
def test_whether_the_next_boot_finds_its_file_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    kept: str | None, mode: int, at_boot: str, in_place: bool,
) -> None:  # fmt: skip
    file = tmp_path / "engines.conf"
    if kept is not None:
        file.write_text(kept)
        file.chmod(mode)

    class Bringup:
        """Has nothing to do."""

        def __init__(self, *_given: Any) -> None:
            self.result = {"changed": False, "at_boot": at_boot}

        def run(self) -> dict[str, Any]:
            return self.result

    monkeypatch.setattr(bringup, "Bringup", Bringup)
    given = {"project_dir": str(tmp_path)}
    assert call(capsys, boot_file=str(file), **given)["boot_file_in_place"] is in_place
    # Without a file nobody can tell.
    assert call(capsys, **given)["boot_file_in_place"] is False
