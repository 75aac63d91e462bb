# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fleet costs its controller: plans and a run with nothing to do for up to a thousand hosts, and the moves when a host leaves.

python -m tests.bench.fleet [--plans 10,100,1000] [--converged INVENTORY --noops 10,100,1000]      the figures, the last line as JSON

INVENTORY has one host on which site.yml has nothing to do. What it answers is recorded, and told again by hosts that are not there, so
that what is measured is the controller's own cost: nothing travels, and nobody has to be waited for. Seconds of its processors are shown
beside those that passed, since they hold on a machine that has much else to do. A figure that was not measured is null, and a line says
why.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.placement import Host, Request, place
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.placement_rule import PlacementRule
from ansible_collections.gpuserve.fleet.tests.bench import answers

CHECKOUT = Path(__file__).resolve().parents[2]
RACKS = ("rack_a", "rack_b", "rack_c", "rack_d")
# Sets of names, and how many models may move when a host leaves.
NAMES, MOVED = 30, 2
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


@dataclass(frozen=True)
class Cost:
    """What a run cost its controller: seconds that passed, those of its processors, and the most MiB that one of its processes took."""

    seconds: float
    processor_s: float
    most_mib: float


def moves(prefix: str = "gpu") -> list[int]:
    """Return how many models are served anew elsewhere after each of twenty hosts left, with ten models of three kinds of rules."""
    hosts = [Host(f"{prefix}{at:02d}", frozenset({RACKS[at % 4]})) for at in range(20)]
    rules = [PlacementRule(1), PlacementRule(2), PlacementRule(2, "", RACKS)]

    def served(among: list[Host]) -> set[tuple[str, str]]:
        names = tuple(host.name for host in among)
        found = place([Request(f"model{at}", rules[at % 3], names, at) for at in range(10)], among, 3)
        assert not found.mistakes
        return {(model, host) for model, names in found.hosts.items() for host in names}

    before = served(hosts)
    return [len(served([host for host in hosts if host is not leaving]) - before) for leaving in hosts]


def playbook(name: str, inventory: Path, environment: Mapping[str, str], *words: str) -> tuple[Cost, str]:
    """Run a playbook; return what it cost, and what it said."""
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    always = {"ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "HF_HUB_OFFLINE": "1", "ANSIBLE_NOCOLOR": "1"}
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(
            [program, "-i", str(inventory), str(CHECKOUT / "playbooks" / name), *words],
            cwd=CHECKOUT,
            env={**os.environ, **always, **environment},
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        # The use of this child alone, and of what it waited for: its own workers.
        _pid, status, used = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - began
        said.seek(0)
        text = said.read()
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{name} failed ({child.returncode}):\n{text[-4000:]}")
    return Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024), text


def plan(hosts: int) -> Cost:
    """Return what playbooks/plan.yml cost for so many hosts."""
    with tempfile.TemporaryDirectory() as folder:
        each = {f"gpu{at:04d}": {"ansible_host": f"10.0.{at // 256}.{at % 256}"} for at in range(hosts)}
        variables = {"vllm_stack_gpus": [{"name": "NVIDIA GeForce RTX 5090"}], "vllm_stack_models": MODELS}
        inventory = Path(folder, "inventory.json")
        inventory.write_text(json.dumps({"all": {"children": {"gpu_hosts": {"hosts": each, "vars": variables}}}}))
        return playbook("plan.yml", inventory, {})[0]


@contextlib.contextmanager
def recorded(converged: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Have one host answer to site.yml, which has nothing to do there; yield its answers, and its variables."""
    read = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-inventory")), "-i", str(converged), "--list"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    listed = json.loads(read.stdout)
    (host,) = listed["gpu_hosts"]["hosts"]
    variables = listed["_meta"]["hostvars"][host]
    with tempfile.TemporaryDirectory() as folder:
        recorder = answers.recorder(Path(folder))
        _cost, text = playbook("site.yml", converged, recorder)
        recap = text.rpartition("PLAY RECAP")[2]
        if "changed=0" not in recap:
            raise SystemExit(f"{host} is not converged: {recap}")
        yield answers.sorted_out(Path(folder, "answers.jsonl"), Path(folder, "answers")), variables


def noop(hosts: int, known: Path, variables: Mapping[str, Any]) -> Cost:
    """Return what site.yml cost for so many hosts on which it has nothing to do."""
    with tempfile.TemporaryDirectory() as folder:
        common = {
            name: value for name, value in variables.items() if not name.startswith(("ansible_ssh", "ansible_port"))
        }
        # The steps of a rollout are those that a fleet has by default, whatever the one host has.
        common.pop("gpuserve_rollout_steps", None)
        common |= {"ansible_connection": "far_end", "ansible_python_interpreter": "/usr/bin/python3"}
        each = {f"gpu{at:04d}": {"ansible_host": f"10.0.{at // 256}.{at % 256}"} for at in range(hosts)}
        inventory = Path(folder, "inventory.yml")
        tree = {"all": {"children": {"gpu_hosts": {"hosts": each, "vars": common}}}}
        inventory.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
        cost, text = playbook("site.yml", inventory, answers.told(known, Path(folder, "asked")))
    served = text.rpartition("PLAY RECAP")[2].count("changed=0")
    if served < hosts:
        raise SystemExit(f"{hosts - served} of {hosts} hosts were changed, or failed:\n{text[-4000:]}")
    return cost


def measured(what: str, counts: list[int], of: Any) -> dict[int, Cost]:
    """Measure for each number of hosts, and print."""
    found: dict[int, Cost] = {}
    for count in counts:
        found[count] = cost = of(count)
        spent = f"{cost.processor_s:7.1f} s of processors, {1000 * cost.processor_s / count:6.0f} ms a host"
        print(f"{what} for {count:>5} hosts: {cost.seconds:7.1f} s; {spent}; {cost.most_mib:.0f} MiB", flush=True)
    return found


def per_host(found: Mapping[int, Cost]) -> float | None:
    """Return by how many MiB the largest process grows with a host, between the fewest and the most that were measured."""
    few, many = (min(found), max(found)) if found else (0, 0)
    return round((found[many].most_mib - found[few].most_mib) / (many - few), 3) if many > few else None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--plans", default="10,100,1000")
    parser.add_argument("--converged", type=Path)
    parser.add_argument("--noops", default="10,100,1000")
    given = parser.parse_args()
    plans = measured("plan.yml", [int(count) for count in given.plans.split(",") if count], plan)
    noops: dict[int, Cost] = {}
    if given.converged:
        with recorded(given.converged) as (known, variables):
            noops = measured(
                "site.yml with nothing to do",
                [int(count) for count in given.noops.split(",")],
                lambda count: noop(count, known, variables),
            )
    moved = moves()
    print(f"models that move when one of 20 hosts leaves: {max(moved)} at most, {mean(moved):.2f} on average")
    # The most is how many models one of the hosts serves, which their names decide.
    most = [max(moves(f"gpu{number}-")) for number in range(NAMES)]
    within = sum(found <= MOVED for found in most)
    print(f"with other names of hosts: {MOVED} at most with {within} of {NAMES} sets, {max(most)} at most with any")
    answer = {
        "bench": "fleet",
        "lost": None,
        "noop_4_over_1": None,
        "change_4_over_1": None,
        "hosts_1000_s": round(noops[1000].seconds, 1) if 1000 in noops else None,
        "plan_1000_hosts_s": round(plans[1000].seconds, 1) if 1000 in plans else None,
        "mib_per_host": per_host(noops or plans),
        "moved_models_when_one_of_20_leaves": max(moved),
    }
    print("null: lost, noop_4_over_1 and change_4_over_1 need several boxes with a client, which this does not make.")
    if answer["hosts_1000_s"] is None:
        print("null: hosts_1000_s was not asked for, or no --converged host was named to record.")
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
