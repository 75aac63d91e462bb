# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ways of a bring-up that end well: from nothing, again, one changed, one gone, back, and what a dry run says of each."""

from __future__ import annotations

import os

import pytest

from ansible_collections.gpuserve.fleet.tests.support.bringup import GIB, MODELS, PORTS, Play, Stack
from ansible_collections.gpuserve.fleet.tests.support.lab import doubles


def test_from_nothing_to_three_and_again(stack: Stack) -> None:
    first = stack.play()
    assert first.code == 0
    assert stack.serving() == sorted(PORTS)
    result = first.result
    assert result["mode"]["mode"] == "parallel"
    for model in result["models"]:
        assert model["action"] == "started"
        # A ready engine holds what was planned but for what it takes under load.
        assert abs(model["measured_bytes"] - stack.sizes[model["name"]]["total_bytes"]) < 64 << 20
        assert model["measured_bytes"] < model["planned_bytes"]
        assert model["kv_cache_tokens"] > 0
        assert {"created", "loading", "loaded", "cache", "ready"} <= set(model["timeline"])
    assert "first token" in first.text, "progress is shown while it works"
    started = stack.started()
    second = stack.play()
    assert (second.code, second.changed) == (0, 0)
    assert stack.started() == started
    # What an interrupted run leaves: one that serves, and that nobody would start again after a boot.
    stack.run("docker", "update", "--restart", "no", "vllm-qwen")
    third = stack.play()
    assert third.code == 0
    assert third.result["changed"] is True
    policy = "{{.HostConfig.RestartPolicy.Name}}"
    assert stack.run("docker", "inspect", "--format", policy, "vllm-qwen") == "unless-stopped"
    assert stack.started() == started


@pytest.mark.skipif("GPUSERVE_LAB_CODE" not in os.environ, reason="only `make test` has boxes keep what they compile")
def test_the_stack_s_python_keeps_what_it_compiles_of_modules(serving: Stack) -> None:
    who = "import zipimport; print(zipimport._compile_source.__module__)"
    assert serving.run("/opt/gpuserve/venv/bin/python", "-c", who) == "gpuserve_lab_code"
    assert serving.run("python3", "-c", who) == "gpuserve_lab_code"


def changed(name: str, **change: object) -> list[dict[str, object]]:
    return [{**model, **change} if model["name"] == name else model for model in MODELS]


def test_a_change_that_fails_costs_nothing(serving: Stack) -> None:
    serving.engine("qwen", fault={"kind": "no_kernel_image", "at": "loading", "times": 1})
    run = serving.play(vllm_stack_models=changed("qwen", env={"NOTE": "1"}))
    assert run.code == 2
    assert "qwen did not start: the engine's image holds no code for this card" in run.failure["msg"]
    assert "The set before is back and proved." in run.failure["msg"]
    assert run.failure["restored"] == run.failure["serving"]
    assert serving.serving() == sorted(PORTS)
    # As if nothing had been tried: the inventory as it was changes nothing.
    again = serving.play()
    assert (again.code, again.changed) == (0, 0)
    serving.keep()


def test_only_the_changed_one_is_replaced_and_a_rollback_and_another_lead_back_and_forth(serving: Stack) -> None:
    before = serving.started()
    run = serving.play(vllm_stack_models=changed("qwen", env={"NOTE": "1"}))
    assert run.code == 0
    after = serving.started()
    assert {name for name in after if after[name] != before[name]} == {"vllm-qwen"}
    assert serving.serving() == sorted(PORTS)
    back = serving.start("play.yml", "-e", "part=rollback.yml").follow()
    assert back.code == 0, back.text
    variables = ("docker", "exec", "vllm-qwen", "cat", "/run/gpuserve/env")
    assert "NOTE" not in serving.run(*variables, check=False)
    assert serving.serving() == sorted(PORTS)
    forth = serving.start("play.yml", "-e", "part=rollback.yml").follow()
    assert forth.code == 0, forth.text
    assert "NOTE" in serving.run(*variables)
    assert "NOTE" not in serving.run("docker", "inspect", "vllm-qwen"), "a model's variables may be secrets"


def test_a_model_keeps_its_port_wherever_the_list_has_it_and_one_that_left_is_stopped(serving: Stack) -> None:
    def ports(run: Play) -> dict[str, int]:
        return {service["name"]: service["port"] for service in run.result["services"]}

    tinyllama, qwen, yi = ({key: value for key, value in model.items() if key != "port"} for model in MODELS)
    # What is served already is not served anew because nobody writes its port any more.
    bare = serving.play(vllm_stack_models=[tinyllama, qwen, yi])
    assert (bare.code, bare.changed) == (0, 0)
    left = serving.play(vllm_stack_models=[yi, qwen])
    assert left.code == 0
    assert serving.serving() == ["qwen", "yi"]
    assert {"name": "tinyllama", "action": "stopped", "reason": "it left the inventory"} in left.result["models"]
    again = serving.play("--check", vllm_stack_models=[yi, tinyllama, qwen])
    assert again.code == 0
    assert ports(again) == PORTS


def test_a_dry_run_says_what_would_start_and_whether_it_fits(stack: Stack) -> None:
    # The host was set up before: on a bare one there is nothing yet that a dry run could ask the card by.
    if not stack.run("ls", "/opt/gpuserve/venv/.complete", check=False):
        assert stack.play().code == 0
        stack.clear()
    run = stack.play("--check", "--diff")
    assert run.code == 0
    for name in PORTS:
        assert f"+ {name}: started, it is new" in run.text
    assert "fits" in run.text
    assert "to start:" not in run.text, "nothing is announced that is not done"
    assert stack.started() == {}


def test_one_model_over_two_cards(stack: Stack) -> None:
    one, two = doubles.gpu(0)[0], doubles.gpu(1)[0]
    doubles.install(stack.box.name, cards=2)
    try:
        wide = {**MODELS[2], "tensor_parallel_size": 2, "gpus": ["0", "1"]}
        models = [{**MODELS[0], "gpus": ["0"]}, wide]
        planned = stack.planned(models, cards=2)
        for name, sizes in planned.items():
            stack.engine(name, **sizes)
        # Enough on the first card, too little on the second.
        foreign = stack.hold(24 * GIB, card=1)
        refused = stack.play(vllm_stack_models=models, vllm_stack_memory_wait_s=3)
        stack.run("kill", str(foreign))
        assert refused.code == 2
        assert f"card {two} has " in refused.failure["msg"]
        assert refused.failure["serving"] == ["tinyllama"]
        run = stack.play(vllm_stack_models=models)
        assert run.code == 0, run.text
        yi = next(model for model in run.result["models"] if model["name"] == "yi")
        assert {card["uuid"] for card in yi["cards"]} == {one, two}
        for card in yi["cards"]:
            assert abs(card["measured_bytes"] - planned["yi"]["total_bytes"]) < 64 << 20
        assert stack.run("sh", "-c", "ls /run/gpuserve/locks").split() == sorted([f"{one}.lock", f"{two}.lock"])
        again = stack.play(vllm_stack_models=models)
        assert (again.code, again.changed) == (0, 0)
    finally:
        doubles.install(stack.box.name)
        stack.run("sh", "-c", "rm -f /run/gpuserve/locks/*")
