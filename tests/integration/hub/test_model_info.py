# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""model_info with the real huggingface_hub against the hub's double: what goes over the wire, and every way in which a hub fails."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gpuserve.fleet.plugins.modules import model_info
from ansible_collections.gpuserve.fleet.tests.support.hub.repositories import (
    Fault,
    Repository,
    safetensors,
    small_llama,
)
from ansible_collections.gpuserve.fleet.tests.support.hub.server import Hub


def call(capsys: pytest.CaptureFixture[str], hub: Hub, model: str, **more: Any) -> dict[str, Any]:
    """Run the module as Ansible would."""
    entry = {"model": model, **({"revision": more.pop("revision")} if "revision" in more else {})}
    with patch_module_args({"models": [entry], "endpoint": hub.endpoint, **more}), pytest.raises(SystemExit):
        model_info.main()
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_only_headers_go_over_the_wire(hub: Hub, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tensors = {f"model.layers.{layer}.w": ("BF16", (512, 512)) for layer in range(20)}
    big = {**small_llama(), "model.safetensors": safetensors(tensors)}
    hub.repositories["acme/big"] = Repository(big)
    answer = call(capsys, hub, "acme/big", dir=str(tmp_path))
    info = answer["models"]["acme/big@main"]
    assert (
        info["commit"] == hub.repositories["acme/big"].commit and info["licence"] == "apache-2.0" and not info["gated"]
    )
    assert info["tensors"] == [
        {"name": "model.layers.*.w", "dtype": "BF16", "shape": [512, 512], "count": 20, "layers": [[0, 19]]}
    ]
    assert len(big["model.safetensors"]) > 10_000_000 and hub.sent_bytes < 150_000
    before = len(hub.requests)
    assert call(capsys, hub, "acme/big", dir=str(tmp_path))["models"]["acme/big@main"] == info
    assert len(hub.requests) == before


def test_a_header_longer_than_the_first_read_and_a_server_that_knows_no_ranges(
    hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors = {f"model.layers.{layer}.{'x' * 60}.weight": ("BF16", (2,)) for layer in range(2000)}
    hub.repositories["acme/long"] = Repository(
        {**small_llama(), "model.safetensors": safetensors(tensors)},
        faults={"model.safetensors": Fault(9, ignores_range=True)},
    )
    (group,) = call(capsys, hub, "acme/long")["models"]["acme/long@main"]["tensors"]
    assert group["count"] == 2000


@pytest.mark.parametrize(
    ("model", "more", "fact"),
    [
        ("acme/smal", {}, "the hub has no acme/smal. Did you mean acme/small?"),
        ("Acme/Small", {}, "writes Acme/Small with other letters. Write acme/small."),
        ("acme/private", {}, "the hub has no acme/private."),
        (
            "acme/gated",
            {},
            "is gated, and nothing here may read it yet. Accept its terms at https://huggingface.co/acme/gated",
        ),
        ("acme/gated", {"token": "hf_other"}, "is gated"),
        ("acme/small", {"revision": "v9"}, ".revision: acme/small has no v9."),
        ("no id", {}, "the hub has no no id."),
    ],
)
def test_what_can_t_be_read_is_one_sentence(
    hub: Hub, capsys: pytest.CaptureFixture[str], tmp_path: Path, model: str, more: dict[str, str], fact: str
) -> None:
    answer = call(capsys, hub, model, dir=str(tmp_path / "info"), **more)
    assert answer["failed"] and fact in answer["msg"] and answer["msg"].endswith("Nothing was changed.")
    assert "hf_other" not in json.dumps(answer) and not (tmp_path / "info").exists()


@pytest.mark.parametrize("model", ["acme/gated", "acme/private"])
def test_a_token_opens_what_it_may_and_never_reaches_the_cdn(
    hub: Hub, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    info = call(capsys, hub, model, token="hf_may")["models"][f"{model}@main"]
    assert info["gated"] is (model == "acme/gated")
    sent = {seen.token for seen in hub.requests if seen.path.startswith("/cdn/")}
    assert sent == {""} and {seen.token for seen in hub.requests if seen.path.startswith("/api/")} == {"hf_may"}


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("api", Fault(2, status=429, retry_after="1")),
        ("api", Fault(1, status=503)),
        ("model-00001-of-00002.safetensors", Fault(2, cut_after=100)),
        ("model-00001-of-00002.safetensors", Fault(2, status=500)),
        ("config.json", Fault(1, status=429)),
    ],
)
def test_what_passes_is_asked_for_again(hub: Hub, capsys: pytest.CaptureFixture[str], path: str, fault: Fault) -> None:
    hub.repositories["acme/small"].faults[path] = fault
    assert (
        sum(group["count"] for group in call(capsys, hub, "acme/small")["models"]["acme/small@main"]["tensors"]) == 21
    )


@pytest.mark.parametrize(
    ("path", "fault", "fact"),
    [
        ("api", Fault(99, html=True), "answers, but not as a hub does"),
        ("api", Fault(99, status=429, retry_after="3600"), "the hub is busy and asks to be asked again in 3600 s"),
        ("api", Fault(99, status=500), "answers 500"),
        ("config.json", Fault(99, html=True), "its config.json is a web page"),
        ("model-00001-of-00002.safetensors", Fault(99, html=True), "holds a web page and no tensors"),
        ("model-00001-of-00002.safetensors", Fault(99, cut_after=4), "can't be reached"),
    ],
)
def test_what_does_not_pass_is_one_sentence_soon(
    hub: Hub, capsys: pytest.CaptureFixture[str], tmp_path: Path, path: str, fault: Fault, fact: str
) -> None:
    hub.repositories["acme/small"].faults[path] = fault
    started = time.monotonic()
    answer = call(capsys, hub, "acme/small", dir=str(tmp_path / "info"))
    assert answer["failed"] and fact in answer["msg"] and not (tmp_path / "info").exists()
    assert time.monotonic() - started < 20


def test_no_hub_at_all(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.port = 9
    answer = call(capsys, hub, "acme/small")
    assert "the hub can't be reached (http://127.0.0.1:9: " in answer["msg"]
    assert call(capsys, hub, "Qwen/Qwen3-8B")["models"] == {}
