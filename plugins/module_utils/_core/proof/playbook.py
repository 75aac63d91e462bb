# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run of ansible-playbook, read from what it prints: how many tasks changed the host, and why it failed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any


def changed(lines: Sequence[str], host: str) -> int | None:
    """Return how many tasks changed a host, by the recap; None where it has none."""
    pattern = re.compile(rf"^{re.escape(host)}\s+:\s+ok=\d+\s+changed=(\d+)")
    found = [match.group(1) for line in lines if (match := pattern.match(line))]
    return int(found[-1]) if found else None


def failure(lines: Sequence[str]) -> dict[str, Any]:
    """Return what the first task that failed returned; empty where none failed."""
    for at, line in enumerate(lines):
        if line.startswith("fatal: ") and "{" in line:
            text = "\n".join([line[line.index("{") :], *lines[at + 1 :]])
            try:
                found = json.JSONDecoder().raw_decode(text)[0]
            except ValueError:
                return {"msg": line}
            return dict(found)
    return {}


def live(line: str, host: str) -> bool:
    """Tell whether a line is one that a module shows while it works, of this host."""
    return line.startswith(f"  {host}  ")
