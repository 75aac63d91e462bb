# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be on a host's disk before its engines start, whether they can then start without a network, and how far a fetch is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB, MIB, gib

MAIN = "main"
# Flags that name another repository, which an engine loads besides its model.
_OTHER_REPOSITORIES = (
    "--tokenizer",
    "--hf-config-path",
    *("--speculative-config", "-sc", "--spec-model", "--speculative-model"),
    "--generation-config",
    "--logits-processors",
    "--mm-processor-kwargs",
)
SUMMARY_S = 2.0
# Where nothing arrives, that is said so often.
STILL_S = 10.0


@dataclass(frozen=True)
class Repository:
    """One repository to have on the disk; `files` is None where nobody has said yet which it has."""

    id: str
    revision: str
    names: tuple[str, ...]
    files: Mapping[str, int] | None = None


def is_folder(model: Any) -> bool:
    """Tell whether a model or adapter is a folder on the host."""
    return str(model).startswith("/")


def repositories(models: Iterable[Mapping[str, Any]]) -> tuple[Repository, ...]:
    """Return what the models and their adapters need from the hub, each repository and revision once."""
    found: dict[tuple[str, str], Repository] = {}

    def add(model: str, revision: str, name: str, files: Mapping[str, int] | None) -> None:
        old = found.get((model, revision))
        names = (*old.names, name) if old else (name,)
        found[model, revision] = Repository(model, revision, names, files or (old.files if old else None))

    for entry in models:
        name = str(entry.get("name") or entry.get("model"))
        if not is_folder(entry.get("model")):
            info = entry.get("info") or {}
            listed = info.get("files") if info.get("commit") else None
            files = {str(file["path"]): int(file["bytes"]) for file in listed} if listed else None
            revision = str(info.get("commit") or entry.get("revision") or MAIN)
            add(str(entry["model"]), revision, name, files)
        for adapter in entry.get("lora_adapters") or []:
            if not is_folder(adapter.get("path")):
                add(str(adapter["path"]), MAIN, str(adapter["name"]), None)
    return tuple(found.values())


def stays_online(entry: Mapping[str, Any]) -> str:
    """Say why an engine has to reach the hub when it starts; empty where all that it needs was fetched or is a folder."""
    arguments = [str(argument) for argument in entry.get("extra_args") or []]
    written = {re.split(r"[=. ]", argument)[0].replace("_", "-") for argument in arguments}
    for flag in _OTHER_REPOSITORIES:
        if flag in written:
            return f"{flag} may name another repository"
    automatic = ((entry.get("info") or {}).get("config") or {}).get("auto_map")
    if isinstance(automatic, Mapping) and any("--" in str(value) for value in automatic.values()):
        return "its code comes from another repository"
    if entry.get("trust_remote_code") and not entry.get("info"):
        return "its code may come from another repository"
    return ""


def order(files: Mapping[str, Mapping[str, int]]) -> list[tuple[str, str]]:
    """Return repository and path of each file, so that all repositories move at once and none ends with its largest file alone."""
    queues = [
        [(repository, path) for path, _size in sorted(sizes.items(), key=lambda file: (-file[1], file[0]))]
        for repository, sizes in files.items()
    ]
    longest = max((len(queue) for queue in queues), default=0)
    return [queue[place] for place in range(longest) for queue in queues if place < len(queue)]


@dataclass
class Meter:
    """How far each repository is. `totals` are bytes to fetch, by what a person calls it."""

    totals: Mapping[str, int]
    began: float
    done: dict[str, int] = field(default_factory=dict)
    _last: dict[str, tuple[float, int]] = field(default_factory=dict)
    _said: set[str] = field(default_factory=set)
    _said_at: float = 0.0

    def lines(self, now: float) -> list[str]:
        """Return the lines that this moment is worth: one for each that has ended, and every few seconds where the others are."""
        width = max((len(name) for name in self.totals), default=0)
        found = []
        for name, total in self.totals.items():
            if self.done.get(name, 0) >= total and name not in self._said:
                self._said.add(name)
                found.append(self.line(now, f"{name:<{width}}  fetched, {size(total)}"))
        if now - self._said_at >= SUMMARY_S:
            for name in (name for name in self.totals if name not in self._said):
                then, before = self._last.get(name, (self.began, 0))
                if self.done.get(name, 0) > before or now - then >= STILL_S:
                    found.append(self.line(now, f"{name:<{width}}  {self._moving(name, self.totals[name], now)}"))
            self._said_at = now
        return found

    def line(self, now: float, text: str) -> str:
        """Return a line with the time since the begin."""
        return f"{clock(now - self.began):>5}  {text}"

    def _moving(self, name: str, total: int, now: float) -> str:
        done = min(total, self.done.get(name, 0))
        then, before = self._last.get(name, (self.began, 0))
        rate = max(0.0, (done - before) / (now - then)) if now > then else 0.0
        self._last[name] = (now, done)
        rest = f", {clock((total - done) / rate)} left" if rate > 0 else ", nothing arrives"
        percent = 100 * done // total if total else 100
        return f"{percent:3d} %  {size(done)} of {size(total)}  {rate / MIB:.0f} MiB/s{rest}"


def clock(seconds: float) -> str:
    """Return minutes and seconds as 1:07."""
    whole = int(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def size(size_bytes: int) -> str:
    """Return a size as a person reads it."""
    return gib(size_bytes) if size_bytes >= GIB // 20 else f"{size_bytes / MIB:.1f} MiB"


def missing(expected: Mapping[str, int], there: Mapping[str, int], pending: Sequence[str]) -> dict[str, int]:
    """Return the files that are not on the disk whole: those not there, of another size, or not yet checked."""
    return {path: size for path, size in expected.items() if there.get(path) != size or path in pending}
