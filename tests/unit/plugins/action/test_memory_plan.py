# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner runs on the controller, and goes to the host only for files that are there."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.action import memory_plan as module
from ansible_collections.gpuserve.fleet.plugins.action.memory_plan import ActionModule
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.catalogue import CONFIGS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.client import HubError, Repository, Trouble
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.lookup import AWAY_NOTE
from ansible_collections.gpuserve.fleet.plugins.modules.memory_plan import plan
from ansible_collections.gpuserve.fleet.plugins.plugin_utils.this_run import MODEL_INFO
from ansible_collections.gpuserve.fleet.tests.support.hub.repositories import safetensors

MODEL = {"name": "tiny", "model": "TinyLlama/TinyLlama-1.1B-Chat-v1.0"}
LARGE = "Qwen/Qwen3-32B"
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128}
BODY = safetensors({})
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


def test_a_host_without_a_card_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = run(monkeypatch, models=[MODEL], gpus=[], refuse=True, no_card="NVML does not answer")
    assert refused["failed"] and refused["msg"] == (
        "vllm_stack_gpus: it names no card to plan for, and none answers on  (NVML does not answer). Run the nvidia_driver role there, or "
        "name one. Nothing that serves was touched."
    )
    assert "(NVML lists none)" in run(monkeypatch, models=[MODEL], gpus=[], refuse=True)["msg"]


def test_models_that_do_not_fit_are_refused_only_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    large = {"name": "large", "model": LARGE}
    planned = run(monkeypatch, models=[large])
    assert not planned.get("failed") and not planned["plan"]["feasible"]
    refused = run(monkeypatch, models=[large], refuse=True)
    assert (
        refused["failed"]
        and refused["msg"] == f"{' '.join(planned['plan']['reasons'])} Nothing that serves was touched."
    )
    assert run(monkeypatch, models=[MODEL], refuse=True)["plan"]["feasible"]


@dataclass
class FakeHub:
    """A hub that lists quantized checkpoints, of which some can be read."""

    listed: list[str]
    is_away: bool = False
    asked: list[str] = field(default_factory=list)

    def search(self, text: str = "", author: str = "", quantized_from: str = "") -> list[str]:
        self.asked.append(quantized_from)
        if self.is_away:
            raise HubError(Trouble.UNREACHABLE, "http://hub")
        return self.listed

    def describe(self, model: str, revision: str) -> Repository:
        self.asked.append(model)
        if "gated" in model:
            raise HubError(Trouble.GATED)
        return Repository(model, "c" * 40, False, False, "mit", {"config.json": 9, "model.safetensors": len(BODY)})

    def read(self, model: str, commit: str, path: str, most: int) -> bytes:
        quantized = {"quant_method": "awq", "bits": 4, "group_size": 128} if "AWQ" in model else None
        config = {**CONFIGS[LARGE], "model_type": "qwen3", "quantization_config": quantized}
        return BODY if path.endswith(".safetensors") else json.dumps(config).encode()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeHub:
    """Be the hub that the action connects to, in a run of its own."""
    made = FakeHub(["x/Qwen3-32B-GGUF", "x/gated-AWQ", "x/Qwen3-32B-BF16", "x/Qwen3-32B-AWQ"])
    monkeypatch.setattr(f"{module.__name__}.connect_to", lambda endpoint, token, within_s: lambda: made)
    monkeypatch.setattr("ansible.constants.DEFAULT_LOCAL_TMP", str(tmp_path))
    return made


def test_checkpoints_that_fit_are_named_once_they_were_planned(monkeypatch: pytest.MonkeyPatch, hub: FakeHub) -> None:
    models: list[dict[str, Any]] = [{"name": "large", "model": LARGE, "max_model_len": 4096}, MODEL]
    first, *others = (run(monkeypatch, models=models, ask_hub=True)["plan"]["reasons"] for _host in range(3))
    said = f"Quantized checkpoints of {LARGE} that fit: x/Qwen3-32B-AWQ ("
    assert others == [first, first] and first[-1].startswith(said) and "BF16" not in first[-1]
    assert hub.asked == [LARGE, "x/gated-AWQ", "x/Qwen3-32B-BF16", "x/Qwen3-32B-AWQ"]
    quiet = run(monkeypatch, models=models)["plan"]
    assert quiet["reasons"] == first[:-1] and not quiet["feasible"]
    in_its_place = [{**models[0], "config": {**CONFIGS[LARGE], "quantization_config": AWQ}}, MODEL]
    assert run(monkeypatch, models=in_its_place)["plan"]["feasible"]


@pytest.mark.parametrize(
    "change",
    [
        {"quantization": "fp8", "max_model_len": 40960},
        {"model": "/srv/large", "config": CONFIGS[LARGE]},
        {"weights_bytes": 60 * GIB},
    ],
)
def test_what_was_said_of_the_weights_themselves_is_not_replaced(
    monkeypatch: pytest.MonkeyPatch, hub: FakeHub, change: dict[str, Any]
) -> None:
    planned = run(monkeypatch, models=[{"name": "large", "model": LARGE, **change}], ask_hub=True)["plan"]
    assert not planned["feasible"] and hub.asked == []


def test_a_hub_that_is_away_says_nothing_and_is_not_asked_where_that_is_known(
    monkeypatch: pytest.MonkeyPatch, hub: FakeHub, tmp_path: Path
) -> None:
    models = [{"name": "large", "model": LARGE}]
    hub.is_away = True
    expected = run(monkeypatch, models=models)
    assert run(monkeypatch, models=models, ask_hub=True) == expected and hub.asked == [LARGE]
    hub.asked.clear()
    (tmp_path / MODEL_INFO).mkdir()
    (tmp_path / MODEL_INFO / f"{AWAY_NOTE}.note").write_text('{"trouble": "unreachable"}')
    (tmp_path / module.FOLDER / f"{LARGE.replace('/', '--')}.note").unlink()
    assert run(monkeypatch, models=models, ask_hub=True) == expected and hub.asked == []


def test_what_fits_asks_nobody(monkeypatch: pytest.MonkeyPatch, hub: FakeHub) -> None:
    assert run(monkeypatch, models=[MODEL], ask_hub=True)["plan"]["feasible"] and hub.asked == []


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
