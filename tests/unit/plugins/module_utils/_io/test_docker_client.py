# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker's client over a fake daemon: what is asked of it, and one sentence for each way in which it refuses."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._io import docker as module
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.docker import Docker, DockerError

NOT_FOUND = docker.errors.NotFound("404", explanation="No such container: vllm-a.")
REFUSED = docker.errors.APIError("500 Server Error for http://x", explanation="port is already allocated.")
GONE = ConnectionResetError("gone")


class Daemon:
    """A daemon that gives one answer to everything, or refuses it, and keeps what it was asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[Any] = []
        self.api = self
        self.containers = self.ask("containers")

    def ask(self, name: str) -> Any:
        def asked(*given: Any, **more: Any) -> Any:
            self.asked.append((name, *given, *([more] if more else [])))
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

        return asked

    def __getattr__(self, name: str) -> Any:
        return self.ask(name)


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], tuple[Docker, Daemon]]:
    def made(answer: Any) -> tuple[Docker, Daemon]:
        fake = Daemon(True)
        monkeypatch.setattr(docker, "from_env", lambda timeout: fake)
        client = Docker()
        assert fake.asked == [("ping",)]
        fake.answer, fake.asked = answer, []
        return client, fake

    return made


def test_a_container_is_started_ended_and_removed_with_what_is_its_own(daemon: Any) -> None:
    client, fake = daemon(None)
    client.start("vllm-a")
    client.stop("vllm-a", 45)
    client.remove("vllm-a")
    assert fake.asked == [
        ("start", "vllm-a"),
        ("stop", "vllm-a", {"timeout": 45}),
        ("remove_container", "vllm-a", {"v": True, "force": True}),
    ]


def test_what_is_not_there_is_stopped_and_removed_already(daemon: Any) -> None:
    client, _asked = daemon(NOT_FOUND)
    client.stop("vllm-a", 1)
    client.remove("vllm-a")
    assert client.inspect("vllm-a") is None


@pytest.mark.parametrize("error", [REFUSED, GONE])
@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda client: client.start("vllm-a"), "vllm-a does not start ("),
        (lambda client: client.stop("vllm-a", 1), "vllm-a does not stop ("),
        (lambda client: client.remove("vllm-a"), "vllm-a can't be removed ("),
        (lambda client: client.inspect("vllm-a"), "Docker does not say how vllm-a is ("),
        (lambda client: client.labelled("x"), "Docker does not list its containers ("),
    ],
)
def test_a_refusal_names_the_container(daemon: Any, act: Callable[[Docker], Any], words: str, error: Exception) -> None:
    client, _asked = daemon(error)
    with pytest.raises(DockerError) as caught:
        act(client)
    assert str(caught.value).startswith(words)


def test_a_start_is_refused_in_the_daemon_s_words_without_its_address(daemon: Any) -> None:
    client, _asked = daemon(REFUSED)
    with pytest.raises(DockerError, match=r"^vllm-a does not start \(port is already allocated\)\.$"):
        client.start("vllm-a")


@pytest.mark.parametrize("error", [REFUSED, GONE])
def test_a_look_that_fails_sees_nothing(daemon: Any, error: Exception) -> None:
    client, _asked = daemon(error)
    assert (client.answers(), client.has_image("x"), client.log("a"), client.timed_log("a")) == (False, False, [], [])


def test_what_is_there_is_seen(daemon: Any) -> None:
    client, fake = daemon({"Id": "1"})
    assert (client.answers(), client.has_image("x"), client.inspect("a")) == (True, True, {"Id": "1"})
    fake.answer, fake.asked = [{"Names": ["/vllm-a"]}, {"Names": ["/vllm-b"]}], []
    assert client.labelled("fleet.gpuserve.stack") == ["vllm-a", "vllm-b"]
    assert fake.asked == [("containers", {"all": True, "filters": {"label": "fleet.gpuserve.stack"}})]


@pytest.mark.parametrize("error", [None, REFUSED])
def test_a_restart_policy_is_set_on_one_container(daemon: Any, error: Exception | None) -> None:
    client, fake = daemon(None)
    updates: list[Any] = []

    def update(restart_policy: Any) -> None:
        if error:
            raise error
        updates.append(restart_policy)

    fake.containers = SimpleNamespace(get=lambda name: SimpleNamespace(update=update))
    if error:
        with pytest.raises(DockerError, match=r"^vllm-a takes no restart policy \("):
            client.set_restart_policy("vllm-a", "always")
        return
    client.set_restart_policy("vllm-a", "unless-stopped")
    assert updates == [{"Name": "unless-stopped"}]


@pytest.mark.parametrize("error", [docker.errors.DockerException("no socket"), PermissionError("denied")])
def test_a_host_without_a_daemon(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(docker, "from_env", lambda timeout: Daemon(error))
    with pytest.raises(DockerError, match=r"^No Docker Engine answers on the host \((no socket|denied)\)\.$"):
        Docker()


def test_a_host_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DOCKER_ERROR", "No module named 'docker'")
    with pytest.raises(DockerError, match=r"^The Python package docker is missing on the host"):
        Docker()
