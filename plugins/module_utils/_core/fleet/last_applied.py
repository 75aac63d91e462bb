# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run has brought a host to: what it was asked for, and what was on the host afterwards.

What a run does follows from both. So where neither differs, the next one has nothing to do there but to ask what serves for a token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# The note's name in the folder of state.
RECORD = "last_applied.json"
# What somebody has never looked at for so long is looked at as if nothing were known: certificates and keys end, whatever is asked for.
MOST_AGE_S = 7 * 86400.0
NO_RECORD = "no run has come to its end there since it changed last"
OTHER_WISH = "something else is asked for than in the last run"
TOO_OLD = "the last look at all of it is over a week old"


@dataclass(frozen=True)
class Record:
    """asked is a digest of what was asked for, found one of each thing that was there by its name, at the time in seconds since 1970.

    gateway is how the gateway is met on its host, access how clients come in.
    """

    asked: str
    found: Mapping[str, str]
    at: float
    gateway: Mapping[str, Any] = field(default_factory=dict)
    access: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, data: Any) -> Record | None:
        """Read what is kept; None for anything of another shape."""
        if not isinstance(data, Mapping):
            return None
        asked, found, at = data.get("asked"), data.get("found"), data.get("at")
        gateway, access = data.get("gateway"), data.get("access")
        if not isinstance(asked, str) or not asked or isinstance(at, bool) or not isinstance(at, (int, float)):
            return None
        if not all(isinstance(part, Mapping) for part in (found, gateway, access)):
            return None
        return cls(asked, {str(name): str(digest) for name, digest in found.items()}, float(at), gateway, access)  # type: ignore[union-attr,arg-type]

    def data(self) -> dict[str, Any]:
        """Return what is kept."""
        return {
            "asked": self.asked,
            "found": dict(self.found),
            "at": self.at,
            "gateway": dict(self.gateway),
            "access": dict(self.access),
        }


def difference(record: Record | None, asked: str, found: Mapping[str, str], now: float) -> str:
    """Return why a host has to be looked at whole; empty where it is as the run before has left it."""
    if record is None:
        return NO_RECORD
    if not asked or record.asked != asked:
        return OTHER_WISH
    if not 0 <= now - record.at <= MOST_AGE_S:
        return TOO_OLD
    names = sorted({*record.found, *found})
    differing = [name for name in names if record.found.get(name) != found.get(name)]
    if not differing:
        return ""
    more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
    return f"{differing[0]}{more} differs from what the last run left"
