# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A double of a host for what a fleet costs its controller: it answers each question as a real host answered it once, at once.

FLEET_ANSWERS names the answers, FLEET_FOLDER a folder in which each host counts what it was asked.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from ansible.plugins.connection import ConnectionBase

from ansible_collections.gpuserve.fleet.tests.bench import answers

DOCUMENTATION = """
name: far_end
short_description: Hosts that are not there
description: Answers as a host did whose answers were recorded.
author: gpuserve.fleet contributors (@gpuserve)
options:
  pipelining:
    description: Whether modules come by standard input.
    default: true
    type: bool
    env: [{name: ANSIBLE_PIPELINING}]
"""


class Connection(ConnectionBase):  # type: ignore[misc]  # ansible-core ships no types
    """A host whose answers are known."""

    transport = "far_end"
    has_pipelining = True

    def _connect(self) -> Connection:
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Answer as the host did that was asked the same for the same time."""
        asked = answers.question(cmd, in_data)
        host = re.sub(r"\W", "_", str(self._play_context.remote_addr))
        return answers.answer(Path(os.environ["FLEET_ANSWERS"]), Path(os.environ["FLEET_FOLDER"], host), asked)

    def put_file(self, _in_path: Any, _out_path: Any) -> None:
        """Take a file, and keep nothing of it."""

    def fetch_file(self, in_path: str, _out_path: Any) -> None:
        """Refuse: no playbook that is measured takes files from hosts."""
        raise NotImplementedError(in_path)

    def close(self) -> None:
        """End nothing."""
