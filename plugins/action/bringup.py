# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows what a bring-up does while it does it.

The module probes first. Only where there is work it runs in the background on the host, writing a line for each change into a file. A
command on the host waits until that grows, two seconds at most, and is asked again and again. So a bring-up also outlives a connection,
and a controller, that goes away.

Hosts that serve a model together wait for each other before any of them changes, and what their bring-ups tell each other is carried here:
there is no way from one host to another.
"""

from __future__ import annotations

import secrets
import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from ansible import constants as settings
from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.progress import ENDED, NEWS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.target import part_of
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import this_run, unreached
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.group_board import Board
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.plain import plain
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.shown import MACHINE_CALLBACKS

# A command that waits for something new probes this often, so many times.
PROBE_S, PROBES = 0.5, 4
POLL_S = PROBE_S * PROBES
# A host that can't be reached for this long is given up; what runs there goes on. Hosts of a group wait as long for each other's news
# (_core/rollout/group). A shorter time would take a host that boots, or a network that is repaired, for a failure of its engines.
LOST_S = 300.0
RUNNING, ALONE = "__bringup_is_running__", "__nobody_is_at_work__"
# The module holds a lock on its progress for as long as it lives. So long after the last time that somebody had it, nobody will come.
GIVEN_UP_S = 20.0
# The hosts of a group come here by the same task of one step, each once it is through with the tasks before.
COME_S = 600.0
# Those without an API are asked for no token, and come within this time.
EARLY_S = 10.0

display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Run the module of the same name, in the background where it has work to do."""

    _requires_connection = True
    _name = ""
    # What a person calls the work.
    _what = "The bring-up"
    # Where this host serves models together with others.
    _board: Board | None = None

    @unreached.is_failure
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module returns."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._name = str((task_vars or {}).get("inventory_hostname", ""))
        arguments = dict(self._task.args)
        together, came_by = arguments.pop("together", []), arguments.pop("came_by", [])
        if failed := _failed_before([host for host in together if host != self._name], came_by, task_vars or {}):
            return {**result, "failed": True, "msg": _left_alone(failed)}
        if self._task.check_mode:
            return {**result, **self._execute_module(module_args=arguments, task_vars=task_vars)}
        asked = {**arguments, "probe_only": True}
        if together and (anew := self._known_anew(arguments)):
            asked["anew"] = anew
        first = self._execute_module(module_args=asked, task_vars=task_vars)
        work = self._together if first.get("groups") else self._begin
        done = work(arguments, first, task_vars or {})
        # The controller keeps each host's answer until the run ends: not the whole plan once more with it.
        return {**result, **{name: value for name, value in done.items() if name != "invocation"}}

    def _known_anew(self, arguments: Mapping[str, Any]) -> list[str]:
        """Return models that are started anew whatever this host says: a task before found that, or another host tells it by now.

        The first host of a group hangs once another part has ended, and a token that never comes would be waited for.
        """
        folder = this_run.folder(this_run.GROUPS)
        if anew := Board.anew_before(folder, self._name):
            return anew
        parts = {entry["name"]: part_of(entry) for entry in plain(arguments.get("services") or [])}
        first = {
            name: {"group": part.group, "rank": part.rank, "hosts": part.hosts, "settled": True}
            for name, part in parts.items()
            if part is not None and not part.is_headless
        }
        board = Board(folder, self._name, first, only_reads=True)
        until = time.monotonic() + EARLY_S
        # Hosts that are each the first of one group and not of another wait for each other here, so that it is for no longer.
        while board.missing() and time.monotonic() < until:
            time.sleep(PROBE_S)
        return board.anew()

    def _begin(self, arguments: dict[str, Any], first: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Do the work, where there is any."""
        if first.get("failed") or not first.get("work") or _only_probes(arguments):
            return first
        self._say(0, self._announcement(first))
        if first.get("gap"):
            self._say(0, f" 0:00  {first['gap']}")
        return self._in_background(arguments, first, task_vars)

    def _together(self, arguments: dict[str, Any], first: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Do the same with the other hosts of this host's groups: all of them keep their parts, or all start theirs.

        A probe alone asks the others, too: where one of them has work, so has this host.
        """
        refused = str(first.get("msg", "no reason was given")) if first.get("failed") else ""
        self._board = Board(this_run.folder(this_run.GROUPS), self._name, first["groups"], refused)
        try:
            if refused:
                return first
            step = len(task_vars.get("ansible_play_batch", ()))
            for model, part in first["groups"].items():
                if 0 < step < part["hosts"]:
                    return {"failed": True, "msg": _parted(model, part["hosts"], step)}
            until = time.monotonic() + COME_S
            while missing := self._board.missing():
                if time.monotonic() >= until:
                    return {"failed": True, "msg": self._not_come(missing)}
                time.sleep(PROBE_S)
            for host, reason in self._board.refused().items():
                msg = f"{host}, with which it serves together, can't begin: {reason} Nothing was changed here."
                return {"failed": True, "msg": msg}
            anew = self._board.anew()
            if _only_probes(arguments):
                self._board.foresee(anew)
            for model in first["models"]:
                if model["name"] in anew and model["action"] == "kept":
                    model.update(action="start", reason="another host of its group starts it anew")
            first = {
                **first,
                "anew": anew,
                "work": bool(first.get("work") or anew),
                "serving": [name for name in first["serving"] if name not in anew],
            }
            return self._begin({**arguments, "anew": anew}, first, task_vars)
        finally:
            self._board.end()

    @staticmethod
    def _not_come(missing: dict[str, tuple[int, int]]) -> str:
        each = [f"{hosts} hosts serve {model} together, and {come} came" for model, (come, hosts) in missing.items()]
        return (
            f"{'; '.join(each)} within {COME_S:.0f} s. Mend what keeps the others, take all of them into one step and one -l, or raise "
            "forks, and run again. Nothing was changed here."
        )

    def _in_background(
        self, arguments: dict[str, Any], first: dict[str, Any], task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        progress = f"{arguments.get('state_dir') or '/var/lib/gpuserve'}/progress-{secrets.token_hex(6)}"
        asked = {**arguments, "progress_file": progress, "probe_only": False, **self._handed_on(first)}
        if self._board is not None:
            asked["peers_file"] = _peers_file(progress)
        # The module bounds its own waits; this only ends one that is stuck beyond all of them.
        self._task.async_val = self._limit_s(arguments, first)
        try:
            job = self._execute_module(module_args=asked, task_vars=task_vars, wrap_async=True)
        finally:
            self._task.async_val = 0
        if job.get("failed") or "results_file" not in job:
            return dict(job)
        patience = unreached.Patience(LOST_S, POLL_S, lambda line: self._say(0, line))
        if not self._follow(progress, job["results_file"], patience):
            return self._died(progress, job["results_file"])
        folder = job["results_file"].rpartition("/")[0]
        ended = patience.ask(
            lambda: self._execute_module(
                module_name="ansible.builtin.async_status",
                module_args={"jid": job["ansible_job_id"], "_async_dir": folder},
                task_vars=task_vars,
            )
        )
        self._clear(progress, job["results_file"])
        for name in (
            "ansible_job_id",
            "results_file",
            "started",
            "finished",
            "stdout",
            "stdout_lines",
            "stderr",
            "stderr_lines",
        ):
            ended.pop(name, None)
        shown: dict[str, Any] = {**ended, "diff": first.get("diff", {})}
        return shown

    def _died(self, progress: str, results: str) -> dict[str, Any]:
        """The result of a module that never had one: its process was killed, or its host went down."""
        self._clear(progress, results)
        return {
            "failed": True,
            "changed": True,
            "msg": (
                f"{self._what} on {self._name} ended without a result: its process was killed, or the host went down. What it had done "
                "so far stands. Run the playbook again: it goes on from there."
            ),
        }

    def _clear(self, progress: str, results: str) -> None:
        files = [progress, results, *([_peers_file(progress)] if self._board is not None else [])]
        # How it ended is known: who needs the host next is told that it is gone.
        with suppress(AnsibleConnectionFailure):
            self._low_level_execute_command(f"rm -f {' '.join(shlex.quote(file) for file in files)}")

    def _follow(self, progress: str, results: str, patience: unreached.Patience) -> bool:
        """Show what the module writes, until it has ended; whether it has, or only nobody is there to go on."""
        offset, losses, ended, alone = 0, 0, False, None

        def asked() -> str:
            brings = self._board.command(_peers_file(progress)) if self._board is not None else ""
            command = brings + self._read(progress, results, offset, wait=not ended)
            return str(self._low_level_execute_command(command)["stdout"])

        while True:
            text = patience.ask(asked)
            if patience.losses > losses:
                losses, alone = patience.losses, None
            alone = (alone or time.monotonic()) if ALONE in text else None
            text = text.replace(ALONE + "\r\n", "").replace(ALONE + "\n", "").replace(ALONE, "")
            running = text.rstrip().endswith(RUNNING)
            written = text.replace("\r\n", "\n").replace(RUNNING + "\n", "").replace(RUNNING, "")
            # A line that is still being written is shown whole the next time.
            whole = written[: written.rfind("\n") + 1]
            offset += len(whole.encode())
            for line in whole.splitlines():
                ended = ended or line == ENDED
                if line.startswith(NEWS):
                    if self._board is not None:
                        self._board.tell(line.removeprefix(NEWS))
                elif line != ENDED:
                    self._say(0, line)
            if not running:
                return True
            if alone is not None and time.monotonic() - alone >= GIVEN_UP_S:
                return False

    @staticmethod
    def _read(progress: str, results: str, offset: int, wait: bool) -> str:
        """A command that waits for something new, says it, and says whether the module still runs."""
        path = shlex.quote(progress)
        probes = " ".join(["."] * PROBES)
        waits = f"for _ in {probes}; do sleep {PROBE_S}; [ $(stat -c %s {path} 2>/dev/null || echo 0) -gt {offset} ] && break; done; "
        return (
            f"{waits if wait else 'sleep 0.1; '}tail -c +{offset + 1} {path} 2>/dev/null; "
            # Without a lock nobody holds it; without the program flock that can't be told, and it is followed as long as it takes.
            f"if [ ! -e {path} ] || flock -n {path} true 2>/dev/null; then echo {ALONE}; fi; "
            f"grep -qE '\"finished\": (0|false)' {shlex.quote(results)} && echo {RUNNING}"
        )

    @staticmethod
    def _handed_on(first: dict[str, Any]) -> dict[str, Any]:
        """Return what the work takes from the first probe."""
        return {"memory_seen": first.get("memory", {})}

    @staticmethod
    def _limit_s(arguments: dict[str, Any], first: dict[str, Any]) -> int:
        return int(float(arguments.get("start_timeout_s") or 7200) * (len(first["models"]) + 2) + 3600)

    def _announcement(self, first: dict[str, Any]) -> str:
        starting = [model["name"] for model in first["models"] if model["action"] == "start"]
        kept, stopping = first["serving"], first.get("leftovers", [])
        text = (
            f" 0:00  to start: {', '.join(starting) or 'nothing'} ({first['mode']['mode']}: {first['mode']['reason']})"
        )
        if stopping:
            text += f"; to stop: {', '.join(stopping)}"
        return f"{text}; not touched: {', '.join(kept)}" if kept else text

    def _say(self, verbosity: int, line: str) -> None:
        if (
            settings.config.get_config_value("DEFAULT_STDOUT_CALLBACK") in MACHINE_CALLBACKS
            or display.verbosity < verbosity
        ):
            return
        display.display(f"  {self._name}  {line}")


def _only_probes(arguments: Mapping[str, Any]) -> bool:
    """Tell whether the task only looks, for one after it that does what is to be done; the option is there in both."""
    return bool(boolean(arguments.get("probe_only", False)))


def _parted(model: str, hosts: int, step: int) -> str:
    """Return what is said of a step that has no room for a group."""
    return (
        f"{model}: {hosts} hosts serve it together, and {step} {'is' if step == 1 else 'are'} changed at once. Take all of them into one "
        f"step (-e gpuserve_serial={hosts}) and one -l. Nothing was changed here."
    )


def _failed_before(others: Sequence[str], came_by: Sequence[str], variables: Mapping[str, Any]) -> list[str]:
    """Return which of the hosts that a host waits for will not come: they are out of the play, or failed in a task before this one.

    All hosts of a step are through with a task before the next one begins, and each registers what it came by.
    """
    play, left = variables.get("ansible_play_hosts_all", ()), variables.get("ansible_play_hosts", ())
    registered = {host: variables["hostvars"].raw_get(host) if came_by else {} for host in others}
    return [
        host
        for host in others
        if (host in play and host not in left)
        or any((registered[host].get(name) or {"failed": True}).get("failed") for name in came_by)
    ]


def _left_alone(failed: Sequence[str]) -> str:
    """Return what is said of a host whose others can't come."""
    return (
        f"{', '.join(failed)}, with which it serves together, failed before any engine was to change. Mend that and run again. Nothing was "
        "changed here."
    )


def _peers_file(progress: str) -> str:
    """Return where a bring-up finds what the other hosts of its groups tell."""
    return f"{progress}.peers"
