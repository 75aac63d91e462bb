# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The containers of a stack that run, as Docker lists them: of which model each is, and which ports it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# What labels of ours begin with.
LABEL = "fleet.gpuserve"
MODEL, PORT, DIGEST = f"{LABEL}.model", f"{LABEL}.port", f"{LABEL}.digest"


def running(containers: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return model, port, digest and every port of each, in the order of their models.

    A container on the host's network publishes nothing: its label says where it listens.
    """
    found = []
    for container in containers:
        labels = container.get("Labels") or {}
        port = str(labels.get(PORT) or "")
        published = {int(row["PublicPort"]) for row in container.get("Ports") or [] if row.get("PublicPort")}
        own = {int(port)} if port.isdecimal() else set()
        found.append(
            {
                "model": str(labels.get(MODEL) or ""),
                "port": int(port) if port.isdecimal() else 0,
                "digest": str(labels.get(DIGEST) or ""),
                "ports": sorted(published | own),
            }
        )
    return sorted(found, key=lambda one: (one["model"], one["port"]))
