# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which run changes a host, and of which version of the collection: notes on the host, so that a run of another controller is told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.text import harmless

TAKE_OVER = "gpuserve_take_over"
COLLECTION = "gpuserve.fleet"
_VERSION = re.compile(r"([0-9]{1,6})[.]([0-9]{1,6})[.]([0-9]{1,6})")
# What a run calls itself; anything else in a note was not written by us.
_RUN = re.compile(r"[0-9a-z-]{1,64}")


@dataclass(frozen=True)
class Claim:
    """A run that changes a host: its name, whose it is, on which controller, as which process there, and since when."""

    run: str
    who: str = ""
    controller: str = ""
    pid: int = 0
    since: str = ""

    @classmethod
    def read(cls, data: Any) -> Claim | None:
        """Read what was noted; what has another shape holds nothing."""
        run = data.get("run") if isinstance(data, Mapping) else None
        if not isinstance(run, str) or not _RUN.fullmatch(run):
            return None
        pid = data.get("pid")
        words = {name: harmless(str(data.get(name) or ""), 64) for name in ("who", "controller", "since")}
        return cls(run, pid=pid if isinstance(pid, int) and pid > 0 else 0, **words)

    def data(self) -> dict[str, Any]:
        """Return what is noted."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"a run of {self.who or 'somebody'} on {self.controller or 'a controller'}, since {self.since or 'a while'}"
        )


def is_free(found: Claim | None, run: str, over: str = "") -> bool:
    """Tell whether a run may take a host: nobody has it, it has it already, or it takes it over from the run that is named."""
    return found is None or found.run in (run, over)


def refusal(held: Mapping[str, Claim]) -> FleetError | None:
    """Return what is told where other runs hold hosts: who, since when, and what to do."""
    if not held:
        return None
    host = sorted(held)[0]
    more = len(held) - 1
    others = f" and {more} more" if more else ""
    verb = "are" if more else "is"
    return FleetError(
        TAKE_OVER,
        f"{host}{others} {verb} being changed by {held[host]}.",
        f"Wait until it has ended; where it was ended by force and is no more, go on with -e {TAKE_OVER}=true.",
    )


def version(text: Any) -> str:
    """Return the version that a host's note names; empty where it names none."""
    return text.strip() if isinstance(text, str) and _VERSION.fullmatch(text.strip()) else ""


def refusal_of_newer(found: Mapping[str, str], ours: str, note: str) -> FleetError | None:
    """Return what is told where a newer version of the collection has changed hosts: this one may not know what that wrote."""
    newer = {host: there for host, there in found.items() if _numbers(there) > _numbers(ours)}
    if not newer:
        return None
    host = sorted(newer)[0]
    others = f" and {len(newer) - 1} more" if len(newer) > 1 else ""
    latest = max(newer.values(), key=_numbers)
    return FleetError(
        host,
        f"version {latest} of {COLLECTION} has changed this host{others}, and here is {ours}.",
        f"Install {latest} on this controller; to go back on purpose, remove {note} there.",
    )


def _numbers(text: str) -> tuple[int, ...]:
    """Return a version as numbers; what comes before a release, or is no version, is the oldest."""
    found = _VERSION.match(text)
    return tuple(int(number) for number in found.groups()) if found else ()
