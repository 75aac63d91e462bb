# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bring-up's process is really killed: its locks go with it, and who follows it says so. Processes, locks and shell are real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.action import bringup
from ansible_collections.gpuserve.fleet.plugins.action.bringup import ActionModule
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.lock import GpuLock, LockHeld
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import unreached

CHECKOUT = Path(__file__).resolve().parents[3]
# What the module does for as long as it lives: it holds its progress and its cards.
WORK = """
import sys, time
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.progress import Narrator
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.lock import GpuLock
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.loop import Progress

progress = Progress(sys.argv[1], Narrator(time.monotonic(), {}))
with GpuLock(sys.argv[2], "GPU-0", 5.0):
    progress.tell([" 0:00  a  starts"])
    while True:
        time.sleep(0.2)
        progress.tell([" 0:01  a  goes on"])
"""


class Controller:
    """The action as it follows a host: its commands run in a shell here."""

    _read = staticmethod(ActionModule._read)
    _clear = ActionModule._clear
    _what, _name, _board = ActionModule._what, "box", ActionModule._board

    def __init__(self) -> None:
        self.said: list[str] = []

    def _say(self, _verbosity: int, line: str) -> None:
        self.said.append(line)

    def _low_level_execute_command(self, command: str) -> dict[str, Any]:
        done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
        return {"stdout": done.stdout}


@pytest.fixture
def work(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A bring-up at work in the background, as async_wrapper leaves it."""
    (tmp_path / "results").write_text('{"started": 1, "finished": 0, "ansible_job_id": "1"}\n')
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT / ".collections")}
    command = [sys.executable, "-c", WORK, str(tmp_path / "progress"), str(tmp_path / "locks")]
    with subprocess.Popen(command, cwd=CHECKOUT, env=environment) as process:
        try:
            until = time.monotonic() + 20
            while not (tmp_path / "progress").exists() or "starts" not in (tmp_path / "progress").read_text():
                assert time.monotonic() < until and process.poll() is None
                time.sleep(0.05)
            yield process
        finally:
            process.kill()


def test_a_killed_bring_up_is_told_and_leaves_no_lock(
    work: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress, results = str(tmp_path / "progress"), str(tmp_path / "results")
    monkeypatch.setattr(bringup, "GIVEN_UP_S", 1.0)
    asked = Controller()._low_level_execute_command(ActionModule._read(progress, results, 0, wait=False))["stdout"]
    assert bringup.RUNNING in asked and bringup.ALONE not in asked, "somebody is at work"
    with pytest.raises(LockHeld, match="is starting engines"), GpuLock(str(tmp_path / "locks"), "GPU-0", 0.0):
        pass

    work.send_signal(signal.SIGKILL)
    work.wait(10)
    controller = Controller()
    patience = unreached.Patience(0, 1, controller.said.append)
    assert ActionModule._follow(controller, progress, results, patience) is False  # type: ignore[arg-type]
    assert controller.said[0] == " 0:00  a  starts"
    told = ActionModule._died(controller, progress, results)  # type: ignore[arg-type]
    assert told["msg"].startswith(
        "The bring-up on box ended without a result: its process was killed, or the host went down."
    )
    assert not Path(progress).exists() and not Path(results).exists()
    # The next run has the cards at once.
    with GpuLock(str(tmp_path / "locks"), "GPU-0", 0.0):
        pass
