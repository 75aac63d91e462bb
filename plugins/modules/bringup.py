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
    C(/v1/models) names the model, one token was generated and NVML shows what was planned.
  - An engine that is replaced ends its requests first. Where old and new fit together, a stand-in of the new one proves itself and serves
    before the old one is touched.
  - A set that served whole is remembered as proved. If a later one fails, the proved one comes back and is proved again.
  - What left the stack is stopped and removed. Containers that are not of this stack are never touched.
  - Its action plugin shows what happens while it happens.
author:
  - gpuserve.fleet contributors (@gpuserve)
requirements:
  - Python 3.10 or newer
  - docker, the Python package
  - nvidia-ml-py, for O(device=cuda)
options:
  services:
    description:
      - RV(gpuserve.fleet.compose_stack#module:services) of that module. Not needed with O(rollback).
    type: list
    elements: dict
    default: []
  plan:
    description:
      - RV(gpuserve.fleet.memory_plan#module:plan) of that module. Not needed with O(rollback).
    type: dict
    default: {}
  endpoints:
    description:
      - RV(gpuserve.fleet.compose_stack#module:endpoints) of that module, kept with the set for whoever puts a door in front of it.
    type: list
    elements: dict
    default: []
  rollback:
    description:
      - Go back to the last set that served whole, in place of O(services) and O(plan). Where that one serves already, to the one before it.
    type: bool
    default: false
  project_name:
    description:
      - Name of the Compose project.
    type: str
    default: gpuserve
  project_dir:
    description:
      - Folder of the compose file, and of the sets that proved themselves.
    type: path
    required: true
  state_dir:
    description:
      - Folder where measurements, logs of failed starts and times of earlier ones are kept.
    type: path
    default: /var/lib/gpuserve
  lock_dir:
    description:
      - Folder of the cards' locks.
    type: path
    default: /run/lock/gpuserve
  drain_dir:
    description:
      - Folder through which a gateway on this host is told which endpoints get nothing new. Where it is not there, there is no gateway.
    type: path
    default: /run/gpuserve/draining
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
        V(auto) takes the second where it can, and falls back to the first once when memory runs out.
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
  surge_offset:
    description:
      - A stand-in listens this many ports above its model's port; 0 never starts one.
    type: int
    default: 0
  min_headroom_bytes:
    description:
      - Bytes that stay free on each card.
    type: int
    default: 536870912
  tolerance_bytes:
    description:
      - Bytes that an engine may hold above its plan, by NVML.
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
    default: 7200.0
  stall_timeout_s:
    description:
      - Seconds without a line in an engine's log and without a byte read or received.
    type: float
    default: 600.0
  phase_limits_s:
    description:
      - Seconds that a start may stay in a phase, by phase (C(created), C(loading), C(loaded), C(profiled), C(cache), C(graphs),
        C(initialized), C(listening)), in place of those that the collection knows.
    type: dict
    default: {}
  token_timeout_s:
    description:
      - Seconds to wait for the one token that proves an engine.
    type: float
    default: 60.0
  drain_s:
    description:
      - Seconds that an engine gets to end its requests before it is replaced.
    type: float
    default: 60.0
  lock_wait_s:
    description:
      - Seconds to wait for another run to finish.
    type: float
    default: 900.0
  docker_wait_s:
    description:
      - Seconds to wait for a Docker Engine that went away in the middle.
    type: float
    default: 60.0
  stop_grace_s:
    description:
      - Seconds between asking an engine to end and ending it.
    type: int
    default: 30
  look_only:
    description:
      - Return RV(work) and touch nothing if there is anything to do; the result, if not.
      - The action plugin asks so before it starts the work in the background.
    type: bool
    default: false
  progress_file:
    description:
      - Where to write a line for each change, for the action plugin to show.
    type: path
attributes:
  check_mode:
    description: Can run in check mode and return what it would without it.
    support: full
  diff_mode:
    description: Returns what changed.
    support: full
    details:
      - A line for each engine that would be started, replaced or stopped, why, and whether it fits.
"""

EXAMPLES = r"""
- name: Bring the stack up
  gpuserve.fleet.bringup:
    services: "{{ stack.services }}"
    plan: "{{ planned.plan }}"
    project_dir: /opt/gpuserve/stack

- name: Go back to the set that served before
  gpuserve.fleet.bringup:
    rollback: true
    project_dir: /opt/gpuserve/stack
"""

RETURN = r"""
work:
  description: Whether there is anything to do.
  returned: with O(look_only)
  type: bool
leftovers:
  description: What would be stopped and removed, since it left the stack.
  returned: with O(look_only)
  type: list
  elements: str
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
    timeline: {description: "Seconds from the container's start to the first line of each phase of its log, and to C(ready).", type: dict}
    planned_bytes: {description: What the plan says that it holds., type: int}
    measured_bytes: {description: What it held when it was ready (NVML; on a CPU its share of the host's memory)., type: int}
    kv_cache_tokens: {description: Tokens in its KV cache by its own log., type: int}
    max_concurrency: {description: Full-length requests at once by its own log., type: float}
    image: {description: The image as asked for., type: str}
    image_id: {description: The image that ran., type: str}
serving:
  description: The models that serve now.
  returned: always
  type: list
  elements: str
failures:
  description: >-
    What did not start, with C(cause), C(remedy), C(after_s) (seconds from its start), C(noticed_s) (seconds since its container ended; null
    where it still ran), C(log) (the last lines) and C(log_file).
  returned: when something did not start
  type: list
  elements: dict
restored:
  description: The models of the proved set that serve again after a failure; empty where there was none to come back to.
  returned: when something did not start
  type: list
  elements: str
endpoints:
  description: What was handed over as O(endpoints), of the set that serves.
  returned: always
  type: list
  elements: dict
report:
  description: RV(models) with what a person asks for, and where each model answers.
  returned: always
  type: list
  elements: dict
"""

import contextlib
import json
import os
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import (
    calibration,
    compose,
    diagnosis,
    engine_log,
    rollout,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.progress import Narrator
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB, gib
from ansible_collections.gpuserve.fleet.plugins.module_utils._io import docker as docker_io
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.lock import CardLock, LockHeld
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.sets import BEFORE, PROVED, Sets
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.watch import Watch, Watched, cores, listens

POLL_S = 1.0
ENGINE_PORT = compose.ENGINE_PORT


@dataclass(frozen=True)
class Target:
    """A set of services as it should be, with the plan that it was made from."""

    entries: dict[str, dict[str, Any]]
    planned: dict[str, dict[str, Any]]
    plan: dict[str, Any]
    endpoints: list[dict[str, Any]]
    services: tuple[rollout.Service, ...]
    watched: tuple[Watched, ...]

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Target:
        """From a kept set, or from what the modules before this one returned."""
        services, plan = kept["services"], kept["plan"]
        entries = {entry["name"]: entry for entry in services}
        planned = {model["name"]: model for gpu in plan["gpus"] for model in gpu["models"] if model["name"] in entries}
        return cls(
            entries,
            planned,
            plan,
            kept.get("endpoints") or [],
            tuple(
                rollout.Service(
                    name=name,
                    digest=entry["digest"],
                    port=int(entry["port"]),
                    gpus=tuple(planned[name]["gpu_uuids"]),
                    need_bytes=int(planned[name]["total_bytes"]),
                    exact_kv=bool(planned[name]["exact_kv"]),
                )
                for name, entry in entries.items()
            ),
            tuple(
                Watched(
                    name=name,
                    container=entry["container"],
                    image=entry["image"],
                    port=int(entry["port"]),
                    gpus=tuple(planned[name]["gpu_uuids"]),
                    planned_bytes=int(planned[name]["total_bytes"]),
                    generates=bool(planned[name]["kv_cache_bytes"]),
                )
                for name, entry in entries.items()
            ),
        )

    @property
    def digests(self) -> dict[str, str]:
        return {service.name: service.digest for service in self.services}

    @property
    def cards(self) -> list[str]:
        return sorted({uuid for service in self.services for uuid in service.gpus})


class Bringup:
    """The edges around the state machine: look, advance, act, until all is settled or the set before is back."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.params = module, module.params
        self.sets = Sets(self.params["project_dir"])
        self.state_dir = Path(self.params["state_dir"])
        self.target = self.rollback_target() if self.params["rollback"] else self.given_target()
        self.mode, self.mode_reason = self.choose_mode(self.target)
        self.docker = self.open_docker()
        self.watch = Watch(
            self.docker,
            self.params["project_name"],
            self.params["device"],
            self.params["api_key"],
            self.params["token_timeout_s"],
        )
        self.remembered = self.read_state()
        self.narrator = Narrator(
            time.monotonic(),
            {name: known["ready_s"] for name, known in self.remembered.items() if known.get("ready_s")},
        )
        self.failures: dict[str, dict[str, Any]] = {}
        self.strangers: dict[int, tuple[str, str, int]] = {}

    # What is to be

    def given_target(self) -> Target:
        if not self.params["plan"].get("gpus") and self.params["services"]:
            self.module.fail_json(msg="plan: hand over what memory_plan returned. Nothing was changed.")
        given = {name: self.params[name] for name in ("services", "endpoints")}
        return Target.of({**given, "plan": self.params["plan"] or {"gpus": []}})

    def rollback_target(self) -> Target:
        proved, before = self.sets.read(PROVED), self.sets.read(BEFORE)
        self.rollback_set = PROVED
        if proved is not None and self.sets.is_rendered(PROVED):
            proved, self.rollback_set = before, BEFORE
        if proved is None:
            self.module.fail_json(
                msg="There is no earlier set that served whole to go back to: change the inventory and run site.yml. "
                "Nothing was changed."
            )
        return Target.of(proved)

    def open_docker(self) -> docker_io.Docker | None:
        try:
            return docker_io.Docker()
        except docker_io.DockerError as error:
            if self.module.check_mode:
                return None  # a bare box in a dry run: everything would be new
            self.module.fail_json(msg=f"{error} Run the docker_engine role. Nothing was changed.")

    def choose_mode(self, target: Target) -> tuple[str, str]:
        asked, inexact = self.params["mode"], [s.name for s in target.services if not s.exact_kv]
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
        return self.params["max_parallel"] or max(1, cores() // 2)

    def limits(self, mode: str) -> rollout.Limits:
        names = (
            "settle_s",
            "gate_timeout_s",
            "start_timeout_s",
            "stall_timeout_s",
            "drain_s",
            "min_headroom_bytes",
        )
        return rollout.Limits(
            parallel=max(2, self.parallel_bound()) if mode == "parallel" else 1,
            phase_limits_s={
                **rollout.PHASE_LIMITS_S,
                **{name: float(limit) for name, limit in self.params["phase_limits_s"].items()},
            },
            # The host's own memory is shared with its page cache and everybody else: only a card's is held to its plan.
            tolerance_bytes=self.params["tolerance_bytes"] if self.params["device"] == "cuda" else None,
            # A gateway looks at its engines every two seconds, and counts one out after two looks.
            switch_s=5.0 if Path(self.params["drain_dir"]).is_dir() else 0.0,
            **{name: self.params[name] for name in names},
        )

    # The way

    def run(self) -> dict[str, Any]:
        target = self.target
        first = self.watch.observe(target.watched, None, self.beside)
        decisions = {
            service.name: rollout.decide(service, first.services[service.name], 0.0, self.limits(self.mode))
            for service in target.services
        }
        leftovers = self.leftovers(target)
        if self.module.check_mode:
            return self.forecast(target, first, decisions, leftovers)
        settled = all(
            isinstance(decision, rollout.Track) and decision.step in rollout.SETTLED for decision in decisions.values()
        )
        if settled and not leftovers:
            state = rollout.begin(target.services, self.params["order"], 0.0)
            state, _actions = rollout.advance(state, first, 0.0, self.limits(self.mode))
            for name in state.failed:
                self.fail(target, name, state.tracks[name])
            return self.result(target, state, first, [])
        if self.params["look_only"]:
            names = [compose.model_of(name) for name in leftovers]
            return {
                "work": True,
                "leftovers": names,
                **self.forecast(target, first, decisions, leftovers),
                "changed": False,
            }
        with contextlib.ExitStack() as held:
            for uuid in target.cards or ["none"]:
                held.enter_context(
                    CardLock(self.params["lock_dir"], uuid, self.params["lock_wait_s"], lambda text: self.tell([text]))
                )
            interrupted = self.journal(target)
            try:
                return self.work(target, interrupted)
            finally:
                self.undrain(target)

    def work(self, target: Target, interrupted: bool) -> dict[str, Any]:
        """Under the locks: bring the set up; if it fails and another had proved itself, bring that one back."""
        if interrupted:
            self.tell(
                [self.narrator.line(time.monotonic(), "an earlier run was interrupted: going on from what it left")]
            )
        if self.params["rollback"]:
            self.sets.put_back(self.rollback_set)
        self.strangers = self.watch.strangers(target.cards, self.containers(target))
        proved = self.sets.read(PROVED)
        fallback = proved is not None and Target.of(proved).digests != target.digests
        leftovers = self.leftovers(target)
        state, seen = self.drive(target, self.mode, leftovers, stop_at_failure=fallback)
        restored: list[str] = []
        if state.failed and fallback and proved is not None:
            restored = self.restore(target, Target.of(proved))
        result = self.result(target, state, seen, leftovers)
        self.journal_file.unlink(missing_ok=True)
        if state.failed:
            result["restored"] = restored
            if fallback:
                result["serving"] = restored
        return result

    def restore(self, failed: Target, proved: Target) -> list[str]:
        """Bring the set back that had proved itself; the names that serve again."""
        self.tell([self.narrator.line(time.monotonic(), "the set before comes back")])
        shutil.copy2(self.sets.compose_file(), self.sets.folder / "compose.failed.yml")
        self.sets.put_back(PROVED)
        self.write_journal(proved, "restoring")
        self.undrain(failed)
        if self.docker:
            for one in failed.watched:
                self.docker.remove(self.beside(one).container)
        mode, _reason = self.choose_mode(proved)
        state, _seen = self.drive(proved, mode, self.leftovers(proved), stop_at_failure=False, surge=False)
        return [name for name in state.order if state.tracks[name].step in (rollout.READY, rollout.KEPT)]

    def drive(
        self, target: Target, mode: str, leftovers: list[str], stop_at_failure: bool, surge: bool = True
    ) -> tuple[rollout.State, rollout.Observation]:
        """Look, advance, act, until all is settled."""
        limits = self.limits(mode)
        if surge:
            target = replace(target, services=tuple(self.with_surge(target, one) for one in target.services))
        state = rollout.begin(target.services, self.params["order"], time.monotonic())
        seen = self.watch.observe(target.watched, None, self.beside)
        if leftovers and not self.fits_with(target, seen, limits):
            self.remove(leftovers)
        while True:
            state, actions = rollout.advance(state, seen, time.monotonic(), limits)
            self.tell(self.narrator.lines(state, seen, time.monotonic()))
            for name in state.failed:
                if name not in self.failures:
                    self.fail(target, name, state.tracks[name])
            for action in actions:
                self.act(target, action)
            if state.done or (state.failed and stop_at_failure):
                break
            time.sleep(POLL_S)
            try:
                seen = self.watch.observe(target.watched, state, self.beside)
            except docker_io.DockerError:
                self.tell([self.narrator.line(time.monotonic(), "Docker does not answer; waiting for it")])
                self.watch.wait_for_docker(self.params["docker_wait_s"])
                seen = self.watch.observe(target.watched, state, self.beside)
        self.keep_up(target, state)
        if not state.failed:
            self.remove(leftovers)
        return state, seen

    def with_surge(self, target: Target, service: rollout.Service) -> rollout.Service:
        offset, entry = self.params["surge_offset"], target.entries[service.name]
        possible = offset > 0 and entry.get("network", "bridge") == "bridge" and not listens(service.port + offset)
        return replace(service, surge=possible)

    @staticmethod
    def fits_with(target: Target, seen: rollout.Observation, limits: rollout.Limits) -> bool:
        """Whether what is to start has room while what left the inventory still runs: it may serve until the end then."""
        for uuid in target.cards:
            need = sum(
                service.need_bytes
                for service in target.services
                if uuid in service.gpus and isinstance(rollout.decide(service, seen.services[service.name]), str)
            )
            if need and seen.free_bytes.get(uuid, 0) < need + limits.min_headroom_bytes:
                return False
        return True

    # Acting

    def act(self, target: Target, action: rollout.Action) -> None:
        if self.docker is None:
            return
        entry = target.entries[action.name]
        container, beside = entry["container"], beside_name(entry["container"])
        if action.kind == "stop":
            self.docker.stop(container, self.params["stop_grace_s"])
        elif action.kind == "start":
            if self.docker.inspect(container):
                # One of an earlier run may have been allowed to come back by itself: not while it has to prove itself anew.
                self.docker.set_restart_policy(container, "no")
            self.compose(["up", "--detach", "--no-deps", "--pull", "never", action.name])
        elif action.kind == "start_beside":
            self.docker.remove(beside)
            publish = f"127.0.0.1:{entry['port'] + self.params['surge_offset']}:{ENGINE_PORT}"
            self.compose(["run", "--detach", "--no-deps", "--name", beside, "--publish", publish, action.name])
        elif action.kind == "remove_beside":
            self.docker.stop(beside, self.params["stop_grace_s"])
            self.docker.remove(beside)
        elif action.kind == "drain":
            self.drain_file(entry["port"]).touch() if self.drain_dir.is_dir() else None
        elif action.kind == "undrain":
            self.drain_file(entry["port"]).unlink(missing_ok=True)

    def keep_up(self, target: Target, state: rollout.State) -> None:
        """Have Docker start the proved ones again from now on: those that may be in any order, since their caches depend on nobody."""
        for name, track in state.tracks.items():
            if track.step == rollout.READY and target.planned[name]["exact_kv"] and self.docker:
                self.docker.set_restart_policy(target.entries[name]["container"], "unless-stopped")

    def compose(self, arguments: list[str]) -> None:
        docker_io.compose(self.params["project_name"], str(self.sets.compose_file()), arguments)

    @property
    def drain_dir(self) -> Path:
        return Path(self.params["drain_dir"])

    def drain_file(self, port: int) -> Path:
        return self.drain_dir / f"127.0.0.1:{port}"

    def undrain(self, target: Target) -> None:
        for entry in target.entries.values():
            self.drain_file(entry["port"]).unlink(missing_ok=True)

    def beside(self, one: Watched) -> Watched:
        return replace(one, container=beside_name(one.container), port=one.port + self.params["surge_offset"])

    def containers(self, target: Target) -> list[str]:
        names = [entry["container"] for entry in target.entries.values()]
        return [*names, *(beside_name(name) for name in names), *self.leftovers(target)]

    def leftovers(self, target: Target) -> list[str]:
        if self.docker is None:
            return []
        ours = self.docker.labelled(f"{compose.LABEL}.stack={self.params['project_name']}")
        kept = {entry["container"] for entry in target.entries.values()}
        return sorted(name for name in ours if name not in kept)

    def remove(self, containers: list[str]) -> None:
        for name in containers:
            if self.docker:
                self.docker.stop(name, self.params["stop_grace_s"])
                self.docker.remove(name)

    # Telling

    def tell(self, lines: list[str]) -> None:
        if lines and self.params["progress_file"]:
            with Path(self.params["progress_file"]).open("a", encoding="utf-8") as stream:
                stream.write("".join(f"{line}\n" for line in lines))

    def forecast(
        self,
        target: Target,
        first: rollout.Observation,
        decisions: dict[str, rollout.Track | str],
        leftovers: list[str],
    ) -> dict[str, Any]:
        models, lines = (
            [],
            [f"- {compose.model_of(name)}: stopped and removed, it left the inventory" for name in leftovers],
        )
        for service in target.services:
            decision = decisions[service.name]
            # In a dry run on a bare box nothing is pulled yet.
            absent = isinstance(decision, rollout.Track) and "image is not on the host" in decision.reason
            if absent or not isinstance(decision, rollout.Track):
                reason = "it is new" if absent else str(decision)
                models.append({"name": service.name, "action": "start", "reason": reason})
                verb = "started" if first.services[service.name].container == "absent" else "replaced"
                lines.append(f"+ {service.name}: {verb}, {reason}")
            else:
                models.append({"name": service.name, "action": decision.step, "reason": decision.reason})
        starting = {model["name"] for model in models if model["action"] == "start"}
        lines += self.fits(target, first, starting)
        changed = bool(starting or leftovers)
        return {
            "changed": changed,
            "models": models,
            "mode": {"mode": self.mode, "reason": self.mode_reason},
            "serving": [model["name"] for model in models if model["action"] == rollout.KEPT],
            "report": [],
            "diff": {"before": "", "after": "\n".join(lines) + "\n" if changed else ""},
        }

    def fits(self, target: Target, first: rollout.Observation, starting: set[str]) -> list[str]:
        """A line for each card: what the starts need there, and what is free for them."""
        lines = []
        for uuid in target.cards:
            services = [s for s in target.services if uuid in s.gpus and s.name in starting]
            free = first.free_bytes.get(uuid)
            if not services or free is None:
                continue
            need = sum(service.need_bytes for service in services)
            given = sum(first.services[s.name].held_bytes for s in services)
            spare = free + given - need - self.params["min_headroom_bytes"]
            verdict = "fits" if spare >= 0 else f"is short by {gib(-spare)}"
            lines.append(
                f"= {uuid}: needs {gib(need)}, {gib(free)} free and {gib(given)} given back by what is replaced: {verdict}"
            )
        return lines

    def result(
        self, target: Target, state: rollout.State, seen: rollout.Observation, leftovers: list[str]
    ) -> dict[str, Any]:
        models = [self.model_result(target, name, state.tracks[name]) for name in state.order]
        models += [
            {"name": compose.model_of(name), "action": "stopped", "reason": "it left the inventory"}
            for name in leftovers
        ]
        changed = any(model["action"] in ("started", "failed", "stopped") for model in models)
        serving = [name for name in state.order if state.tracks[name].step in (rollout.READY, rollout.KEPT)]
        if len(serving) == len(state.order):
            self.sets.prove(target.plan, list(target.entries.values()), target.endpoints)
        if changed:
            self.learn(target, models)
            self.write_state({name: value for name, value in self.remembered.items() if name in target.entries})
            if not state.failed and state.order:
                free = ", ".join(f"{gib(size)} free" for size in self.watch.memory(target.cards)[0].values())
                seconds = time.monotonic() - self.narrator.began
                self.tell([self.narrator.line(time.monotonic(), f"all ready in {seconds:.0f} s; {free}")])
        reason = f"{self.mode_reason}; then one after the other: {state.alone}" if state.alone else self.mode_reason
        return {
            "changed": changed,
            "models": models,
            "mode": {"mode": self.mode, "reason": reason},
            "serving": serving,
            "failures": list(self.failures.values()),
            "endpoints": target.endpoints,
            "report": self.report(models),
        }

    def model_result(self, target: Target, name: str, track: rollout.Track) -> dict[str, Any]:
        entry, watched = target.entries[name], next(one for one in target.watched if one.name == name)
        model: dict[str, Any] = {
            "name": name,
            "action": {"ready": "started"}.get(track.step, track.step),
            "reason": track.retried or track.reason,
            "port": entry["port"],
            "image": entry["image"],
            "planned_bytes": target.planned[name]["total_bytes"],
        }
        if track.step == rollout.READY and self.docker:
            timed = self.docker.timed_log(entry["container"])
            facts = engine_log.read(line for _at, line in timed)
            found = self.docker.inspect(entry["container"]) or {}
            began = docker_io.seconds_of(found["State"]["StartedAt"]) if found else None
            model["image_id"] = found.get("Image")
            model["ready_s"] = round((track.ended or 0) - (track.started or 0), 1)
            # Docker's own times: exact, where our looks are a second apart.
            model["timeline"] = engine_log.timeline(timed, began or 0.0) if began else {}
            model["timeline"]["ready"] = model["ready_s"]
            model["kv_cache_tokens"], model["max_concurrency"] = facts.kv_cache_tokens, facts.max_concurrency
            model["measured_bytes"] = self.watch.measured_bytes(watched)
            self.remembered[name] = {"digest": entry["digest"], **model}
        elif track.step == rollout.KEPT:
            known = self.remembered.get(name, {})
            for key in ("ready_s", "timeline", "kv_cache_tokens", "max_concurrency", "measured_bytes", "image_id"):
                model[key] = known.get(key)
        return model

    def learn(self, target: Target, models: list[dict[str, Any]]) -> None:
        """Keep what these starts measured for the next plan; what a host with no card measures is shared with everybody there."""
        if self.params["device"] == "cpu":
            return
        path, store = self.state_dir / "calibration.json", {}
        with contextlib.suppress(OSError, ValueError):
            store = json.loads(path.read_text(encoding="utf-8"))
        cards = {gpu["uuid"]: gpu["name"] for gpu in target.plan["gpus"]}
        for model in models:
            if model["action"] == "started" and model["measured_bytes"]:
                planned = target.planned[model["name"]]
                name = cards[planned["gpu_uuids"][0]]
                store = calibration.learn(store, name, target.plan.get("image", ""), planned, model["measured_bytes"])
        self.write(path, store)

    @staticmethod
    def report(models: list[dict[str, Any]]) -> list[dict[str, Any]]:
        keys = ("name", "ready_s", "planned_bytes", "measured_bytes", "kv_cache_tokens", "max_concurrency", "image")
        return [
            {"endpoint": f"http://127.0.0.1:{model['port']}/v1", **{key: model.get(key) for key in keys}}
            for model in sorted(models, key=lambda model: str(model["name"]))
            if "port" in model
        ]

    # Failing

    def fail(self, target: Target, name: str, track: rollout.Track) -> None:
        """Keep the first true cause and the log, and stop the engine so that it disturbs nobody."""
        if track.started is None or self.docker is None:
            thief = self.thief(target) if track.memory else ""
            self.failures[name] = {
                "name": name,
                "cause": f"{thief}; {track.reason}" if thief else track.reason,
                "remedy": "End that process, or lower vllm_stack_preset." if thief else "",
                "log": [],
                "id": "refused",
                "after_s": None,
                "noticed_s": None,
            }
            return
        container = target.entries[name]["container"]
        if track.surge_failed:
            container = beside_name(container)
        found = self.docker.inspect(container)
        lines = self.docker.log(container)
        ended = docker_io.seconds_of(found["State"]["FinishedAt"]) if found else None
        noticed_s = round(time.time() - ended, 1) if ended and ended > 0 else None
        code = found["State"].get("ExitCode") if found and found["State"]["Status"] != "running" else None
        cause = diagnosis.diagnose(lines, code)
        thief = self.thief(target) if cause.memory or track.memory else ""
        text, remedy, known = f"{track.reason} {cause.text}".strip(), cause.remedy, cause.id
        if thief:
            text, remedy = f"{thief}; {text}", "End that process, or lower vllm_stack_preset."
        elif cause.id == "unknown" and track.reason:
            text, known = track.reason, "timeout"
        self.docker.stop(container, 10)
        self.failures[name] = {
            "name": name,
            "cause": text,
            "remedy": remedy,
            "id": known,
            "after_s": round((track.ended or 0) - track.started, 1),
            "noticed_s": noticed_s,
            "log": lines[-20:],
            "log_file": self.keep_log(name, lines),
        }

    def thief(self, target: Target) -> str:
        """A process that is nobody's here and has taken memory on our cards since the work began."""
        for pid, (uuid, command, size) in self.watch.strangers(target.cards, self.containers(target)).items():
            took = size - self.strangers.get(pid, ("", "", 0))[2]
            if took >= 256 * MIB:
                return f"a process that is not ours ({command}, pid {pid}) took {gib(took)} on card {uuid} meanwhile"
        return ""

    def keep_log(self, name: str, lines: list[str]) -> str:
        folder = self.state_dir / "failed"
        path = folder / f"{name}.log"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        except OSError:
            return ""  # a full disk is one of the causes that a log is kept for
        return str(path)

    # What is remembered between runs

    @property
    def journal_file(self) -> Path:
        return self.state_dir / "journal.json"

    def journal(self, target: Target) -> bool:
        """Write down what is begun; tell whether an earlier run wrote so and never ended."""
        interrupted = self.journal_file.exists()
        self.write_journal(target, "rolling back" if self.params["rollback"] else "bringing up")
        return interrupted

    def write_journal(self, target: Target, doing: str) -> None:
        self.write(self.journal_file, {"doing": doing, "pid": os.getpid(), "services": target.digests})

    def read_state(self) -> dict[str, Any]:
        try:
            found = json.loads((self.state_dir / "state.json").read_text(encoding="utf-8")).get("models")
        except (OSError, ValueError, AttributeError):
            return {}
        return dict(found) if isinstance(found, dict) else {}

    def write_state(self, models: dict[str, Any]) -> None:
        self.write(self.state_dir / "state.json", {"models": models})

    @staticmethod
    def write(path: Path, content: dict[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        draft.replace(path)


def beside_name(container: str) -> str:
    """The container of a stand-in."""
    return f"{container}-beside"


def sentence(failure: dict[str, Any]) -> str:
    """What a person reads of one failure."""
    return f"{failure['name']} did not start: {failure['cause'].rstrip('.')}. {failure['remedy']}".strip()


def main() -> NoReturn:
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "dict", "default": []},
            "plan": {"type": "dict", "default": {}},
            "endpoints": {"type": "list", "elements": "dict", "default": []},
            "rollback": {"type": "bool", "default": False},
            "project_name": {"type": "str", "default": "gpuserve"},
            "project_dir": {"type": "path", "required": True},
            "state_dir": {"type": "path", "default": "/var/lib/gpuserve"},
            "lock_dir": {"type": "path", "default": "/run/lock/gpuserve"},
            "drain_dir": {"type": "path", "default": "/run/gpuserve/draining"},
            "device": {"type": "str", "choices": ["cuda", "cpu"], "default": "cuda"},
            "api_key": {"type": "str", "default": "", "no_log": True},
            "mode": {"type": "str", "choices": ["auto", "serial", "parallel"], "default": "auto"},
            "max_parallel": {"type": "int", "default": 0},
            "order": {
                "type": "str",
                "choices": ["smallest_first", "largest_first", "listed"],
                "default": "smallest_first",
            },
            "surge_offset": {"type": "int", "default": 0},
            "min_headroom_bytes": {"type": "int", "default": 536870912},
            "tolerance_bytes": {"type": "int", "default": 536870912},
            "settle_s": {"type": "float", "default": 2.0},
            "gate_timeout_s": {"type": "float", "default": 120.0},
            "start_timeout_s": {"type": "float", "default": 7200.0},
            "stall_timeout_s": {"type": "float", "default": 600.0},
            "phase_limits_s": {"type": "dict", "default": {}},
            "token_timeout_s": {"type": "float", "default": 60.0, "no_log": False},
            "drain_s": {"type": "float", "default": 60.0},
            "lock_wait_s": {"type": "float", "default": 900.0},
            "docker_wait_s": {"type": "float", "default": 60.0},
            "stop_grace_s": {"type": "int", "default": 30},
            "look_only": {"type": "bool", "default": False},
            "progress_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    bringup = Bringup(module)
    try:
        result = bringup.run()
    except LockHeld as error:
        module.fail_json(msg=f"Another run holds a card: {error}. Wait for it, or end it. Nothing was changed.")
    except docker_io.DockerError as error:
        module.fail_json(msg=f"{error} Run the playbook again: it goes on from what is there.")
    except OSError as error:
        module.fail_json(
            msg=f"{error.filename or 'A file'} can't be written ({error.strerror}): free space or mend its folder, then run again."
        )
    if result.get("failures"):
        texts = " ".join(sentence(failure) for failure in result["failures"])
        serving = ", ".join(result["serving"]) or "no model"
        again = "The set before is back and proved. " if result.get("restored") else ""
        module.fail_json(msg=f"{texts} {again}Serving now: {serving}.", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
