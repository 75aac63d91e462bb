# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quantized checkpoints of a model, as the hub lists them: a few of each kind are read, within a time, and nothing is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.checkpoint import loadable
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.client import HubError
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.lookup import MAIN, Lookup, Wanted

# Each is a few requests; all together may take no longer than this.
MOST_READ = 5
WITHIN_S = 20.0


def checkpoints(lookup: Lookup, model: str) -> Iterator[Mapping[str, Any]]:
    """Yield what is known of each. A hub that is away, or does not know the model, has none: that is no failure."""
    try:
        ids = loadable(lookup.hub().search(quantized_from=model))
    except HubError:
        return
    for other in ids[:MOST_READ]:
        try:
            info = lookup.find(Wanted(other, MAIN, "model"))
        except FleetError:
            # What can't be read (gated, of a form that no engine loads) is no answer.
            continue
        if info is not None:
            yield info
