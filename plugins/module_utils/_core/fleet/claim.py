# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which run changes a host: a note that a run leaves on each of its hosts, so that a second one is told, whoever's controller it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.text import harmless

TAKE_OVER = "gpuserve_take_over"
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
