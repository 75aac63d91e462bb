# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on a box full of planted secrets, in its inventory and its files: what each prints, logs and caches is searched.

python -m ...planted_runs INVENTORY FOLDER NAME...
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.tests.support import planted

CHECKOUT = Path(__file__).resolve().parents[2]
LOUD = ["-vvv", "--diff"]
# The host's packages but for the driver's and the toolkit's: those are played alone, where a stub of their repository is.
SITE = ["playbooks/site.yml", "--tags", "docker_engine,vllm_stack,gateway"]
STACK = ["playbooks/site.yml", "--tags", "vllm_stack"]
ROLLBACK = "playbooks/rollback.yml"
ROLE = "tests/integration/playbooks/roles.yml"
FAULT = "/var/lib/nvml-double/engines/tinyllama.json"


def given(**variables: Any) -> list[str]:
    """Return variables as a command line has them."""
    return ["-e", json.dumps(variables)]


def on_the_box(command: str) -> list[str]:
    """Return what a task does on the box between two runs."""
    return ["tests/support/on_the_box.yml", *given(command=command)]


def role(name: str, **variables: Any) -> list[str]:
    """Return how one role is played alone, as loud as can be."""
    return [ROLE, *LOUD, *given(play_role=name, **variables)]


def plant() -> list[str]:
    """Return what puts secrets into files of the host, and takes away what roles then write anew."""
    lines = [
        f"install -D -m {0o600 if 'auth' in path else 0o644:o} /dev/stdin {path} <<'END'\n{text}END"
        for path, text in planted.host_files().items()
    ]
    lines.append("rm -f /etc/apt/keyrings/gpuserve-* /etc/apt/sources.list.d/gpuserve-*")
    script = shlex.quote("\n".join(lines))
    return on_the_box(f"sh -ec {script}")


def runs(folder: Path) -> dict[str, tuple[int, list[str]]]:
    """Return each run by its name: the status that it has to end with, and its words."""
    another = {"model_secret": f"{planted.secret('model-env')}-second"}
    return {
        # The box was converged on ports, as versions before had it: the engine moves to its socket.
        "site": (0, [*SITE, *LOUD, *given(**another)]),
        "dry": (0, [*SITE, *LOUD, "--check"]),
        # To ports, and to the socket again.
        "rollback": (0, [ROLLBACK, *LOUD]),
        "rollback again": (0, [ROLLBACK, "-v"]),
        "squat": (0, on_the_box("touch /home/mallory/stop.squat")),
        "break": (0, on_the_box(f'sed -i \'s/}}$/, "fault": {{"kind": "oom", "at": "loading"}}}}/\' {FAULT}')),
        "engine that fails": (2, [*STACK, *LOUD, *given(model_secret=planted.secret("model-env") + "-third")]),
        # A model that the gateway does not have: the run fails in its last step.
        "gateway that fails": (
            2,
            [
                "playbooks/site.yml",
                "--tags",
                "gateway",
                *LOUD,
                *given(gateway_prove=["gone"], _gateway_prove_timeout_s=1),
            ],
        ),
        "plant": (0, plant()),
        "driver": (0, role("nvidia_driver")),
        "driver that fails": (
            2,
            role("nvidia_driver", nvidia_driver_version="595.99.99", nvidia_driver_allow_held=True),
        ),
        "toolkit": (0, role("nvidia_container_toolkit", nvidia_container_toolkit_legacy_runtime=True)),
        "toolkit that fails": (2, role("nvidia_container_toolkit", nvidia_container_toolkit_version="1.20.9")),
        # One more option, which a running daemon takes, and one that it refuses.
        "docker": (0, role("docker_engine", docker_engine_options={**planted.proxies(), "max-concurrent-uploads": 3})),
        "docker that fails": (
            2,
            role("docker_engine", docker_engine_options={**planted.proxies(), "no-such-option": True}),
        ),
        # Its bundle is sent to somebody else.
        "diagnose": (
            0,
            [
                "playbooks/diagnose.yml",
                *LOUD,
                *given(diagnose_fail_on="never", diagnose_names=[], diagnose_bundle=str(folder / "support")),
            ],
        ),
        "stack's teardown": (0, ["tests/integration/bringup/play.yml", *LOUD, *given(part="teardown.yml")]),
        "teardown": (0, ["playbooks/teardown.yml", *LOUD]),
    }


def play(inventory: str, folder: Path, name: str, expected: int, words: list[str]) -> list[str]:
    """Play one; return what it printed that it must not."""
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        # Ours hides what changed nothing; others' configurations show it.
        "ANSIBLE_DISPLAY_OK_HOSTS": "1",
        "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "1",
        "ANSIBLE_LOG_PATH": str(folder / f"{name}.log"),
        "ANSIBLE_CACHE_PLUGIN": "jsonfile",
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(folder / "facts"),
        "COLUMNS": "100000",
    }
    argv = ["ansible-playbook", "-i", inventory, *words]
    done = subprocess.run(argv, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    text = done.stdout + done.stderr
    # What was given on the command line is in the arguments that -vvv begins with, and was never ours to hide.
    if done.returncode != expected:
        (folder / "shown.txt").write_text(text)
        raise SystemExit(f"{name} ended with {done.returncode}, not {expected}:\n{text[-6000:]}")
    return [f"{name} printed {one}" for one in planted.shown(text)]


def main() -> None:
    """Play what is named, and say what came out."""
    inventory, place, *names = sys.argv[1:]
    folder = Path(place)
    leaks = []
    for name in names:
        leaks += play(inventory, folder, name, *runs(folder)[name])
    for packed in (folder / "support").glob("*.tar.gz"):
        with tarfile.open(packed) as archive:
            archive.extractall(folder / "unpacked", filter="data")
    if "diagnose" in names and not list((folder / "unpacked").rglob("*")):
        raise SystemExit("diagnose made no support bundle")
    leaks += planted.shown_in_files(folder)
    if leaks:
        raise SystemExit("; ".join(leaks))
    print(f"{len(names)} runs, nothing that was planted was printed, logged or cached")


if __name__ == "__main__":
    main()
