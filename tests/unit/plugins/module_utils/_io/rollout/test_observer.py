# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of our own containers elsewhere keep a start waiting, and whom a first probe asks for a token."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.probes import FIRST
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.target import Watched
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout import observer


class Docker:
    """Docker as far as neighbours are looked for: the containers of a host by their labels."""

    def __init__(self, *containers: dict[str, Any]) -> None:
        self.containers = containers

    def labelled_entries(self, label: str) -> list[dict[str, Any]]:
        return [one for one in self.containers if label in one["Labels"]]

    def inspect(self, container: str) -> dict[str, Any]:
        return {"HostConfig": {}}


class Silent:
    """An engine, or a gateway, that does not say that it is well."""

    def __init__(self, port: int, name: str, key: str) -> None:
        pass

    def health(self) -> int:
        return 503


def container(name: str, state: str = "running", **labels: str) -> dict[str, Any]:
    return {"Names": [f"/{name}"], "State": state, "Labels": {f"fleet.gpuserve.{k}": v for k, v in labels.items()}}


GATEWAY = container("gpuserve-gateway", stack="gpuserve-gateway", listen="8000")
NEIGHBOUR = container("vllm-other", stack="second", model="other", port="8101")
OURS = container("vllm-yi", stack="gpuserve", model="yi", port="8001")


@pytest.mark.parametrize(
    ("there", "what"),
    [
        # A gateway does not answer well while an engine of its host is down: waiting for it would be waiting for ourselves.
        ([GATEWAY, OURS], {}),
        (
            [GATEWAY, NEIGHBOUR],
            {"GPU-1": "vllm-other of the stack second is starting or ending on this host: wait for it, or stop it."},
        ),
    ],
)
def test_engines_of_other_stacks_are_waited_for_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, there: list[dict[str, Any]], what: dict[str, str]
) -> None:
    monkeypatch.setattr(observer, "Engine", Silent)
    watch = observer.Watch(Docker(*there), None, "gpuserve", "", 30, 1000)  # type: ignore[arg-type]
    assert watch._restless([one()]) == what


def one() -> Watched:
    return Watched("yi", "vllm-yi", "x", 8001, ("GPU-1",), 1 << 30)


class Hanging(Silent):
    """An engine that is well by its own words and makes no token: whoever asks it for one waits."""

    asked = 0

    def health(self) -> int:
        return 200

    def names_model(self) -> bool:
        return True

    def figures(self) -> dict[str, float]:
        return {}

    def requests(self) -> int:
        return 1

    def sleeps(self) -> bool:
        return False

    def proves(self, _task: str, _timeout_s: float) -> tuple[bool, str]:
        Hanging.asked += 1
        return False, ""


class Running(Docker):
    """A host with one engine of ours."""

    def inspect(self, container: str) -> dict[str, Any]:
        labels = {"fleet.gpuserve.stack": "gpuserve", "fleet.gpuserve.digest": "as it runs"}
        state = {"Status": "running", "Pid": 0, "StartedAt": "2026-11-27T10:00:00Z", "ExitCode": 0}
        restart = {"RestartPolicy": {"Name": "unless-stopped"}}
        return {"Config": {"Labels": labels, "Env": []}, "State": state, "HostConfig": restart, "NetworkSettings": {}}

    def has_image(self, _image: str) -> bool:
        return True


@pytest.mark.parametrize(
    ("wanted", "anew", "asked"), [("as it runs", False, 1), ("another", False, 0), ("as it runs", True, 0)]
)
def test_an_engine_that_is_replaced_anyhow_is_asked_for_no_token(
    monkeypatch: pytest.MonkeyPatch, wanted: str, anew: bool, asked: int
) -> None:
    monkeypatch.setattr(observer, "Engine", Hanging)
    monkeypatch.setattr(Hanging, "asked", 0)
    monkeypatch.setattr(observer.Watch, "_used", lambda *_any: {})
    monkeypatch.setattr(observer, "process_tree", lambda _pid: [])
    monkeypatch.setattr(observer, "age_s", lambda _pid: 100.0)
    gpus: Any = type("Gpus", (), {"ours": lambda _self, _pids: None})()
    watch = observer.Watch(Running(), gpus, "gpuserve", "", 30, 1000)  # type: ignore[arg-type]
    seen = watch.probe(replace(one(), digest=wanted, anew=anew), FIRST)
    assert (seen.healthy, seen.serves, seen.requests, Hanging.asked) == (True, False, 1, asked)
