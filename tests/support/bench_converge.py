# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measure a run that has nothing to do: the three host roles on a converged box, over SSH with pipelining.

The box is a simulated one: Docker is real, driver and toolkit come from the stub repository and the card is a tree of
files. What is measured is the roles' own cost, which a real card does not change.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.tests.support.lab import boxes
from ansible_collections.gpuserve.fleet.tests.support.lab.common import CHECKOUT, LabError, say

RUNS = 5
BOX = "host-bench"


def inventory(box: boxes.Box, folder: Path) -> Path:
    """Write an inventory of the one box."""
    stub = str(folder / "stub")
    url = "http://127.0.0.1:8088"
    good = "{{ (lookup('ansible.builtin.file', stub_folder ~ '/fingerprints.json') | from_json).good }}"
    variables: dict[str, Any] = {
        "ansible_host": box.address,
        "ansible_port": box.port,
        "ansible_user": box.user,
        "ansible_ssh_private_key_file": box.key,
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={box.known_hosts}",
        "ansible_python_interpreter": "/usr/bin/python3",
        "stub_folder": stub,
        "stub_keep": True,
        "stub_url": url,
        "docker_engine_source": "distro",
        "nvidia_driver_repository_url": f"{url}/good/cuda/repos",
        "nvidia_driver_repository_key_url": f"{url}/keys/good.asc",
        "nvidia_driver_repository_fingerprints": [good],
        "nvidia_driver_verify": False,
        "nvidia_container_toolkit_repository_url": f"{url}/good/libnvidia-container/stable",
        "nvidia_container_toolkit_repository_key_url": f"{url}/keys/good.asc",
        "nvidia_container_toolkit_repository_fingerprints": [good],
        "nvidia_container_toolkit_prove_image": "proof:1",
    }
    path = folder / "inventory.json"
    path.write_text(json.dumps({"all": {"hosts": {BOX: variables}}}))
    return path


def playbook(folder: Path, name: str, plays: list[dict[str, Any]]) -> Path:
    """Write a playbook."""
    path = folder / name
    path.write_text(json.dumps(plays))
    return path


def play(hosts: Path, book: Path, quiet: bool) -> subprocess.CompletedProcess[str]:
    """Run a playbook as the checkout would."""
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "MOLECULE_PROJECT_DIRECTORY": str(CHECKOUT),
        **({"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"} if quiet else {}),
    }
    command = ["ansible-playbook", "-i", str(hosts), str(book)]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"The playbook {book.name} failed: {(done.stdout + done.stderr)[-2000:]}")
    return done


def executed(output: str) -> tuple[int, int]:
    """Count the tasks that ran and those that changed something."""
    data = json.loads(output[output.index("{") :])
    results = [host for p in data["plays"] for task in p["tasks"] for host in task["hosts"].values()]
    ran = [result for result in results if not result.get("skipped")]
    return len(ran), sum(bool(result.get("changed")) for result in ran)


def main() -> int:
    """Converge, then measure."""
    with tempfile.TemporaryDirectory(prefix="gpuserve-bench-") as scratch:
        folder = Path(scratch)
        box = boxes.up(BOX, fresh=True)
        try:
            hosts = inventory(box, folder)
            # The scenarios leave other recipes' entries behind, which stop apt until the role that knows them has run.
            first = [{"hosts": "all", "gather_facts": False, "roles": ["gpuserve.fleet.nvidia_driver"]}]
            prepare: list[dict[str, Any]] = [
                {"import_playbook": str(CHECKOUT / "molecule/nvidia_driver/prepare.yml")},
                *first,
                {"import_playbook": str(CHECKOUT / "molecule/nvidia_container_toolkit/prepare.yml")},
            ]
            roles = [
                f"gpuserve.fleet.{name}" for name in ("nvidia_driver", "docker_engine", "nvidia_container_toolkit")
            ]
            book = playbook(folder, "roles.yml", [{"hosts": "all", "gather_facts": False, "roles": roles}])
            say("preparing and converging the box")
            play(hosts, playbook(folder, "prepare.yml", prepare), quiet=False)
            play(hosts, book, quiet=False)
            times, tasks = [], 0
            for _number in range(RUNS):
                begin = time.monotonic()
                done = play(hosts, book, quiet=True)
                times.append(time.monotonic() - begin)
                tasks, changed = executed(done.stdout)
                if changed:
                    raise LabError(f"A run with nothing to do changed {changed} things, so its time means nothing.")
            noop_s = statistics.median(times)
            say(f"{RUNS} runs: {', '.join(f'{value:.2f}' for value in times)} s, median {noop_s:.2f} s, {tasks} tasks")
        finally:
            boxes.down(BOX)
    line = {
        "bench": "converge",
        "tasks": tasks,
        "noop_s": round(noop_s, 2),
        "ms_per_task": round(1000 * noop_s / tasks),
    }
    print(json.dumps(line))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(1)
