# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What container_toolkit_info tells of the file that has Docker start after the CDI description."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.host.files import HostFiles
from ansible_collections.gpuserve.fleet.plugins.modules.container_toolkit_info import is_there


def test_the_drop_in_is_there_once_it_holds_its_text(tmp_path: Path) -> None:
    files, asked = HostFiles(str(tmp_path)), {"path": "/docker.service.d/cdi.conf", "content": "[Unit]\nAfter=x\n\n"}
    assert is_there(files, None)
    assert not is_there(files, asked)
    drop_in = tmp_path / "docker.service.d" / "cdi.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("[Unit]\nAfter=x\n")
    assert is_there(files, asked)
    drop_in.write_text("[Unit]\nAfter=y\n")
    assert not is_there(files, asked)
