# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every mistake of an inventory that can be seen on the controller, and what is said of it: nothing is asked of a host."""

from __future__ import annotations

import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible.template import Templar

from ansible_collections.gpuserve.fleet.plugins.action.inventory_check import ActionModule
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import collection_variables, host_variables
from ansible_collections.gpuserve.fleet.tests.support.trusted import trusted

MODEL = {"name": "qwen", "model": "Qwen/Qwen2.5-3B-Instruct", "port": 8001}
OTHER = {"name": "yi", "model": "01-ai/Yi-6B-Chat", "port": 8002}
RIGHT: dict[str, Any] = {
    "inventory_dir": "/nowhere",
    "playbook_dir": "/nowhere",
    "vllm_stack_models": [MODEL],
}


def encrypted(text: str) -> Any:
    """Return a value of an inventory that ansible-vault encrypted; nobody here gives its password."""
    secret = ("default", VaultSecret(b"a password"))
    sealed = VaultLib([secret]).encrypt(text, secret[1]).decode()
    loaded: dict[str, Any] = DataLoader().load("value: !vault |\n" + textwrap.indent(sealed, "  "))
    return loaded["value"]


def run(
    inventory: dict[str, dict[str, Any]],
    extra: dict[str, Any] | None = None,
    edges: dict[str, dict[str, Any]] | None = None,
    edges_too: bool = False,
    **args: Any,
) -> dict[str, Any]:
    """Run the action for hosts of the group gpu_hosts by what an inventory says of each."""
    loader = DataLoader()
    raw = {host: trusted({**RIGHT, **variables}) for host, variables in inventory.items()}
    raw |= {host: trusted(variables) for host, variables in (edges or {}).items() if host not in raw}
    hostvars = SimpleNamespace(raw_get=raw.__getitem__)
    groups = {"all": list(inventory), "gpu_hosts": list(inventory), "ungrouped": []}
    groups |= {"edge": list(edges)} if edges is not None else {}
    variables = {"groups": groups, "hostvars": hostvars, **(extra or {})}
    given = {"hosts": "gpu_hosts", "need_models": True, "edges": edges_too, **args}
    task: Any = SimpleNamespace(args=given, check_mode=False, async_val=0, diff=False, environment=None, _role=None)
    connection: Any = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nowhere"))
    context: Any = SimpleNamespace()
    plugin = ActionModule(task, connection, context, loader, Templar(loader, {}), None)
    answer: dict[str, Any] = plugin.run(task_vars=variables)
    return answer


def said(variables: dict[str, Any]) -> str:
    """Return what is said of one host's mistakes."""
    answer = run({"gpu01": variables})
    assert answer.get("failed"), "nothing was said"
    assert answer["msg"].endswith("Nothing was changed.") or "Nothing was changed.\n" in answer["msg"]
    return str(answer["msg"])


def test_a_right_inventory_passes() -> None:
    right = {
        "changed": False,
        "hosts": ["gpu01", "gpu02"],
        "warnings": [],
        "placement": {},
        "routes": {},
        "members": {},
        "together": {},
        "order": {"hosts": ["gpu01", "gpu02"], "batches": [1, 1]},
        "headless": [],
        "told": [],
        "quarantine": {},
        "asked": {},
    }
    assert run({"gpu01": {}, "gpu02": {}}) == right


# What is wrong, and what is said: variable, fact, remedy.
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "a misspelt variable": (
        {"gateway_prot": 9000},
        "gateway_prot: there is no such variable. Did you mean gateway_port?",
    ),
    "a plural that is none": (
        {"vllm_stack_presets": "auto"},
        "vllm_stack_presets: there is no such variable. Did you mean vllm_stack_preset?",
    ),
    "hosts that are held to nothing": (
        {"gpuserve_acceptance": "yes"},
        "gpuserve_acceptance: it is on, and benchmark_thresholds says of no model what it has to reach. "
        "Set them in the group_vars of each card, or leave it off.",
    ),
    "a figure that no benchmark has": (
        {"benchmark_thresholds": [{"model": "qwen", "tps": 200}]},
        "benchmark_thresholds[0].tps: there is no such figure. Known are tokens_per_s, success, goodput,",
    ),
    "a misspelt prefix": (
        {"vllm_stak_models": []},
        "vllm_stak_models: there is no such variable. Did you mean vllm_stack_models?",
    ),
    "a variable that never was": (
        {"nvidia_driver_colour": "red"},
        "nvidia_driver_colour: there is no such variable. Remove it. If it is another's, list it in gpuserve_other_variables.",
    ),
    "a misspelt variable of a playbook": (
        {"gpuserve_upgrade_seriel": 2},
        "gpuserve_upgrade_seriel: there is no such variable. Did you mean gpuserve_upgrade_serial?",
    ),
    "a text where a list belongs": (
        {"docker_engine_users": "deploy"},
        "docker_engine_users: 'deploy' is no list. Write each entry in a line of its own, after a dash.",
    ),
    "a word where a number belongs": (
        {"gateway_port": "eight"},
        "gateway_port: 'eight' is no whole number. Write one such as 8000.",
    ),
    "a word where true or false belongs": (
        {"gateway_auth": "maybe"},
        "gateway_auth: 'maybe' is neither true nor false. Write one of them.",
    ),
    "a version that YAML takes for a number": (
        {"docker_engine_version": 29.1},
        "docker_engine_version: 29.1 is a number to YAML, which drops a zero at its end. Write it in quotes, as a text.",
    ),
    "a line without a value": (
        {"gateway_keys": None},
        "gateway_keys: it is empty. Write [], or remove the line.",
    ),
    "one of a closed set, misspelt": (
        {"vllm_stack_order": "smalest_first"},
        "vllm_stack_order: there is no 'smalest_first'. Did you mean smallest_first?",
    ),
    "a setting of a key, misspelt": (
        {"gateway_keys": [{"name": "a", "sha256": "0" * 64, "modles": ["qwen"]}]},
        "gateway_keys[0].modles: there is no such setting. Did you mean models?",
    ),
    "an undefined variable": (
        {"vllm_stack_hf_token": "{{ vault_hf_token }}"},
        "vllm_stack_hf_token: vault_hf_token is undefined. Set vault_hf_token.",
    ),
    "a vault without its password": (
        {"vllm_stack_api_key": encrypted("sk-12345678")},
        "vllm_stack_api_key: it is encrypted with ansible-vault and can't be read without the password. Add --ask-vault-pass",
    ),
    "a file that is not there": (
        {"docker_engine_repository_key": "{{ lookup('ansible.builtin.file', '/nowhere/docker.asc') }}"},
        "docker_engine_repository_key: ",
    ),
    "a preset that is none": ({"vllm_stack_preset": "wild"}, "vllm_stack_preset: there is no preset 'wild'."),
    "a size that is none": ({"vllm_stack_reserved": "2 Gigs"}, "vllm_stack_reserved: '2 Gigs' is not a size."),
    "a card that is not known": (
        {"vllm_stack_gpus": [{"name": "RTX 9999"}]},
        "vllm_stack_gpus[0].name: the catalogue has no card 'RTX 9999'.",
    ),
    "a preset, misspelt": (
        {"vllm_stack_preset": "balanecd"},
        "vllm_stack_preset: there is no preset 'balanecd'. Did you mean balanced?",
    ),
    "a card, misspelt": (
        {"vllm_stack_gpus": [{"name": "RTX 5009"}]},
        "vllm_stack_gpus[0].name: the catalogue has no card 'RTX 5009'. Did you mean NVIDIA GeForce RTX 5090?",
    ),
    "a model without a name": (
        {"vllm_stack_models": [{"model": "Qwen/Qwen2.5-3B-Instruct"}]},
        "vllm_stack_models[0].name: it is missing. Write a name such as qwen.",
    ),
    "a model without a model": (
        {"vllm_stack_models": [{"name": "qwen"}]},
        "vllm_stack_models[0].model: it is missing. Write a hub id like owner/name, or a folder on the host.",
    ),
    "two models of one name": (
        {"vllm_stack_models": [MODEL, {**OTHER, "name": "qwen"}]},
        "vllm_stack_models[1].name: qwen is already the name of vllm_stack_models[0].",
    ),
    "no model": ({"vllm_stack_models": []}, "vllm_stack_models: it is empty."),
    "a setting of a model, misspelt": (
        {"vllm_stack_models": [{**MODEL, "max_model_length": 1}]},
        "vllm_stack_models[0].max_model_length: there is no such setting. Did you mean max_model_len?",
    ),
    "two models on one port": (
        {"vllm_stack_models": [MODEL, {**OTHER, "port": 8001}]},
        "vllm_stack_models[1].port: 8001 is already qwen's. Ports from 8002 are free.",
    ),
    "a model on the gateway's port": (
        {"gateway_port": 8001},
        "vllm_stack_models[0].port: 8001 is that of gateway_port.",
    ),
    "a model on the port of plain HTTP": (
        {"gateway_redirect_port": 8001, "gateway_tls": "self_signed"},
        "vllm_stack_models[0].port: 8001 is that of gateway_redirect_port.",
    ),
    "a model on the port of the figures": (
        {"gateway_metrics_address": "127.0.0.1:8001"},
        "vllm_stack_models[0].port: 8001 is that of gateway_metrics_address.",
    ),
    "a model where another's surge instance listens": (
        {"vllm_stack_models": [MODEL, {**OTHER, "port": 9001}]},
        "vllm_stack_models[1].port: on 9001 the surge instance of qwen would listen.",
    ),
    "a redirect without TLS": (
        {"gateway_redirect_port": 8080, "gateway_tls": False},
        "gateway_redirect_port: it sends requests to TLS, and gateway_tls is off.",
    ),
    "TLS without its files": ({"gateway_tls": "files"}, "gateway_tls_certificate: it is empty."),
    "a key for a model that is not served": (
        {"gateway_keys": [{"name": "a", "sha256": "0" * 64, "models": ["qwem"]}]},
        "gateway_keys[0].models: there is no model 'qwem'. Did you mean qwen?",
    ),
    "a repository with an account": (
        {"docker_engine_repository_url": "https://me:s3cret@mirror/docker"},
        "docker_engine_repository_url: it holds an account and its password, which would stand in files",
    ),
    "a hub with an account": (
        {"vllm_stack_hub_endpoint": "https://me:s3cret@hub.internal"},
        "vllm_stack_hub_endpoint: it holds an account and its password, which would stand in files",
    ),
    "a private key for a public one": (
        {"nvidia_driver_repository_key": "-----BEGIN PGP PRIVATE KEY BLOCK-----\nx\n"},
        "nvidia_driver_repository_key: it is a private key, which nobody but its owner may have. Give the public one.",
    ),
    "code of a branch": (
        {"vllm_stack_models": [{**MODEL, "trust_remote_code": True, "revision": "main"}]},
        "vllm_stack_models[0].revision: trust_remote_code runs the model's own code",
    ),
    "a secret that is too short": (
        {"vllm_stack_api_key": "sk-12345678"},
        "vllm_stack_api_key: the key of the engines has 11 characters, which can be guessed from its digest.",
    ),
    "a token in a model's variables": (
        {"vllm_stack_models": [{**MODEL, "env": {"HF_TOKEN": "hf_secret"}}]},
        "vllm_stack_models[0].env.HF_TOKEN: it is one of the whole stack. Set vllm_stack_hf_token instead.",
    ),
    "a playbook's choice, misspelt": (
        {"plan_fail_on": "nevr"},
        "plan_fail_on: there is no 'nevr'. Did you mean never? Take one of infeasible, never.",
    ),
    "a playbook's flag that is none": (
        {"gpuserve_teardown_weights": "perhaps"},
        "gpuserve_teardown_weights: 'perhaps' is neither true nor false. Write one of them.",
    ),
    "a playbook's number that is none": (
        {"preflight_ram_bytes": "16 GiB"},
        "preflight_ram_bytes: '16 GiB' is no whole number. Write one such as 1.",
    ),
    "a playbook's version that YAML takes for a number": (
        {"airgap_docker_version": 29.1},
        "airgap_docker_version: 29.1 is a number to YAML, which drops a zero at its end. Write it in quotes, as a text.",
    ),
    "an option of daemon.json, misspelt": (
        {"docker_engine_options": {"default-adress-pools": []}},
        "docker_engine_options.default-adress-pools: dockerd has no such option. Did you mean default-address-pools?",
    ),
    "a quoted flag of daemon.json": (
        {"docker_engine_options": {"debug": "yes"}},
        "docker_engine_options.debug: it has to be true or false, and is a text. Write true or false, without quotes.",
    ),
    "a number of daemon.json that is none": (
        {"docker_engine_options": {"mtu": True}},
        "docker_engine_options.mtu: it has to be a whole number, and is true or false. Write the number without quotes.",
    ),
    "a word that daemon.json does not have": (
        {"docker_engine_options": {"log-level": "verbose"}},
        "docker_engine_options.log-level: there is no 'verbose'. Take one of debug, info, warn, error, fatal.",
    ),
    "a proxy of daemon.json in a list": (
        {"docker_engine_options": {"proxies": {"http-proxy": ["http://me:hf_secret@proxy"]}}},
        "docker_engine_options.proxies.http-proxy: it has to be a text, and is a list. Write it in quotes.",
    ),
    "a feature of daemon.json in quotes": (
        {"docker_engine_options": {"features": {"cdi": "true"}}},
        "docker_engine_options.features.cdi: it has to be true or false, and is a text.",
    ),
    "a rotation that counts in numbers": (
        {"docker_engine_log_options": {"log-opts": {"max-file": 5}}},
        "docker_engine_log_options.log-opts.max-file: it has to be a text, and is a number. Write it in quotes.",
    ),
    "a rotation without a size": (
        {"docker_engine_log_options": {"log-opts": {"max-size": "50 gold"}}},
        "docker_engine_log_options.log-opts.max-size: '50 gold' is no size.",
    ),
    "networks of Docker that overlap": (
        {"docker_engine_address_pools": [{"base": "10.0.0.0/8", "size": 24}, {"base": "10.9.0.0/16", "size": 24}]},
        "docker_engine_address_pools[1].base: 10.9.0.0/16 overlaps pool [0] (10.0.0.0/8).",
    ),
    "a length in digits of another script": (
        {"vllm_stack_models": [{**MODEL, "max_model_len": "\u0664\u0660\u0669\u0666"}]},
        "vllm_stack_models[0].max_model_len: '\\u0664\\u0660\\u0669\\u0666' is no whole number.",
    ),
    "a port in digits of another script": (
        {"gateway_port": "\uff18\uff10\uff10\uff10"},
        "gateway_port: '\\uff18\\uff10\\uff10\\uff10' is no whole number. Write one such as 8000.",
    ),
    "a share of more than a card": (
        {"vllm_stack_models": [{**MODEL, "gpu_memory_utilization": 1.01}]},
        "vllm_stack_models[0].gpu_memory_utilization: 1.01 is not a share. Take a number above 0 and up to 1.",
    ),
    "a share in percent": (
        {"vllm_stack_models": [{**MODEL, "gpu_memory_utilization": "85%"}]},
        "vllm_stack_models[0].gpu_memory_utilization: '85%' is not a share. Write 0.85.",
    ),
    "a size with a comma": (
        {"vllm_stack_reserved": "31,36 GiB"},
        "vllm_stack_reserved: '31,36 GiB' is not a size. Write 31.36GiB, with a point.",
    ),
    "a size without its unit": (
        {"vllm_stack_models": [{**MODEL, "kv_cache_memory_bytes": 6}]},
        "vllm_stack_models[0].kv_cache_memory_bytes: 6 is 6 bytes. Write it with its unit, like 6GiB.",
    ),
    "what stays free without its unit": (
        {"vllm_stack_reserved": "2"},
        "vllm_stack_reserved: '2' is 2 bytes. Write it with its unit, like 6GiB.",
    ),
    "a card's memory without its unit": (
        {"vllm_stack_gpus": [{"name": "a card", "memory_total_bytes": 32}]},
        "vllm_stack_gpus[0].memory_total_bytes: 32 is 32 bytes. Write it with its unit, like 6GiB.",
    ),
    "a step of no host": (
        {"gpuserve_rollout_steps": [1, "0%"]},
        "gpuserve_rollout_steps[1]: a step of 0 % changes no host, and would never end.",
    ),
    "a step in words": (
        {"gpuserve_rollout_steps": "half"},
        "gpuserve_rollout_steps[0]: 'half' is no step. Write a number of hosts, or a share such as 25%.",
    ),
    "an unquoted off for a number format": (
        {"vllm_stack_models": [{**MODEL, "kv_cache_dtype": False}]},
        "vllm_stack_models[0].kv_cache_dtype: false is not known.",
    ),
    "another's word for a number format": (
        {"vllm_stack_models": [{**MODEL, "dtype": "bf16"}]},
        "vllm_stack_models[0].dtype: 'bf16' is not known. Did you mean bfloat16?",
    ),
    "code of a branch, in other words": (
        {"vllm_stack_models": [{**MODEL, "trust_remote_code": "yes", "revision": "main"}]},
        "vllm_stack_models[0].revision: trust_remote_code runs the model's own code",
    ),
    "a flag in a model's variables": (
        {"vllm_stack_models": [{**MODEL, "env": {"VLLM_USE_V2": True}}]},
        "vllm_stack_models[0].env.VLLM_USE_V2: it is true or false to YAML, and no text. Write it in quotes.",
    ),
    "a secret in a mapping": (
        {"vllm_stack_models": [{**MODEL, "env": {"KEY": {"value": "hf_secret"}}}]},
        "vllm_stack_models[0].env.KEY: it is a mapping, and no text. Write one, in quotes.",
    ),
    "arguments as a mapping in a list": (
        {"vllm_stack_models": [{**MODEL, "extra_args": [{"--seed": 7}]}]},
        "vllm_stack_models[0].extra_args[0]: it is a mapping, and no text. Write one, in quotes.",
    ),
    "models as a mapping": (
        {"vllm_stack_models": {"qwen": {"model": "Qwen/Qwen2.5-3B-Instruct"}}},
        "vllm_stack_models: {'qwen': {'model': 'Qwen/Qwen2.5-3B-Instruct'}} is no list. Write each entry in a line",
    ),
    "models as names": (
        {"vllm_stack_models": ["Qwen/Qwen2.5-3B-Instruct"]},
        "vllm_stack_models[0]: it must be a mapping. Write name: and model: below it.",
    ),
    "an empty entry": (
        {"vllm_stack_models": [None]},
        "vllm_stack_models[0]: it must be a mapping. Write name: and model: below it.",
    ),
    "a list of a command line": (
        {"docker_engine_users": "[deploy]"},
        "docker_engine_users: '[deploy]' is no list. On a command line write it in JSON: -e '{\"docker_engine_users\": [...]}'.",
    ),
    "a card that is none": (
        {"vllm_stack_models": [{**MODEL, "gpus": [True]}]},
        "vllm_stack_models[0].gpus[0]: true is no card. Write its number, from 0, or its UUID.",
    ),
    "a folder that only a person's shell finds": (
        {"vllm_stack_models": [{**MODEL, "model": "~/models/qwen"}]},
        "vllm_stack_models[0].model: '~/models/qwen' is no model. Write the whole path of a folder on the host.",
    ),
    "an address of the hub for an id": (
        {"vllm_stack_models": [{**MODEL, "model": "https://huggingface.co/Qwen/Qwen3-8B"}]},
        "vllm_stack_models[0].model: 'https://huggingface.co/Qwen/Qwen3-8B' is no model. Write a hub id",
    ),
    "a config that is none": (
        {"vllm_stack_models": [{**MODEL, "config": "config.json"}]},
        "vllm_stack_models[0].config: 'config.json' is no mapping.",
    ),
    "an image in capitals": (
        {"vllm_stack_engine_image": "vLLM/vllm-openai:v0.33.0"},
        "vllm_stack_engine_image: 'vLLM/vllm-openai:v0.33.0' is no image. Write its name in small letters",
    ),
    "a version that is none": (
        {"vllm_stack_engine_version": "newest"},
        "vllm_stack_engine_version: 'newest' is no version. Write it like 0.33.0.",
    ),
    "a folder of the system": (
        {"vllm_stack_project_dir": "/"},
        "vllm_stack_project_dir: / belongs to the system. Name a folder below it, such as /gpuserve.",
    ),
    "a folder that is not whole": (
        {"vllm_stack_cache_dir": "~/cache"},
        "vllm_stack_cache_dir: '~/cache' is no whole path.",
    ),
    "a name that Compose refuses": (
        {"vllm_stack_project_name": "My Stack"},
        "vllm_stack_project_name: 'My Stack' is no name for a Compose project.",
    ),
    "a wait of less than nothing": (
        {"vllm_stack_drain_s": -5},
        "vllm_stack_drain_s: -5 is less than nothing. Take 0 or more.",
    ),
    "a wait of nothing": (
        {"vllm_stack_timeout_s": 0},
        "vllm_stack_timeout_s: with 0 it would end before it has begun. Take 1 or more.",
    ),
    "ports below models for their successors": (
        {"vllm_stack_surge_offset": -1},
        "vllm_stack_surge_offset: -1 is less than nothing. Take 0 or more.",
    ),
    "a hub without its scheme": (
        {"vllm_stack_hub_endpoint": "hub.internal"},
        "vllm_stack_hub_endpoint: it is no address. Write it whole, as https://HOST/PATH.",
    ),
    "a token with a word behind it": (
        {"vllm_stack_hf_token": "hf_secret my token"},
        "vllm_stack_hf_token: it holds a blank or a letter that no header of a request can.",
    ),
    "a variable with dashes": (
        {"vllm-stack-preset": "auto"},
        "vllm-stack-preset: there is no such variable. Did you mean vllm_stack_preset?",
    ),
    "a variable with half its prefix": (
        {"vllm_preset": "auto"},
        "vllm_preset: there is no such variable. Did you mean vllm_stack_preset?",
    ),
    "a variable of Ansible's, misspelt": (
        {"ansible_hst": "192.0.2.10"},
        "ansible_hst: there is no such variable. Did you mean ansible_host?",
    ),
    "two words in one argument": (
        {"vllm_stack_models": [{**MODEL, "extra_args": ["--seed 7"]}]},
        "vllm_stack_models[0].extra_args: --seed with what follows it is one word to the engine's parser.",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_said_in_one_sentence(mistake: str) -> None:
    variables, sentence = MISTAKES[mistake]
    message = said(variables)
    assert message.startswith(sentence)
    assert "\n" not in message
    assert "hf_secret" not in message


def test_all_mistakes_of_a_run_are_said_together_and_each_once() -> None:
    wrong = {"gateway_prot": 1, "vllm_stack_preset": "wild"}
    answer = run({"gpu01": wrong, "gpu02": {**wrong, "docker_engine_users": "deploy"}})
    lines = answer["msg"].splitlines()
    assert lines[0] == "3 mistakes in the inventory. Nothing was changed."
    assert len([line for line in lines if "gateway_prot" in line]) == 1
    assert [line for line in lines if line.startswith("- gpu02: docker_engine_users")]


@pytest.mark.parametrize("word", ["off", "Off", "no", "false", False])
def test_a_word_for_off_turns_tls_off(word: Any) -> None:
    assert "failed" not in run({"gpu01": {"gateway_tls": word}})


def test_an_alias_may_be_a_hub_id() -> None:
    assert "failed" not in run({"gpu01": {"vllm_stack_models": [{**MODEL, "aliases": ["Qwen/Qwen2.5-3B-Instruct"]}]}})


def test_a_name_of_somebody_else_passes_where_it_is_listed() -> None:
    assert "failed" not in run({"gpu01": {"gateway_ip": "192.0.2.1"}})
    assert run({"gpu01": {"docker_engine_note": 1}})["failed"]
    assert "failed" not in run({"gpu01": {"docker_engine_note": 1, "gpuserve_other_variables": ["docker_engine_*"]}})


def test_a_group_without_a_host_is_a_failure_that_names_another() -> None:
    answer = run({"gpu01": {}}, {"ansible_inventory_sources": ["hosts.yml"]}, hosts="gpu_host")
    assert answer["msg"] == (
        "gpuserve_hosts: no host of the inventory is in gpu_host (read from hosts.yml). Did you mean gpu_hosts? "
        "Put your hosts into a group gpu_hosts, or name yours with -e gpuserve_hosts=gpu_hosts. Nothing was changed."
    )


def test_no_group_at_all_is_a_failure_and_not_every_host() -> None:
    answer = run({"gpu01": {}}, hosts="")
    assert (
        answer["msg"]
        == "gpuserve_hosts: it is empty. Name a group, or leave it out for gpu_hosts. Nothing was changed."
    )


def test_a_limit_that_leaves_no_host_is_a_failure() -> None:
    answer = run({"gpu01": {}}, {"ansible_limit": "web01"})
    assert answer["failed"]
    assert "--limit web01 leaves no host of gpu_hosts. Its hosts are gpu01." in answer["msg"]


def test_only_hosts_of_the_limit_are_checked() -> None:
    hosts: dict[str, dict[str, Any]] = {"gpu01": {}, "gpu02": {"vllm_stack_preset": "wild"}}
    assert run(hosts, {"ansible_limit": "gpu01"})["hosts"] == ["gpu01"]


def test_a_misspelt_tag_is_a_failure_and_a_strange_one_a_warning() -> None:
    answer = run({"gpu01": {}}, {"ansible_run_tags": ["gatway"]})
    assert answer["msg"] == "--tags gatway: no task has this tag. Did you mean gateway? Nothing was changed."
    assert run({"gpu01": {}}, {"ansible_run_tags": ["gateway"], "ansible_skip_tags": ["ours"]})["warnings"]


def test_where_nothing_is_served_only_what_is_written_counts() -> None:
    assert "failed" not in run({"gpu01": {"vllm_stack_models": []}}, names_only=True)


def test_options_of_playbooks_are_checked_where_names_alone_are() -> None:
    answer = run({"gpu01": {"usage_by": "year", "docker_engine_users": "deploy"}}, names_only=True)
    assert answer["msg"] == "usage_by: there is no 'year'. Take one of day, month. Nothing was changed."


def test_an_option_that_docker_gets_one_day_is_left_to_dockerd() -> None:
    right = {"features": {"cdi": True}, "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 1, "Hard": 1}}}
    assert "failed" not in run({"gpu01": {"docker_engine_options": {**right, "tomorrow": [1]}}})


def test_variables_and_facts_of_ansible_are_let_alone() -> None:
    named = (
        "host port user ssh_user ssh_pass become_pass become_exe ssh_private_key hostname user_id user_dir python env"
    )
    facts = dict.fromkeys((f"ansible_{name}" for name in named.split()), "x")
    assert "failed" not in run({"gpu01": facts})


def test_every_playbook_of_the_table_is_there() -> None:
    there = {path.stem for path in (collection_variables.COLLECTION / "playbooks").glob("*.yml")}
    assert set(collection_variables.playbooks()) - there == {"every playbook"}


def test_every_public_variable_of_every_role_is_known() -> None:
    known = collection_variables.known()
    for path in Path(collection_variables.COLLECTION).glob("roles/*/defaults/main.yml"):
        assert set(DataLoader().load_from_file(str(path)) or {}) <= known
    assert {"gpuserve_hosts", "preflight_fail_on", "plan_json", "airgap_folder", "vllm_stack_gateway_models"} <= known


def test_models_are_placed_for_all_hosts_whatever_the_limit() -> None:
    models = [{**MODEL, "placement": {"hosts": 2, "label": "{{ shelf }}"}}, OTHER]
    hosts: dict[str, dict[str, Any]] = {
        f"gpu{at}": {"vllm_stack_models": models, "shelf": "top", "gpuserve_labels": ["top"]} for at in range(1, 6)
    }
    hosts["gpu6"] = {"vllm_stack_models": [OTHER]}
    whole = run(hosts)
    served = whole["placement"]["qwen"]
    assert len(served) == 2 and "gpu6" not in served
    assert whole["told"][0] == f"qwen: 2 hosts with the label top: {', '.join(served)}"
    limited = run(hosts, {"ansible_limit": "gpu6"})
    assert (limited["hosts"], limited["placement"]) == (["gpu6"], whole["placement"])

    hosts[served[0]] |= {"gpuserve_quarantine": "Xid 79"}
    moved = run(hosts)["placement"]["qwen"]
    assert served[0] not in moved and served[1] in moved and len(moved) == 2


def test_what_cannot_be_placed_is_said_before_anything_changes() -> None:
    models = [{**MODEL, "placement": {"label": "nowhere"}}]
    assert said({"vllm_stack_models": models}) == (
        "vllm_stack_models[0].placement.label: no host that lists qwen has the label nowhere. "
        "Put a host into a group of that name, or add it to its gpuserve_labels. Nothing was changed."
    )
    assert said({"gpuserve_max_models": "many", "vllm_stack_models": [{**MODEL, "placement": 1}]}).startswith(
        "gpuserve_max_models: 'many' is no whole number."
    )
    assert said({"gpuserve_quarantine": True}).startswith("gpuserve_quarantine: it does not say why.")
    assert said({"gpuserve_labels": "top"}).startswith("gpuserve_labels: 'top' is no list.")
    differing = {"gpu01": {"gpuserve_max_models": 1}, "gpu02": {"gpuserve_max_models": 2}}
    placed = {"vllm_stack_models": [{**MODEL, "placement": 1}]}
    answer = run({host: {**variables, **placed} for host, variables in differing.items()})
    assert "gpuserve_max_models: hosts differ in it (1, 2)." in answer["msg"]


LARGE = {**MODEL, "name": "large", "distributed": {"hosts": 2}}


def of_a_group(**change: Any) -> dict[str, dict[str, Any]]:
    """Return three hosts of which two serve a model together."""
    return {
        f"gpu{at}": {"vllm_stack_models": [LARGE], "ansible_host": f"192.0.2.{at}", **(change if at == 3 else {})}
        for at in range(1, 4)
    }


def test_hosts_that_serve_a_model_together_are_told_who_they_are() -> None:
    answer = run(of_a_group())
    members = answer["members"]["large"]
    assert sorted(members) == answer["placement"]["large"] and len(members) == 2
    first = next(host for host, member in members.items() if member["rank"] == 0)
    assert {member["master_address"] for member in members.values()} == {f"192.0.2.{first[-1]}"}
    assert answer["told"] == [
        f"large: 2 hosts together, the first one serves: {first}, {next(host for host in members if host != first)}"
    ]
    assert answer["routes"] == {"large": [first]}, "an edge asks nobody who has no API"
    limited = run(of_a_group(), {"ansible_limit": "gpu1"})
    assert limited["members"] == answer["members"], "no limit makes another group"

    # Where one goes out of service, the third one takes its place.
    out = run({**of_a_group(), first: {**of_a_group()[first], "gpuserve_quarantine": "Xid 79"}})["members"]["large"]
    assert first not in out and len(out) == 2


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"vllm_stack_engine_image": "vllm/vllm-openai:v0.31.0"}, "differ in vllm_stack_engine_image for large."),
        ({"gpuserve_address": "fe80::/10"}, "is one of several hosts of a model, and 'fe80::/10' is no IP address."),
        ({"vllm_stack_models": [{**LARGE, "max_num_seqs": 2}]}, "differ in the model's entry for large."),
    ],
)
def test_what_hosts_of_a_group_differ_in_is_said_before_anything_changes(change: dict[str, Any], what: str) -> None:
    hosts = of_a_group(**change)
    # Whichever two of the three are the group, the one that differs is made one of them.
    hosts.pop(next(host for host in ("gpu1", "gpu2") if host in run(of_a_group())["members"]["large"]))
    assert what in run(hosts)["msg"]


def test_too_few_hosts_for_a_group_are_said() -> None:
    assert said({"vllm_stack_models": [LARGE], "ansible_host": "192.0.2.1"}) == (
        "vllm_stack_models[0].distributed.hosts: large is to be served by 2 hosts, and there is 1 (gpu01). Add hosts. "
        "Nothing was changed."
    )


def in_order(answer: dict[str, Any]) -> list[str]:
    """Return the hosts of the group, the one that serves first."""
    told = answer["members"]["large"]
    return sorted(told, key=lambda host: int(told[host]["rank"]))


@pytest.mark.parametrize("names_only", [False, True])
def test_a_playbook_that_takes_one_host_after_the_other_refuses_hosts_of_a_group(names_only: bool) -> None:
    first, second = in_order(run(of_a_group()))
    (alone,) = {"gpu1", "gpu2", "gpu3"} - {first, second}
    answer = run(of_a_group(), groups="none", names_only=names_only)
    assert answer["msg"] == (
        f"vllm_stack_models: {first}, {second} serve large together, and this playbook takes one host after the other. "
        f"Leave these hosts out (-l), or give each, before it serves, models that it holds alone: -l {second} -e @FILE, "
        "with vllm_stack_models in FILE. What they serve together, acceptance and playbooks/benchmark.yml measure. Nothing was changed."
    )
    assert "failed" not in run(of_a_group(), {"ansible_limit": alone}, groups="none", names_only=names_only)
    assert "failed" not in run({"gpu01": {}}, groups="none", names_only=names_only)


@pytest.mark.parametrize("names_only", [False, True])
def test_a_limit_that_leaves_out_a_host_of_a_group_is_refused(names_only: bool) -> None:
    first, second = in_order(run(of_a_group()))
    said_of_it = f"{first}, {second} serve large together, and {first} is not among the hosts of this run."
    only: dict[str, Any] = {"groups": "whole", "names_only": names_only}
    assert said_of_it in run(of_a_group(), {"ansible_limit": second}, **only)["msg"]
    assert "failed" not in run(of_a_group(), {"ansible_limit": f"{first},{second}"}, **only)
    assert "failed" not in run(of_a_group(), {"ansible_limit": second}, names_only=names_only), "nothing is changed"


def test_fewer_forks_than_hosts_that_wait_for_each_other_are_refused() -> None:
    first, second = sorted(in_order(run(of_a_group())))
    answer = run(of_a_group(), {"ansible_forks": 1}, groups="whole")
    assert answer["msg"] == (
        f"forks: {first}, {second} serve together and change at the same time, and Ansible works on 1 at once. "
        "Run with --forks 2, or more. Nothing was changed."
    )
    assert "failed" not in run(of_a_group(), {"ansible_forks": 2}, groups="whole")
    assert "failed" not in run(of_a_group(), {"ansible_forks": 1})


@pytest.mark.parametrize("names_only", [False, True])
def test_a_host_that_computes_for_another_alone_is_told_apart(names_only: bool) -> None:
    first, second = in_order(run(of_a_group()))
    answer = run(of_a_group(), names_only=names_only)
    assert answer["headless"] == [second]
    assert answer["together"] == {host: sorted((first, second)) for host in (first, second)}
    # One that has a model of its own beside answers for that one.
    both = {"vllm_stack_models": [LARGE, {**MODEL, "name": "own", "port": 8003}]}
    answer = run({host: {**variables, **both} for host, variables in of_a_group().items()}, names_only=names_only)
    assert answer["headless"] == [] and answer["together"].keys() == {first, second}


@pytest.mark.parametrize("names_only", [False, True])
def test_hosts_that_serve_together_are_in_one_step_whatever_its_size(names_only: bool) -> None:
    together = sorted(in_order(run(of_a_group())))
    (alone,) = {"gpu1", "gpu2", "gpu3"} - set(together)
    order = run(of_a_group(), names_only=names_only)["order"]
    assert sorted(order["batches"]) == [1, 2] and sum(order["batches"]) == len(order["hosts"]) == 3
    first = order["hosts"][: order["batches"][0]]
    assert sorted(first) in (together, [alone])
    assert run(of_a_group(), steps="100%", names_only=names_only)["order"]["batches"] == [3]
    assert run({"gpu01": {}, "gpu02": {}})["order"] == {"hosts": ["gpu01", "gpu02"], "batches": [1, 1]}
    said = run(of_a_group(), steps=0, steps_named="gpuserve_serial", names_only=names_only)["msg"]
    assert said.startswith("gpuserve_serial[0]: a step of 0 hosts changes none")


def test_a_teardown_is_not_kept_from_an_inventory_that_comes_to_no_group() -> None:
    lone = {"gpu01": {"vllm_stack_models": [LARGE], "ansible_host": "192.0.2.1"}}
    answer = run(lone, groups="whole", names_only=True)
    assert "failed" not in answer and answer["members"] == {} and answer["headless"] == []
    assert run(lone, groups="all")["msg"].startswith("groups: all is none of its values. Known are any, whole, none.")


def test_one_address_twice_is_one_sentence_whatever_else_is_checked() -> None:
    same = {"gpu01": {"ansible_host": "192.0.2.10"}, "gpu02": {"ansible_host": "192.0.2.10"}, "192.0.2.11": {}}
    for names_only in (False, True):
        assert run(same, names_only=names_only)["msg"] == (
            "ansible_host: gpu01 and gpu02 have one address, 192.0.2.10. Give each host its own, or take one out. "
            "Nothing was changed."
        )
    # --limit leaves one of them, and the other is there all the same.
    assert "have one address" in run(same, {"ansible_limit": "gpu01"})["msg"]


@pytest.mark.parametrize(
    "apart",
    [
        {"ansible_port": 2222},
        {"ansible_connection": "local"},
        {"ansible_connection": "community.docker.docker"},
        {"ansible_ssh_common_args": "-J jump"},
        {"vllm_stack_project_name": "second"},
        {"ansible_host": "{{ inventory_hostname }}.example"},
        {"ansible_host": encrypted("192.0.2.10")},
    ],
)
def test_one_address_that_is_two_machines_or_two_stacks_is_none(apart: dict[str, Any]) -> None:
    answer = run({"gpu01": {"ansible_host": "192.0.2.10"}, "gpu02": {"ansible_host": "192.0.2.10", **apart}})
    assert "have one address" not in answer.get("msg", "")


def test_hosts_that_are_equal_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    real = host_variables.all_mistakes

    def noted(host: str, *rest: Any) -> Any:
        looked.append(host)
        return real(host, *rest)

    monkeypatch.setattr(host_variables, "all_mistakes", noted)
    run({f"gpu{at}": {"ansible_host": f"192.0.2.{at}"} for at in range(8)})
    assert looked == ["gpu0"]
    looked.clear()
    # A template that comes to something else on each makes them differ, and so does a mistake.
    own = {"gateway_tls_name": "{{ ansible_host }}.example.org"}
    run({f"gpu{at}": {"ansible_host": f"host{at}", **own} for at in range(3)})
    assert len(looked) == 3
    answer = run({"gpu1": {}, "gpu2": {"gateway_prot": 1}, "gpu3": {}})
    assert answer["msg"].startswith("gpu2: gateway_prot: there is no such variable.")


EDGE_KEY = "an-edge-key-of-enough-letters"
BEHIND = {
    "ansible_host": "192.0.2.1",
    "gateway_keys": [{"name": "edge", "key": "{{ gpuserve_edge_key }}"}],
    "gpuserve_edge_key": EDGE_KEY,
}


@pytest.mark.parametrize(
    ("box", "edges", "said"),
    [
        (
            {},
            {"edge01": {"gpuserve_edge_key": EDGE_KEY}},
            "gpuserve_edge_key: gpu01 has no key of this value that opens all models.",
        ),
        (BEHIND, {"edge01": {}}, "gpuserve_edge_key: it is missing, and boxes ask for a key."),
        (BEHIND, {"gpu01": {}}, "edge: gpu01 is one of the boxes, too, and a host has one gateway."),
        (
            {**BEHIND, "gateway_address": "::1"},
            {"edge01": {"gpuserve_edge_key": EDGE_KEY}},
            "gateway_address: gpu01 listens on ::1 alone",
        ),
        (
            {**BEHIND, "gpuserve_quarantine": "Xid 79"},
            {"edge01": {"gpuserve_edge_key": EDGE_KEY}},
            "edge: no box is in service behind edge01. Add hosts to gpu_hosts.",
        ),
        (
            {**BEHIND, "gpuserve_address": "fe80::/10"},
            {"edge01": {"gpuserve_edge_key": EDGE_KEY}},
            "gpuserve_address: 'fe80::/10' is no address.",
        ),
    ],
)
def test_an_edge_is_checked_with_the_boxes_behind_it(
    box: dict[str, Any], edges: dict[str, dict[str, Any]], said: str
) -> None:
    answer = run({"gpu01": box}, edges=edges)
    assert answer.get("failed") and said in answer["msg"] and answer["msg"].endswith("Nothing was changed."), answer
    assert EDGE_KEY not in answer["msg"]


def test_an_edge_and_boxes_that_take_its_key_pass() -> None:
    answer = run(
        {"gpu01": BEHIND, "gpu02": BEHIND | {"ansible_host": "192.0.2.2"}},
        edges={"edge01": {"gpuserve_edge_key": EDGE_KEY}},
    )
    assert not answer.get("failed"), answer


EDGE = {"gpuserve_edge_key": EDGE_KEY}
AT = {at: {**BEHIND, "ansible_host": f"192.0.2.{at}"} for at in (1, 2)}


@pytest.mark.parametrize(
    ("edges", "said"),
    [
        ({"edge01": {**EDGE, "ansible_host": "192.0.2.2"}}, "gpu02 and edge01 have one address, 192.0.2.2."),
        (
            {f"edge0{at}": {**EDGE, "ansible_host": "192.0.2.10"} for at in (1, 2)},
            "edge01 and edge02 have one address, 192.0.2.10.",
        ),
    ],
)
def test_an_edge_that_is_another_host_s_machine_is_a_mistake(edges: dict[str, dict[str, Any]], said: str) -> None:
    for names_only in (False, True):
        answer = run({"gpu01": AT[1], "gpu02": AT[2]}, edges=edges, names_only=names_only)
        assert answer["msg"].startswith(f"ansible_host: {said}"), answer


def test_boxes_that_edges_would_take_for_one_are_a_mistake() -> None:
    inner = {"gpuserve_address": "10.0.0.1"}
    answer = run({"gpu01": {**AT[1], **inner}, "gpu02": {**AT[2], **inner}}, edges={"edge01": EDGE})
    said = "gpuserve_address: edges reach gpu01 and gpu02 at one address, 10.0.0.1:8000. Give each its own, or another gateway_port."
    assert answer["msg"] == f"{said} Nothing was changed."
    apart = run(
        {"gpu01": {**AT[1], **inner}, "gpu02": {**AT[2], **inner, "gateway_port": 8100}}, edges={"edge01": EDGE}
    )
    assert "failed" not in apart, apart


def test_a_label_of_canaries_that_no_host_bears_is_a_mistake() -> None:
    two = {f"gpu0{at}": {**host, "gpuserve_canary_label": "first"} for at, host in AT.items()}
    assert run(two)["msg"] == (
        "gpuserve_canary_label: no host has the label first. Put one into a group of that name, add it to its gpuserve_labels, or leave "
        "it out. Nothing was changed."
    )
    assert "failed" not in run({**two, "gpu02": {**two["gpu02"], "gpuserve_labels": ["first"]}})
    # A limit that leaves no canary is no mistake.
    bearer = {**two, "gpu02": {**two["gpu02"], "group_names": ["first"]}}
    assert "failed" not in run(bearer, {"ansible_limit": "gpu01"})


def test_a_limit_to_edges_is_for_a_playbook_that_changes_them() -> None:
    fleet = {"gpu01": AT[1]}
    edges: dict[str, dict[str, Any]] = {"edge01": EDGE, "edge02": {**EDGE, "gateway_prot": 1}}
    for limit in ("edge", "edge01"):
        answer = run(fleet, {"ansible_limit": limit}, edges=edges)
        assert answer["msg"].startswith(f"gpuserve_hosts: --limit {limit} leaves no host of gpu_hosts.")
    left = run(fleet, {"ansible_limit": "edge01"}, edges=edges, edges_too=True)
    assert "failed" not in left and left["hosts"] == []
    for limited in ({}, {"ansible_limit": "edge"}):
        answer = run(fleet, limited, edges=edges, edges_too=True)
        assert answer["msg"].startswith("edge02: gateway_prot: there is no such variable. Did you mean gateway_port?")
    # Another playbook leaves edges alone, whatever is written there.
    assert "failed" not in run(fleet, edges=edges)
    assert run(fleet, {"ansible_limit": "nowhere"}, edges=edges, edges_too=True)["field"] == "gpuserve_hosts"


def test_a_group_without_a_host_is_not_recommended() -> None:
    answer = run({}, edges={"edge01": EDGE})
    assert "Did you mean" not in answer["msg"] and answer["msg"].endswith(
        "Put your hosts into a group gpu_hosts, or name yours with -e gpuserve_hosts=GROUP. Nothing was changed."
    ), answer
