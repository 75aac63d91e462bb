# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway's container started, and its nginx made to serve the configuration that is in place."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway.probe import CONTAINER
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway.stream import connection_to

Run = Callable[[list[str]], tuple[int, str, str]]
# Compose says so of a container on stderr.
_BEGAN = ("Recreated", "Started", "Created")
_REPLACED = "Recreate"
# What is under way may take so long to end.
GRACE_S = 30
LOGS = f"`docker logs {CONTAINER}` says why."
POLL_S = 0.25
ANSWER_S = 10.0
# It answers so while no model is ready, too.
HEALTHY = (200, 503)


class Serving:
    """The gateway of this host, which has to serve one generation of its configuration."""

    def __init__(self, folder: Path, url: str, generation: str, run: Run) -> None:
        self.compose = folder / "compose.yml"
        self.url = urllib.parse.urlsplit(url)
        self.generation = generation
        self.run = run

    def start(self) -> bool:
        """Start the container, or another where it has changed; tell whether one began."""
        told = ["--detach", "--remove-orphans", "--quiet-pull"]
        code, _out, error = self.run(["docker", "compose", "--file", str(self.compose), "up", *told])
        if code:
            fail("", f"the gateway's container did not start: {_last(error)}.", LOGS)
        return any(word in error for word in _BEGAN)

    def is_replaced(self) -> bool:
        """Tell whether a start would end the container that runs: Compose says so of a dry run, where it is new enough for one."""
        _code, _out, error = self.run(["docker", "compose", "--dry-run", "--file", str(self.compose), "up", "--detach"])
        return _REPLACED in error

    def stop(self) -> bool:
        """Remove the container; tell whether there was one. What it is made of stays: keys, and what was used."""
        told = ["down", "--timeout", str(GRACE_S)]
        code, _out, error = self.run(["docker", "compose", "--file", str(self.compose), *told])
        if code:
            fail("", f"the gateway's container was not removed: {_last(error)}.", LOGS)
        return "Removed" in error

    def is_current(self) -> bool:
        """Tell whether nginx answers with the generation that is wanted."""
        connection = connection_to(self.url, ANSWER_S)
        try:
            connection.request("GET", "/health")
            response = connection.getresponse()
            told = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()
        return response.status in HEALTHY and isinstance(told, dict) and told.get("generation") == self.generation

    def reload(self) -> None:
        """Have nginx read its configuration.

        Docker takes a container that it sent any signal for one that was stopped by hand, and leaves it so after a boot (26.1).
        """
        code, pid, _error = self.run(["docker", "inspect", "--format", "{{.State.Pid}}", CONTAINER])
        if code or int(pid) == 0:
            fail("", "the gateway's container does not run.", LOGS)
        os.kill(int(pid), signal.SIGHUP)

    def wait(self, timeout_s: float) -> None:
        """Wait until the generation that is wanted is served."""
        end = time.monotonic() + timeout_s
        while not self.is_current():
            if time.monotonic() > end:
                fail("", f"the gateway does not serve its new configuration after {timeout_s:.0f} s.", LOGS)
            time.sleep(POLL_S)


def _last(error: str) -> str:
    """Return what was said last."""
    return next((line.strip() for line in reversed(error.splitlines()) if line.strip()), "no reason given")
