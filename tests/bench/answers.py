# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real host answered to each task of a playbook, recorded at its connection, and told again for hosts that are not there."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from pathlib import Path

from ansible.plugins.connection import ssh

_MODULE = re.compile(rb"module_fqn='[\w.]*?(\w+)'")
_CHANGING = re.compile(r"[0-9]{4,}[0-9.-]*|BECOME-SUCCESS-\w+")
# Ansible loads a connection's options from its file: ours is the one that it has, with these lines behind it.
_RECORDING = """
from ansible_collections.gpuserve.fleet.tests.bench import answers as _answers

_exec_command = Connection.exec_command


def _recorded(self, cmd, in_data=None, sudoable=True):
    said = _exec_command(self, cmd, in_data=in_data, sudoable=sudoable)
    _answers.record(_answers.question(cmd, in_data), *said)
    return said


Connection.exec_command = _recorded
"""


def question(command: str, module: bytes | None) -> str:
    """Return what is asked: a module by its name, a line of shell by what is the same of it in every run."""
    found = _MODULE.search(module[-4000:]) if module else None
    found = found or (_MODULE.search(module) if module else None)
    if found:
        return found.group(1).decode()
    return f"sh-{hashlib.sha256(_CHANGING.sub('', command).encode()).hexdigest()[:12]}"


def recorder(folder: Path) -> dict[str, str]:
    """Return the environment in which the ssh connection notes every answer in a folder."""
    (folder / "connection").mkdir()
    text = Path(ssh.__file__).read_text(encoding="utf-8")
    (folder / "connection" / "ssh.py").write_text(text + _RECORDING, encoding="utf-8")
    return {"ANSIBLE_CONNECTION_PLUGINS": str(folder / "connection"), "FLEET_RECORD": str(folder / "answers.jsonl")}


def record(asked: str, status: int, out: bytes, err: bytes) -> None:
    """Note an answer."""
    line = json.dumps({"asked": asked, "status": status, "out": out.decode(), "err": err.decode()})
    with open(os.environ["FLEET_RECORD"], "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(line + "\n")


def answer(folder: Path, counts: Path, asked: str) -> tuple[int, bytes, bytes]:
    """Tell what was answered when the same was asked as often; after the last time, the last answer again."""
    known = folder / asked
    if not known.is_dir():
        return 1, b"", f"nobody was asked for {asked} while answers were recorded".encode()
    last = int((known / "last").read_text())
    one = json.loads((known / f"{min(_times(counts, asked), last)}.json").read_text(encoding="utf-8"))
    return one["status"], one["out"].encode(), one["err"].encode()


def sorted_out(recorded: Path, folder: Path) -> Path:
    """Put each answer into a file of its own, so that whoever tells one reads no other; return the folder."""
    for line in recorded.read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        of_question = folder / one["asked"]
        of_question.mkdir(parents=True, exist_ok=True)
        at = len(list(of_question.glob("*.json")))
        (of_question / f"{at}.json").write_text(line, encoding="utf-8")
        (of_question / "last").write_text(str(at))
    return folder


def _times(folder: Path, asked: str) -> int:
    """Return how often a host was asked this before. Each task is a process of its own: a file counts."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / asked, "ab") as file:
        before = file.tell()
        file.write(b".")
    return before


def told(path: Path, folder: Path) -> dict[str, str]:
    """Return the environment in which hosts of the connection far_end answer so."""
    plugins = Path(__file__).parent / "connection"
    return {"ANSIBLE_CONNECTION_PLUGINS": str(plugins), "FLEET_ANSWERS": str(path), "FLEET_FOLDER": str(folder)}
