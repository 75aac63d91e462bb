# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the playbooks of a proof from within a playbook, as a person would type them, and keeps what each step showed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.proof import playbook
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import private_files

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
# What of the command line reaches the playbooks of a step, by ansible's own name of each.
_HANDED_ON = {
    "vault_ids": "--vault-id",
    "vault_password_files": "--vault-password-file",
    "connection_password_file": "--connection-password-file",
    "become_password_file": "--become-password-file",
    "private_key_file": "--private-key",
    "remote_user": "--user",
    "connection": "--connection",
    "ssh_common_args": "--ssh-common-args",
    "ssh_extra_args": "--ssh-extra-args",
}
_ASKS = {"ask_vault_pass": "--ask-vault-pass", "ask_pass": "--ask-pass", "become_ask_pass": "--ask-become-pass"}


class Folder:
    """The outcomes of one host's proof: a file a step, which a later run goes on from."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def outcomes(self) -> dict[str, dict[str, Any]]:
        """Return what each step showed that was done."""
        found = {}
        for file in sorted(self.path.glob("*.outcome.json")):
            try:
                found[file.name.removesuffix(".outcome.json")] = dict(json.loads(file.read_text(encoding="utf-8")))
            except (OSError, ValueError):
                # One that was cut off is a step that is done again.
                continue
        return found

    def keep(self, step: str, outcome: Mapping[str, Any]) -> None:
        """Write what a step showed."""
        private_files.write(self.path / f"{step}.outcome.json", json.dumps(outcome, indent=1, sort_keys=True))

    def begin(self, step: str, now: float) -> None:
        """Write when a step began."""
        private_files.write(self.file(step, "began"), str(now))

    def took_s(self, step: str, now: float) -> float:
        """Return the seconds since a step began."""
        return round(now - float(self.file(step, "began").read_text(encoding="utf-8")), 1)

    def file(self, step: str, what: str) -> Path:
        """Return a file beside the outcomes."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.path / f"{step}.{what}"


def command(cli: Mapping[str, Any], host: str, name: str, variables: Path, arguments: Sequence[str]) -> list[str]:
    """Return the command line of a playbook for one host, with what this run was called with."""
    for key, flag in _ASKS.items():
        if cli.get(key):
            fail(
                "",
                f"prove.yml starts other playbooks, which can't be answered {flag}.",
                "Name a file with the password in its place.",
            )
    program = shutil.which("ansible-playbook") or "ansible-playbook"
    given: list[str] = []
    for source in cli.get("inventory") or ():
        given += ["-i", source]
    for key, flag in _HANDED_ON.items():
        value = cli.get(key)
        for one in value if isinstance(value, (list, tuple)) else [value] if value else []:
            given += [flag, str(one)]
    for extra in cli.get("extra_vars") or ():
        given += ["-e", str(extra)]
    return [program, str(PLAYBOOKS / name), *given, "--limit", host, "-e", f"@{variables}", *arguments]


def play(argv: Sequence[str], log: Path, host: str, show: Callable[[str], None]) -> tuple[int, list[str], float]:
    """Run a playbook; return its exit status, its lines, and the seconds that it took. What its modules show meanwhile is shown."""
    environment = {
        **os.environ,
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        "PYTHONUNBUFFERED": "1",
    }
    began, lines = time.monotonic(), []
    with (
        log.open("w", encoding="utf-8") as kept,
        subprocess.Popen(
            list(argv),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        for line in process.stdout or ():
            kept.write(f"{time.monotonic() - began:8.2f} {line}")
            kept.flush()
            lines.append(line.rstrip("\n"))
            if playbook.live(lines[-1], host):
                show(lines[-1])
    return process.returncode, lines, round(time.monotonic() - began, 1)
