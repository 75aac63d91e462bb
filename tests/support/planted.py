# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets for every variable that can hold one, what each variable of the roles is decided to be, and the search for what came out."""

from __future__ import annotations

import base64
import hashlib
import re
import urllib.parse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# What comes out of a secret is also looked for as a digest or as base64 of the whole.
TOKENS = (
    "hf-token",
    "engine-key",
    "model-env",
    "extra-args",
    "gateway-key",
    "gateway-key-by-digest",
    "gateway-model-key",
    "log-token",
    "vaulted",
    "vault-password",
    "private-key-docker",
    "private-key-driver",
    "private-key-toolkit",
    "tls-private-key",
    "apt-login",
)
# Passwords of accounts that stand in addresses.
PASSWORDS = (
    "pip-index",
    "pip-proxy",
    "hub-endpoint",
    "daemon-http-proxy",
    "daemon-https-proxy",
    "registry-mirror",
    "docker-url",
    "docker-key-url",
    "driver-url",
    "driver-key-url",
    "toolkit-url",
    "toolkit-key-url",
    "airgap-url",
    "airgap-driver-url",
    "airgap-toolkit-url",
    "airgap-docker-url",
    "cors-origin",
    "extra-args-url",
    "environment-proxy",
    "apt-proxy",
)
NAMES = TOKENS + PASSWORDS


def secret(name: str) -> str:
    """Return the secret of that name, which nothing else is."""
    assert name in NAMES, name
    return f"planted-{name}-0f1e2d3c4b5a69788796a5b4"


def address(name: str, rest: str = "127.0.0.1:9/simple", scheme: str = "http") -> str:
    """Return an address with an account whose password is planted: with signs in it that are escaped there."""
    return f"{scheme}://planted-user:{urllib.parse.quote(secret(name) + '/&', safe='')}@{rest}"


def pem(name: str) -> str:
    """Return a private key, as far as a program sees that does not look into it."""
    return f"-----BEGIN PRIVATE KEY-----\n{secret(name)}\n-----END PRIVATE KEY-----\n"


# What each public variable of a role is: the secrets that are planted in it, or nothing because it can hold none. A test compares
# this with the argument specifications, so that a new variable is decided too.
PLANTED: dict[str, tuple[str, ...]] = {
    "vllm_stack_hf_token": ("hf-token", "vaulted"),
    "vllm_stack_api_key": ("engine-key",),
    "vllm_stack_models": ("model-env", "extra-args", "extra-args-url"),
    "vllm_stack_pip_args": ("pip-index", "pip-proxy"),
    "vllm_stack_hub_endpoint": ("hub-endpoint",),
    "gateway_keys": ("gateway-key", "gateway-key-by-digest"),
    "gateway_models": ("gateway-model-key",),
    "gateway_tls_key": ("tls-private-key",),
    "gateway_cors_origins": ("cors-origin",),
    "docker_engine_options": ("daemon-http-proxy", "daemon-https-proxy"),
    "docker_engine_registry_mirrors": ("registry-mirror",),
    "docker_engine_log_options": ("log-token",),
    "docker_engine_repository_url": ("docker-url",),
    "docker_engine_repository_key_url": ("docker-key-url",),
    "docker_engine_repository_key": ("private-key-docker",),
    "nvidia_driver_repository_url": ("driver-url",),
    "nvidia_driver_repository_key_url": ("driver-key-url",),
    "nvidia_driver_repository_key": ("private-key-driver",),
    "nvidia_container_toolkit_repository_url": ("toolkit-url",),
    "nvidia_container_toolkit_repository_key_url": ("toolkit-key-url",),
    "nvidia_container_toolkit_repository_key": ("private-key-toolkit",),
}

# Playbooks' own variables.
PLANTED_IN_PLAYBOOKS = (
    "airgap-url",
    "airgap-driver-url",
    "airgap-toolkit-url",
    "airgap-docker-url",
    "environment-proxy",
    "vault-password",
)
# What the roles of the host's packages meet there, whose own variables refuse every secret: accounts of apt and a proxy of its.
PLANTED_ON_HOSTS = ("apt-login", "apt-proxy")
# What no secret stands in, by the end of a variable's name: versions, packages, places, numbers with a unit, names of things.
HOLDS_NONE = re.compile(
    r"_(version|kernel|extra_packages|channel|fingerprints|ca_file|ca_bundle|insecure_registries|data_root|address_pools|users|image"
    r"|address|dir|keys_file|paths|tls_certificate|tls_name|policy|sticky|draining|prove|max_body|max_key_bytes|max_bytes|workers"
    r"|tmp_size|memory|preset|reserved|gpus|headroom|tolerance|phase_limits_s|reserved_ports|project_name|venv|extra_volumes"
    r"|image_disk|boxes|box_certificates)$"
)


def shown(text: str, names: Iterable[str] = NAMES) -> list[str]:
    """Return which secrets stand in a text: as they are, as addresses escape them, by their digest or in base64."""
    found = []
    for name in names:
        value = secret(name)
        forms = {value, urllib.parse.quote(value, safe=""), hashlib.sha256(value.encode()).hexdigest()}
        # Base64 of a text that has the secret anywhere in it: by each of the three places where it may begin.
        for offset in range(3):
            whole = base64.b64encode(b"\0" * offset + value.encode()).decode()
            forms.add(whole[4 : len(whole) - 4])
        if any(form in text for form in forms):
            found.append(name)
    return found


def shown_in_files(folder: Path, names: Iterable[str] = NAMES) -> list[str]:
    """Return which secrets stand in which files below a folder."""
    return [
        f"{path.relative_to(folder)}: {name}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        for name in shown(path.read_text(errors="replace"), names)
    ]


def model(**change: Any) -> dict[str, Any]:
    """Return a model of the catalogue whose process gets a secret variable."""
    return {
        "name": "qwen",
        "model": "Qwen/Qwen2.5-3B-Instruct",
        # Where nobody listens on whatever machine this is.
        "port": 38471,
        "max_model_len": 1536,
        "max_num_seqs": 24,
        "env": {"AWS_SECRET_ACCESS_KEY": secret("model-env")},
        **change,
    }


def stack(**change: Any) -> dict[str, Any]:
    """Return the stack's variables with a secret wherever a passing run may have one."""
    return {
        "vllm_stack_models": [model()],
        "vllm_stack_gpus": [{"name": "NVIDIA GeForce RTX 5090"}],
        "vllm_stack_surge_offset": 0,
        "vllm_stack_hf_token": secret("hf-token"),
        "vllm_stack_api_key": secret("engine-key"),
        "vllm_stack_pip_args": ["--index-url", address("pip-index"), f"--proxy={address('pip-proxy', '127.0.0.1:9')}"],
        **change,
    }


def gateway(**change: Any) -> dict[str, Any]:
    """Return the gateway's variables with a secret wherever a passing run may have one."""
    by_digest = {"name": "other", "sha256": hashlib.sha256(secret("gateway-key-by-digest").encode()).hexdigest()}
    return {
        "gateway_models": [
            {"name": "qwen", "endpoints": ["127.0.0.1:8001"], "api_key": secret("gateway-model-key")},
        ],
        "gateway_keys": [{"name": "all", "key": secret("gateway-key")}, by_digest],
        **change,
    }


def proxies() -> dict[str, Any]:
    """Return Docker's options with an account of a proxy."""
    return {
        "proxies": {
            "http-proxy": address("daemon-http-proxy", "127.0.0.1:9"),
            "https-proxy": address("daemon-https-proxy", "127.0.0.1:9"),
        }
    }


def docker_engine(**change: Any) -> dict[str, Any]:
    """Return Docker's variables with a secret wherever a passing run may have one."""
    return {
        "docker_engine_options": proxies(),
        "docker_engine_registry_mirrors": [address("registry-mirror", "mirror.example.org", "https")],
        "docker_engine_log_options": {"log-driver": "splunk", "log-opts": {"splunk-token": secret("log-token")}},
        **change,
    }


def host_files() -> dict[str, str]:
    """Return files with secrets that an administrator may have put on a host, by their paths."""
    login = f"machine http://127.0.0.1:8088 login planted-user password {secret('apt-login')}\n"
    proxy = f'Acquire::http::Proxy::nowhere.example "{address("apt-proxy", "127.0.0.1:9")}";\n'
    return {"/etc/apt/auth.conf.d/planted.conf": login, "/etc/apt/apt.conf.d/99planted": proxy}
