# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key that each engine asks for: by the secret file that it was started with, and told to a gateway on the host by a file an endpoint.

Engines with a new key are started one after the other, beside those with the old one. A gateway learns of each with its endpoint, and
sends every engine the key that this one takes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import sockets
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import secrets
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.compose import SECRETS_FILE
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic


class EngineKeys:
    """The files of one stack in the folder of a gateway; without that folder there is no gateway."""

    def __init__(self, folder: Path | None, project_dir: Path, project: str) -> None:
        self._folder, self._project_dir, self._project = folder, project_dir, project

    def tell(self, endpoint: str, model: str, digest: str) -> None:
        """Say what the engine asks for that is about to start there: its key, and whose file it is."""
        if self._folder is None:
            return
        key = _key_in(self._project_dir / secrets.file_name(model, digest))
        # A gateway that can't be told keeps nobody from going on.
        with contextlib.suppress(OSError):
            path, group = self._folder / sockets.drain_name(endpoint), self._folder.stat().st_gid
            atomic.write(path, f"{key}\n{self._project}\n", 0o640, owner=(-1, group))

    def forget_but(self, endpoints: Iterable[str]) -> None:
        """Remove what this stack said of other endpoints than these, at which nothing of it answers any more."""
        if self._folder is None:
            return
        stay = {sockets.drain_name(endpoint) for endpoint in endpoints}
        with contextlib.suppress(OSError, ValueError):
            for path in self._folder.iterdir():
                if path.name not in stay and path.read_text(encoding="utf-8").splitlines()[1:] == [self._project]:
                    path.unlink()


def of_container(found: Mapping[str, Any]) -> str:
    """The key that a container was started with, by the secret file that is mounted in it; empty where that has none."""
    for mount in found.get("Mounts") or []:
        if mount.get("Destination") == SECRETS_FILE:
            return _key_in(Path(str(mount.get("Source", ""))))
    return ""


def _key_in(path: Path) -> str:
    try:
        return secrets.parse(path.read_text(encoding="utf-8")).get(secrets.API_KEY, "")
    except (OSError, ValueError):
        return ""
