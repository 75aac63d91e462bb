# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A proof as the controller goes through it: which steps are due, their playbooks, and what is told in the end."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.proof import page, playbook, steps, verdict
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.proof.steps import Before, During, Step
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import private_files, proof_run
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.plain import plain

ARGUMENTS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["read", "begun", "played", "kept", "told"], "required": True},
    "folder": {"type": "path", "required": True},
    "step": {"type": "str", "default": ""},
    "steps": {"type": "list", "elements": "str", "default": []},
    "began": {"type": "float", "default": 0.0},
    "for_s": {"type": "float", "default": 0.0},
    "models": {"type": "list", "elements": "dict", "default": []},
    "tags": {"type": "list", "elements": "str", "default": []},
    "outcome": {"type": "dict", "default": {}},
}
# What each playbook of a step is told besides the models, and under which name it leaves what it knows.
_RESULT = "result.json"

display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Go through the steps of a proof on the controller."""

    _requires_connection = False
    _supports_check_mode = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the state that is asked for returns."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        if result.get("skipped"):
            return result
        self._params = plain(self.validate_argument_spec(argument_spec=ARGUMENTS)[1])
        self._host = str((task_vars or {}).get("inventory_hostname", ""))
        self._folder = proof_run.Folder(Path(self._params["folder"]))
        try:
            return {**result, "changed": False, **getattr(self, f"_{self._params['state']}")()}
        except FleetError as error:
            return {**result, "failed": True, "msg": str(error), "field": error.where}

    def _read(self) -> dict[str, Any]:
        """Return the names of the steps that are due, and when this run began."""
        done = self._folder.outcomes()
        # One that failed is tried again.
        due = steps.due(self._params["steps"], [name for name, outcome in done.items() if not outcome.get("failed")])
        return {"due": [step.name for step in due], "is_begun": bool(done), "began": time.time()}

    def _begun(self) -> dict[str, Any]:
        """Return what a step does to the host, if it is its turn and there is time for it."""
        step = self._step()
        outcomes = self._folder.outcomes()
        lacking = steps.lacking(step, outcomes)
        left_s = self._params["for_s"] - (time.time() - self._params["began"])
        if self._params["for_s"] and not steps.begun_in([step], max(left_s, 0.001)):
            return {"is_due": False, "why": "there is no time left for it in this run"}
        if steps.is_too_early(step, self._params["steps"], outcomes):
            return {"is_due": False, "why": "steps before it are left for the next run"}
        if lacking:
            return {"is_due": False, "why": f"it needs the step {lacking}"}
        self._show(f"step {step.name}: {step.what}")
        self._folder.begin(step.name, time.time())
        return {
            "is_due": True,
            "before": "" if step.before is Before.NOTHING else step.before.value,
            "during": "" if step.during is During.NOTHING else step.during.value,
            "probes": [probe.value for probe in step.probes],
            "asks_gateway": steps.asks_gateway(step),
            "model": steps.model_of(step, outcomes),
            "answering": steps.with_weights(self._params["models"]),
        }

    def _played(self) -> dict[str, Any]:
        """Run the step's playbooks; fail where one fails that should not, or the other way round."""
        step = self._step()
        outcome: dict[str, Any] = {}
        for name in step.playbooks:
            outcome.update(self._play(step, name))
        return {"outcome": outcome}

    def _play(self, step: Step, name: str) -> dict[str, Any]:
        stem = name.removesuffix(".yml")
        result = self._folder.file(step.name, f"{stem}.{_RESULT}")
        result.unlink(missing_ok=True)
        variables = self._folder.file(step.name, f"{stem}.variables.json")
        # An entry may hold a secret in its env.
        private_files.write(variables, json.dumps(self._variables(step, stem, result)))
        tags = self._params["tags"] if name == "site.yml" else []
        arguments = ["--tags", ",".join(tags)] if tags else []
        argv = proof_run.command(context.CLIARGS, self._host, name, variables, arguments)
        code, lines, took_s = proof_run.play(argv, self._folder.file(step.name, f"{stem}.log"), self._host, self._live)
        failed, said = code != 0, playbook.failure(lines)
        if failed != (step.fails and name == "site.yml"):
            why = str(said.get("msg") or "\n".join(lines[-12:])) if failed else "it did not fail, and should have"
            fail(
                "",
                f"{name} of the step {step.name}: {why}",
                f"The whole of it is in {self._folder.file(step.name, stem)}.log.",
            )
        found: dict[str, Any] = {f"{stem}_s": took_s, "changed": playbook.changed(lines, self._host)}
        if failed:
            found["msg"] = said.get("msg")
        elif result.exists():
            found.update(self._what_came(step, stem, json.loads(result.read_text(encoding="utf-8"))))
        return found

    def _variables(self, step: Step, stem: str, result: Path) -> dict[str, Any]:
        models = steps.models_for(step, self._params["models"], self._folder.outcomes())
        told: dict[str, Any] = {"vllm_stack_models": models}
        if step.mode:
            told["vllm_stack_mode"] = step.mode
        if step.order:
            told["vllm_stack_order"] = step.order
        by_playbook: dict[str, dict[str, Any]] = {
            "plan": {"plan_ask_hosts": True, "plan_json": str(result), "plan_fail_on": "never"},
            "site": {
                "gpuserve_after_host": str(proof_run.PLAYBOOKS / "tasks" / "prove_result.yml"),
                "prove_result": str(result),
            },
            "benchmark": {
                "benchmark_profile": "guide",
                "benchmark_directly": False,
                "benchmark_together": False,
                "benchmark_json": str(result),
                "benchmark_fail_on": "never",
            },
            "diagnose": {"diagnose_json": str(result), "diagnose_fail_on": "never"},
        }
        return {**told, **by_playbook.get(stem, {})}

    def _what_came(self, step: Step, stem: str, result: Mapping[str, Any]) -> dict[str, Any]:
        """Return what of a playbook's own result belongs to the outcome."""
        match stem:
            case "plan":
                plan = result[self._host]
                return {"feasible": plan["feasible"], "plan": plan}
            case "benchmark":
                return {"record": result[self._host]}
            case "diagnose":
                findings = result[self._host]["findings"]
                return {"findings": findings, "named": steps.is_named(step, findings, self._folder.outcomes())}
            case _:
                return dict(result)

    def _kept(self) -> dict[str, Any]:
        """Write down what a step showed."""
        outcome = {
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "took_s": self._folder.took_s(self._params["step"], time.time()),
            **self._params["outcome"],
        }
        if outcome.get("failed"):
            self._show(f"step {self._params['step']} failed: {outcome['failed']}")
        self._folder.keep(self._params["step"], outcome)
        return {}

    def _told(self) -> dict[str, Any]:
        """Return the line, what is shown of it, and the page."""
        line = verdict.line(self._folder.outcomes())
        return {"line": line, "screen": page.screen(self._host, line), "page": page.page([line])}

    def _step(self) -> Step:
        return next(step for step in steps.STEPS if step.name == self._params["step"])

    def _show(self, text: str) -> None:
        display.display(f"  {self._host}  {text}")

    @staticmethod
    def _live(text: str) -> None:
        display.display(text)
