# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gateway that serves is told before its engines move between ports and sockets, so that it finds them on both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import compose

Entry = Mapping[str, Any]


def coming(serving: Sequence[Entry], transport: str, surge_offset: int) -> list[dict[str, Any]]:
    """Return where the same models will be met on a transport; each keeps its port."""
    found = ((str(entry["name"]), _port(entry)) for entry in serving)
    return [
        {"name": name, **compose.meeting_points(name, port, transport, surge_offset, moves=False)}
        for name, port in found
        if port
    ]


def ahead(serving: Sequence[Entry], next_: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return the models that serve, each told of where its engine is about to be met as well; empty where all is known.

    Engines that come to ports need those at which the gateway answers for them: such an address goes.
    """
    moves = {str(entry["name"]): entry for entry in next_}
    known = {name: _met(entry) for name, entry in ((str(entry["name"]), entry) for entry in serving)}
    if not any(set(_met(moves[name])) - set(known[name]) for name in known if name in moves):
        return []
    ports = {endpoint for entry in next_ for endpoint in _met(entry)}
    everybodys = {endpoint for endpoints in known.values() for endpoint in endpoints}
    return [_told(entry, moves.get(str(entry["name"]), {}), everybodys, ports) for entry in serving]


def _told(entry: Entry, move: Entry, everybodys: set[str], ports: set[str]) -> dict[str, Any]:
    # What is another model's still would answer for the wrong one.
    new = [endpoint for endpoint in _met(move) if endpoint not in everybodys]
    told = {**entry, "standby": [*(entry.get("standby") or []), *new]}
    if told.get("address") in ports:
        del told["address"]
    if "listener_uid" in move:
        told.setdefault("listener_uid", move["listener_uid"])
    return told


def _met(entry: Entry) -> list[str]:
    return [*(entry.get("endpoints") or []), *(entry.get("standby") or [])]


def _port(entry: Entry) -> int:
    """Return a model's port: its own address, or where its engine listens."""
    for place in (str(entry.get("address") or ""), *_met(entry)[:1]):
        port = place.rpartition(":")[2]
        if port.isdigit():
            return int(port)
    return 0
