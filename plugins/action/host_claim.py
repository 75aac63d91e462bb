# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes this run on a host before it changes, and tells whose run has one that is held."""

from __future__ import annotations

import json
import time
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.claim import Claim, refusal
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import this_run
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.plain import plain

MODULE = "gpuserve.fleet.host_claim"


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Fill in who runs; where a run of this controller has the host and is no more, take it over."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module returned, or the refusal."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._variables = task_vars or {}
        args = plain(self._task.args)
        if args.get("state") == "checked":
            said = refusal(_held())
            return {**result, "changed": False} if said is None else {**result, **_failed(said)}
        claim = this_run.claim(self._variables, time.strftime("%Y-%m-%d %H:%M:%S %Z"))
        found = self._on_host({**args, "claim": claim.data()})
        holder = Claim.read(found.get("holder"))
        if found.get("taken") is False and holder is not None and this_run.is_gone(holder):
            found = self._on_host({**args, "claim": claim.data(), "over": holder.run})
            holder = Claim.read(found.get("holder"))
        if found.get("taken") is False and holder is not None:
            with this_run.alone(this_run.HELD_HOSTS) as folder:
                atomic.write(folder / f"{self._variables['inventory_hostname']}.json", json.dumps(holder.data()))
        return {**result, **found}

    def _on_host(self, args: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self._execute_module(module_name=MODULE, module_args=args, task_vars=self._variables)
        return found


def _held() -> dict[str, Claim]:
    """Return the hosts that were refused to this run, and who has them."""
    with this_run.alone(this_run.HELD_HOSTS) as folder:
        found = {path.stem: Claim.read(json.loads(path.read_text())) for path in folder.glob("*.json")}
    return {host: claim for host, claim in found.items() if claim is not None}


def _failed(error: FleetError) -> dict[str, Any]:
    return {"failed": True, "msg": f"{error} Nothing was changed.", "field": error.where}
