# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measure a run of site.yml that has nothing to do, on the box that the scenario `default` brings up and serves from.

Driver and toolkit come from the stub repository, card and engines are doubles; Docker, Compose and the gateway are real.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.tests.support.bench_converge import executed
from ansible_collections.gpuserve.fleet.tests.support.lab.common import CHECKOUT, LabError, say

RUNS = 5
SCENARIO = "default"
LONGEST = 12


def environment(folder: Path) -> dict[str, str]:
    """Return what molecule runs with: a place of its own, and none of our configuration."""
    kept = {name: value for name, value in os.environ.items() if name not in ("ANSIBLE_CONFIG", "MAKEFLAGS", "MFLAGS")}
    return {**kept, "MOLECULE_EPHEMERAL_DIRECTORY": str(folder), "MOLECULE_PROJECT_DIRECTORY": str(CHECKOUT)}


def molecule(command: str, folder: Path) -> None:
    """Run one of molecule's commands on the scenario."""
    done = subprocess.run(
        ["molecule", command, "-s", SCENARIO],
        cwd=CHECKOUT,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise LabError(f"molecule {command} failed: {(done.stdout + done.stderr)[-2000:]}")


def site(folder: Path) -> tuple[float, dict[str, Any]]:
    """Run site.yml as the checkout does, and return its seconds and what it tells."""
    command = ["ansible-playbook", "-i", str(folder / "inventory"), "playbooks/site.yml"]
    given = {
        **environment(folder),
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
    }
    begin = time.monotonic()
    done = subprocess.run(command, cwd=CHECKOUT, env=given, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - begin
    if done.returncode != 0:
        raise LabError(f"site.yml failed: {(done.stdout + done.stderr)[-2000:]}")
    told: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    return seconds, told


def task_seconds(told: dict[str, Any]) -> list[tuple[float, str]]:
    """Return how long each task took that ran, with its name, in the order in which they ran."""
    found = []
    for play in told["plays"]:
        for task in play["tasks"]:
            if any(not result.get("skipped") for result in task["hosts"].values()):
                begin, end = (datetime.fromisoformat(task["task"]["duration"][key]) for key in ("start", "end"))
                found.append(((end - begin).total_seconds(), str(task["task"]["name"])))
    return found


def main() -> int:
    """Bring the box up, and run again and again with nothing to do."""
    with tempfile.TemporaryDirectory(prefix="gpuserve-bench-") as scratch:
        folder = Path(scratch)
        try:
            say("bringing the box up until it serves")
            molecule("converge", folder)
            times: list[float] = []
            told: dict[str, Any] = {}
            for _number in range(RUNS):
                seconds, told = site(folder)
                times.append(seconds)
                tasks, changed = executed(json.dumps(told))
                if changed:
                    raise LabError(f"A run with nothing to do changed {changed} things, so its time means nothing.")
        finally:
            molecule("destroy", folder)
    say(f"the last run's {tasks} tasks, those that took longest first:")
    for seconds, name in sorted(task_seconds(told), reverse=True)[:LONGEST]:
        say(f"  {seconds:5.2f} s  {name}")
    say(f"{RUNS} runs: {', '.join(f'{value:.2f}' for value in times)} s")
    print(json.dumps({"bench": "site", "tasks": tasks, "noop_s": round(statistics.median(times), 2)}))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(1)
