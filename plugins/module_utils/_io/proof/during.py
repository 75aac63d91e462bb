# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes on on a host while it is changed: clients that ask without a pause, and another process that takes a card's memory."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.proof.engines import PATH, Way, prompt

CLIENTS = 4
PAUSE_S = 0.1


class Clients:
    """Clients of one model that ask through the gateway, one request after the other, until they are told to stop.

    What is not answered by 200 is lost: these clients do not come back.
    """

    def __init__(self, way: Way, model: str) -> None:
        self._way, self._model = way, model
        self._lock = threading.Lock()
        self.requests = 0
        self.slowest_s = 0.0
        self.lost: list[str] = []

    def ask_until(self, stopped: Callable[[], bool]) -> dict[str, Any]:
        """Ask until it is over; return how many were answered, and why others were not."""
        threads = [threading.Thread(target=self._client, args=(stopped,)) for _each in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return {
            "requests": self.requests,
            "lost": len(self.lost),
            "lost_for": sorted(set(self.lost))[:10],
            "slowest_s": round(self.slowest_s, 2),
        }

    def _client(self, stopped: Callable[[], bool]) -> None:
        while not stopped():
            body = {"model": self._model, "prompt": prompt(32), "max_tokens": 16, "ignore_eos": True}
            began = time.monotonic()
            status, _content = self._way.ask(PATH, body)
            seconds = time.monotonic() - began
            with self._lock:
                self.requests += 1
                self.slowest_s = max(self.slowest_s, seconds)
                if status != 200:
                    self.lost.append(f"status {status}" if status else "no answer")


def hold_until(
    command: Callable[[], Sequence[str]], is_time: Callable[[], bool], stopped: Callable[[], bool], log: Path
) -> dict[str, Any]:
    """Run a command from when it is time until it is over, with all that it started; return when it began and whether it ran to the end.

    Which command it is, is asked once it is time.
    """
    began = time.monotonic()
    while not is_time():
        if stopped():
            return {"began_s": None, "held": False}
        time.sleep(PAUSE_S)
    started = time.monotonic()
    with log.open("w") as sink:
        # It runs beside what is measured, where run_command would wait for its end.
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            list(command()), stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True
        )
    while not stopped() and process.poll() is None:
        time.sleep(PAUSE_S)
    held = process.poll() is None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return {"began_s": round(started - began, 1), "held": held}
