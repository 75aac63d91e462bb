# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A box kept out of the new requests of the edge that this runs on: the file that says so, and what is still under way."""

from __future__ import annotations

import http.client
import time
from pathlib import Path

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import sockets
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import addresses, edge
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway import probe
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic

# The gateway looks at the folder twice a second.
SEEN_S = 1.2
POLL_S = 0.25


class Drain:
    """One box at one edge. Where the edge has its files and figures is what it was set up with."""

    def __init__(self, folder: str, endpoint: str) -> None:
        self.endpoint = endpoint
        settings = probe.settings(Path(folder)) or {}
        self.is_edge = bool(settings.get("boxes"))
        self.metrics = str(settings.get("metrics_address") or "")
        # A host without a gateway has no such folder.
        self.path = Path(str(settings.get("drain_dir") or "/nonexistent")) / sockets.drain_name(endpoint)

    def keep_out(self, check_mode: bool = False) -> bool:
        """Keep new requests away; tell whether nobody did before."""
        if not self.is_edge or self.path.exists():
            return False
        if not check_mode:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(self.path, edge.DRAINED, 0o644)
        return True

    @property
    def is_ours(self) -> bool:
        """Whether it is kept out, and by a run rather than by a person."""
        try:
            return self.path.read_text(encoding="utf-8") == edge.DRAINED
        except FileNotFoundError:
            return False

    def give_back(self, check_mode: bool = False) -> bool:
        """Let new requests come again where we kept them away; tell whether we did."""
        ours = self.is_ours
        if ours and not check_mode:
            self.path.unlink()
        return ours

    def wait(self, timeout_s: float) -> int:
        """Wait until nothing is under way at the box; return how much is when time is over."""
        time.sleep(SEEN_S)
        end = time.monotonic() + timeout_s
        while (left := edge.under_way(self._figures(), self.endpoint)) and time.monotonic() < end:
            time.sleep(POLL_S)
        return left

    def _figures(self) -> str:
        """Return the edge's figures; an edge that is down has nothing under way."""
        if not self.metrics:
            return ""
        where = addresses.endpoint(addresses.endpoint(self.metrics, "gateway_metrics_address").local, "")
        line = http.client.HTTPConnection(where.host, where.port, timeout=5)
        try:
            line.request("GET", "/metrics")
            return line.getresponse().read().decode(errors="replace")
        except (OSError, http.client.HTTPException):
            return ""
        finally:
            line.close()
