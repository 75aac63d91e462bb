# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Models looked up on the controller: all hosts of a run share what one of them found, and that the hub is away.

So a model is asked for once however many hosts serve it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.parsing.dataloader import DataLoader

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.connect import connect_to
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.kept import Kept
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.lookup import Lookup
from ansible_collections.gpuserve.fleet.plugins.modules.model_info import entries_of, run
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.this_run import MODEL_INFO, alone


def entries(models: Any, loader: DataLoader) -> list[dict[str, Any]]:
    """Return the entries of a list of models, each with its config_path as the controller finds it."""
    return [
        {**entry, "config_file": loader.path_dwim(entry["config_path"])}
        if isinstance(entry.get("config_path"), str)
        else dict(entry)
        for entry in entries_of(models)
    ]


def known(params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Look up what the controller can; one host at a time."""
    with alone(MODEL_INFO) as of_this_run:
        lookup = Lookup(
            Kept(params["dir"] or ""),
            connect_to(params["endpoint"], params["token"]),
            params["refresh"],
            params["need_weights"],
            of_this_run=Kept(str(of_this_run)),
        )
        return run(params, lookup, check_mode)
