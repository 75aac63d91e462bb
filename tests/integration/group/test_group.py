# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One model over two boxes, with real Docker, SSH and Ansible between them: both parts serve, or neither. The engines are doubles.

The bring-up alone, for whoever changes it: `make test-group`, whose play is in tests/integration/bringup. Make test has the playbooks
around it in the scenario fleet, and what two bring-ups tell each other on made-up hosts.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.fleet.placement import rank
from ansible_collections.gpuserve.fleet.tests.support import bringup
from ansible_collections.gpuserve.fleet.tests.support.bringup import Play, Stack
from ansible_collections.gpuserve.fleet.tests.support.lab import boxes, doubles

LARGE = {
    "name": "large",
    "model": "Qwen/Qwen2.5-3B-Instruct",
    "port": 8001,
    "max_model_len": 1024,
    "max_num_seqs": 8,
    "distributed": {"hosts": 2},
}
# Whoever ranks highest with the model serves.
FIRST, SECOND = sorted(("box", "other"), key=lambda host: -rank("large", host))


@dataclass
class Group:
    """Two boxes, the first of which serves for both."""

    stacks: dict[str, Stack]

    @property
    def first(self) -> Stack:
        return self.stacks[FIRST]

    @property
    def second(self) -> Stack:
        return self.stacks[SECOND]

    def planned(self) -> Play:
        """A dry run of boxes that are still bare: their card is told to it."""
        card = {"name": doubles.CARD[1], "index": 0, "uuid": doubles.gpu(0)[0]}
        return self.play("--check", "-e", json.dumps({"vllm_stack_gpus": [card]}))

    def play(self, *arguments: str, **change: Any) -> Play:
        models = [{**LARGE, **change}]
        box, other = self.stacks["box"], self.stacks["other"]
        box.neighbors = {"other": other.host(vllm_stack_models=models)}
        play = box.start("group.yml", *arguments, vllm_stack_models=models).follow()
        print(play.text)
        return play

    def engines(self, play: Play, **settings: Any) -> None:
        """Have the doubles hold what a plan says; `settings` are the second one's."""
        for name, stack in self.stacks.items():
            (model,) = results(play)[name]["plan"]["gpus"][0]["models"]
            told = {
                "total_bytes": int(model["total_bytes"]) - int(model["traffic_bytes"]),
                "kv_cache_bytes": int(model["kv_cache_bytes"]),
                **(settings if name == SECOND else {}),
            }
            path = f"{doubles.FOLDER}/engines/large.json"
            stack.run("sh", "-c", f"mkdir -p {doubles.FOLDER}/engines && printf %s '{json.dumps(told)}' > {path}")

    @property
    def serves(self) -> bool:
        return self.first.serving({"large": 8001}) == ["large"]

    def started(self) -> list[str]:
        return [stack.started()["vllm-large"] for stack in (self.first, self.second)]


def results(play: Play) -> dict[str, dict[str, Any]]:
    """Return what the bring-up returned, by host."""
    found = {}
    for shown in re.finditer(r"^ok: \[(box|other)\] => (?=\{\s+\"msg\": \{)", play.text, re.M):
        found[shown[1]] = json.JSONDecoder().raw_decode(play.text[shown.end() :])[0]["msg"]
    return found


def failures(play: Play) -> dict[str, str]:
    return {
        shown[1]: json.loads(shown[2])["msg"]
        for shown in re.finditer(r"^fatal: \[(\w+)\]: FAILED! => (\{.*\})$", play.text, re.M)
    }


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    """Make the boxes and take them away in the end."""
    names = {"box": "group", "other": "group-other"}
    try:
        yield Group({host: bringup.make(name, tmp_path_factory.mktemp(name)) for host, name in names.items()})
    finally:
        if os.environ.get("GPUSERVE_KEEP") != "1":
            for name in names.values():
                boxes.down(name)


def test_a_model_over_two_boxes_serves_as_one(group: Group) -> None:
    planned = group.planned()
    assert planned.code == 0
    group.engines(planned)
    run = group.play()
    assert run.code == 0 and group.serves
    assert {name: result["serving"] for name, result in results(run).items()} == {"box": ["large"], "other": ["large"]}
    assert results(run)[SECOND]["endpoints"] == []
    assert "headless multiproc executor" in group.second.log("vllm-large")
    assert "__bringup_tells__" not in run.text
    started = group.started()
    again = group.play()
    assert (again.code, again.changed) == (0, 0) and group.started() == started

    # One dies: the first one is healthy and makes no token. All of it starts again, and nothing of it by itself.
    group.second.run("docker", "kill", "vllm-large")
    assert not group.serves
    back = group.play()
    assert back.code == 0 and group.serves
    assert all(now != before for now, before in zip(group.started(), started, strict=True))

    # A part that fails: the set before is back on both, and each says why.
    started = group.started()
    group.engines(planned, fault={"kind": "no_kernel_image", "at": "loading", "times": 1})
    failed = group.play(env={"NOTE": "1"})
    said = failures(failed)
    assert failed.code == 2 and group.serves
    assert "large did not start: the engine's image holds no code for this card" in said[SECOND]
    assert f"{SECOND}, with which it serves together" in said[FIRST]
    assert all("The set before is back and proved." in text for text in said.values())
    assert group.started() != started
    assert not re.search("NOTE", group.first.run("docker", "inspect", "vllm-large"))
