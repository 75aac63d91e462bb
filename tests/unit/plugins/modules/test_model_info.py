# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module on a fake hub and on real folders: who is asked, what is kept, and what is said where nobody knows."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.client import HubError, Repository, Trouble
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.kept import Kept
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.hub.lookup import Lookup
from ansible_collections.gpuserve.fleet.plugins.modules.model_info import run
from ansible_collections.gpuserve.fleet.tests.support.hub.repositories import commit_of, small_llama

CATALOGUED = "Qwen/Qwen2.5-3B-Instruct"


@dataclass
class FakeHub:
    """A hub that is asked in this process."""

    files: dict[str, dict[str, bytes]]
    trouble: Trouble | None = None
    asked: list[str] = field(default_factory=list)

    def describe(self, model: str, revision: str) -> Repository:
        self.asked.append(model)
        if self.trouble is not None:
            raise HubError(self.trouble, "http://hub")
        if model not in self.files:
            raise HubError(Trouble.MISSING)
        files = self.files[model]
        if revision not in ("main", commit_of(files)):
            raise HubError(Trouble.REVISION)
        sizes = {path: len(content) for path, content in files.items()}
        return Repository(model, commit_of(files), False, False, "mit", sizes)

    def read(self, model: str, commit: str, path: str, most: int) -> bytes:
        return self.files[model][path][:most]

    def search(self, text: str = "", author: str = "", quantized_from: str = "") -> list[str]:
        return [model for model in self.files if text.casefold() in model.casefold()]


def ask(
    hub: FakeHub, folder: Path | str, *models: Mapping[str, Any], check: bool = False, **more: Any
) -> dict[str, Any]:
    """Run the module's own function."""
    lookup = Lookup(Kept(str(folder)), lambda: hub, more.pop("refresh", False), more.pop("need_weights", False))
    return run({"models": models, "folders": False, "hub": True, **more}, lookup, check)


def test_a_model_is_asked_for_once_and_its_commit_stays(tmp_path: Path) -> None:
    hub = FakeHub({"acme/small": small_llama()})
    first = ask(hub, tmp_path / "info", {"model": "acme/small"}, {"model": "acme/small"})
    info = first["models"]["acme/small@main"]
    assert first["changed"] and hub.asked == ["acme/small"] and info["commit"] == commit_of(hub.files["acme/small"])
    assert [path.name for path in (tmp_path / "info").iterdir()] == [f"acme--small@{info['commit'][:12]}.json"]
    hub.files["acme/small"] = small_llama(max_position_embeddings=4096)
    again = ask(hub, tmp_path / "info", {"model": "acme/small"})
    assert not again["changed"] and again["models"] == first["models"] and hub.asked == ["acme/small"]
    # The commit itself, whole or short, names the same.
    for revision in (info["commit"], info["commit"][:8]):
        assert list(ask(hub, tmp_path / "info", {"model": "acme/small", "revision": revision})["models"].values()) == [
            info
        ]
    new = ask(hub, tmp_path / "info", {"model": "acme/small"}, refresh=True)
    assert new["changed"] and new["models"]["acme/small@main"]["commit"] != info["commit"]
    assert len(list((tmp_path / "info").iterdir())) == 1


def test_check_mode_keeps_nothing_and_says_what_it_would(tmp_path: Path) -> None:
    answer = ask(FakeHub({"acme/small": small_llama()}), tmp_path / "info", {"model": "acme/small"}, check=True)
    assert answer["changed"] and len(answer["kept"]) == 1 and not (tmp_path / "info").exists()


def test_nothing_is_kept_where_one_of_the_models_is_wrong(tmp_path: Path) -> None:
    hub = FakeHub({"acme/small": small_llama()})
    with pytest.raises(
        FleetError, match=r"vllm_stack_models\[1\].model: the hub has no acme/smal. Did you mean acme/small\?"
    ):
        ask(hub, tmp_path / "info", {"model": "acme/small"}, {"model": "acme/smal"})
    assert not (tmp_path / "info").exists()


def test_an_id_that_a_mirror_lacks_is_not_what_was_meant(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match=rf"the hub has no {CATALOGUED}\.") as caught:
        ask(FakeHub({}), tmp_path, {"model": CATALOGUED})
    assert f"mean {CATALOGUED}" not in str(caught.value) and f", {CATALOGUED}" not in str(caught.value)
    assert "For a private model give a token" in str(caught.value)


@pytest.mark.parametrize("trouble", [Trouble.UNREACHABLE, Trouble.NO_HUB, Trouble.BUSY, Trouble.NO_LIBRARY])
def test_without_a_hub_the_catalogue_and_own_configs_do_and_it_is_waited_for_once(
    tmp_path: Path, trouble: Trouble
) -> None:
    hub = FakeHub({}, trouble)
    answer = ask(hub, tmp_path, {"model": CATALOGUED}, {"model": "Qwen/Qwen3-8B"}, {"model": "acme/own", "config": {}})
    assert answer["models"] == {} and hub.asked == [CATALOGUED] and len(answer["notes"]) == 2
    with pytest.raises(
        FleetError, match=r"nothing is kept of acme/x, the catalogue does not know it.*playbooks/plan.yml"
    ):
        ask(hub, tmp_path, {"model": "acme/x"})
    # The catalogue knows what main was, and nothing of a commit.
    with pytest.raises(FleetError):
        ask(hub, tmp_path, {"model": CATALOGUED, "revision": "abcdef1"})


def test_a_kept_file_of_another_commit_is_named(tmp_path: Path) -> None:
    hub = FakeHub({"acme/small": small_llama()})
    commit = ask(hub, tmp_path, {"model": "acme/small"})["models"]["acme/small@main"]["commit"]
    hub.trouble = Trouble.UNREACHABLE
    with pytest.raises(
        FleetError,
        match=rf"revision: of acme/small commit {commit[:12]} is kept, not abcdef1.*Write revision: {commit[:12]}",
    ):
        ask(hub, tmp_path, {"model": "acme/small", "revision": "abcdef1"})


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("", "is not JSON"),
        ("<html>", "is not JSON"),
        ("[]", "of no form"),
        ('{"format": 2}', "of no form"),
        ('{"format": 1, "id": "acme/other"}', "is about acme/other"),
        (
            '{"format": 1, "id": "acme/small", "commit": "%s"}' % ("d" * 40),
            "is about commit dddddddddddd, not about the one in its name",
        ),
    ],
)
def test_a_kept_file_that_was_damaged_is_one_sentence(tmp_path: Path, text: str, fact: str) -> None:
    (tmp_path / f"acme--small@{'c' * 12}.json").write_text(text)
    with pytest.raises(FleetError, match=r"^vllm_stack_models\[0\]: ") as caught:
        ask(FakeHub({"acme/small": small_llama()}), tmp_path, {"model": "acme/small"})
    assert fact in str(caught.value)


def test_a_folder_that_can_t_be_written_is_one_sentence_and_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FleetError, match=r"vllm_stack_model_info_dir: .* can't be written .No space left on device"):
        ask(FakeHub({"acme/small": small_llama()}), tmp_path / "info", {"model": "acme/small"})
    assert list((tmp_path / "info").iterdir()) == []


def test_a_gated_model_that_the_catalogue_knows_is_planned_but_not_fetched(tmp_path: Path) -> None:
    hub = FakeHub({}, Trouble.GATED)
    assert ask(hub, tmp_path, {"model": CATALOGUED})["models"] == {}
    with pytest.raises(FleetError, match=rf"is gated.*Accept its terms at https://huggingface.co/{CATALOGUED}"):
        ask(hub, tmp_path, {"model": CATALOGUED}, need_weights=True)


def write(folder: Path, files: Mapping[str, bytes]) -> str:
    """Put a model's files into a folder."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return str(folder)


def test_a_folder_is_read_where_it_is_and_asks_nobody(tmp_path: Path) -> None:
    path, hub = write(tmp_path / "model", small_llama(2)), FakeHub({})
    answer = ask(hub, "", {"model": path}, folders=True)
    info = answer["models"][f"{path}@main"]
    assert not answer["changed"] and hub.asked == [] and info["commit"] == "" and info["config"]["hidden_size"] == 64
    assert sum(group["count"] for group in info["tensors"]) == 21
    assert ask(hub, "", {"model": path})["models"] == {}


@pytest.mark.parametrize(
    ("files", "fact"),
    [
        ({}, "has no config.json"),
        ({"config.json": b"<html></html>"}, "config.json is a web page"),
        ({"config.json": b"{"}, "config.json is not JSON"),
        ({"config.json": b'{"architectures": ["X"]}'}, "no model_type"),
        ({"config.json": b'{"model_type": "llama"}', "m.gguf": b"GGUF"}, "as GGUF only"),
        ({"m.gguf": b"GGUF", "README.md": b""}, "as GGUF only"),
        ({"adapter_config.json": b"{}", "adapter_model.safetensors": b""}, "is an adapter and no model"),
        (
            {"config.json": b'{"model_type": "llama"}', "model.safetensors": b"\xff" * 8},
            "and the whole file has 8 bytes",
        ),
    ],
)
def test_a_folder_that_holds_no_model_is_one_sentence(tmp_path: Path, files: Mapping[str, bytes], fact: str) -> None:
    path = write(tmp_path, files)
    with pytest.raises(FleetError, match=r"^vllm_stack_models\[0\].model: ") as caught:
        ask(FakeHub({}), "", {"model": path}, folders=True)
    assert fact in str(caught.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match="there is no folder"):
        ask(FakeHub({}), "", {"model": str(tmp_path / "none")}, folders=True)


def test_a_kept_file_is_read_by_everybody(tmp_path: Path) -> None:
    ask(FakeHub({"acme/small": small_llama()}), tmp_path, {"model": "acme/small"})
    (path,) = tmp_path.iterdir()
    assert path.stat().st_mode & 0o777 == 0o644 and json.loads(path.read_text())["revision"] == "main"
