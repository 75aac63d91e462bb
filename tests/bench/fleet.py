# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fleet costs the controller: plans of up to a thousand hosts by the playbook, and the moves when a host leaves.

python -m tests.bench.fleet [--hosts 1000]      the figures, the last line as JSON
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.placement import Host, Request, place
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.placement_rule import PlacementRule

CHECKOUT = Path(__file__).resolve().parents[2]
RACKS = ("rack_a", "rack_b", "rack_c", "rack_d")
MODELS = [
    {
        "name": "qwen",
        "model": "Qwen/Qwen2.5-3B-Instruct",
        "max_model_len": 1536,
        "max_num_seqs": 24,
        "placement": {"hosts": 2},
    },
    {"name": "yi", "model": "01-ai/Yi-6B-Chat", "max_model_len": 2048},
]


def moves() -> list[int]:
    """Return how many models are served anew elsewhere after each of twenty hosts left, with ten models of three kinds of rules."""
    hosts = [Host(f"gpu{at:02d}", frozenset({RACKS[at % 4]})) for at in range(20)]
    rules = [PlacementRule(1), PlacementRule(2), PlacementRule(2, "", RACKS)]

    def served(among: list[Host]) -> set[tuple[str, str]]:
        names = tuple(host.name for host in among)
        found = place([Request(f"model{at}", rules[at % 3], names, at) for at in range(10)], among, 3)
        assert not found.mistakes
        return {(model, host) for model, names in found.hosts.items() for host in names}

    before = served(hosts)
    return [len(served([host for host in hosts if host is not leaving]) - before) for leaving in hosts]


def plan(hosts: int) -> tuple[float, float]:
    """Return seconds and the most MiB of a process that playbooks/plan.yml took for so many hosts."""
    with tempfile.TemporaryDirectory() as folder:
        each = {f"gpu{at:04d}": {"ansible_host": f"10.0.{at // 256}.{at % 256}"} for at in range(hosts)}
        variables = {"vllm_stack_gpus": [{"name": "NVIDIA GeForce RTX 5090"}], "vllm_stack_models": MODELS}
        inventory = Path(folder, "inventory.json")
        inventory.write_text(json.dumps({"all": {"children": {"gpu_hosts": {"hosts": each, "vars": variables}}}}))
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        environment = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "HF_HUB_OFFLINE": "1"}
        began = time.perf_counter()
        subprocess.run(
            [program, "-i", str(inventory), str(CHECKOUT / "playbooks/plan.yml")],
            cwd=CHECKOUT,
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        seconds = time.perf_counter() - began
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--hosts", type=int, default=1000)
    hosts = parser.parse_args().hosts
    found: dict[int, tuple[float, float]] = {}
    for count in sorted({10, min(100, hosts), hosts}):
        found[count] = plan(count)
        print(f"plan.yml for {count:>5} hosts: {found[count][0]:6.1f} s, {found[count][1]:.0f} MiB")
    moved = moves()
    print(
        f"models that move when one of 20 hosts leaves: {max(moved)} at most, {sum(moved) / len(moved):.2f} on average"
    )
    per_host = (found[hosts][1] - found[10][1]) / max(1, hosts - 10)
    answer = {
        "bench": "fleet",
        f"plan_{hosts}_hosts_s": round(found[hosts][0], 1),
        "mib_per_host": round(per_host, 3),
        "moved_models_when_one_of_20_leaves": max(moved),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
