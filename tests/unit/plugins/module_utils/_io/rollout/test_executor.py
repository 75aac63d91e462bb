# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a start does to a container that is there already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout import executor


class Engine:
    """Docker as far as a start asks it, and what it was asked for."""

    def __init__(self, status: str | None, policy: str = "no") -> None:
        self.status, self.policy = status, policy
        self.asked: list[str] = []

    def inspect(self, container: str) -> dict[str, Any] | None:
        if self.status is None:
            return None
        return {"State": {"Status": self.status}, "HostConfig": {"RestartPolicy": {"Name": self.policy}}}

    def remove(self, container: str) -> None:
        self.asked.append(f"remove {container}")

    def start(self, container: str) -> None:
        self.asked.append(f"start {container}")

    def set_restart_policy(self, container: str, policy: str) -> None:
        self.asked.append(f"policy {policy}")


@pytest.mark.parametrize(
    ("status", "policy", "asked"),
    [
        (None, "no", ["create yi", "start vllm-yi"]),
        ("created", "no", ["start vllm-yi"]),
        ("created", "unless-stopped", ["policy no", "start vllm-yi"]),
        # One that has run has a log, which Docker goes on with: on a real card a second try was shown with the first one's phases.
        ("exited", "no", ["remove vllm-yi", "create yi", "start vllm-yi"]),
    ],
)
def test_a_start_begins_with_an_empty_log(
    monkeypatch: pytest.MonkeyPatch, status: str | None, policy: str, asked: list[str]
) -> None:
    docker = Engine(status, policy)
    monkeypatch.setattr(executor, "compose", lambda _project, _file, words: docker.asked.append(f"create {words[-1]}"))
    hands = executor.Executor(docker, "gpuserve", Path("compose.yml"), Path("drain"), 100, 60)  # type: ignore[arg-type]
    hands._start("yi", "vllm-yi")
    assert docker.asked == asked
