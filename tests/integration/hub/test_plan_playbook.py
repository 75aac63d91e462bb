# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/plan.yml on models of the hub's double: asked once, kept beside the inventory, planned without a network from then on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB
from ansible_collections.gpuserve.fleet.tests.support.hub.repositories import (
    Repository,
    llama_tensors,
    safetensors,
    small_llama,
)
from ansible_collections.gpuserve.fleet.tests.support.hub.server import Hub

CHECKOUT = Path(__file__).resolve().parents[3]
MODEL = {"name": "small", "model": "acme/small", "max_model_len": 1024, "max_num_seqs": 8}


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """Make an inventory of three hosts in a folder of its own."""
    folder = tmp_path / "inventory"
    (folder / "group_vars").mkdir(parents=True)
    hosts: dict[str, Any] = {"gpu_hosts": {"hosts": {"gpu01": {}, "gpu02": {}, "gpu03": {}}}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(hosts))
    return folder


def plan(
    inventory: Path, hub: Hub, *models: dict[str, Any], **more: Any
) -> tuple[subprocess.CompletedProcess[str], Any]:
    """Run the playbook for these models and return what it printed and planned."""
    variables = {
        "ansible_become": False,
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "vllm_stack_models": list(models),
        "vllm_stack_gpus": [{"name": "NVIDIA GeForce RTX 5090"}],
        "vllm_stack_hub_endpoint": hub.endpoint,
        "vllm_stack_venv": str(inventory / "no-venv"),
        "vllm_stack_state_dir": str(inventory),
        "vllm_stack_project_dir": str(inventory),
    }
    (inventory / "group_vars" / "gpu_hosts.yml").write_text(yaml.safe_dump(variables))
    written = inventory / "plans.json"
    written.unlink(missing_ok=True)
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    command = [program, "-i", str(inventory), str(CHECKOUT / "playbooks/plan.yml"), "-e", f"plan_json={written}"]
    command += ["-e", json.dumps(more)] if more else []
    environment = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    return done, json.loads(written.read_text()) if written.exists() else None


def kept(inventory: Path) -> list[str]:
    """Return what is kept beside the inventory."""
    return sorted(path.name for path in (inventory / "model_info").glob("*"))


def test_a_model_that_nobody_knows_is_asked_for_once_kept_and_pinned(hub: Hub, inventory: Path) -> None:
    done, plans = plan(inventory, hub, MODEL)
    assert done.returncode == 0, done.stdout + done.stderr
    commit = hub.repositories["acme/small"].commit
    assert kept(inventory) == [f"acme--small@{commit[:12]}.json"]
    for host in ("gpu01", "gpu02", "gpu03"):
        (model,) = plans[host]["gpus"][0]["models"]
        assert plans[host]["feasible"] and model["engine_args"][model["engine_args"].index("--revision") + 1] == commit
    assert hub.paths().count("/api/models/acme/small/revision/main") == 1

    # A new commit, no network: what was planned stays.
    hub.repositories["acme/small"].push(small_llama(2, max_position_embeddings=4096))
    asked, hub.is_down = len(hub.requests), True
    done, again = plan(inventory, hub, MODEL)
    assert done.returncode == 0 and again == plans and len(hub.requests) == asked

    hub.is_down = False
    done, _plans = plan(inventory, hub, MODEL, plan_refresh=True)
    assert kept(inventory) == [f"acme--small@{hub.repositories['acme/small'].commit[:12]}.json"]
    assert hub.paths().count("/api/models/acme/small/revision/main") == 2


def test_a_wrong_id_is_one_sentence_and_keeps_nothing(hub: Hub, inventory: Path) -> None:
    done, plans = plan(inventory, hub, MODEL, {**MODEL, "name": "other", "model": "acme/Smalll"})
    assert done.returncode != 0 and plans is None and kept(inventory) == []
    assert "vllm_stack_models[1].model: the hub has no acme/Smalll. Did you mean acme/small?" in done.stdout


def test_a_hub_that_is_away_is_noticed_once_for_all_hosts(hub: Hub, inventory: Path) -> None:
    hub.is_down = True
    done, plans = plan(inventory, hub, {**MODEL, "model": "Qwen/Qwen2.5-3B-Instruct"})
    assert done.returncode == 0 and plans["gpu03"]["feasible"], done.stdout
    assert "planned by the shipped catalogue, at no pinned commit" in done.stdout
    # Asked again and again, but for the first host alone.
    assert len(hub.requests) <= 4


def test_what_does_not_fit_names_quantized_checkpoints_that_do(hub: Hub, inventory: Path) -> None:
    sizes = {"hidden_size": 1024, "intermediate_size": 16384, "num_attention_heads": 8, "num_key_value_heads": 8}
    quantized = {**sizes, "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}
    for name, config, dtype in (("large", sizes, "BF16"), ("large-FP8", quantized, "F8_E4M3")):
        files = small_llama(**config)
        tensors = llama_tensors(json.loads(files["config.json"]), dtype)
        hub.repositories[f"acme/{name}"] = Repository({**files, "model.safetensors": safetensors(tensors)})
    hub.repositories["acme/large-FP8"].base_model = "acme/large"
    hub.repositories["acme/large-gated-FP8"] = Repository(small_llama(), gated="manual", base_model="acme/large")
    model = {**MODEL, "model": "acme/large", "enforce_eager": True, "max_num_batched_tokens": 1024}
    _done, plans = plan(inventory, hub, model)
    needed = plans["gpu01"]["gpus"][0]["models"][0]
    # Too small by 60 MiB under preset balanced, and the other form's weights take 100 MiB less.
    total_bytes = int((needed["total_bytes"] - needed["kv_cache_bytes"] - 60 * MIB) / 0.85)
    gpu = {"name": "small", "memory_total_bytes": total_bytes, "compute_capability": "9.0"}

    done, plans = plan(inventory, hub, model, vllm_stack_gpus=[gpu])
    assert done.returncode != 0 and not plans["gpu02"]["feasible"]
    said = "Quantized checkpoints of acme/large that fit: acme/large-FP8 ("
    assert all(plans[host]["reasons"][-1].startswith(said) for host in plans) and said in " ".join(done.stdout.split())
    # Asked once for three hosts; what was only looked at is kept by nobody.
    assert hub.paths().count("/api/models") == 1 and len(kept(inventory)) == 1

    hub.is_down = True
    done, offline = plan(inventory, hub, model, vllm_stack_gpus=[gpu])
    assert offline["gpu01"]["reasons"] == plans["gpu01"]["reasons"][:-1]
    assert "hub" not in offline["gpu01"]["reasons"][-1] and "Traceback" not in done.stdout


def test_a_config_path_and_a_folder_are_read(hub: Hub, inventory: Path) -> None:
    folder = inventory / "models" / "mine"
    folder.mkdir(parents=True)
    for path, content in small_llama().items():
        (folder / path).write_bytes(content)
    config = {**MODEL, "name": "by-config", "config_path": str(folder / "config.json")}
    local = {**MODEL, "name": "by-folder", "model": str(folder)}
    for asks in (False, True):
        done, plans = plan(inventory, hub, config, local, plan_ask_hosts=asks)
        assert done.returncode == 0, done.stdout
        by_config, by_folder = plans["gpu01"]["gpus"][0]["models"]
        assert by_config["weights_bytes"] == by_folder["weights_bytes"]
    assert hub.requests == []
    done, _plans = plan(inventory, hub, {**local, "model": "/srv/not-here"})
    assert "there is no folder /srv/not-here" in done.stdout and "plan_ask_hosts=true" in done.stdout


def test_what_is_no_list_of_models_is_told_before_anything_is_asked(hub: Hub, inventory: Path) -> None:
    done, _plans = plan(inventory, hub, MODEL, vllm_stack_models=["acme/small"])
    assert done.returncode != 0 and "vllm_stack_models[0]: it must be a mapping." in done.stdout
    assert "Traceback" not in done.stdout and hub.requests == []


def test_a_recipe_is_planned_without_a_network_and_without_the_inventory(hub: Hub, inventory: Path) -> None:
    done, plans = plan(inventory, hub, MODEL, recipe="32gb-guide")
    assert done.returncode == 0, done.stdout
    assert [model["name"] for model in plans["localhost"]["gpus"][0]["models"]] == ["tinyllama", "qwen", "yi"]
    assert "planned, not measured" in done.stdout and "model: 01-ai/Yi-6B-Chat" in done.stdout
    assert hub.requests == [] and kept(inventory) == []
    done, _plans = plan(inventory, hub, MODEL, recipe="32gb-nothing")
    assert done.returncode != 0 and "there is no 32gb-nothing. Take one of 16gb-chat," in done.stdout
