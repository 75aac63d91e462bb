# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a user gets wrong stops before anything on the host has changed, in one sentence. Runs on the bare box, first."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.tests.e2e.conftest import Box, Run, play


def model(**different: Any) -> dict[str, Any]:
    """Return a model as an inventory has it, with differences."""
    right = {
        "name": "smollm2",
        "model": "/srv/gpuserve-demo/smollm2",
        "port": 8001,
        "max_model_len": 512,
        "max_num_seqs": 4,
        "max_num_batched_tokens": 512,
        "kv_cache_memory_bytes": "256MiB",
        "enforce_eager": True,
    }
    return {**right, **different}


def sentence_of(run: Run) -> str:
    """Return what the failed task said, unwrapped."""
    said = run.text.split("fatal: [demo]", 1)[1].split("PLAY RECAP", 1)[0]
    return re.sub(r"\s+", " ", said)


def stopped_before_any_change(box: Box, before: str, run: Run) -> str:
    """Assert that the run failed, changed nothing and spared its user a traceback; return its sentence."""
    assert run.code != 0
    assert "Traceback" not in run.text
    recap = run.recap()
    assert recap["changed"] == 0
    assert recap["failed"] == 1
    assert box.fingerprint() == before
    return sentence_of(run)


@pytest.fixture
def before(box: Box) -> str:
    """Return what the box looks like before a mistake is made."""
    return box.fingerprint()


HOSTILE = ["a/b", 'a"b', "a\nb", "{a: b}", "a: b", "../up", "$(id)", "a b", ""]

MISTAKES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown preset": ({"vllm_stack_preset": "wild"}, ["vllm_stack_preset", "wild", "balanced"]),
    "two models on one port": (
        {"vllm_stack_models": [model(), model(name="other")]},
        ["vllm_stack_models[1].port", "8001", "smollm2"],
    ),
    "missing model directory": (
        {"vllm_stack_models": [model(model="/srv/gpuserve-demo/nowhere")]},
        ["vllm_stack_models[0].model", "/srv/gpuserve-demo/nowhere"],
    ),
    "disk too small": ({"vllm_stack_image_disk": "500TiB"}, ["vllm_stack_image_disk", "GiB free"]),
    **{
        f"model name {name!r}": ({"vllm_stack_models": [model(name=name)]}, ["vllm_stack_models[0].name"])
        for name in HOSTILE
    },
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_inventory_stops_before_any_change(box: Box, before: str, mistake: str) -> None:
    variables, words = MISTAKES[mistake]
    said = stopped_before_any_change(box, before, play(variables=variables))
    for word in words:
        assert word in said


def test_a_taken_port_is_named(box: Box, before: str) -> None:
    unit = "lab-taken"
    box.run("systemd-run", "--unit", unit, "--collect", "python3", "-m", "http.server", "8002", "--bind", "127.0.0.1")
    try:
        for _attempt in range(50):
            if ":8002" in box.run("ss", "-Hltn"):
                break
        said = stopped_before_any_change(box, before, play())
    finally:
        box.run("systemctl", "stop", unit)
    assert "8002" in said
    assert "vllm_stack_models[1].port" in said


def test_an_ordinary_user_is_turned_away(box: Box, before: str) -> None:
    box.run("useradd", "--create-home", "plain")
    box.run("sh", "-c", "cp -r /root/.ssh /home/plain/ && chown -R plain: /home/plain/.ssh")
    try:
        said = stopped_before_any_change(box, before, play("-e", "ansible_user=plain ansible_become=false"))
    finally:
        box.run("userdel", "--remove", "plain")
    assert "ansible_become" in said


def test_without_docker_the_stack_says_what_is_missing(box: Box, before: str) -> None:
    assert subprocess.run(["docker", "exec", box.container, "which", "docker"], check=False).returncode != 0
    said = stopped_before_any_change(box, before, play("--tags", "vllm_stack"))
    assert "Docker" in said
