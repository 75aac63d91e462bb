# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The persistence daemon: what its unit lacks so that the driver stays loaded while nobody uses a card."""

from __future__ import annotations

_OFF, _ON = "--no-persistence-mode", "--persistence-mode"
_TRUE = frozenset({"1", "yes", "true", "on"})


def drop_in(unit: str) -> str:
    """Write the drop-in that a distribution's unit needs; "" where the unit does by itself what it is for.

    Ubuntu's starts the daemon with its purpose turned off, stops it when nothing wants it, and can't be enabled.
    """
    values: dict[str, str] = {}
    for line in unit.splitlines():
        key, sep, value = line.partition("=")
        if sep and not line.lstrip().startswith(("#", ";")):
            values[key.strip()] = value.strip()
    parts = []
    if values.get("StopWhenUnneeded", "").lower() in _TRUE:
        parts.append("[Unit]\nStopWhenUnneeded=false\n")
    command = values.get("ExecStart", "").split()
    if _OFF in command:
        better = " ".join(_ON if word == _OFF else word for word in command)
        # The empty line takes the unit's own command away; a second one would be added to it.
        parts.append(f"[Service]\nExecStart=\nExecStart={better}\n")
    if command and "WantedBy" not in values:
        parts.append("[Install]\nWantedBy=multi-user.target\n")
    return "\n".join(parts)
