# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the stack hands over is what the gateway takes: the two know each other by this list alone."""

from __future__ import annotations

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import models
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
    planned = [{"name": spec.name, "max_num_seqs": 8, "max_model_len": 4096} for spec in specs]
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
