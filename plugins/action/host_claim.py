# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes this run on a host before it changes, and tells whose run has one that is held."""

from __future__ import annotations

import json
import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.claim import (
    Claim,
    refusal,
    refusal_of_newer,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import collection_variables, this_run, unreached
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.plain import plain

MODULE = "gpuserve.fleet.host_claim"
STATE_DIR = "/var/lib/gpuserve"
_KEPT = (
    "{host} was not reached, and keeps the note of this run until it boots: to another controller it looks as if the run went on "
    "(-e gpuserve_take_over=true)."
)


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Fill in who runs; where a run of this controller has the host and is no more, take it over."""

    _supports_check_mode = True

    @unreached.is_failure
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module returned, or the refusal."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._variables = task_vars or {}
        args = plain(self._task.args)
        ours = collection_variables.version()
        if args.get("state") == "checked":
            state_dir = str(args.get("state_dir", STATE_DIR))
            said = refusal_of_newer(_noted(this_run.VERSIONS), ours, f"{state_dir}/collection") or refusal(_held())
            return {**result, "changed": False} if said is None else {**result, **_failed(said)}
        claim = this_run.claim(self._variables, time.strftime("%Y-%m-%d %H:%M:%S %Z"))
        args = {**args, "claim": claim.data(), "version": ours}
        try:
            found = self._on_host(args)
        except AnsibleConnectionFailure:
            if args.get("state") != "released":
                raise
            # Whoever gives hosts back at the end of a run goes on to say how that ended.
            Display().system_warning(_KEPT.format(host=self._variables.get("inventory_hostname")))
            return {**result, "changed": False, "reached": False}
        holder = Claim.read(found.get("holder"))
        if found.get("taken") is False and holder is not None and this_run.is_gone(holder):
            found = self._on_host({**args, "over": holder.run})
            holder = Claim.read(found.get("holder"))
        if found.get("taken") is False and holder is not None:
            self._note(this_run.HELD_HOSTS, holder.data())
        if found.get("version"):
            self._note(this_run.VERSIONS, found["version"])
        return {**result, **found}

    def _on_host(self, args: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self._execute_module(module_name=MODULE, module_args=args, task_vars=self._variables)
        return found

    def _note(self, name: str, data: Any) -> None:
        with this_run.alone(name) as folder:
            atomic.write(folder / f"{self._variables['inventory_hostname']}.json", json.dumps(data))


def _noted(name: str) -> dict[str, Any]:
    """Return what was noted of each host."""
    with this_run.alone(name) as folder:
        return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


def _held() -> dict[str, Claim]:
    """Return the hosts that were refused to this run, and who has them."""
    found = {host: Claim.read(data) for host, data in _noted(this_run.HELD_HOSTS).items()}
    return {host: claim for host, claim in found.items() if claim is not None}


def _failed(error: FleetError) -> dict[str, Any]:
    return {"failed": True, "msg": f"{error} Nothing was changed.", "field": error.where}
