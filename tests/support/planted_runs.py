# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on a box whose inventory is full of planted secrets: one that replaces, two that roll back, a dry one, one that fails.

What each prints, logs and caches is searched. python -m ...planted_runs INVENTORY CONVERGE FOLDER
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from ansible_collections.gpuserve.fleet.tests.support import planted

CHECKOUT = Path(__file__).resolve().parents[2]
LOUD = ["-vvv", "--diff"]
OTHER = json.dumps({"model_secret": f"{planted.secret('model-env')}-second"})
# A model that the gateway does not have: the run fails in its last step.
BROKEN = json.dumps({"gateway_prove": ["gone"], "_gateway_prove_timeout_s": 1})


def main() -> None:
    """Play, and say what came out."""
    inventory, converge, place = sys.argv[1:]
    folder = Path(place)
    rollback = "playbooks/rollback.yml"
    runs: dict[str, tuple[int, list[str]]] = {
        "replace": (0, [converge, "-e", OTHER, *LOUD]),
        "dry": (0, [converge, *LOUD, "--check"]),
        "rollback": (0, [rollback, *LOUD]),
        "rollback again": (0, [rollback, "-v"]),
        "fails": (2, [converge, "-e", BROKEN, *LOUD]),
    }
    leaks = []
    for name, (expected, words) in runs.items():
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOG_PATH": str(folder / f"{name}.log"),
            "ANSIBLE_CACHE_PLUGIN": "jsonfile",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(folder / "facts"),
        }
        argv = ["ansible-playbook", "-i", inventory, *words]
        done = subprocess.run(argv, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
        text = done.stdout + done.stderr
        if done.returncode != expected:
            (folder / "shown.txt").write_text(text)
            raise SystemExit(f"{name} ended with {done.returncode}, not {expected}:\n{text[-6000:]}")
        leaks += [f"{name} printed {one}" for one in planted.shown(text)]
    leaks += planted.shown_in_files(folder)
    if leaks:
        raise SystemExit("; ".join(leaks))
    print(f"{len(runs)} runs, nothing that was planted was printed, logged or cached")


if __name__ == "__main__":
    main()
