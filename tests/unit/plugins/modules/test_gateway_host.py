# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shells of the gateway's two modules: what they hand on, and how they fail."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.modules import gateway_host, gateway_prove, gateway_serve

KEY = "a-key-that-nobody-may-read"


def call(capsys: pytest.CaptureFixture[str], module: ModuleType, **arguments: Any) -> dict[str, Any]:
    """Run the module as Ansible would and return what it answers."""
    with patch_module_args(arguments), pytest.raises(SystemExit):
        module.main()
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


class Place:
    """The place of a configuration, which a test makes fail."""

    failures: tuple[Exception, ...] = ()

    def __init__(self, folder: Path, payload: dict[str, Any], _run: Any, check_mode: bool) -> None:
        self.answer = {"changed": True, "folder": str(folder), "check": check_mode, "names": sorted(payload)}

    def put(self) -> dict[str, Any]:
        for failure in self.failures:
            raise failure
        return self.answer


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> type[Place]:
    class Fresh(Place):
        """One for this test alone."""

    monkeypatch.setattr(gateway_host, "Place", Fresh)
    return Fresh


def test_a_payload_is_put_in_its_folder_and_shown_to_nobody(
    place: type[Place], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    payload = json.dumps({"settings": KEY})
    answer = call(
        capsys, gateway_host, state="present", folder=str(tmp_path), payload=payload, _ansible_check_mode=True
    )
    assert (answer["folder"], answer["check"], answer["names"]) == (str(tmp_path), True, ["settings"])
    assert KEY not in json.dumps(answer)


def test_refusals_and_full_disks_fail_with_a_sentence(place: type[Place], capsys: pytest.CaptureFixture[str]) -> None:
    place.failures = (FleetError("gateway_tls", "no.", "Do."),)
    answer = call(capsys, gateway_host, state="present", payload="{}")
    assert answer["failed"] and (answer["msg"], answer["field"]) == ("gateway_tls: no. Do.", "gateway_tls")
    place.failures = (OSError(28, "No space left on device", "/opt/gpuserve/gateway/compose.yml"),)
    answer = call(capsys, gateway_host, state="present", payload="{}")
    assert answer["msg"].startswith("/opt/gpuserve/gateway/compose.yml: it can't be written (No space left on device)")


def test_reading_tells_facts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(
        gateway_host, "probe", lambda folder, image, ports, paths, _run: {"asked": [image, ports, paths]}
    )
    answer = call(capsys, gateway_host, state="read", image="nginx", ports=[8000], paths=["/etc/ssl/a"])
    assert answer["facts"] == {"asked": ["nginx", [8000], ["/etc/ssl/a"]]} and not answer["changed"]


def test_a_model_that_streams_nothing_is_named_and_the_key_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stream:
        """Proves qwen alone."""

        def __init__(self, _url: str, model: str, key: str) -> None:
            assert key == KEY
            self.model, self.answer = model, f"401: {model} takes no such key"

        def proved_within(self, _timeout_s: float) -> bool:
            return self.model == "qwen"

    monkeypatch.setattr(gateway_prove, "Stream", Stream)
    given = {"url": "http://127.0.0.1:8000", "key": KEY}
    answer = call(capsys, gateway_prove, models=["qwen"], **given)
    assert list(answer["seconds"]) == ["qwen"] and not answer["changed"] and KEY not in json.dumps(answer)
    answer = call(capsys, gateway_prove, models=["qwen", "yi"], **given)
    assert answer["failed"] and answer["msg"].startswith("gateway_prove: yi streams no token")
    assert "401: yi takes no such key" in answer["msg"]
    assert KEY not in json.dumps(answer)
    assert call(capsys, gateway_prove, models=["yi"], _ansible_check_mode=True, **given)["seconds"] == {}
    # In the trip that starts the gateway, which serves by then.
    served: list[str] = []

    class Serving:
        """Serves a configuration."""

        def __init__(self, *_given: Any) -> None:
            served.append("serving")

    monkeypatch.setattr(gateway_serve, "Serving", Serving)
    monkeypatch.setattr(gateway_serve, "serve", lambda *_parts, **_given: {"changed": False})
    monkeypatch.setattr(gateway_serve, "Stream", Stream)
    given["generation"] = "1"
    assert list(call(capsys, gateway_serve, prove=["qwen"], **given)["seconds"]) == ["qwen"]
    answer = call(capsys, gateway_serve, prove=["qwen", "yi"], **given)
    assert answer["failed"] and answer["msg"].startswith("gateway_prove: yi streams no token")
    assert KEY not in json.dumps(answer) and served == ["serving"] * 2
    assert call(capsys, gateway_serve, **given)["seconds"] == {}
    # A gateway that is stopped needs neither.
    monkeypatch.setattr(gateway_serve, "stop", lambda *_parts: {"changed": True})
    assert call(capsys, gateway_serve, state="stopped", drain_dir="/nowhere")["changed"]
    assert not call(capsys, gateway_serve, state="stopped", _ansible_check_mode=True)["changed"]
    assert "url" in call(capsys, gateway_serve)["msg"]
