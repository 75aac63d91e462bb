# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bring-up from its parameters to its result: what is to be done, under which locks, what comes back if it fails, what is remembered."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import log
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout import concurrency, dry_run, machine
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.decide import Decision
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.observation import Observation
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.progress import ENDED, Narrator
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import (
    Limits,
    State,
    Step,
    Track,
    begin,
    phase_limits,
    switch_s,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.target import Target, Watched
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import address
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.compose import LABEL, model_of
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import gib
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.docker import Docker, DockerError, seconds_of
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.proc import meminfo
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.engine_keys import EngineKeys
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.executor import Executor
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.gpu_memory import Gpus
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.lock import GpuLock, LockHeld
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.loop import Progress, RolloutLoop
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.observer import Watch, cores, leaver_of
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.peers import Peers
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.sets import BEFORE, PROVED, Sets
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.state_dir import StateDir
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import ownership

# What a bring-up is told, as Ansible checks it.
ARGUMENTS: dict[str, Any] = {
    "services": {"type": "list", "elements": "dict", "default": []},
    "plan": {"type": "dict", "default": {}},
    "endpoints": {"type": "list", "elements": "dict", "default": []},
    "rollback": {"type": "bool", "default": False},
    "project_name": {"type": "str", "default": "gpuserve"},
    "project_dir": {"type": "path", "required": True},
    "state_dir": {"type": "path", "default": "/var/lib/gpuserve"},
    "lock_dir": {"type": "path", "default": "/run/gpuserve/locks"},
    "drain_dir": {"type": "path"},
    "gateway_interval_s": {"type": "float", "default": 0.0},
    "keys_dir": {"type": "path", "no_log": False},
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
    "probe_only": {"type": "bool", "default": False},
    "memory_seen": {"type": "dict", "default": {}},
    "progress_file": {"type": "path"},
    "peers_file": {"type": "path"},
    "anew": {"type": "list", "elements": "str", "default": []},
    "together": {"type": "list", "elements": "str", "default": []},
    "came_by": {"type": "list", "elements": "str", "default": []},
    "boot_file": {"type": "path"},
}
# Docker kills what has not ended within its grace; a container that is there this long after that is stuck.
STOP_S = 60.0
# Something that serves and missed an answer is asked again this often.
ASK_AGAIN_S = 1.0
_REPORTED = ("name", "ready_s", "planned_bytes", "measured_bytes", "kv_cache_tokens", "max_concurrency", "image")
_REMEMBERED = ("ready_s", "timeline", "kv_cache_tokens", "max_concurrency", "measured_bytes", "image_id")


class Refused(Exception):
    """It can't begin; the text says why and what to do, and nothing was changed."""


class Bringup:
    """One run of the module; `params` are its parameters."""

    def __init__(self, params: Mapping[str, Any], check_mode: bool) -> None:
        self.params, self.check_mode = params, check_mode
        self.sets, self.state_dir = Sets(params["project_dir"]), StateDir(params["state_dir"])
        self.rollback_set = PROVED
        self.drain_dir, self.keys_dir = (
            Path(params[name]) if params[name] else None for name in ("drain_dir", "keys_dir")
        )
        self.target = self._rollback_target() if params["rollback"] else self._given_target()
        kept = self.sets.read(PROVED)
        # What comes back if this fails may need cards that the new set doesn't: watched and locked with the others.
        self.fallback = Target.of(kept) if kept is not None else None
        others = set(self.fallback.gpus if self.fallback else []) - set(self.target.gpus)
        self.gpus = Gpus(self.target.gpus, params["device"], sorted(others))
        self.locked = sorted({*self.target.gpus, *others})
        if not (check_mode or params["probe_only"]):
            # Whatever else has to be done before a start, memory is watched meanwhile.
            self.gpus.begin(params["memory_seen"])
        self.docker = self._open_docker()
        self.watch = Watch(
            self.docker,
            self.gpus,
            params["project_name"],
            params["api_key"],
            params["token_timeout_s"],
            params["surge_offset"],
        )
        self.remembered = self.state_dir.models()
        expected = {name: known["ready_s"] for name, known in self.remembered.items() if known.get("ready_s")}
        self.progress = Progress(params["progress_file"], Narrator(time.monotonic(), expected))

    # What is to be

    def _given_target(self) -> Target:
        if not self.params["plan"].get("gpus") and self.params["services"]:
            raise Refused("plan: hand over what memory_plan returned. Nothing was changed.")
        given = {name: self.params[name] for name in ("services", "endpoints")}
        return Target.of({**given, "plan": self.params["plan"] or {"gpus": []}}, self.params["anew"])

    def _rollback_target(self) -> Target:
        proved, before = self.sets.read(PROVED), self.sets.read(BEFORE)
        if proved is not None and self.sets.is_rendered(PROVED):
            proved, self.rollback_set = before, BEFORE
        if proved is None:
            raise Refused(
                "There is no earlier set that served whole to go back to: change the inventory and run site.yml. "
                "Nothing was changed."
            )
        return Target.of(proved, self.params["anew"])

    def _open_docker(self) -> Docker | None:
        try:
            return Docker()
        except DockerError as error:
            if self.check_mode:
                return None  # a bare box in a dry run: everything would be new
            raise Refused(f"{error} Run the docker_engine role. Nothing was changed.") from error

    def mode(self, target: Target, first: Observation) -> concurrency.Mode:
        """How its starts are made, by what has to start now."""
        # Cards that could not be read say nothing of their processes either.
        tells_apart = self.gpus.tells_apart() or not self.gpus.free_bytes()
        host = concurrency.Host(cores(), meminfo()["MemAvailable"], tells_apart)
        new = dry_run.starting(target, first, self.limits()) or list(target.services)
        return concurrency.choose(new, self.params["mode"], self.params["max_parallel"], host)

    def limits(self, mode: concurrency.Mode | None = None) -> Limits:
        params = self.params
        return Limits(
            parallel=mode.parallel if mode else 1,
            at_once=mode.at_once if mode else 0,
            phase_limits_s=phase_limits(params["phase_limits_s"]),
            # The host's own memory is shared with its page cache and everybody else: only a card's is bound to its plan.
            tolerance_bytes=params["tolerance_bytes"] if params["device"] == "cuda" else None,
            switch_s=switch_s(params["gateway_interval_s"]) if self.drain_dir and self.drain_dir.is_dir() else 0.0,
            settle_s=params["settle_s"],
            gate_timeout_s=params["gate_timeout_s"],
            start_timeout_s=params["start_timeout_s"],
            stall_timeout_s=params["stall_timeout_s"],
            drain_s=params["drain_s"],
            stop_s=params["stop_grace_s"] + STOP_S,
            min_headroom_bytes=params["min_headroom_bytes"],
        )

    # The way

    def run(self) -> dict[str, Any]:
        """The module's result. Raises LockHeld, DockerError or OSError where it can't go on; a path that others may change is one."""
        for name in () if self.check_mode else ("project_dir", "state_dir", "lock_dir", "drain_dir", "keys_dir"):
            if self.params[name]:
                ownership.check(self.params[name])
        try:
            result = self._run(self.target)
            if result.get("report") and not result.get("failures"):
                self.state_dir.keep_report(result["report"])
            return {**result, "warnings": [*self.sets.notes, *self.state_dir.notes]}
        finally:
            self.progress.tell([ENDED])

    def _run(self, target: Target) -> dict[str, Any]:
        leavers = self._leavers(target)
        first, decided = self._first_probe(target, leavers)
        mode, names = self.mode(target, first), [one.container for one in leavers]
        gap = self._gap(target, leavers, first, self.limits(mode))
        would = dry_run.forecast(target, first, decided, names, mode, self.params["min_headroom_bytes"], gap)
        would["groups"] = dry_run.groups(target, decided)
        if self.check_mode or self.docker is None:
            return would
        loop = self._loop(self.docker)
        if dry_run.is_settled(decided) and not leavers and not dry_run.unkept(target, first, decided):
            self._clear_what_was_left(target, loop)
            state, _actions = machine.advance(
                begin(target.services, self.params["order"], 0.0), first, 0.0, self.limits()
            )
            loop.explain(target, state)
            return {**self._result(target, state, mode, [], loop), "groups": would["groups"]}
        if self.params["probe_only"]:
            gone = [model_of(name) for name in names]
            return {**would, "work": True, "leftovers": gone, "memory": self.gpus.last(), "changed": False}
        with contextlib.ExitStack() as locks:
            for uuid in self.locked or ["none"]:
                folder, wait_s = self.params["lock_dir"], self.params["lock_wait_s"]
                locks.enter_context(GpuLock(folder, uuid, wait_s, lambda text: self.progress.tell([text])))
            try:
                return self._work(target, loop)
            finally:
                loop.executor.clear_drains(self._engines(target, []))

    def _gap(self, target: Target, leavers: Sequence[Watched], first: Observation, limits: Limits) -> str:
        """What is said beforehand of those that nobody serves while they are replaced."""
        services = target.services_with_surge(self.params["surge_offset"], first.listeners, leavers)
        names = dry_run.unserved([*services, *(one.leaver() for one in leavers)], first, limits)
        return dry_run.of_unserved(names, self.progress.narrator.expected_s)

    def _first_probe(self, target: Target, leavers: Sequence[Watched]) -> tuple[Observation, dict[str, Decision]]:
        """What is there, and what is decided of it: beyond doubt, or after having asked for as long as that lasts."""
        limits = self.limits()
        until = time.monotonic() + limits.doubt_s
        while True:
            first = self.watch.observe([*target.watched, *leavers], None)
            decided = dry_run.decisions(target, first, limits)
            if not dry_run.is_doubtful(decided) or time.monotonic() >= until:
                return first, decided
            time.sleep(ASK_AGAIN_S)

    def _clear_what_was_left(self, target: Target, loop: RolloutLoop) -> None:
        """Nothing is to be done, so nothing has to be kept from the gateway; but for another run that is at work now."""
        with contextlib.suppress(LockHeld, OSError), contextlib.ExitStack() as locks:
            for uuid in self.locked or ["none"]:
                locks.enter_context(GpuLock(self.params["lock_dir"], uuid, 0.0))
            loop.executor.clear_drains(self._engines(target, []))

    def _engines(self, target: Target, leavers: Sequence[Watched]) -> list[Watched]:
        """Everything that is or was of this stack."""
        return [*target.watched, *leavers, *(self.fallback.watched if self.fallback else ())]

    def _loop(self, docker: Docker) -> RolloutLoop:
        executor = Executor(
            docker,
            self.params["project_name"],
            self.sets.compose_file(),
            self.drain_dir,
            self.params["surge_offset"],
            self.params["stop_grace_s"],
            EngineKeys(self.keys_dir, self.sets.folder, self.params["project_name"]),
        )
        return RolloutLoop(
            docker,
            self.watch,
            self.gpus,
            executor,
            self.state_dir,
            self.progress,
            self.params["docker_wait_s"],
            Peers(self.params["peers_file"], self.progress.tell),
        )

    def _work(self, target: Target, loop: RolloutLoop) -> dict[str, Any]:
        """Under the locks: bring the set up; if it fails and another had proved itself, bring that one back."""
        if self.state_dir.begin("rolling back" if self.params["rollback"] else "bringing up", target.digests):
            self.progress.note("an earlier run was interrupted: going on from what it left")
        if self.params["rollback"]:
            self.sets.put_back(self.rollback_set)
        leavers = self._leavers(target)
        loop.begin([*target.containers, *(one.container for one in leavers)])
        loop.executor.clear_drains(self._engines(target, leavers))
        fallback = self.fallback
        if fallback is not None and fallback.digests == target.digests:
            fallback = None
        loop.announce(target)
        # Under the lock the world may be another one than at the first probe.
        seen = self.watch.observe(target.watched, None)
        mode = self.mode(target, seen)
        limits, order = self.limits(mode), self.params["order"]
        state = loop.drive(target, limits, order, leavers, stop_at_failure=fallback is not None, surge=True)
        failed, serving = dict(loop.failures), state.serving
        missing: dict[str, dict[str, Any]] = {}
        if state.failed and fallback is not None:
            untouched = [name for name in state.order if state.tracks[name].step is Step.KEPT]
            serving, missing = self._restore(target, fallback, untouched, loop)
            loop.failures = failed
        result = self._result(target, state, mode, leavers, loop)
        if not state.failed:
            loop.executor.keys.forget_but(address.endpoint(one.where) for one in target.watched)
        self.state_dir.end()
        if state.failed:
            result["restored"] = serving if fallback is not None else []
            result["missing"] = list(missing.values())
            result["serving"] = serving
        return result

    def _restore(
        self, failed: Target, proved: Target, untouched: Sequence[str], loop: RolloutLoop
    ) -> tuple[list[str], dict[str, dict[str, Any]]]:
        """Bring the set back that had proved itself: the names that serve again, and why others don't."""
        self.progress.note("the set before comes back")
        proved = proved.anew_but(untouched, failed)
        self.sets.keep_failed()
        try:
            self.sets.put_back(PROVED)
        except OSError as error:
            # Nothing is started by another set's file: what serves by now goes on, and why the new one failed is told.
            return self._as_it_is(proved, error)
        self.state_dir.begin("restoring", proved.digests)
        leavers = self._leavers(proved)
        loop.executor.clear_drains(self._engines(failed, leavers))
        loop.failures = {}
        loop.announce(proved, attempt=2)
        limits = self.limits(self.mode(proved, self.watch.observe(proved.watched, None)))
        state = loop.drive(proved, limits, self.params["order"], leavers, stop_at_failure=False, surge=False, attempt=2)
        return state.serving, loop.failures

    def _as_it_is(self, proved: Target, error: OSError) -> tuple[list[str], dict[str, dict[str, Any]]]:
        """What serves of a set whose files can't be put back, and what is said of the rest of it."""
        cause = f"its set can't be put back ({error.filename}: {error.strerror})."
        remedy = "Free space there, then run playbooks/rollback.yml."
        self.progress.note(cause)
        seen = self.watch.observe(proved.watched, None).services
        serving = [one.name for one in proved.watched if seen[one.name].healthy]
        rest = [one.name for one in proved.watched if one.name not in serving]
        return serving, {name: {"name": name, "cause": cause, "remedy": remedy} for name in rest}

    def _leavers(self, target: Target) -> list[Watched]:
        """Containers of this stack that are no longer in it."""
        if self.docker is None:
            return []
        kept, leavers = set(target.containers), []
        for name in sorted(self.docker.labelled(f"{LABEL}.stack={self.params['project_name']}")):
            found = self.docker.inspect(name) if name not in kept else None
            if found is not None:
                leavers.append(leaver_of(name, found, target.gpus))
        return leavers

    # What came of it

    def _result(
        self, target: Target, state: State, mode: concurrency.Mode, leavers: Sequence[Watched], loop: RolloutLoop
    ) -> dict[str, Any]:
        models = [self._model(target, name, state.tracks[name]) for name in state.order]
        models += [
            {"name": one.name, "action": "stopped", "reason": "it left the inventory"}
            for one in leavers
            # A surge instance bears the label of its model, whatever a version calls its container.
            if one.name == model_of(one.container)
        ]
        changed = bool(leavers) or bool(loop.kept_up) or any(one["action"] in ("started", "failed") for one in models)
        replaced = False
        if not state.failed and len(state.serving) == len(state.order):
            new = self.sets.prove(target.plan, [dict(entry) for entry in target.entries.values()], target.endpoints)
            replaced = new and self.sets.read(BEFORE) is not None
        seconds = time.monotonic() - self.progress.narrator.began
        if changed:
            if not state.failed and state.order:
                free = ", ".join(f"{gib(size)} free" for size in self.gpus.free_bytes().values())
                self.progress.note(f"all ready in {seconds:.0f} s; {free}")
            self._remember(target, models)
        return {
            "changed": changed,
            "replaced": replaced,
            "all_ready_s": round(seconds, 1) if changed and not state.failed else None,
            "models": models,
            "mode": {
                "mode": mode.name,
                "reason": f"{mode.reason}; then one after the other: {state.alone}" if state.alone else mode.reason,
            },
            "serving": state.serving,
            "failures": list(loop.failures.values()),
            **target.as_result,
            "report": [
                {"endpoint": f"http://127.0.0.1:{one['port']}/v1", **{key: one.get(key) for key in _REPORTED}}
                for one in sorted(models, key=lambda one: str(one["name"]))
                if "port" in one and not target.watched_as(str(one["name"])).headless
            ],
        }

    def _model(self, target: Target, name: str, track: Track) -> dict[str, Any]:
        entry, planned = target.entries[name], int(target.planned[name]["total_bytes"])
        watched = target.watched_as(name)
        model: dict[str, Any] = {
            "name": name,
            "action": "started" if track.step is Step.READY else track.step.value,
            "reason": track.retried or track.reason,
            "port": entry["port"],
            "image": entry["image"],
            "planned_bytes": planned * max(1, len(watched.gpus)),
        }
        if track.step is Step.READY and self.docker:
            timed = self.docker.timed_log(entry["container"])
            facts = log.read(line for _at, line in timed)
            found = self.docker.inspect(entry["container"]) or {}
            began = seconds_of(found["State"]["StartedAt"]) if found else None
            used = self.watch.measured(watched)
            model["image_id"] = found.get("Image")
            model["ready_s"] = round((track.ended or 0) - (track.started or 0), 1)
            # Docker's own times: exact, where our probes are a while apart.
            model["timeline"] = log.timeline(timed, began or 0.0) if began else {}
            model["timeline"]["ready"] = model["ready_s"]
            model["kv_cache_tokens"], model["max_concurrency"] = facts.kv_cache_tokens, facts.max_concurrency
            model["measured_bytes"] = sum(used.values()) or None
            model["cards"] = [
                {"uuid": uuid, "planned_bytes": planned, "measured_bytes": used.get(uuid)} for uuid in watched.gpus
            ]
            self.remembered[name] = {"digest": entry["digest"], **model}
        elif track.step is Step.KEPT:
            known = self.remembered.get(name, {})
            model.update({key: known.get(key) for key in (*_REMEMBERED, "cards")})
        return model

    def _remember(self, target: Target, models: Sequence[dict[str, Any]]) -> None:
        """For the next plan and the next run; what a host with no card measures is shared with everybody there."""
        if self.params["device"] == "cuda":
            measured = [one for one in models if one["action"] == "started" and one["measured_bytes"]]
            self.state_dir.learn(
                target.plan, [(target.planned[one["name"]], one["measured_bytes"]) for one in measured]
            )
        self.state_dir.keep_models({name: known for name, known in self.remembered.items() if name in target.entries})
