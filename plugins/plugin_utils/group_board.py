# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the hosts of a group tell each other in a bring-up: the controller keeps it for the time of a run, a file a host."""

from __future__ import annotations

import json
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic

SUFFIX = ".json"


class Board:
    """The files of one run. `groups` are those of this host, by model, as the bring-up's first probe returns them; `refused` is why the
    task can't begin here. One that only reads has not come, for the others."""

    def __init__(
        self,
        folder: Path,
        host: str,
        groups: Mapping[str, Mapping[str, Any]],
        refused: str = "",
        *,
        only_reads: bool = False,
    ) -> None:
        self._folder, self._host, self._groups = folder, host, groups
        # What others told in a task before this one is nothing to go by.
        self._past: Mapping[str, str] = self._before().get("knew", {})
        self._own: dict[str, Any] = {
            "groups": dict(groups),
            "news": None,
            "ended": False,
            "refused": refused,
            "came": secrets.token_hex(8),
            "knew": {},
            "anew": [],
        }
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not only_reads:
            self._write()

    def tell(self, text: str) -> None:
        """Keep what this host's bring-up tells the others."""
        self._own["news"] = json.loads(text)
        self._write()

    @staticmethod
    def anew_before(folder: Path, host: str) -> list[str]:
        """Return the models that were found to be started anew by a task before this one that only probed."""
        file = _file(folder, host)
        return list(json.loads(file.read_text(encoding="utf-8"))["anew"]) if file.exists() else []

    def foresee(self, anew: list[str]) -> None:
        """Keep which models a task that only probes found to be started anew: the one after it need not ask them again."""
        self._own["anew"] = anew
        self._write()

    def end(self) -> None:
        """Keep that this host's bring-up has ended, however it did."""
        self._own["ended"] = True
        self._others()
        self._write()

    def missing(self) -> dict[str, tuple[int, int]]:
        """Return how many hosts of each model's group have come, of how many, where it is not all of them."""
        others = self._others().values()
        found = {}
        for model, mine in self._groups.items():
            come = 1 + sum(_has(one, mine["group"]) is not None for one in others)
            if come < mine["hosts"]:
                found[model] = (come, int(mine["hosts"]))
        return found

    def refused(self) -> dict[str, str]:
        """Return which other hosts of this one's groups can't begin, and why."""
        mine = [part["group"] for part in self._groups.values()]
        return {
            host: one["refused"]
            for host, one in self._others().items()
            if one["refused"] and any(_has(one, group) for group in mine)
        }

    def anew(self) -> list[str]:
        """Return the models of which a part can't stay as it is, here or elsewhere: all parts of them are started."""
        others = self._others().values()
        return sorted(
            model
            for model, mine in self._groups.items()
            if not all(part["settled"] for one in (self._own, *others) if (part := _has(one, mine["group"])))
        )

    def command(self, path: str) -> str:
        """Return what a shell on the host does to bring it what the others tell."""
        text = json.dumps({host: _news(one) for host, one in sorted(self._others().items())})
        new, target = shlex.quote(f"{path}.new"), shlex.quote(path)
        return f"(umask 077; printf %s {shlex.quote(text)} > {new}) && mv -f {new} {target}; "

    def _others(self) -> dict[str, dict[str, Any]]:
        found = {}
        for file in self._folder.glob(f"*{SUFFIX}"):
            one = json.loads(file.read_text(encoding="utf-8"))
            if one["host"] != self._host and one["came"] != self._past.get(one["host"]):
                found[str(one["host"])] = one
        self._own["knew"] |= {host: one["came"] for host, one in found.items()}
        return found

    @property
    def _file(self) -> Path:
        return _file(self._folder, self._host)

    def _before(self) -> dict[str, Any]:
        """Return what this host kept in a task before this one."""
        return dict(json.loads(self._file.read_text(encoding="utf-8"))) if self._file.exists() else {}

    def _write(self) -> None:
        """Keep all of it at once: another host's process may read it now."""
        atomic.write(self._file, json.dumps({"host": self._host, **self._own}))


def _file(folder: Path, host: str) -> Path:
    return folder / f"{quote(host, safe='')}{SUFFIX}"


def _has(one: Mapping[str, Any], group: str) -> Mapping[str, Any] | None:
    """Return a host's part of a group, if it has one."""
    return next((part for part in one["groups"].values() if part["group"] == group), None)


def _news(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a host told last; of one that told nothing, that it is in no attempt yet."""
    waiting = {
        part["group"]: {"rank": part["rank"], "stage": "waiting", "progress": 0, "reason": ""}
        for part in one["groups"].values()
    }
    told = one["news"] or {"attempt": 0, "parts": waiting, "is_done": False}
    return {**told, "has_ended": one["ended"]}
