# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds what only the controller knows to what its host is compared with, and shows what serves where nothing is to be done."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.gpuserve.fleet.plugins.filter.closing_screen import closing_screen
from ansible_collections.gpuserve.fleet.plugins.module_utils._core import closing
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.last_applied import NO_RECORD, RECORD
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import private_files, unreached
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.plain import plain
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.shown import shown

# In a text of a model's entry, a volume or an argument: a path of the host, alone or after what it is for; a volume's other end is none.
_PATH = re.compile(r"(?:^|[\s=,'\"])(/[^\s:,'\"]+)")

# What a shell returns of a program that is not there: the stack's Python, where no run has brought one.
_NO_INTERPRETER = 127
STATE_DIR = "/var/lib/gpuserve"
_KEYS = ("key", "api_key", "api_key_file")


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Run the module of the same name. What it can't tell is no failure of the run, which then looks at the whole host."""

    _requires_connection = True
    _supports_check_mode = True

    @unreached.is_failure
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module returns."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        args = plain(self._task.args)
        facts, naming = args.pop("facts", {}), args.pop("naming", [])
        copies, key_file = args.pop("copies", {}) or {}, args.pop("key_file", "")
        args["differs"] = _kept_out(args.pop("edges", []), str(variables.get("inventory_hostname")))
        if args.get("asked"):
            told = json.dumps([args["asked"], facts], sort_keys=True, default=str)
            args["asked"] = hashlib.sha256(told.encode()).hexdigest()
        args["paths"] = sorted({*args.get("paths", []), *_paths(naming)})
        args["copies"] = {there: _checksum(Path(here)) for there, here in copies.items()}
        if args.get("state") == "recorded":
            # Nobody is asked for anything then.
            args = {name: value for name, value in args.items() if name not in _KEYS}
        elif not args.get("key") and key_file:
            args |= {"key": private_files.read(Path(key_file)), "key_is_first": True}
        answer = self._execute_module(module_args=args, task_vars=variables)
        answer.pop("invocation", None)
        if answer.get("failed") and args.get("state") == "compared":
            if not self._task.check_mode:
                # Without the stack's own Python no module can remove the note.
                note = f"{args.get('state_dir', STATE_DIR)}/{RECORD}"
                self._low_level_execute_command(f"rm -f {shlex.quote(note)}")
            why = NO_RECORD if answer.get("rc") == _NO_INTERPRETER else str(answer.get("msg", ""))
            return {**result, "changed": False, "as_before": False, "why": why}
        if answer.get("as_before") and args.get("state") == "compared":
            shown(self._screen(variables, answer))
        return {**result, **answer}

    @staticmethod
    def _screen(variables: Mapping[str, Any], answer: Mapping[str, Any]) -> list[str]:
        host = str(variables.get("inventory_hostname", ""))
        address = str(variables.get("ansible_host", host))
        models, access = answer["endpoints"], answer["access"]
        if len(variables.get("ansible_play_hosts_all", ())) > 1:
            # Of forty hosts nobody reads forty screens.
            return [f"{host} is as the last run left it, and {closing.summary(models, access, address)}"]
        screen = closing_screen(models, host, address, access, answer["generating"], answer["report"])
        return [f"{host} is as the last run left it: nothing to do there.", *screen]


def _kept_out(edges: Sequence[Mapping[str, Any]], host: str) -> str:
    """Return which edge keeps a host out of its new requests, by what edges were read; empty where none does."""
    return next(
        (f"{each['_gateway_edge']} sends it no new requests" for each in edges if host in each.get("drained", ())), ""
    )


def _paths(value: Any) -> Iterator[str]:
    """Walk over the paths of the host that values name."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _paths(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _paths(item)
    elif isinstance(value, str):
        yield from _PATH.findall(value)


def _checksum(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
