# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of our own containers elsewhere keep a start waiting."""

from __future__ import annotations

from typing import Any

import pytest

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
