# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner runs on the controller, and goes to the host only for files that are there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.action.memory_plan import ActionModule
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.catalogue import CONFIGS
from ansible_collections.gpuserve.fleet.plugins.modules.memory_plan import plan

MODEL = {"name": "tiny", "model": "TinyLlama/TinyLlama-1.1B-Chat-v1.0"}
WENT = {"plan": "made on the host"}


def run(monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> dict[str, Any]:
    """Run the action; a trip to the host is answered by WENT."""
    task: Any = SimpleNamespace(
        args={"gpus": [{"name": "NVIDIA GeForce RTX 5090"}], **arguments}, async_val=0, check_mode=False
    )
    connection: Any = SimpleNamespace(_shell=SimpleNamespace(tmpdir="unused"))
    unused: list[Any] = [SimpleNamespace(), None, None, None]
    action = ActionModule(task, connection, *unused)
    monkeypatch.setattr(action, "_execute_module", lambda **_: WENT)
    returned: dict[str, Any] = action.run(task_vars={})
    return returned


def test_the_plan_is_the_module_s_and_no_host_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = run(monkeypatch, models=[MODEL])
    expected = {"models": [MODEL], "gpus": [{"name": "NVIDIA GeForce RTX 5090"}], "preset": "balanced"}
    defaults = {"engine_version": "", "device": "cuda", "image": "", "calibration": {}, "proved": {}}
    assert planned == {"changed": False, "plan": plan({**expected, **defaults})}


def test_a_folder_on_the_host_is_read_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Even if the controller has a folder of that name.
    assert run(monkeypatch, models=[MODEL, {"name": "mine", "model": str(tmp_path)}]) == WENT


def test_a_config_path_is_the_controller_s_where_it_is_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run(monkeypatch, models=[{**MODEL, "config_path": str(tmp_path / "config.json")}]) == WENT
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    refused = run(monkeypatch, models=[{**MODEL, "config_path": str(tmp_path / "config.json")}])
    assert refused["failed"]
    assert "num_hidden_layers" in refused["msg"]


def test_a_folder_of_which_the_config_is_given_needs_no_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    model = {"name": "mine", "model": "/srv/mine", "config": CONFIGS["Qwen/Qwen2.5-3B-Instruct"]}
    assert run(monkeypatch, models=[model])["plan"]["feasible"]


def test_mistakes_are_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = run(monkeypatch, models=[MODEL], preset="balance")
    assert refused["msg"].startswith("vllm_stack_preset: there is no preset 'balance'.")
    assert refused["field"] == "vllm_stack_preset"
    assert "device" in run(monkeypatch, models=[MODEL], device="tpu")["msg"]
