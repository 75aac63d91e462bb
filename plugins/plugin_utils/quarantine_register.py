# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The register of quarantine on the controller: read for every playbook, written under a lock."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet import quarantine
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import private_files


def path_of(variable: Any, folder: Any) -> Path:
    """Return where it is kept: what is written, or beside the inventory."""
    return Path(str(variable)).expanduser() if variable else Path(str(folder or "."), ".gpuserve", "quarantine.json")


def read(path: Path) -> quarantine.Register:
    """Return the register; an empty one where none is kept yet."""
    try:
        text = private_files.read(path)
        return quarantine.Register.read(json.loads(text), str(path)) if text else quarantine.Register()
    except (OSError, ValueError):
        # It is there and says nothing that can be read.
        return quarantine.Register.read(None, str(path))


@contextlib.contextmanager
def changing(path: Path) -> Iterator[None]:
    """Keep other hosts and runs from changing it meanwhile."""
    with contextlib.ExitStack() as locks:
        try:
            locks.enter_context(private_files.locked(path))
        except OSError as error:
            fail(
                quarantine.FILE,
                f"{error.filename} can't be written ({error.strerror}).",
                "Name a file where you may write.",
            )
        yield


def keep(path: Path, register: quarantine.Register) -> None:
    """Write the register."""
    private_files.write(path, json.dumps(register.data(), indent=1), folder_mode=None)
