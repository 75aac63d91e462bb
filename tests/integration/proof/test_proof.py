# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A whole proof on a simulated box: real playbooks, Docker and gateway, doubles of engines and card (`make test-proof`)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.proof import steps
from ansible_collections.gpuserve.fleet.tests.support import bringup
from ansible_collections.gpuserve.fleet.tests.support.bringup import PORTS, Play, Stack
from ansible_collections.gpuserve.fleet.tests.support.lab import boxes, doubles, images

BOX = "proof"
WHOLE_S = 5


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The box with Docker, engines that take seconds, and the gateway's image where it can be pulled."""
    stack = bringup.make(BOX, tmp_path_factory.mktemp("inventories"))
    stack.variables["gateway_image"] = images.ensure_gateway()
    for name in PORTS:
        stack.engine(name, seconds={"whole": WHOLE_S}, token_s=0.002)
    yield stack
    if os.environ.get("GPUSERVE_KEEP") != "1":
        boxes.down(BOX)


def prove(stack: Stack, *arguments: str) -> tuple[Play, dict[str, Any]]:
    """Run the proof; return its run and its line."""
    line = stack.folder / "line.json"
    variables = {
        "prove_tags": ["vllm_stack", "gateway"],
        "prove_foreign_command": ["python3", "/usr/local/bin/hold_double.py", doubles.gpu(0)[0], "{bytes}", "1800"],
        "prove_json": str(line),
        "prove_fail_on": "never",
        "vllm_stack_gpus": [{"name": doubles.CARD[1]}],
        "vllm_stack_auth": True,
    }
    play = stack.start("prove.yml", *arguments, **variables).follow()
    print(play.text)
    return play, json.loads(line.read_text()) if line.exists() else {}


def test_a_whole_proof(stack: Stack) -> None:
    began, first = prove(stack, "-e", "prove_steps=plan,cold,again")
    assert began.code == 0
    assert (first["failed"], first["second_run_changed"]) == ({}, 0)
    assert first["not_run"] == [step.name for step in steps.STEPS[3:]]
    assert set(first["plan_error_mib"]) == set(PORTS)
    # What is done is not done again.
    rest, line = prove(stack)
    assert rest.code == 0
    assert "step cold" not in rest.text
    assert (line["failed"], line["not_run"]) == ({}, [])
    assert line["ready_cold_s"] == first["ready_cold_s"]
    assert line["faults_named"] == dict.fromkeys(steps.FAULTS, True)
    assert (line["requests_lost"], line["rolled_back"]) == (0, True)
    assert line["requests"] > 10
    assert (line["left_behind"], line["left"]) == (0, [])
    assert stack.run("docker", "ps", "-aq") == ""


def test_a_host_that_serves_is_left_alone(stack: Stack) -> None:
    stack.clear()
    assert stack.start("site.yml", "--tags", "vllm_stack").follow().code == 0
    before = stack.started()
    (stack.folder / ".gpuserve" / "proof").rename(stack.folder / "proof-of-before")
    play, _line = prove(stack)
    assert play.code != 0
    assert "the host serves already" in play.failure["msg"]
    assert stack.started() == before
