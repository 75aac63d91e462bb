# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What types do not say: each value is taken, or refused in one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.inventory.limits import FOLDERS, IMAGES, mistakes
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import collection_variables

SPECS = {name: spec for specs in collection_variables.specifications().values() for name, spec in specs.items()}


def said(name: str, value: Any) -> str:
    return "; ".join(str(error) for error in mistakes(SPECS, {name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vllm_stack_surge_offset", 0),
        ("vllm_stack_drain_s", "0"),
        ("vllm_stack_timeout_s", 1),
        ("vllm_stack_ttft_objective_s", 0.5),
        ("vllm_stack_project_dir", "/opt/gpuserve/stack/"),
        ("vllm_stack_cache_dir", "/data"),
        ("vllm_stack_cache_dir", "/var/lib/x@1+2"),
        ("docker_engine_data_root", ""),
        ("vllm_stack_engine_image", "vllm/vllm-openai:v0.33.0"),
        ("vllm_stack_engine_image", "vllm/vllm-openai"),
        ("vllm_stack_engine_image", "vllm"),
        ("vllm_stack_engine_image", "registry.lab:5000/a/b__c/d@sha256:" + "0" * 64),
        ("vllm_stack_engine_image", "REGISTRY.example/a:Tag"),
        ("vllm_stack_engine_image", "mirror:5000/a-b:1"),
        ("vllm_stack_engine_image", "localhost/a:1@sha256:" + "f" * 64),
        ("vllm_stack_project_name", "gpu_serve-2"),
        ("vllm_stack_hub_endpoint", ""),
        ("vllm_stack_hub_endpoint", "http://[::1]:8080"),
        ("docker_engine_repository_url", "file:///srv/mirror"),
        ("docker_engine_repository_url", "https://mirror/docker/linux"),
        ("gateway_auth", False),
    ],
)
def test_what_is_taken(name: str, value: Any) -> None:
    assert said(name, value) == ""


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("vllm_stack_drain_s", -1, "-1 is less than nothing. Take 0 or more."),
        ("vllm_stack_timeout_s", "-1", "-1 is less than nothing. Take 1 or more."),
        ("vllm_stack_timeout_s", 0, "with 0 it would end before it has begun. Take 1 or more."),
        ("vllm_stack_fetch_stall_timeout_s", "0.0", "with 0 it would end before it has begun. Take 1 or more."),
        ("vllm_stack_project_dir", "/", "/ belongs to the system. Name a folder below it, such as /gpuserve."),
        ("vllm_stack_project_dir", "//", "// belongs to the system. Name a folder below it, such as /gpuserve."),
        ("vllm_stack_cache_dir", "/var/lib/", "/var/lib/ belongs to the system. Name a folder below it, such as /var/lib/gpuserve."),
        ("docker_engine_data_root", "/usr/bin", "/usr/bin belongs to the system. Name a folder below it, such as /usr/bin/gpuserve."),
        ("vllm_stack_venv", "venv", "'venv' is no whole path. Write one such as /srv/gpuserve: letters, digits and . _ + @ -"),
        ("vllm_stack_venv", "~/venv", "'~/venv' is no whole path. Write one such as"),
        ("vllm_stack_venv", "/opt/../etc", "'/opt/../etc' is no whole path."),
        ("vllm_stack_venv", "/opt/./x", "'/opt/./x' is no whole path."),
        ("vllm_stack_venv", "/opt/my venv", "'/opt/my venv' is no whole path."),
        ("vllm_stack_venv", "", "it is empty."),
        ("vllm_stack_engine_image", "", "it is empty. Write its name in small letters and a tag or a digest, such as"),
        ("vllm_stack_engine_image", "vLLM/vllm-openai:v0.33.0", "'vLLM/vllm-openai:v0.33.0' is no image."),
        ("vllm_stack_engine_image", "vllm/vllm openai", "'vllm/vllm openai' is no image."),
        ("vllm_stack_engine_image", "--rm", "'--rm' is no image."),
        ("vllm_stack_engine_image", "a:b:c", "'a:b:c' is no image."),
        ("vllm_stack_engine_image", "a@sha256:12", "'a@sha256:12' is no image."),
        ("vllm_stack_engine_image", "https://ghcr.io/a/b:1", "'https://ghcr.io/a/b:1' is no image."),
        ("vllm_stack_project_name", "My Stack", "'My Stack' is no name for a Compose project."),
        ("vllm_stack_hub_endpoint", "hub.internal", "it is no address. Write it whole, as https://HOST/PATH."),
        ("docker_engine_repository_url", "me:s3cret@mirror/docker", "it is no address. Write it whole, as"),
        ("docker_engine_repository_url", "deb https://mirror", "it is no address."),
    ],
)  # fmt: skip
def test_what_is_refused(name: str, value: Any, sentence: str) -> None:
    assert said(name, value).startswith(f"{name}: {sentence}")


def test_defaults_of_roles_are_taken_and_names_are_those_of_roles() -> None:
    assert set(FOLDERS + IMAGES) <= set(SPECS)
    defaults = {name: spec["default"] for name, spec in SPECS.items() if spec.get("default") is not None}
    assert [str(error) for error in mistakes(SPECS, defaults)] == []


def test_every_folder_of_a_host_is_looked_at() -> None:
    on_the_controller = {"vllm_stack_model_info_dir", "gateway_key_dir", "gateway_keys_file"}
    assert {name for name, spec in SPECS.items() if spec.get("type") == "path"} <= {*FOLDERS, *on_the_controller}
