# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is remembered on a host between runs: times and figures of starts, an unfinished run, measurements, logs of failed starts."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan import calibration


class StateDir:
    """One folder of files of JSON, each replaced whole."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def models(self) -> dict[str, Any]:
        """What the last starts of each model came to; empty where nothing is known, or nothing that can be read."""
        found = self._read("state.json").get("models")
        return dict(found) if isinstance(found, dict) else {}

    def keep_models(self, models: Mapping[str, Any]) -> None:
        self._write("state.json", {"models": models})

    # A run that has begun and not ended

    def begin(self, doing: str, digests: Mapping[str, str]) -> bool:
        """Write down what is begun; tell whether an earlier run wrote so and never ended."""
        interrupted = (self._folder / "journal.json").exists()
        self._write("journal.json", {"doing": doing, "pid": os.getpid(), "services": digests})
        return interrupted

    def end(self) -> None:
        (self._folder / "journal.json").unlink(missing_ok=True)

    # Measurements

    def learn(self, plan: Mapping[str, Any], started: Iterable[tuple[Mapping[str, Any], int]]) -> None:
        """Keep what starts held for the next plan: (the plan's model, bytes on all its cards) each."""
        store: Any = self._read("calibration.json")
        cards = {gpu["uuid"]: gpu["name"] for gpu in plan["gpus"]}
        for planned, measured_bytes in started:
            name = cards[planned["gpu_uuids"][0]]
            store = calibration.learn(store, name, str(plan.get("image", "")), planned, measured_bytes)
        self._write("calibration.json", store)

    # Logs

    def keep_log(self, name: str, lines: Iterable[str]) -> str:
        """The whole log of a failed start, where only root reads it; the file's path, empty where it could not be written."""
        path = self._folder / "failed" / f"{name}.log"
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        except OSError:
            return ""  # a full disk is one of the causes that a log is kept for
        return str(path)

    def _read(self, name: str) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            found = json.loads((self._folder / name).read_text(encoding="utf-8"))
            if isinstance(found, dict):
                return found
        return {}

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / name
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        draft.replace(path)
