# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the planner's module prints: a plan, and none of a model's secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.record import sum_of
from ansible_collections.gpuserve.fleet.plugins.modules import memory_plan
from tests.bench.plan import GUIDE


def call(capsys: pytest.CaptureFixture[str], **change: Any) -> dict[str, Any]:
    arguments = {
        "models": [{**GUIDE[0], "env": {"AWS_SECRET_ACCESS_KEY": "plant3d"}}, *GUIDE[1:]],
        "gpus": [{"name": "NVIDIA GeForce RTX 5090"}],
        **change,
    }
    with patch_module_args(arguments), pytest.raises(SystemExit):
        memory_plan.main()
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_a_model_s_variables_are_not_in_what_it_answers(capsys: pytest.CaptureFixture[str]) -> None:
    answer = call(capsys)
    assert answer["plan"]["feasible"] and "plant3d" not in json.dumps(answer)


def test_nor_in_how_it_fails(capsys: pytest.CaptureFixture[str]) -> None:
    answer = call(capsys, preset="none")
    assert answer["failed"] and "there is no preset" in answer["msg"] and "plant3d" not in json.dumps(answer)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"api_key": "vllm"}, "vllm_stack_api_key: the key of the engines has 4 characters"),
        ({"hf_token": "stack"}, "vllm_stack_hf_token: it has 5 characters"),
        ({"api_key": "k" * 23}, "vllm_stack_api_key: the key of the engines has 23 characters"),
        (
            {"api_key": "two words, and no key of any header"},
            "vllm_stack_api_key: the key of the engines holds what no key holds",
        ),
        ({"hf_token": "tinyllama"}, "vllm_stack_hf_token: it is part of a name"),
    ],
)
def test_keys_are_refused_before_anything_changes(
    capsys: pytest.CaptureFixture[str], change: dict[str, str], said: str
) -> None:
    answer = call(capsys, **change)
    assert answer["failed"] and answer["msg"].startswith(said)
    assert answer["invocation"] == {}


@pytest.mark.parametrize("plan", [5, {}, {"gpus": []}, []])
def test_a_record_of_another_shape_is_planned_anew(capsys: pytest.CaptureFixture[str], plan: Any) -> None:
    known = call(capsys)["plan"]
    again = call(capsys, proved={"inputs_digest": known["inputs_digest"], "plan": plan})["plan"]
    assert again["gpus"] == known["gpus"]


def test_a_plan_in_a_record_that_somebody_changed_is_made_anew(capsys: pytest.CaptureFixture[str]) -> None:
    known = call(capsys)["plan"]
    other = {**known, "gpus": [{**known["gpus"][0], "used_bytes": -1}]}
    record = {"inputs_digest": known["inputs_digest"], "plan": other}
    assert call(capsys, proved={**record, "sum": sum_of(record)})["plan"]["gpus"][0]["used_bytes"] == -1
    assert call(capsys, proved={**record, "sum": "0" * 64})["plan"]["gpus"] == known["gpus"]
