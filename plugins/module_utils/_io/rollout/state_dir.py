# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is remembered on a host between runs: times and figures of starts, an unfinished run, measurements, logs of failed starts.

All of it helps a person or the next plan, and nothing that serves depends on it: what can't be read counts as absent, what can't be
written is left out, and `notes` says so.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan import calibration
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic, ownership
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage.notes import Notes

# Who changes what was measured has it for a moment only.
LOCK_S, TRY_S = 10.0, 0.05


class StateDir(Notes):
    """One folder of files of JSON, each replaced whole."""

    def __init__(self, folder: str) -> None:
        super().__init__(Path(folder))

    def models(self) -> dict[str, Any]:
        """What the last starts of each model came to; empty where nothing is known, or nothing that can be read."""
        found = self._read("state.json").get("models")
        return {name: entry for name, entry in found.items() if _is_start(entry)} if isinstance(found, dict) else {}

    def keep_models(self, models: Mapping[str, Any]) -> None:
        """Remember what the last starts came to."""
        self._write("state.json", {"models": models})

    # A run that has begun and not ended

    def begin(self, doing: str, digests: Mapping[str, str]) -> bool:
        """Write down what is begun; tell whether an earlier run wrote so and never ended."""
        interrupted = (self.folder / "journal.json").exists()
        self._write("journal.json", {"doing": doing, "pid": os.getpid(), "services": digests})
        return interrupted

    def end(self) -> None:
        """Write down that it has ended."""
        with self._noted("journal.json"):
            (self.folder / "journal.json").unlink(missing_ok=True)

    # Measurements

    def learn(self, plan: Mapping[str, Any], started: Iterable[tuple[Mapping[str, Any], int]]) -> None:
        """Keep what starts used for the next plan: (the plan's model, bytes on all its cards) each."""
        with self._noted("calibration.json"), self.calibration_locked():
            store: Any = self._read("calibration.json")
            if not isinstance(store.get("starts", {}), dict):
                self._note("calibration.json is not what we wrote: it is begun anew")
                store = {}
            gpus = {gpu["uuid"]: gpu["name"] for gpu in plan["gpus"]}
            for planned, measured_bytes in started:
                name = gpus[planned["gpu_uuids"][0]]
                store = calibration.learn(store, name, str(plan.get("image", "")), planned, measured_bytes)
            self._write("calibration.json", store)

    def calibration(self) -> dict[str, Any]:
        """What was measured so far, as it stands; empty where nothing was, or nothing that can be read."""
        found = self._read("calibration.json")
        return found if isinstance(found.get("starts"), dict) else {"starts": {}}

    def take_in(self, take: Callable[[dict[str, Any]], dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Change what was measured; return what it was and what it is now. Where `notes` says why not, nothing was written."""
        before: dict[str, Any] = {"starts": {}}
        after = before
        with self._noted("calibration.json"), self.calibration_locked():
            before = self.calibration()
            after = take(before)
            if after["starts"] != before["starts"] and not self.notes:
                self._write("calibration.json", after)
        return before, after

    @contextlib.contextmanager
    def calibration_locked(self) -> Iterator[None]:
        """Have nobody else change it between reading and writing: a start that is learned and an import may come at once."""
        path = self.folder / "calibration.lock"
        atomic.make_folder(self.folder, 0o755)
        handle = ownership.open_lock(path)
        try:
            _take(handle, path)
            yield
        finally:
            os.close(handle)

    # Logs

    def keep_log(self, name: str, lines: Iterable[str]) -> str:
        """The whole log of a failed start, where only root reads it; the file's path, empty where it could not be written."""
        path = self.folder / "failed" / f"{name}.log"
        # A full disk is one of the causes that a log is kept for.
        with self._noted(f"failed/{name}.log"):
            atomic.make_folder(self.folder, 0o755)
            atomic.make_folder(path.parent)
            atomic.write(path, "\n".join(lines) + "\n")
            return str(path)
        return ""

    # For people

    def keep_report(self, models: list[dict[str, Any]]) -> None:
        """Leave what each model came to, and where it answers, for everybody on the host to read."""
        text = json.dumps({"models": models}, indent=4, sort_keys=True) + "\n"
        path = self.folder / "report.json"
        with self._noted("report.json"):
            if not path.is_file() or path.read_bytes() != text.encode():
                atomic.make_folder(self.folder, 0o755)
                atomic.write(path, text, 0o644)

    def _read(self, name: str) -> dict[str, Any]:
        try:
            found = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            self._note(f"{name} can't be read ({error}): it counts as absent")
            return {}
        if isinstance(found, dict):
            return found
        self._note(f"{name} is not what we wrote: it counts as absent")
        return {}

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        with self._noted(name):
            atomic.make_folder(self.folder, 0o755)
            atomic.write(self.folder / name, json.dumps(content, indent=1, sort_keys=True) + "\n")


def _take(handle: int, path: Path) -> None:
    """Take a lock that is let go of in a moment; an OSError where it is not."""
    until = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until:
                raise OSError(errno.EBUSY, f"another process has held it for {LOCK_S:.0f} s", str(path)) from None
            time.sleep(TRY_S)


def _is_start(entry: Any) -> bool:
    """Whether an entry is one of a start, as we write them."""
    if not isinstance(entry, dict):
        return False
    seconds = entry.get("ready_s")
    return seconds is None or (isinstance(seconds, (int, float)) and not isinstance(seconds, bool))
