# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout as the controller keeps it: its order, its steps and its journal, which an interrupted one goes on from."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.gpuserve.fleet.plugins.filter.placed_models import placed_models
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet import rollout
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.ports import MODELS
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import fleet, private_files, this_run
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.plain import plain

# What a task before left of each host: whether it is and serves what it was brought to.
COMPARED = "_site_before"
ARGUMENTS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["planned", "narrowed", "started", "done", "failed", "read"], "required": True},
    "journal": {"type": "path", "required": True},
    "hosts": {"type": "list", "elements": "str", "default": []},
    "batches": {"type": "list", "elements": "int", "default": []},
    "step": {"type": "list", "elements": "str", "default": []},
    "placement": {"type": "dict", "default": {}},
    "members": {"type": "dict", "default": {}},
    "quarantine": {"type": "dict", "default": {}},
    "steps": {"type": "raw", "default": [1, "25%", "100%"]},
    "canary_label": {"type": "str", "default": "canary"},
    "resume": {"type": "bool", "default": False},
    "max_failed": {"type": "int", "default": 0},
    "asked": {"type": "dict", "default": {}},
    "is_rollout": {"type": "bool", "default": True},
    "reason": {"type": "str", "default": ""},
}


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Plan a rollout, note how each host fares, and say when it stops; nothing is asked of a host."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the state that is asked for returns."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._variables = task_vars or {}
        self._params = self.validate_argument_spec(argument_spec=ARGUMENTS)[1]
        self._path = Path(self._params["journal"])
        try:
            if self._params["state"] == "planned":
                return {**result, "changed": False, **self._plan()}
            if self._params["state"] == "narrowed":
                return {**result, "changed": False, **self._narrow()}
            return {**result, "changed": False, **self._note()}
        except FleetError as error:
            return {**result, "failed": True, "msg": f"{error} Nothing was changed.", "field": error.where}

    def _plan(self) -> dict[str, Any]:
        """Return the order and the steps, and begin the journal anew or go on with the one that is there."""
        steps = rollout.parse_steps(plain(self._params["steps"]))
        hostvars = self._variables["hostvars"]
        raw = {host: dict(hostvars.raw_get(host)) for host in self._params["hosts"]}
        hosts = [host for host in raw if self._serves(host, raw[host])]
        asked = {host: fleet.asked_of(host, raw[host], self._params["placement"]) for host in hosts}
        canaries = self._canaries(raw, hosts)
        with self._locked():
            before = self._journal()
            if self._params["resume"] and not before.is_unfinished:
                fail(rollout.RESUME, f"there is no unfinished rollout ({self._path}).", "Leave it out.")
            # A host alone is no rollout, and a dry run none either.
            is_rollout = (len(hosts) > 1 or self._params["resume"]) and not self._task.check_mode
            run = this_run.claim(self._variables, time.strftime("%Y-%m-%d %H:%M:%S %Z"))
            if is_rollout:
                rollout.check_alone(before, run, this_run.is_gone)
            found = rollout.plan(
                hosts,
                steps,
                canaries,
                before if self._params["resume"] else None,
                asked,
                list(self._params["members"].values()),
            )
            begun = rollout.begun(
                before, hosts, asked, is_resumed=self._params["resume"], is_limited=self._is_limited()
            )
            if is_rollout:
                self._keep(replace(begun, run=run))
        notes: list[str] = []
        if before.is_unfinished and not self._params["resume"] and set(before.hosts) & set(hosts):
            notes = [rollout.unfinished(before)]
        return {
            "hosts": list(found.hosts),
            "batches": list(found.batches) or [1],
            "skipped": list(found.skipped),
            "asked": asked,
            "is_rollout": is_rollout,
            "notes": notes,
        }

    def _narrow(self) -> dict[str, Any]:
        """Return order and steps without the hosts on which nothing is to be done; they have what they are asked for."""
        hostvars = self._variables["hostvars"]
        raw = {host: dict(hostvars.raw_get(host)) for host in self._params["hosts"]}
        compared = {host: plain(raw[host].get(COMPARED) or {}) for host in raw}
        kept = [host for host in raw if compared[host].get("as_before") is True]
        left = [host for host in raw if host not in kept]
        resumes, asked = self._params["resume"], self._params["asked"]
        with self._locked():
            journal = self._journal()
            found = rollout.plan(
                left,
                rollout.parse_steps(plain(self._params["steps"])),
                self._canaries(raw, left),
                journal if resumes else None,
                asked,
                list(self._params["members"].values()),
            )
            if kept and self._params["is_rollout"]:
                self._keep(journal.with_done(kept, asked))
        return {
            "hosts": list(found.hosts),
            "batches": list(found.batches) or [1],
            "skipped": list(found.skipped),
            "kept": kept,
            "notes": rollout.told(len(kept), {host: str(compared[host].get("why", "")) for host in left}),
        }

    def _canaries(self, raw: Mapping[str, Mapping[str, Any]], hosts: Iterable[str]) -> set[str]:
        label = self._params["canary_label"]
        return {host for host in hosts if label in fleet.labels_of(raw[host], self._templated)}

    def _note(self) -> dict[str, Any]:
        """Note how hosts fared, or none; return whether the rollout stops, and what is told then."""
        state, most, step = self._params["state"], self._params["max_failed"], self._params["step"]
        with self._locked():
            journal = self._journal()
            if state in ("started", "read"):
                steps = rollout.steps_of(self._params["hosts"], self._params["batches"], step[0] if step else "")
                journal = journal.after(steps, most)
            if state == "started" and not rollout.is_stopped(journal, most):
                journal = journal.with_started(step)
            if state == "done":
                journal = journal.with_done(step, self._params["asked"])
            if state == "failed":
                journal = journal.with_failed(str(self._variables["inventory_hostname"]), self._params["reason"])
            if state != "read":
                self._keep(journal)
        return {
            "stopped": rollout.is_stopped(journal, most),
            "failures": dict(journal.failed),
            "screen": rollout.end_screen(journal, most) if journal.failed else [],
        }

    def _serves(self, host: str, raw: Mapping[str, Any]) -> bool:
        """Tell whether a host takes part: one in quarantine, or without a model, is no canary."""
        if host in self._params["quarantine"]:
            return False
        templar = self._templar.copy_with_new_env(available_variables=dict(raw))
        placement = self._params["placement"]
        return not placement or bool(placed_models(plain(templar.template(raw.get(MODELS, []))), host, placement))

    def _is_limited(self) -> bool:
        return bool(self._variables.get("ansible_limit"))

    def _templated(self, value: Any) -> Any:
        return plain(self._templar.template(value))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep the other hosts of this run, and other runs, from changing the journal meanwhile."""
        if self._task.check_mode:
            yield
            return
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(private_files.locked(self._path))
            except OSError as error:
                fail(
                    "inventory_dir",
                    f"{error.filename} can't be written ({error.strerror}).",
                    "Keep the inventory where you may write.",
                )
            yield

    def _journal(self) -> rollout.Journal:
        try:
            kept: Mapping[str, Any] = json.loads(private_files.read(self._path) or "{}")
        except ValueError:
            kept = {}
        return rollout.Journal.read(kept)

    def _keep(self, journal: rollout.Journal) -> None:
        private_files.write(self._path, json.dumps(journal.data(), indent=1), folder_mode=None)
