# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of kept models: one small JSON a model and commit, which people may commit. A file is whole or not there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import checkpoint
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic

VARIABLE = "vllm_stack_model_info_dir"
_NAME = re.compile(r"(?P<owner>[^@]+)--(?P<name>[^@]+)@(?P<commit>[0-9a-f]{12})\.json")
_MOST_BYTES = 64 * 2**20


class Kept:
    """The folder; none where nothing is to be kept."""

    def __init__(self, folder: str = "") -> None:
        self.folder = Path(folder) if folder else None

    def ids(self) -> list[str]:
        """Return the ids of what is kept."""
        return sorted({f"{match['owner']}/{match['name']}" for match in map(_NAME.fullmatch, self._names()) if match})

    def find(self, model: str, revision: str, where: str) -> dict[str, Any] | None:
        """Return what is kept of a model at a revision: a commit, or the name by which it was asked for."""
        found = [self._load(self._path(name), model, where) for name in self._names() if name.startswith(_stem(model))]
        fitting = [info for info in found if revision == info.get("revision") or _is_commit(revision, info["commit"])]
        if len(fitting) > 1:
            commits = " and ".join(info["commit"][:12] for info in fitting)
            fail(
                where,
                f"{self.folder} keeps {commits} of {model}, and both as {revision}.",
                "Remove the file of the one that is not wanted, or write its commit as the model's revision.",
            )
        return fitting[0] if fitting else None

    def commits(self, model: str) -> list[str]:
        """Return the commits that are kept of a model, as their files are named."""
        names = [name for name in self._names() if name.startswith(_stem(model))]
        return [match["commit"] for match in map(_NAME.fullmatch, names) if match]

    def file_of(self, info: Mapping[str, Any]) -> str:
        """Return where this is kept."""
        return str(self._path(_file(info)))

    def differs(self, info: Mapping[str, Any]) -> bool:
        """Tell whether keeping this would change a file."""
        if self.folder is None:
            return False
        try:
            return self._path(_file(info)).read_text(encoding="utf-8") != checkpoint.dump(info)
        except (OSError, ValueError):
            return True

    def put(self, info: Mapping[str, Any]) -> None:
        """Keep this in one move, then remove what was kept under the same revision's name before."""
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            atomic.write(self._path(_file(info)), checkpoint.dump(info), 0o644)
            for name in self._names():
                if name.startswith(_stem(info["id"])) and name != _file(info) and self._is_of(name, info["revision"]):
                    self._path(name).unlink()
        except OSError as error:
            fail(
                VARIABLE,
                f"{self.folder} can't be written ({error.strerror}).",
                "Free space there, or name another folder.",
            )

    def read_note(self, name: str) -> dict[str, Any] | None:
        """Return a note that was left beside what is kept."""
        try:
            note = json.loads(self._path(f"{name}.note").read_text(encoding="utf-8")) if self.folder else None
        except (OSError, ValueError):
            return None
        return note if isinstance(note, dict) else None

    def write_note(self, name: str, note: Mapping[str, Any]) -> None:
        """Leave a note beside what is kept."""
        if self.folder is not None:
            atomic.write(self._path(f"{name}.note"), json.dumps(note), 0o644)

    def _is_of(self, name: str, revision: str) -> bool:
        try:
            return bool(json.loads(self._path(name).read_text(encoding="utf-8")).get("revision") == revision)
        except (OSError, ValueError, AttributeError):
            return False

    def _names(self) -> list[str]:
        try:
            return sorted(path.name for path in self.folder.glob("*.json")) if self.folder else []
        except OSError:
            return []

    def _path(self, name: str) -> Path:
        if self.folder is None:
            raise ValueError("nothing is kept: no folder was named")
        return self.folder / name

    @staticmethod
    def _load(path: Path, model: str, where: str) -> dict[str, Any]:
        """Return one kept file; what model_info did not write so is a FleetError."""
        remedy = "Remove it, and it is written anew where there is a network."
        try:
            if path.stat().st_size > _MOST_BYTES:
                fail(where, f"{path} is larger than anything that is kept of a model.", remedy)
            info = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            fail(where, f"{path} can't be read ({error.strerror}).", remedy)
        except (ValueError, RecursionError):
            fail(where, f"{path} is not JSON.", remedy)
        if not isinstance(info, dict) or info.get("format") != checkpoint.FORMAT:
            fail(where, f"{path} is of no form that this release reads.", remedy)
        if info.get("id") != model:
            fail(where, f"{path} is about {str(info.get('id'))[:80]}.", remedy)
        if not _is_commit(path.name.partition("@")[2].removesuffix(".json"), str(info.get("commit"))):
            fail(
                where, f"{path} is about commit {str(info.get('commit'))[:12]}, not about the one in its name.", remedy
            )
        return info


def _file(info: Mapping[str, Any]) -> str:
    return f"{_stem(info['id'])}{info['commit'][:12]}.json"


def _stem(model: str) -> str:
    return f"{model.replace('/', '--')}@"


def _is_commit(revision: str, commit: str) -> bool:
    """Tell whether a revision is this commit, written whole or shortened."""
    return bool(re.fullmatch(r"[0-9a-f]{7,40}", revision)) and commit.startswith(revision)
