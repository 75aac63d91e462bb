# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the boxes behind an edge by the inventory, has the edge ask them, and says which of them serve which model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import edge as core
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import collection_variables, edge, unreached
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.host_templates import HostTemplates
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.plain import plain

MODULE = "gpuserve.fleet.gateway_boxes_info"
ARGUMENTS = (
    "boxes",
    "group",
    "placement",
    "quarantine",
    "certificates",
    "certificate_dir",
    "ca",
    "key",
    "timeout_s",
    "may_be_down",
)


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Read the inventory, ask from the edge, and put both together."""

    _requires_connection = True
    _supports_check_mode = True

    @unreached.is_failure
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the gateway of the edge is told."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._variables = task_vars or {}
        self._args = plain(self._task.args)
        try:
            unknown = sorted(set(self._args) - set(ARGUMENTS))
            if unknown:
                fail(unknown[0], "there is no such option.", f"Known are {', '.join(ARGUMENTS)}.")
            if "boxes" in self._args:
                return {**result, **self._asked(self._args)}
            return {**result, "reached": True, **self._found()}
        except AnsibleConnectionFailure as error:
            if not boolean(self._args.get("may_be_down", False)):
                raise
            return {
                **result,
                "changed": False,
                "reached": False,
                "why": unreached.reason(error),
                "models": [],
                "generating": [],
                "boxes": [],
                "notes": [],
            }
        except FleetError as error:
            return {**result, "failed": True, "msg": f"{error} Nothing was changed.", "field": error.where}

    def _found(self) -> dict[str, Any]:
        name = str(self._variables.get("inventory_hostname", ""))
        boxes = [box for box in self._boxes() if not box.quarantine]
        certificates, unknown = self._certificates(boxes)
        known = [box for box in boxes if box not in unknown]
        asked = {
            **{option: self._args[option] for option in ("key", "timeout_s") if option in self._args},
            "boxes": [{"name": box.name, **box.as_entry()} for box in known],
            "certificates": certificates,
        }
        result = self._asked(asked)
        if result.get("failed"):
            return result
        answers = {box: _answer(said) for box, said in result["answers"].items()}
        if not self._task.check_mode:
            core.check_answers(name, known, answers)
        models = core.models(known, answers)
        used = {endpoint for model in models for endpoint in model["endpoints"]}
        return {
            **result,
            "models": models,
            "generating": core.generating(answers),
            "boxes": [box.as_entry() for box in known if box.endpoint in used],
            "box_certificates": certificates,
            "notes": [*core.notes(name, known, answers), *(_unknown(box.name) for box in unknown if box.planned)],
        }

    def _boxes(self) -> list[core.Box]:
        hostvars = self._variables["hostvars"]
        groups: Mapping[str, list[str]] = self._variables.get("groups", {})
        declared = collection_variables.declared(self._loader)
        templates = HostTemplates(self._templar, hostvars, lambda: declared)
        raw = {host: dict(hostvars.raw_get(host)) for host in groups.get(str(self._args.get("group", "gpu_hosts")), ())}
        found = edge.Boxes(declared, templates.read, self._loader, self._args.get("quarantine") or {})
        return found.of(raw, self._args.get("placement") or {})

    def _certificates(self, boxes: list[core.Box]) -> tuple[str, list[core.Box]]:
        """Return what the boxes are trusted by, and those whose certificate nobody has brought here yet."""
        texts: list[str] = []
        unknown: list[core.Box] = []
        folder = Path(str(self._args.get("certificate_dir") or ""))
        for box in boxes:
            path = folder / f"{box.name}.crt"
            if box.tls == "self_signed" and path.is_file():
                texts.append(path.read_text(encoding="utf-8"))
            elif box.tls == "self_signed":
                unknown.append(box)
        ca = str(self._args.get("ca") or "")
        if ca and any(box.tls == "files" for box in boxes):
            try:
                texts.append(Path(ca).expanduser().read_text(encoding="utf-8"))
            except OSError as error:
                fail(
                    core.CA, f"{ca} can't be read ({error.strerror}).", "Name a file with the CA's certificate in PEM."
                )
        return "".join(text if text.endswith("\n") else f"{text}\n" for text in texts), unknown

    def _asked(self, args: dict[str, Any]) -> dict[str, Any]:
        return dict(self._execute_module(module_name=MODULE, module_args=args, task_vars=self._variables))


def _answer(said: Mapping[str, Any]) -> core.Answer:
    if said.get("error"):
        return core.Answer(error=str(said["error"]))
    return core.Answer(core.read_list(said["listed"]))


def _unknown(box: str) -> str:
    return f"{box} is in no route yet: this controller has not seen its certificate. Run site.yml -l {box} first."
