#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: bringup
short_description: Start the engines of a stack, each gated before and proved after
version_added: 0.1.0
description:
  - Starts what is new, changed or not serving, and leaves alone what serves.
  - Before a start it holds the card's lock and waits until memory is free and still; after it, an engine is ready once C(/health) answers,
    C(/v1/models) names the model and one token was generated.
  - What left the stack is stopped and removed. Containers that are not of this stack are never touched.
author:
  - gpuserve.fleet contributors (@gpuserve)
requirements:
  - Python 3.10 or newer
  - docker, the Python package
  - nvidia-ml-py, for O(device=cuda)
options:
  services:
    description:
      - RV(gpuserve.fleet.compose_stack#module:services) of that module.
    type: list
    elements: dict
    required: true
  plan:
    description:
      - RV(gpuserve.fleet.memory_plan#module:plan) of that module.
    type: dict
    required: true
  project_name:
    description:
      - Name of the Compose project.
    type: str
    default: gpuserve
  project_dir:
    description:
      - Folder of the compose file.
    type: path
    required: true
  state_dir:
    description:
      - Folder where what was proved is remembered.
    type: path
    default: /var/lib/gpuserve
  lock_dir:
    description:
      - Folder of the cards' locks.
    type: path
    default: /run/lock/gpuserve
  device:
    description:
      - What the engines compute on; decides how memory is read.
    type: str
    choices: [cuda, cpu]
    default: cuda
  api_key:
    description:
      - Key that the engines ask for.
    type: str
    default: ""
  mode:
    description:
      - V(serial) starts one engine at a time on a card, V(parallel) all at once where the plan has exact KV bytes for each;
        V(auto) takes the second where it can.
    type: str
    choices: [auto, serial, parallel]
    default: auto
  max_parallel:
    description:
      - Engines that may start at the same time; 0 takes one for each two cores of the host.
    type: int
    default: 0
  order:
    description:
      - Order of the starts, by planned memory or as listed.
    type: str
    choices: [smallest_first, largest_first, listed]
    default: smallest_first
  min_headroom_bytes:
    description:
      - Bytes that stay free on each card after a start.
    type: int
    default: 536870912
  settle_s:
    description:
      - Seconds for which a card's free memory must not move before a start.
    type: float
    default: 2.0
  gate_timeout_s:
    description:
      - Seconds to wait for memory before a start is given up.
    type: float
    default: 120.0
  start_timeout_s:
    description:
      - Seconds from start to the first token.
    type: float
    default: 1800.0
  stall_timeout_s:
    description:
      - Seconds without a line in an engine's log.
    type: float
    default: 600.0
  lock_wait_s:
    description:
      - Seconds to wait for another run to finish.
    type: float
    default: 60.0
  stop_grace_s:
    description:
      - Seconds that an engine gets to end its requests.
    type: int
    default: 60
attributes:
  check_mode:
    description: Can run in check mode and return what it would without it.
    support: full
  diff_mode:
    description: Returns what changed.
    support: full
    details:
      - A line for each engine that would be started, replaced or stopped, and why.
"""

EXAMPLES = r"""
- name: Bring the stack up
  gpuserve.fleet.bringup:
    services: "{{ stack.services }}"
    plan: "{{ planned.plan }}"
    project_dir: /opt/gpuserve/stack
"""

RETURN = r"""
mode:
  description: How engines were started, V(serial) or V(parallel), and why.
  returned: always
  type: dict
  sample: {mode: serial, reason: "one core for each engine is not there"}
models:
  description: A model each.
  returned: always
  type: list
  elements: dict
  contains:
    name: {description: The model., type: str}
    action: {description: "V(kept), V(started), V(failed), V(stopped) or, in check mode, V(start).", type: str}
    reason: {description: Why., type: str}
    ready_s: {description: Seconds from start to the first token of the start that serves., type: float}
    timeline: {description: Seconds from the start to each phase., type: dict}
    planned_bytes: {description: What the plan said it would hold., type: int}
    measured_bytes: {description: "What it holds: NVML's figure for its processes, or their proportional set size on a CPU.", type: int}
    kv_cache_tokens: {description: Tokens of KV cache by the engine's log., type: int}
    max_concurrency: {description: Full-length requests by the engine's log., type: float}
    image: {description: The image that runs., type: str}
    port: {description: Its port on loopback., type: int}
report:
  description: What serves, and only what stays the same while nothing restarts, sorted by name.
  returned: success
  type: list
  elements: dict
failures:
  description: What failed, each with C(name), C(cause), C(remedy) and C(log), the last lines.
  returned: on failure
  type: list
  elements: dict
serving:
  description: The models that serve now.
  returned: always
  type: list
  elements: str
"""

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import compose, diagnosis, engine_log, rollout
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import CPU_UUID
from ansible_collections.gpuserve.fleet.plugins.module_utils._io import docker as docker_io
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.engine_http import Engine
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hostmem import meminfo, proportional_bytes
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.lock import CardLock, LockHeld
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.nvml import Nvml, NvmlError

POLL_S = 1.0
TOKEN_TIMEOUT_S = 60.0


class Bringup:
    """The edges around the state machine: look, advance, act, until all is settled."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.params = module, module.params
        self.planned = {model["name"]: model for gpu in self.params["plan"]["gpus"] for model in gpu["models"]}
        self.entries = {entry["name"]: entry for entry in self.params["services"]}
        self.services = [
            rollout.Service(
                name=name,
                digest=entry["digest"],
                port=int(entry["port"]),
                gpus=tuple(self.planned[name]["gpu_uuids"]),
                need_bytes=int(self.planned[name]["total_bytes"]),
                exact_kv=bool(self.planned[name]["exact_kv"]),
            )
            for name, entry in self.entries.items()
        ]
        self.engines = {s.name: Engine(s.port, s.name, self.params["api_key"]) for s in self.services}
        self.mode, self.mode_reason = self.choose_mode()
        self.compose_file = str(Path(self.params["project_dir"], "compose.yml"))
        self.state_file = Path(self.params["state_dir"], "state.json")
        self.docker = self.open_docker()

    def open_docker(self) -> docker_io.Docker | None:
        try:
            return docker_io.Docker()
        except docker_io.DockerError as error:
            if self.module.check_mode:
                return None  # a bare box in a dry run: everything would be new
            self.module.fail_json(msg=f"{error} Run the docker_engine role. Nothing was changed.")

    def choose_mode(self) -> tuple[str, str]:
        asked, inexact = self.params["mode"], [s.name for s in self.services if not s.exact_kv]
        if asked == "serial":
            return "serial", "vllm_stack_mode says so"
        if inexact:
            return "serial", f"{', '.join(inexact)} sizes its own cache, which others must not disturb"
        if asked == "parallel":
            return "parallel", "vllm_stack_mode says so"
        if self.parallel_bound() < 2:
            return "serial", "the host has too few cores for two starts at once"
        return "parallel", "every engine has exact KV bytes"

    def parallel_bound(self) -> int:
        return self.params["max_parallel"] or max(1, (os.cpu_count() or 1) // 2)

    def limits(self) -> rollout.Limits:
        parallel = max(2, self.parallel_bound()) if self.mode == "parallel" else 1
        names = ("settle_s", "gate_timeout_s", "start_timeout_s", "stall_timeout_s", "min_headroom_bytes")
        return rollout.Limits(parallel=parallel, **{name: self.params[name] for name in names})

    # Looking

    def look(self, state: rollout.State | None) -> rollout.Observation:
        seen = {service.name: self.look_at(service, state) for service in self.services}
        return rollout.Observation(seen, self.free_bytes())

    def look_at(self, service: rollout.Service, state: rollout.State | None) -> rollout.Seen:
        entry = self.entries[service.name]
        image = bool(self.docker and self.docker.has_image(entry["image"])) if state is None else True
        found = self.docker.inspect(entry["container"]) if self.docker else None
        if found is None:
            return rollout.Seen(port_taken=state is None and self.port_taken(service.port), image_present=image)
        labels = found["Config"]["Labels"] or {}
        if labels.get(f"{compose.LABEL}.stack") != self.params["project_name"]:
            return rollout.Seen(container="running", foreign=True)
        status = found["State"]["Status"]
        starting = state is not None and state.tracks[service.name].step == rollout.STARTING
        facts, size = engine_log.LogFacts(), 0
        if starting and self.docker:
            lines = self.docker.log(entry["container"], 400)
            facts, size = engine_log.read(lines), hash(tuple(lines[-3:]))
        health = None
        if status == "running" and (starting or state is None):
            health = self.engines[service.name].health()
        serves, refusal = self.serves(service.name) if health == 200 else (False, "")
        return rollout.Seen(
            container=status if status in ("running", "restarting", "created") else "exited",
            digest=labels.get(f"{compose.LABEL}.digest", ""),
            exit_code=found["State"].get("ExitCode"),
            healthy=health == 200,
            dead=health is not None and health >= 500,
            serves=serves,
            refusal=refusal,
            phase=facts.phase,
            progress=size,
            port_taken=status != "running" and state is None and self.port_taken(service.port),
            image_present=image,
        )

    def serves(self, name: str) -> tuple[bool, str]:
        engine = self.engines[name]
        if not engine.names_model():
            return False, ""
        if not self.planned[name]["kv_cache_bytes"]:
            return engine.embeds(TOKEN_TIMEOUT_S)
        return engine.generates(TOKEN_TIMEOUT_S)

    def free_bytes(self) -> dict[str, int]:
        if self.params["device"] == "cpu":
            return {CPU_UUID: meminfo()["MemAvailable"]}
        try:
            with Nvml() as nvml:
                return {uuid: nvml.free_bytes(uuid) for uuid in self.cards()}
        except NvmlError:
            return {}  # the gate says that memory can't be read

    def cards(self) -> list[str]:
        return sorted({uuid for service in self.services for uuid in service.gpus})

    def measured_bytes(self, name: str) -> int | None:
        pids = self.docker.pids(self.entries[name]["container"]) if self.docker else []
        if self.params["device"] == "cpu":
            return proportional_bytes(pids)
        try:
            with Nvml() as nvml:
                used = [nvml.process_bytes(uuid) for uuid in self.planned[name]["gpu_uuids"]]
        except NvmlError:
            return None
        return sum(size for card in used for pid, size in card.items() if pid in pids)

    @staticmethod
    def port_taken(port: int) -> bool:
        wanted = f":{port:04X} "
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            with contextlib.suppress(OSError):
                for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                    if wanted in line[:60] and line.split()[3] == "0A" and line.split()[1].endswith(wanted.strip()):
                        return True
        return False

    # Acting

    def act(self, action: rollout.Action) -> None:
        container = self.entries[action.name]["container"]
        if self.docker is None:
            return
        if action.kind == "stop":
            self.docker.stop(container, self.params["stop_grace_s"])
        elif action.kind == "start":
            docker_io.compose(
                self.params["project_name"],
                self.compose_file,
                ["up", "--detach", "--no-deps", "--pull", "never", action.name],
            )
        elif self.planned[action.name]["exact_kv"]:
            # Safe to be started by Docker in any order after a reboot, since its cache depends on nobody.
            self.docker.set_restart_policy(container, "unless-stopped")

    def leftovers(self) -> list[str]:
        if self.docker is None:
            return []
        ours = self.docker.labelled(f"{compose.LABEL}.stack={self.params['project_name']}")
        kept = {entry["container"] for entry in self.entries.values()}
        return sorted(name for name in ours if name not in kept)

    def run(self) -> dict[str, Any]:
        limits = self.limits()
        first = self.look(None)
        state = rollout.begin(self.services, self.params["order"], time.monotonic())
        leftovers = self.leftovers()
        if self.module.check_mode:
            return self.forecast(first, leftovers)
        if (
            all(isinstance(rollout.decide(s, first.services[s.name]), rollout.Track) for s in self.services)
            and not leftovers
        ):
            state, _actions = rollout.advance(state, first, time.monotonic(), limits)
            return self.result(state, [])
        with contextlib.ExitStack() as held:
            for uuid in self.cards():
                held.enter_context(CardLock(self.params["lock_dir"], uuid, self.params["lock_wait_s"]))
            for name in leftovers:
                if self.docker:
                    self.docker.stop(name, self.params["stop_grace_s"])
                    self.docker.remove(name)
            observation = self.look(None)
            while True:
                state, actions = rollout.advance(state, observation, time.monotonic(), limits)
                for action in actions:
                    self.act(action)
                if state.done:
                    return self.result(state, leftovers)
                time.sleep(POLL_S)
                observation = self.look(state)

    # Telling

    def forecast(self, first: rollout.Observation, leftovers: list[str]) -> dict[str, Any]:
        models, lines = [], [f"- {name}: stopped and removed, it left the inventory" for name in leftovers]
        for service in self.services:
            decision = rollout.decide(service, first.services[service.name])
            # In a dry run on a bare box nothing is pulled yet.
            absent = isinstance(decision, rollout.Track) and "image is not on the host" in decision.reason
            if absent or not isinstance(decision, rollout.Track):
                reason = "it is new" if absent else str(decision)
                models.append({"name": service.name, "action": "start", "reason": reason})
                lines.append(f"+ {service.name}: started, {reason}")
            else:
                models.append({"name": service.name, "action": decision.step, "reason": decision.reason})
        changed = bool(lines)
        return {
            "changed": changed,
            "models": models,
            "mode": {"mode": self.mode, "reason": self.mode_reason},
            "serving": [model["name"] for model in models if model["action"] == rollout.KEPT],
            "diff": {"before": "", "after": "\n".join(lines) + "\n" if lines else ""},
        }

    def result(self, state: rollout.State, leftovers: list[str]) -> dict[str, Any]:
        remembered = self.remembered()
        models, failures = [], []
        for name in state.order:
            track, entry, plan = state.tracks[name], self.entries[name], self.planned[name]
            model: dict[str, Any] = {
                "name": name,
                "action": {"ready": "started"}.get(track.step, track.step),
                "reason": track.reason,
                "port": entry["port"],
                "image": entry["image"],
                "planned_bytes": plan["total_bytes"],
            }
            if track.step == rollout.READY:
                lines = self.docker.log(entry["container"]) if self.docker else []
                facts = engine_log.read(lines)
                model["ready_s"] = round((track.ended or 0) - (track.started or 0), 1)
                model["timeline"] = {phase: round(at, 1) for phase, at in track.phases}
                model["kv_cache_tokens"], model["max_concurrency"] = facts.kv_cache_tokens, facts.max_concurrency
                model["measured_bytes"] = self.measured_bytes(name)
                remembered[name] = {"digest": entry["digest"], **model}
            elif track.step == rollout.KEPT:
                known = remembered.get(name, {})
                for key in ("ready_s", "timeline", "kv_cache_tokens", "max_concurrency", "measured_bytes"):
                    model[key] = known.get(key)
            else:
                failures.append(self.failure(name, track))
            models.append(model)
        models += [{"name": name, "action": "stopped", "reason": "it left the inventory"} for name in leftovers]
        changed = any(model["action"] in ("started", "failed", "stopped") for model in models)
        if changed:
            self.remember({name: value for name, value in remembered.items() if name in self.entries})
        return {
            "changed": changed,
            "models": models,
            "mode": {"mode": self.mode, "reason": self.mode_reason},
            "serving": [name for name in state.order if state.tracks[name].step in (rollout.READY, rollout.KEPT)],
            "failures": failures,
            "report": self.report(models),
        }

    @staticmethod
    def report(models: list[dict[str, Any]]) -> list[dict[str, Any]]:
        keys = ("name", "ready_s", "planned_bytes", "measured_bytes", "kv_cache_tokens", "max_concurrency", "image")
        return [
            {"endpoint": f"http://127.0.0.1:{model['port']}/v1", **{key: model.get(key) for key in keys}}
            for model in sorted(models, key=lambda model: str(model["name"]))
            if "port" in model
        ]

    def failure(self, name: str, track: rollout.Track) -> dict[str, Any]:
        """The first true cause, and the engine stopped so that it disturbs nobody; its log stays."""
        container = self.entries[name]["container"]
        if track.started is None or self.docker is None:
            return {"name": name, "cause": track.reason, "remedy": "", "log": []}
        found = self.docker.inspect(container)
        lines = self.docker.log(container)
        code = found["State"].get("ExitCode") if found and found["State"]["Status"] != "running" else None
        cause = diagnosis.diagnose(lines, code)
        self.docker.stop(container, 10)
        text = f"{track.reason} " if track.reason else ""
        if cause.id == "unknown" and text:
            return {"name": name, "cause": track.reason, "remedy": cause.remedy, "log": lines[-20:], "id": "timeout"}
        return {
            "name": name,
            "cause": f"{text}{cause.text}",
            "remedy": cause.remedy,
            "log": lines[-20:],
            "id": cause.id,
        }

    def remembered(self) -> dict[str, Any]:
        try:
            found = json.loads(self.state_file.read_text(encoding="utf-8")).get("models")
        except (OSError, ValueError):
            return {}
        return dict(found) if isinstance(found, dict) else {}

    def remember(self, models: dict[str, Any]) -> None:
        self.state_file.parent.mkdir(parents=True, exist_ok=True)
        draft = self.state_file.with_suffix(".draft")
        draft.write_text(json.dumps({"models": models}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        draft.replace(self.state_file)


def main() -> NoReturn:
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "dict", "required": True},
            "plan": {"type": "dict", "required": True},
            "project_name": {"type": "str", "default": "gpuserve"},
            "project_dir": {"type": "path", "required": True},
            "state_dir": {"type": "path", "default": "/var/lib/gpuserve"},
            "lock_dir": {"type": "path", "default": "/run/lock/gpuserve"},
            "device": {"type": "str", "choices": ["cuda", "cpu"], "default": "cuda"},
            "api_key": {"type": "str", "default": "", "no_log": True},
            "mode": {"type": "str", "choices": ["auto", "serial", "parallel"], "default": "auto"},
            "max_parallel": {"type": "int", "default": 0},
            "order": {
                "type": "str",
                "choices": ["smallest_first", "largest_first", "listed"],
                "default": "smallest_first",
            },
            "min_headroom_bytes": {"type": "int", "default": 536870912},
            "settle_s": {"type": "float", "default": 2.0},
            "gate_timeout_s": {"type": "float", "default": 120.0},
            "start_timeout_s": {"type": "float", "default": 1800.0},
            "stall_timeout_s": {"type": "float", "default": 600.0},
            "lock_wait_s": {"type": "float", "default": 60.0},
            "stop_grace_s": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    bringup = Bringup(module)
    try:
        result = bringup.run()
    except LockHeld as error:
        module.fail_json(msg=f"Another run holds a card: {error}. Wait for it, or end it. Nothing was changed.")
    except docker_io.DockerError as error:
        module.fail_json(msg=f"{error} What served before still does, if it was not to be replaced.")
    if result.get("failures"):
        serving = ", ".join(result["serving"]) or "no model"
        texts = [
            f"{f['name']} did not start: {f['cause'].rstrip('.')}. {f['remedy']}".strip() for f in result["failures"]
        ]
        module.fail_json(msg=f"{' '.join(texts)} Serving now: {serving}.", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
