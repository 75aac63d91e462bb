# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Four simulated boxes and an edge that serve, for figures: the scenario `fleet` twice over, each box whole with card, driver and toolkit.

Engines and cards are doubles; Docker, SSH, TLS and the gateways are real.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.gpuserve.fleet.tests.bench.run_cost import CHECKOUT, Cost, playbook, unchanged
from ansible_collections.gpuserve.fleet.tests.support import fleet_day
from ansible_collections.gpuserve.fleet.tests.support.edge_clients import Clients
from ansible_collections.gpuserve.fleet.tests.support.lab import boxes
from ansible_collections.gpuserve.fleet.tests.support.lab.common import say

SCENARIO = CHECKOUT / "molecule" / "fleet"
SITE = CHECKOUT / "playbooks" / "site.yml"
BOXES = ("bench-1", "bench-2", "bench-3", "bench-4")
EDGE = "bench-edge"
# What the flag is set to for so many boxes: each run changes it on all that it is for.
SEQUENCES = {1: 20, 2: 18, 4: 16}
# A run's seconds differ with what else the machine does; the least of so many is told.
ROUNDS = 2
FIGURES = ("lost", "noop_4_over_1", "change_4_over_1")


@dataclass(frozen=True)
class Fleet:
    """Boxes that serve behind an edge, in a folder with their inventory."""

    folder: Path
    inventory: Path
    # The first box as an inventory of its own.
    alone: Path
    edge_address: str

    def run(self, path: Path, inventory: Path, *words: str) -> tuple[Cost, str]:
        """Run a playbook as the scenario does."""
        environment = {
            "MOLECULE_EPHEMERAL_DIRECTORY": str(self.folder),
            "MOLECULE_PROJECT_DIRECTORY": str(CHECKOUT),
        }
        return playbook(path, inventory, environment, *words)

    def noop(self, count: int) -> float:
        """Return the seconds of a run with nothing to do on so many boxes."""
        cost, text = self.run(SITE, self.inventory, "-l", ",".join(BOXES[:count]))
        if unchanged(text) < count:
            raise SystemExit(f"a run with nothing to do changed something:\n{text[-4000:]}")
        return cost.seconds

    def change(self, count: int) -> float:
        """Return the seconds of a run that changes a flag on so many boxes, by the steps that a rollout has by default."""
        flags = fleet_day.flags(SEQUENCES[count])
        cost, text = self.run(SITE, self.inventory, "-l", ",".join(BOXES[:count]), "-e", flags)
        if unchanged(text):
            raise SystemExit(f"a flag was not changed everywhere:\n{text[-4000:]}")
        return cost.seconds

    @contextlib.contextmanager
    def asked(self) -> Iterator[Clients]:
        """Have clients ask the edge meanwhile: plain requests, and streams."""
        clients = Clients(self.edge_address)
        with clients.asking(1, 1):
            yield clients


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Fleet]:
    """Make boxes and edge, and have site.yml set them up; take them away in the end."""
    try:
        made = {name: boxes.up(name, fresh=True) for name in (*BOXES, EDGE)}
        fleet = Fleet(folder, folder / "all.yml", folder / "alone.yml", made[EDGE].address)
        write(fleet.inventory, made, BOXES, [EDGE], folder)
        say("preparing the boxes: Docker, the doubles, the toolkit")
        fleet.run(SCENARIO / "prepare.yml", fleet.inventory)
        say("setting the fleet up")
        fleet.run(SITE, fleet.inventory)
        write(fleet.alone, made, BOXES[:1], [], folder)
        yield fleet
    finally:
        for name in (*BOXES, EDGE):
            boxes.down(name)


def write(path: Path, made: dict[str, boxes.Box], members: tuple[str, ...], edges: list[str], folder: Path) -> None:
    """Write an inventory with what the scenario's has, where every box is whole, and a rollout has its default steps."""
    text = (SCENARIO / "molecule.yml").read_text().replace("${MOLECULE_EPHEMERAL_DIRECTORY}", str(folder))
    of_groups: dict[str, dict[str, Any]] = yaml.safe_load(text)["provisioner"]["inventory"]["group_vars"]
    del of_groups["all"]["gpuserve_rollout_steps"]
    if (folder / "lab.json").exists():
        # What was read from files there is written down: a fleet's inventory reads no file for each of its hosts.
        of_groups["all"]["lab"] = json.loads((folder / "lab.json").read_text())
        prints = json.loads((folder / "stub" / "fingerprints.json").read_text())
        of_groups["canary"]["nvidia_container_toolkit_repository_fingerprints"] = [prints["good"]]
    groups = {
        "gpu_hosts": {"hosts": {name: {} for name in members}, "vars": of_groups["gpu_hosts"]},
        "canary": {"hosts": {name: {} for name in members}, "vars": of_groups["canary"]},
        "edge": {"hosts": {name: {} for name in edges}, "vars": of_groups["edge"]},
    }
    reached = {name: variables(made[name]) for name in (*members, *edges)}
    tree = {"all": {"hosts": reached, "vars": of_groups["all"], "children": groups}}
    path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")


def variables(box: boxes.Box) -> dict[str, Any]:
    """Return how Ansible reaches a box."""
    return {
        "ansible_host": box.address,
        "ansible_port": box.port,
        "ansible_user": box.user,
        "ansible_ssh_private_key_file": box.key,
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={box.known_hosts}",
    }


def figures(fleet: Fleet) -> dict[str, Any]:
    """Measure runs for one, two and four boxes while clients ask; return the ratios of four to one, and what was lost."""
    turns: dict[int, list[float]] = {count: [] for count in SEQUENCES}
    changes: dict[int, float] = {}
    # Each box has been brought to what is asked for.
    fleet.run(SITE, fleet.inventory)
    with fleet.asked() as clients:
        # In turns, so that whatever else the machine does meets all of them.
        for _round in range(ROUNDS):
            for count, seconds in turns.items():
                seconds.append(fleet.noop(count))
        noops = {count: min(seconds) for count, seconds in turns.items()}
        for count, seconds in turns.items():
            say(f"site.yml with nothing to do for {count} boxes: {', '.join(f'{each:.1f}' for each in seconds)} s")
        for count in SEQUENCES:
            changes[count] = fleet.change(count)
            say(f"site.yml with a changed flag for {count} boxes: {changes[count]:.1f} s")
    told = {kind: clients.answers[kind] for kind in ("plain", "stream")}
    say(f"clients of the edge meanwhile: {json.dumps(told)}, lost: {clients.lost[:5]}")
    if min(told.values()) < 10:
        raise SystemExit("clients asked too little for anything to be said of what is lost")
    return dict(
        zip(FIGURES, (len(clients.lost), round(noops[4] / noops[1], 2), round(changes[4] / changes[1], 2)), strict=True)
    )
