# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from safetensors import safe_open
from tokenizers import Tokenizer

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.tests.support.lab import bases, demo, models, whole
from ansible_collections.gpuserve.fleet.tests.support.lab.common import CHECKOUT


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models")
    for seed, shape in enumerate(models.SHAPES):
        models.make(shape, place / shape.name, seed)
    return place


@pytest.mark.parametrize("shape", models.SHAPES, ids=lambda shape: shape.name)
def test_a_checkpoint_is_as_large_as_the_planner_thinks(shape: models.Shape) -> None:
    tensors_bytes = 2 * sum(math.prod(size) for size in shape.tensors().values())
    planned = ModelShape.from_config(shape.config()).weights_bytes()
    assert planned == pytest.approx(tensors_bytes, rel=0.03)


@pytest.mark.parametrize("shape", models.SHAPES, ids=lambda shape: shape.name)
def test_what_was_written_reads_back(folder: Path, shape: models.Shape) -> None:
    with safe_open(str(folder / shape.name / "model.safetensors"), framework="numpy") as file:
        assert {name: tuple(file.get_slice(name).get_shape()) for name in set(file.keys())} == shape.tensors()
        assert "Random weights" in file.metadata()["note"]
    assert json.loads((folder / shape.name / "config.json").read_text())["architectures"] == [shape.architecture]


def test_the_tokenizer_keeps_any_text_and_ends_a_turn_where_the_model_stops(folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "llama" / "tokenizer.json"))
    text = "Hello, 안녕하세요: def fibonacci(n):"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert tokenizer.token_to_id("<|im_end|>") == models.SHAPES[0].config()["eos_token_id"]
    assert tokenizer.get_vocab_size() <= models.VOCABULARY


def test_the_architectures_differ() -> None:
    assert len({shape.architecture for shape in models.SHAPES}) == 3


def test_a_base_image_is_named_after_what_went_in() -> None:
    plain = bases.Base("x", "trixie", ("python3",), systemd=True)
    assert plain.image == bases.Base("x", "trixie", ("python3",), systemd=True).image
    assert plain.image != bases.Base("x", "trixie", ("python3", "curl"), systemd=True).image
    assert plain.image != bases.Base("x", "bookworm", ("python3",), systemd=True).image


def test_the_table_has_units_and_says_what_was_up_already() -> None:
    report = {
        "models": [
            {"name": "qwen", "ready_s": 31.4, "planned_bytes": 3 << 29, "measured_bytes": 5 << 28},
            {"name": "llama", "ready_s": None, "planned_bytes": 1 << 30, "measured_bytes": None},
        ]
    }
    lines = demo.table(report, "http://localhost:8000").splitlines()
    assert "memory planned" in lines[1]
    assert "31 s" in lines[2]
    assert "1.50 GiB" in lines[2]
    assert "1.25 GiB" in lines[2]
    assert "was up" in lines[3]
    assert lines[3].endswith("-")


def test_every_scenario_is_in_the_whole_test() -> None:
    folders = {path.parent.name for path in (CHECKOUT / "molecule").glob("*/converge.yml")}
    assert set(whole.scenarios()) == folders


def test_the_quick_tier_runs_beside_the_longest() -> None:
    names = [name for name, _do in whole.jobs_of(whole.Tally())]
    assert names[:4] == ["quick tier", "bring-up on doubles", "molecule gateway", "molecule upgrade"]
    assert set(names) == {"quick tier", *whole.SUITES, *(f"molecule {name}" for name in whole.scenarios())}
    assert set(whole.LONG_S) <= set(names), "what is said to take long is there"


def test_a_real_host_is_read_from_its_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(demo, "NOTE", tmp_path / "none.json")
    hostvars = demo.real_host("ops@192.0.2.10:2222")
    assert hostvars["ansible_host"] == "192.0.2.10"
    assert hostvars["ansible_user"] == "ops"
    assert hostvars["ansible_port"] == 2222
    assert hostvars["gpuserve_demo_url"] == "http://192.0.2.10:8000"
    assert len(hostvars["gateway_keys"][0]["key"]) >= 24, "a gateway that the network can reach asks for a key"
    assert "ansible_user" not in demo.real_host("gpu01")
