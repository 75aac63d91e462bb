# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fleet costs: runs of site.yml for one to four boxes, its controller's part for up to a thousand, plans, and moves of models.

python -m tests.bench.fleet [--plans 10,100,1000] [--noops 10,100,1000] [--converged INVENTORY]      the figures, the last line as JSON

Simulated boxes and an edge are made and taken away again. What one of them answers to a run with nothing to do is recorded, and told again
by hosts that are not there, so that what is measured is the controller's own cost: nothing travels, and nobody has to be waited for.
Seconds of its processors are shown beside those that passed, since they hold on a machine that has much else to do. With INVENTORY, one
real host on which site.yml has nothing to do is recorded instead, and no boxes are made. A figure that was not measured is null.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.placement import Host, Request, place
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.placement_rule import PlacementRule
from ansible_collections.gpuserve.fleet.tests.bench import answers, fleet_boxes
from ansible_collections.gpuserve.fleet.tests.bench.run_cost import CHECKOUT, Cost, playbook, unchanged
from ansible_collections.gpuserve.fleet.tests.support.lab.common import LabError

SITE, PLAN = (CHECKOUT / "playbooks" / name for name in ("site.yml", "plan.yml"))
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


def plan(hosts: int) -> Cost:
    """Return what playbooks/plan.yml cost for so many hosts."""
    with tempfile.TemporaryDirectory() as folder:
        each = {f"gpu{at:04d}": {"ansible_host": f"10.0.{at // 256}.{at % 256}"} for at in range(hosts)}
        variables = {"vllm_stack_gpus": [{"name": "NVIDIA GeForce RTX 5090"}], "vllm_stack_models": MODELS}
        inventory = Path(folder, "inventory.json")
        inventory.write_text(json.dumps({"all": {"children": {"gpu_hosts": {"hosts": each, "vars": variables}}}}))
        return playbook(PLAN, inventory, {})[0]


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
        # What is recorded is told of a host that a run before has brought to the same.
        playbook(SITE, converged, {})
        recorder = answers.recorder(Path(folder))
        _cost, text = playbook(SITE, converged, recorder)
        if not unchanged(text):
            raise SystemExit(f"{host} is not converged:\n{text[-4000:]}")
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
        cost, text = playbook(SITE, inventory, answers.told(known, Path(folder, "asked")))
    if (same := unchanged(text)) < hosts:
        raise SystemExit(f"{hosts - same} of {hosts} hosts were changed, or failed:\n{text[-4000:]}")
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
    parser.add_argument("--noops", default="10,100,1000")
    parser.add_argument("--converged", type=Path)
    given = parser.parse_args()
    plans = measured("plan.yml", numbers(given.plans), plan)
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as kept:
        if given.converged:
            of_boxes = dict.fromkeys(fleet_boxes.FIGURES)
            known, variables = kept.enter_context(recorded(given.converged))
        else:
            with fleet_boxes.serving(Path(scratch)) as fleet:
                known, variables = kept.enter_context(recorded(fleet.alone))
                of_boxes = fleet_boxes.figures(fleet)
        # By now the boxes are gone: the controller has the machine for itself.
        noops = measured(
            "site.yml with nothing to do", numbers(given.noops), lambda count: noop(count, known, variables)
        )
    moved = moves()
    print(f"models that move when one of 20 hosts leaves: {max(moved)} at most, {mean(moved):.2f} on average")
    # The most is how many models one of the hosts serves, which their names decide.
    most = [max(moves(f"gpu{number}-")) for number in range(NAMES)]
    within = sum(found <= MOVED for found in most)
    print(f"with other names of hosts: {MOVED} at most with {within} of {NAMES} sets, {max(most)} at most with any")
    answer = {
        "bench": "fleet",
        **of_boxes,
        "hosts_1000_s": round(noops[1000].seconds, 1) if 1000 in noops else None,
        "plan_1000_hosts_s": round(plans[1000].seconds, 1) if 1000 in plans else None,
        "mib_per_host": per_host(noops or plans),
        "moved_models_when_one_of_20_leaves": round(mean(moved), 2),
        "moved_at_most": max(moved),
    }
    print(json.dumps(answer))


def numbers(text: str) -> list[int]:
    """Return numbers of hosts as they are written, with commas between them."""
    return [int(count) for count in text.split(",") if count]


if __name__ == "__main__":
    try:
        main()
    except LabError as error:
        raise SystemExit(f"make bench-fleet: {error}") from None
