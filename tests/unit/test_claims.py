# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is the gateway's own has one owner, and reaches the stack as values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

COLLECTION = Path(__file__).parents[2]
CODE = [
    path
    for kind in ("*.py", "*.yml", "*.j2", "*.lua")
    for room in ("plugins", "roles")
    for path in (COLLECTION / room).rglob(kind)
]


def tasks(path: str) -> list[dict[str, Any]]:
    """Return the tasks of a file."""
    found: list[dict[str, Any]] = yaml.safe_load((COLLECTION / path).read_text(encoding="utf-8"))
    return found


def test_the_folder_of_draining_is_written_once_in_its_role() -> None:
    named = {
        path.relative_to(COLLECTION).as_posix()
        for path in CODE
        if "gpuserve/draining" in path.read_text(encoding="utf-8")
    }
    assert named == {"roles/gateway/defaults/main.yml", "roles/gateway/meta/argument_specs.yml"}


def test_the_stack_hands_on_what_the_gateway_claims() -> None:
    facts = tasks("roles/gateway/tasks/claims.yml")[0]["ansible.builtin.set_fact"]
    assert set(facts) == {"gateway_ports", "gateway_claims"} and facts["gateway_claims"] == "{{ _gateway_claims }}"
    variables = yaml.safe_load((COLLECTION / "roles/gateway/vars/main.yml").read_text(encoding="utf-8"))
    assert variables["_gateway_claims"] == {
        "drain_dir": "{{ gateway_drain_dir }}",
        "keys_dir": "{{ _gateway_folder }}/engine_keys",
        "check_interval_s": "{{ gateway_check_interval_s | int }}",
    }
    module = tasks("roles/vllm_stack/tasks/engines.yml")[0]["gpuserve.fleet.bringup"]
    assert module["drain_dir"] == "{{ _vllm_stack_gateway_claims.drain_dir | default(omit) }}"
    assert module["keys_dir"] == "{{ _vllm_stack_gateway_claims.keys_dir | default(omit) }}"
    assert module["gateway_interval_s"] == "{{ _vllm_stack_gateway_claims.check_interval_s | default(omit) }}"


def test_whoever_starts_engines_and_a_gateway_reads_the_claims_first() -> None:
    for path in sorted((COLLECTION / "playbooks").rglob("*.yml")):
        text = path.read_text(encoding="utf-8")
        if path.name == "serve.yml":
            # Tasks of site.yml, which reads the claims in a play before.
            text = path.parents[1].joinpath("site.yml").read_text(encoding="utf-8") + text
            # What its models are is read before a host is asked for anything.
            text = text.replace("name: gpuserve.fleet.vllm_stack\n        tasks_from: models.yml", "", 1)
        gateway = text.find("vllm_stack_gateway_prove")
        if gateway < 0:
            continue
        claims, engines = text.find("tasks_from: claims.yml"), text.find("name: gpuserve.fleet.vllm_stack")
        assert 0 <= claims < engines < gateway, path.name
