# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the stack hands over is what the gateway takes: the two know each other by this list alone."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import spec
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import models, tasks
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import parse_models
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import compose

MODELS = [
    {
        "name": "a.long-name_of-63-letters-" + "x" * 36 + "z",
        "model": "owner/name",
        "aliases": ["other"],
        "lora_adapters": [{"name": "sql", "path": "/srv/sql"}],
    },
    {"name": "b", "model": "/srv/b"},
]


@pytest.mark.parametrize("surge_offset", [0, 1000])
def test_endpoints_of_a_stack_are_models_of_a_gateway(surge_offset: int) -> None:
    specs = parse_models(MODELS)
    planned: list[dict[str, Any]] = [{"name": one.name, "max_num_seqs": 8, "max_model_len": 4096} for one in specs]
    planned[1]["task"] = "embed"
    options = compose.StackOptions(
        project="gpuserve",
        image="vllm/vllm-openai:v0.33.0",
        device="cuda",
        cache_dir="/var/lib/gpuserve/cache",
        network="bridge",
        surge_offset=surge_offset,
    )
    handed = compose.endpoints(specs, {"gpus": [{"models": planned}]}, options)
    taken = models.parse([{**entry, "api_key": "an-engine-key"} for entry in handed])
    assert [model.names for model in taken] == [(specs[0].name, "other", "sql"), ("b",)]
    assert taken[1].endpoints == ("127.0.0.1:8002",) and bool(taken[1].standby) == bool(surge_offset)
    assert (taken[0].max_num_seqs, taken[0].max_model_len) == (8, 4096)
    assert [model.task for model in taken] == ["generate", "embed"]


def test_every_task_of_the_stack_is_one_of_the_gateway() -> None:
    assert set(spec.TASKS) == set(tasks.TASKS)
    assert set(tasks.closed("embed")) >= {"/v1/chat/completions", "/v1/audio/transcriptions"}
    assert not {"/v1/embeddings", "/rerank", "/v1/score"} & set(tasks.closed("embed"))
    assert "/v1/audio/transcriptions" not in tasks.closed("generate")
    assert "/v1/chat/completions" in tasks.closed("transcribe")
    assert tasks.closed("") == ()
