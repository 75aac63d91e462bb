# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of Docker's own words: a reason, a time, lines that do nothing where they are shown."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._io import docker as module
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.docker import (
    Docker,
    DockerError,
    compose,
    reason_of,
    said,
    seconds_of,
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("one\n\ntwo\n", "two"),
        ("", "no reason given"),
        ("Error response from daemon: Conflict\nsee the log\n", "Error response from daemon: Conflict"),
        (
            "level=warning x\nError response from daemon: a\nError response from daemon: b\n",
            "Error response from daemon: a",
        ),
        ("\x1b[2Jgone\n", "\\x1b[2Jgone"),
    ],
)
def test_why_a_command_failed(text: str, reason: str) -> None:
    assert said(text) == reason


@pytest.mark.parametrize(("out", "error", "reason"), [("a\n", "", "a"), ("a\n", "b\n", "b")])
def test_compose_says_why_it_failed(monkeypatch: pytest.MonkeyPatch, out: str, error: str, reason: str) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], **_more: Any) -> Any:
        asked.append(command)
        return SimpleNamespace(returncode=1, stdout=out, stderr=error)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(DockerError, match=f"^docker compose up failed: {reason}$"):
        compose("gpuserve", "/x/compose.yml", ["up", "--no-start"])
    assert asked == [
        [
            "docker",
            "compose",
            "--project-name",
            "gpuserve",
            "--file",
            "/x/compose.yml",
            "--progress",
            "quiet",
            "up",
            "--no-start",
        ]
    ]


def test_a_refusal_in_docker_s_words() -> None:
    assert reason_of(ValueError("plain.\n")) == "plain"
    error = ValueError("address of the request")
    error.explanation = "no such\x1b[2J image."  # type: ignore[attr-defined]
    assert reason_of(error) == "no such\\x1b[2J image"


def test_lines_of_a_log_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = (
        b"2026-11-23T10:00:00.5Z \x1b[1;36m(pid=9)\x1b[0m \x1b[2Jok\xff\n2026-11-23T10:00:01Z "
        + b"x" * 5000
        + b"\nno time\n"
    )
    docker = Docker.__new__(Docker)
    docker._client = SimpleNamespace(api=SimpleNamespace(logs=lambda *_given, **_more: raw))  # type: ignore[assignment]
    monkeypatch.setattr(
        module, "docker", SimpleNamespace(errors=SimpleNamespace(DockerException=Exception)), raising=False
    )
    timed = docker.timed_log("a")
    assert timed[0] == (seconds_of("2026-11-23T10:00:00.5Z"), "(pid=9) \\x1b[2Jok\N{REPLACEMENT CHARACTER}")
    assert len(timed) == 2 and len(timed[1][1]) == 4000
    assert docker.log("a")[2] == "no time"


def test_a_moment_of_docker_s() -> None:
    assert seconds_of("1970-01-01T00:01:00.25Z") == 60.25
    assert seconds_of("1970-01-01T00:01:00Z") == 60.0
    assert seconds_of("0001-01-01T00:00:00Z") is not None
    assert seconds_of("never") is None
