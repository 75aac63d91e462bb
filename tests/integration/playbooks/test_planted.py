# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every playbook and role as far as it runs on this machine without changing it, with a secret in every variable that can hold one.

One run plays many hosts, all this machine, each with another mistake or with none. What Ansible prints, logs and caches is searched.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret

from ansible_collections.gpuserve.fleet.tests.support import planted
from ansible_collections.gpuserve.fleet.tests.support.planted import address, model, pem, secret

CHECKOUT = Path(__file__).resolve().parents[3]
ROLES = str(Path(__file__).with_name("roles.yml"))
VERBOSITIES = {
    "plain": [],
    "v": ["-v"],
    "vvv": ["-vvv", "--diff"],
    "diff": ["--diff"],
    "check": ["-vvv", "--diff", "--check"],
}
BASE = {
    "ansible_connection": "local",
    "ansible_become": False,
    "ansible_python_interpreter": sys.executable,
    # Whatever else is right: no disk has this, so that nothing passes the stack's preflight and changes this machine.
    "vllm_stack_image_disk": "900000TiB",
    "vllm_stack_fetch": False,
    "vllm_stack_engine_version": "0.26.0",
}


@dataclass(frozen=True)
class Host:
    """One host of a run: its variables, and what its failure says; nothing where it passes."""

    says: str
    variables: dict[str, Any] = field(default_factory=dict)


def of_role(role: str, says: str, variables: dict[str, Any], part: str = "preflight") -> Host:
    """Return a host for which one role is played."""
    return Host(says, {"play_role": role, "play_part": part, **variables})


def of_stack(says: str, **change: Any) -> Host:
    """Return a host with a mistake in the stack's variables."""
    return of_role("vllm_stack", says, planted.stack(**change))


def of_model(says: str, **change: Any) -> Host:
    """Return a host with a mistake in a model's entry."""
    return of_stack(says, vllm_stack_models=[model(**change)])


STACK = {
    "disk": of_stack("vllm_stack_image_disk"),
    "short": of_stack("vllm_stack_api_key: the key of the engines has 5", vllm_stack_api_key="short"),
    "part": of_model("part of a name", name=secret("engine-key")),
    "unknown": of_model("vllm_stack_models[0].prot", prot=8001),
    "env-text": of_model("vllm_stack_models[0].env", env=f"TOKEN={secret('model-env')}"),
    "env-list": of_model("vllm_stack_models[0].env", env=[secret("model-env")]),
    "env-name": of_model("vllm_stack_models[0].env", env={"A B": secret("model-env")}),
    "env-token": of_model("vllm_stack_models[0].env.HF_TOKEN", env={"HF_TOKEN": secret("model-env")}),
    "key-arg": of_model("--api-key", extra_args=["--api-key", secret("extra-args")]),
    "token-arg": of_model("--hf-token", extra_args=[f"--hf-token={secret('extra-args')}"]),
    "address-arg": of_model("extra_args", extra_args=["--otlp-traces-endpoint", address("extra-args-url")]),
    "name": of_model("vllm_stack_models[0].model", model=address("extra-args-url")),
    "models-text": of_stack("vllm_stack_models", vllm_stack_models=[secret("model-env")]),
    "hub": of_stack("vllm_stack_hub_endpoint", vllm_stack_hub_endpoint=address("hub-endpoint", "127.0.0.1:9")),
    "reserved": of_stack("GiB", vllm_stack_reserved="31GiB"),
}
PREFLIGHTS = {
    "docker-url": of_role(
        "docker_engine", "docker_engine_repository_url", {"docker_engine_repository_url": address("docker-url")}
    ),
    "docker-key-url": of_role(
        "docker_engine",
        "docker_engine_repository_key_url",
        {"docker_engine_repository_key_url": address("docker-key-url")},
    ),
    "docker-key": of_role(
        "docker_engine", "docker_engine_repository_key", {"docker_engine_repository_key": pem("private-key-docker")}
    ),
    "driver-url": of_role(
        "nvidia_driver", "nvidia_driver_repository_url", {"nvidia_driver_repository_url": address("driver-url")}
    ),
    "driver-key-url": of_role(
        "nvidia_driver",
        "nvidia_driver_repository_key_url",
        {"nvidia_driver_repository_key_url": address("driver-key-url")},
    ),
    "driver-key": of_role(
        "nvidia_driver", "nvidia_driver_repository_key", {"nvidia_driver_repository_key": pem("private-key-driver")}
    ),
    "toolkit-url": of_role(
        "nvidia_container_toolkit",
        "nvidia_container_toolkit_repository_url",
        {"nvidia_container_toolkit_repository_url": address("toolkit-url")},
    ),
    "toolkit-key-url": of_role(
        "nvidia_container_toolkit",
        "nvidia_container_toolkit_repository_key_url",
        {"nvidia_container_toolkit_repository_key_url": address("toolkit-key-url")},
    ),
    "toolkit-key": of_role(
        "nvidia_container_toolkit",
        "nvidia_container_toolkit_repository_key",
        {"nvidia_container_toolkit_repository_key": pem("private-key-toolkit")},
    ),
    "cors": of_role(
        "gateway", "gateway_cors_origins", planted.gateway(gateway_cors_origins=[address("cors-origin", "h", "https")])
    ),
    "tls-key": of_role(
        "gateway",
        "gateway_tls_key",
        planted.gateway(gateway_tls="files", gateway_tls_certificate="/a", gateway_tls_key=pem("tls-private-key")),
    ),
    "short-key": of_role(
        "gateway",
        "gateway_keys[1].key",
        planted.gateway(gateway_keys=[{"name": "a", "key": secret("gateway-key")}, {"name": "b", "key": "too-short"}]),
    ),
    "odd-key": of_role(
        "gateway",
        "gateway_keys[0].key",
        planted.gateway(gateway_keys=[{"name": "a", "key": f"{secret('gateway-key')} \u00e9"}]),
    ),
    "unknown-in-key": of_role(
        "gateway", "mdoels", planted.gateway(gateway_keys=[{"name": "a", "key": secret("gateway-key"), "mdoels": []}])
    ),
    "keys-text": of_role("gateway", "gateway_keys", planted.gateway(gateway_keys=[secret("gateway-key")])),
    "key-of-model": of_role(
        "gateway",
        "gateway_models",
        planted.gateway(
            gateway_models=[{"name": "q", "endpoints": ["no endpoint"], "api_key": secret("gateway-model-key")}]
        ),
    ),
}
# In check mode alone: what they would change is this machine.
NO_DOCKER = {
    "_docker_engine_host": {
        "decision": {"options": {}},
        "docker": {"answers": False, "program": "", "swarm_active": False, "containers_running": 0},
        "daemon_json": {},
    }
}
CHECKED = {
    "options": of_role("docker_engine", "", {**planted.docker_engine(), **NO_DOCKER}, "configure"),
    "pools": of_role(
        "docker_engine",
        "docker_engine_address_pools",
        {**planted.docker_engine(docker_engine_address_pools=[{"base": "10.0.0.0/8", "size": 4}]), **NO_DOCKER},
        "configure",
    ),
}
SITE = {"gateway_port": 38470, **planted.gateway()}


def run(
    folder: Path, playbook: str, hosts: dict[str, Host], words: list[str], more: dict[str, Any] | None = None
) -> tuple[int, str, list[str]]:
    """Play it; return status, what Ansible printed, and which secrets stand in that, in its log or in its fact cache."""
    inventory, given = folder / "inventory.yml", folder / "given.json"
    listed = {name: host.variables for name, host in hosts.items()}
    inventory.write_text(json.dumps({"all": {"hosts": listed, "vars": BASE}}))
    given.write_text(json.dumps({"gpuserve_hosts": "all", **(more or {})}))
    password = folder / "password"
    password.write_text(secret("vault-password"))
    kept = folder / "kept"
    kept.mkdir()
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        # Ours hides what changed nothing; others' configurations show it.
        "ANSIBLE_DISPLAY_OK_HOSTS": "1",
        "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "1",
        "ANSIBLE_LOG_PATH": str(kept / "ansible.log"),
        "ANSIBLE_CACHE_PLUGIN": "jsonfile",
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(kept / "facts"),
        "ANSIBLE_VAULT_PASSWORD_FILE": str(password),
        "HF_HUB_OFFLINE": "1",
        "https_proxy": address("environment-proxy", "127.0.0.1:9"),
        "COLUMNS": "100000",
    }
    program = Path(sys.executable).with_name("ansible-playbook")
    argv = [str(program), "-i", str(inventory), playbook, "-e", f"@{given}", *words]
    done = subprocess.run(argv, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    text = done.stdout + done.stderr
    leaks = [f"printed: {name}" for name in planted.shown(text)] + planted.shown_in_files(kept)
    return done.returncode, text, leaks


def failures(text: str) -> dict[str, str]:
    """Return what was printed of each host that failed."""
    found: dict[str, str] = {}
    for part in text.split("\n"):
        if part.startswith(("fatal: [", "failed: [")):
            name = part.partition("[")[2].partition("]")[0]
            found[name] = ""
        if found:
            found[list(found)[-1]] += part + "\n"
    return found


def check(hosts: dict[str, Host], text: str) -> None:
    """Each host failed for its own reason, or not at all."""
    found = failures(text)
    for name, host in hosts.items():
        if host.says:
            assert host.says in found.get(name, ""), f"{name}: {found.get(name) or text[-3000:]}"
        else:
            assert name not in found, found[name]


def some(hosts: dict[str, Host], verbosity: str) -> dict[str, Host]:
    """Return all hosts where most is printed, and every fourth where less is: each costs a second of each run."""
    return hosts if verbosity == "vvv" else dict(list(hosts.items())[::4])


@pytest.mark.parametrize("verbosity", VERBOSITIES)
def test_site_tells_no_secret_of_an_inventory_that_it_refuses(tmp_path: Path, verbosity: str) -> None:
    status, text, leaks = run(tmp_path, "playbooks/site.yml", STACK, VERBOSITIES[verbosity], SITE)
    assert leaks == []
    assert status == 2 and "mistakes in the inventory. Nothing was changed." in text, text[-3000:]


@pytest.mark.parametrize("verbosity", VERBOSITIES)
def test_the_stack_tells_no_secret_of_a_host_that_it_refuses(tmp_path: Path, verbosity: str) -> None:
    hosts = some(STACK, verbosity)
    _status, text, leaks = run(tmp_path, ROLES, hosts, VERBOSITIES[verbosity])
    assert leaks == []
    check(hosts, text)


@pytest.mark.parametrize("verbosity", VERBOSITIES)
def test_roles_tell_no_secret_of_a_host_that_they_refuse(tmp_path: Path, verbosity: str) -> None:
    hosts = some(PREFLIGHTS, verbosity)
    _status, text, leaks = run(tmp_path, ROLES, hosts, VERBOSITIES[verbosity])
    assert leaks == []
    check(hosts, text)


def test_docker_s_options_are_shown_without_what_they_hold(tmp_path: Path) -> None:
    _status, text, leaks = run(tmp_path, ROLES, CHECKED, VERBOSITIES["check"])
    assert leaks == []
    check(CHECKED, text)
    assert "registry-mirrors" in text


def vaulted(name: str) -> str:
    """Return a secret as ansible-vault keeps it, by a password that is one too."""
    key = VaultSecret(secret("vault-password").encode())
    return str(VaultLib([("default", key)]).encrypt(secret(name), key).decode())


@dataclass(frozen=True)
class Play:
    """A playbook that changes nothing on this machine with these variables, and what it says of it."""

    playbook: str
    says: str
    variables: dict[str, Any]


PLAYS = {
    "plan": Play("plan", "usable", planted.stack()),
    "plan-arguments": Play("plan", "--hf-token", planted.stack(vllm_stack_models=[model(extra_args=["--hf-token x"])])),
    "plan-hub": Play("plan", "vllm_stack_hub_endpoint", planted.stack(vllm_stack_hub_endpoint=address("hub-endpoint"))),
    "fit": Play("fit", "fits", {**planted.stack(), "model": "Qwen/Qwen2.5-3B-Instruct", "gpu": "5090"}),
    "fit-hub": Play(
        "fit",
        "vllm_stack_hub_endpoint",
        {**planted.stack(vllm_stack_hub_endpoint=address("hub-endpoint")), "model": "acme/none", "gpu": "5090"},
    ),
    "drift": Play("drift", "model qwen, gateway.", {**planted.stack(), **planted.gateway()}),
    "preflight": Play(
        "preflight", "PLAY RECAP", {**planted.stack(), **planted.gateway(), "preflight_ram_bytes": 1 << 60}
    ),
    "load": Play("airgap_load", "SHA256SUMS", {"airgap_url": address("airgap-url", "127.0.0.1:9/bundle")}),
    "bundle": Play(
        "airgap_bundle",
        "docker",
        {
            "airgap_driver_url": address("airgap-driver-url", "127.0.0.1:9/cuda"),
            "airgap_toolkit_key_url": address("airgap-toolkit-url", "127.0.0.1:9/gpgkey"),
            "airgap_docker_url": address("airgap-docker-url", "127.0.0.1:9/linux"),
        },
    ),
    "upgrade": Play("upgrade", "nowhere", {**planted.stack(), "nvidia_driver_source": "nowhere"}),
    "vault": Play("plan", "usable", planted.stack(vllm_stack_hf_token={"__ansible_vault": vaulted("vaulted")})),
    "keys": Play("keys", "gateway_keys_file", {**planted.gateway(), "key_add": "team"}),
}


@pytest.mark.parametrize("name", PLAYS)
def test_playbooks_tell_no_secret(tmp_path: Path, name: str) -> None:
    play = PLAYS[name]
    words = ["-vvv", "--diff", *(["--check"] if name == "plan" else [])]
    more = {**play.variables, "airgap_folder": str(tmp_path / "bundle")}
    _status, text, leaks = run(tmp_path, f"playbooks/{play.playbook}.yml", {"thishost": Host("")}, words, more)
    assert leaks == []
    assert play.says in text, text[-3000:]
