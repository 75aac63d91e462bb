# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that look like ours and are none, and those that are somebody else's."""

from __future__ import annotations

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.inventory.names import unknown

KNOWN = (
    "vllm_stack_preset",
    "vllm_stack_models",
    "gateway_port",
    "gateway_keys",
    "nvidia_driver_branch",
    "diagnose_json",
)


def said(*names: str, others: tuple[str, ...] = ()) -> list[str]:
    return [str(error) for error in unknown(names, KNOWN, others)]


OTHERS = " If it is another's, list it in gpuserve_other_variables."


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("vllm_stack_prest", "Did you mean vllm_stack_preset?"),
        ("vllm_stack_model", "Did you mean vllm_stack_models?"),
        ("vllm_stack_zzzz", "Remove it."),
        ("docker_engine_zzzz", "Remove it."),
        ("nvidia_container_toolkit_zzzz", "Remove it."),
        ("gpuserve_zzzz", "Remove it."),
        ("nvidia_driver_brunch", "Did you mean nvidia_driver_branch?"),
        ("gateway_prot", "Did you mean gateway_port?"),
        ("diagnose_jsn", "Did you mean diagnose_json?"),
        # The prefix itself is misspelt.
        ("vlm_stack_preset", "Did you mean vllm_stack_preset?"),
        ("gatway_port", "Did you mean gateway_port?"),
    ],
)
def test_what_looks_like_ours_is_named_with_the_nearest(name: str, remedy: str) -> None:
    assert said(name) == [f"{name}: there is no such variable. {remedy}{OTHERS}"]


@pytest.mark.parametrize(
    "name",
    [
        "vllm_stack_preset",
        "_vllm_stack_prest",
        "ansible_gateway_prot",
        "gateway_ip",
        "gateway_zzzz",
        "plan_of_mine",
        "http_proxy",
        "my_preset",
        "preset",
    ],
)
def test_what_is_ours_or_somebody_elses_is_left_alone(name: str) -> None:
    assert said(name) == []


def test_others_are_patterns() -> None:
    assert said("vllm_stack_mine_a", "vllm_stack_mine_b", others=("vllm_stack_mine_*",)) == []
    assert len(said("vllm_stack_mine_a", "vllm_stack_yours", others=("vllm_stack_mine_?",))) == 1
    assert len(said("vllm_stack_Mine", others=("vllm_stack_mine",))) == 1, "capitals count"


def test_they_come_in_the_order_of_the_alphabet() -> None:
    assert [one.partition(":")[0] for one in said("vllm_stack_b", "vllm_stack_a")] == ["vllm_stack_a", "vllm_stack_b"]
