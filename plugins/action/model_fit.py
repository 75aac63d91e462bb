# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans one model on one card on the controller, and what would fit in its place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import named_gpu
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.catalogue import CONFIGS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan import fit
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.connect import connect_to
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.kept import Kept
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.lookup import MAIN, Lookup, Wanted
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.quantized import WITHIN_S, checkpoints
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.reader import read_folder
from ansible_collections.gpuserve.fleet.plugins.modules.memory_plan import plan as plan_memory
from ansible_collections.gpuserve.fleet.plugins.modules.model_fit import ARGUMENT_SPEC


class Fit:
    """The answer for one model on one card."""

    def __init__(self, params: Mapping[str, Any], lookup: Lookup, others_lookup: Lookup | None = None) -> None:
        self.params = params
        self.lookup = lookup
        # What is asked for besides may take less time than the model itself.
        self.others_lookup = others_lookup or lookup
        self.gpu = named_gpu(params["gpu"], "gpu")

    def answer(self) -> dict[str, Any]:
        """Return what the module returns."""
        entry = self.entry(self.params["model"], self.params["revision"])
        verdict, rows = self.verdict(entry), fit.rows_of(entry, self.plan)
        fits = bool(rows)
        if not fits or rows[0].is_cut:
            rows += self.others(entry)
        facts = {"name": self.gpu.name, "usable_bytes": self.gpu.usable_bytes}
        text = fit.screen(entry.get("info") or {}, entry, facts, verdict if not fits else self.fitting(rows[0]), rows)
        return {"changed": False, "fits": fits, "text": text, "rows": [row.data() for row in rows]}

    def entry(self, model: str, revision: str) -> dict[str, Any]:
        """Return a model as an inventory would have it, with what was read of it."""
        info = (
            read_folder(model, "model") if model.startswith("/") else self.lookup.find(Wanted(model, revision, "model"))
        )
        return {"name": "model", "model": model, **({"info": dict(info)} if info else {})}

    def verdict(self, entry: Mapping[str, Any]) -> str:
        """Say why it does not fit under the largest preset."""
        planned = self.plan(entry, 1, "auto")
        reasons = " ".join(dict.fromkeys(planned["reasons"]))
        return f"does not fit: {reasons.removeprefix('model ')}" if reasons else "fits"

    @staticmethod
    def fitting(row: fit.Row) -> str:
        """Say under which preset it fits."""
        return f"fits with {next(iter(row.requests))}, {row.length:,} tokens a request"

    def others(self, entry: Mapping[str, Any]) -> list[fit.Row]:
        """Return what else fits: quantized checkpoints of the model, smaller ones of its family, more cards."""
        rows: list[fit.Row] = []
        for other in self.other_entries(str(entry["model"])):
            rows += fit.rows_of(other, self.plan)
            if len(rows) == fit.MOST_ROWS - 1:
                break
        for gpus in (2, 4):
            more = fit.rows_of(entry, self.plan, f"{gpus} x {self.gpu.name}", gpus)
            if more:
                return [*rows, *more]
        return rows

    def other_entries(self, model: str) -> Iterator[dict[str, Any]]:
        """Yield models that may fit in another's place."""
        named = {model}
        for info in checkpoints(self.others_lookup, model):
            named.add(info["id"])
            yield {"name": "model", "model": info["id"], "info": dict(info)}
        for other in fit.related(model, [*self.lookup.kept.ids(), *CONFIGS]):
            if other not in named:
                # What can't be read is no answer.
                with contextlib.suppress(FleetError):
                    yield self.entry(other, MAIN)

    def plan(self, entry: Mapping[str, Any], gpus: int, preset: str) -> Mapping[str, Any]:
        """Plan one model on so many cards of the kind."""
        return plan_memory(
            {
                "models": [dict(entry)],
                "gpus": [{"name": self.gpu.name, "index": index} for index in range(gpus)],
                "preset": preset,
                "engine_version": self.params["engine_version"],
                "device": "cuda",
                "image": "",
                "calibration": {},
                "proved": {},
            }
        )


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Answer here, whatever the task's host."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module's page says."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        checked = ArgumentSpecValidator(ARGUMENT_SPEC).validate(dict(self._task.args))
        if checked.error_messages:
            return {**result, "failed": True, "msg": f"{'; '.join(checked.error_messages)}. Nothing was changed."}
        params = checked.validated_parameters
        try:
            hub, kept = (params["endpoint"], params["token"]), Kept(params["dir"])
            lookups = Lookup(kept, connect_to(*hub)), Lookup(kept, connect_to(*hub, WITHIN_S))
            return {**result, **Fit(params, *lookups).answer()}
        except FleetError as error:
            return {**result, "failed": True, "msg": f"{error} Nothing was changed.", "field": error.where}
