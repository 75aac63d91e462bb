# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of a stack on disk: the one that compose_stack rendered, the last that proved itself, and the one before that.

A set is a folder with `compose.yml`, `env/` and `plan.json` ({"inputs_digest", "plan", "services", "endpoints"}). It takes its place
by a rename, so that whatever happens in between there is a whole one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROVED, BEFORE = "proved", "proved.before"
_FILES = ("compose.yml", "env")


class Sets:
    """The sets of one project folder."""

    def __init__(self, project_dir: str) -> None:
        self.folder = Path(project_dir)

    def compose_file(self, name: str = "") -> Path:
        """The compose file of the rendered set, or of a kept one."""
        return self.folder / name / "compose.yml"

    def read(self, name: str) -> dict[str, Any] | None:
        """What a kept set holds; None where there is none, or none that is whole."""
        try:
            found = json.loads((self.folder / name / "plan.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        whole = isinstance(found, dict) and found.get("services") and self.compose_file(name).exists()
        return found if whole else None

    def prove(self, plan: Mapping[str, Any], services: list[dict[str, Any]], endpoints: list[dict[str, Any]]) -> bool:
        """Remember the rendered set as proved; the one that was goes one place back. Tell whether anything differs."""
        record = {
            "inputs_digest": plan.get("inputs_digest", ""),
            "plan": plan,
            "services": services,
            "endpoints": endpoints,
        }
        text = json.dumps(record, indent=1, sort_keys=True) + "\n"
        known = self.read(PROVED)
        if known is not None and known["services"] == services:
            if json.dumps(known, indent=1, sort_keys=True) + "\n" != text:
                self._write(self.folder / PROVED / "plan.json", text)
            return False
        draft = self.folder / ".proved.draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        self._copy(self.folder, draft)
        self._write(draft / "plan.json", text)
        proved, before = self.folder / PROVED, self.folder / BEFORE
        if proved.exists():
            shutil.rmtree(before, ignore_errors=True)
            proved.rename(before)
        draft.rename(proved)
        return True

    def is_rendered(self, name: str) -> bool:
        """Whether a kept set is the one that stands in the folder now."""
        try:
            return self.compose_file().read_bytes() == self.compose_file(name).read_bytes()
        except OSError:
            return False

    def put_back(self, name: str) -> None:
        """Make a kept set the rendered one again, so that what stands in the folder is what runs."""
        env = self.folder / "env"
        shutil.rmtree(env, ignore_errors=True)
        self._copy(self.folder / name, self.folder)

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        for name in _FILES:
            if (source / name).is_dir():
                shutil.copytree(source / name, target / name, dirs_exist_ok=True)
                (target / name).chmod(0o700)
            elif (source / name).exists():
                draft = target / f".{name}.draft"
                shutil.copy2(source / name, draft)
                draft.replace(target / name)

    @staticmethod
    def _write(path: Path, text: str) -> None:
        draft = path.with_suffix(".draft")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        draft.replace(path)
