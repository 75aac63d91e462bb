# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hands of a bring-up: what a start does to a container that is there, what is never stopped or removed, what is told to a gateway."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import sockets
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.state import Action, ActionKind, Cause
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.rollout.target import Target
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.docker import DockerError
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout import executor
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.engine_keys import EngineKeys
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.executor import Executor, Refusal

YI, QWEN = "yi", "qwen"


class Docker:
    """Docker as far as hands ask it, and what it was asked for."""

    def __init__(self) -> None:
        self.containers: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.released = threading.Event()
        self.released.set()
        self.refuses = ""
        self.there = True

    def add(self, name: str, model: str, status: str = "running", stack: str = "gpuserve", policy: str = "no") -> None:
        labels = {"fleet.gpuserve.stack": stack, "fleet.gpuserve.model": model}
        self.containers[name] = {
            "Id": f"id-{name}",
            "Config": {"Labels": labels},
            "State": {"Status": status},
            "HostConfig": {"RestartPolicy": {"Name": policy}},
        }

    def answers(self) -> bool:
        return self.there

    def inspect(self, container: str) -> dict[str, Any] | None:
        return self.containers.get(container)

    def stop(self, container: str, grace_s: int) -> None:
        self.released.wait(10)
        self.asked.append(f"stop {container} {grace_s}")
        if self.refuses:
            raise DockerError(self.refuses)

    def remove(self, container: str) -> None:
        self.asked.append(f"remove {container}")
        self.containers.pop(container.removeprefix("id-"), None)

    def start(self, container: str) -> None:
        self.asked.append(f"start {container}")

    def set_restart_policy(self, container: str, policy: str) -> None:
        self.asked.append(f"policy {container} {policy}")


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> Docker:
    found = Docker()
    monkeypatch.setattr(executor, "compose", lambda _project, _file, words: found.asked.append(" ".join(words)))
    return found


def hands(docker: Docker, folder: Path | None = Path("drain")) -> Executor:
    keys = EngineKeys(None, Path("stack"), "gpuserve")
    return Executor(docker, "gpuserve", Path("compose.yml"), folder, 1000, 30, keys)  # type: ignore[arg-type]


def target(on_sockets: bool = False) -> Target:
    services = [
        {
            **{"name": name, "digest": name, "port": port, "container": f"vllm-{name}", "image": "i"},
            **({"network": "none", "socket": sockets.path(name)} if on_sockets else {"network": "bridge"}),
        }
        for name, port in ((YI, 8001), (QWEN, 8002))
    ]
    model = {"gpu_uuids": ["GPU-1"], "total_bytes": 1, "exact_kv": True, "kv_cache_bytes": 1}
    models = [{"name": name, **model} for name in (YI, QWEN)]
    return Target.of({"services": services, "plan": {"gpus": [{"models": models}]}})


def done(by: Executor, kind: ActionKind, name: str = YI, port: int = 0) -> list[Refusal]:
    refused = by.do(target(), [Action(kind, name, port=port)])
    by.finish()
    return refused


CREATE = "up --no-start --no-deps --pull never yi"
RUN = "run --detach --no-deps --name vllm-yi-surge --publish 127.0.0.1:9001:8000 yi"


@pytest.mark.parametrize(
    ("status", "policy", "asked"),
    [
        (None, "no", [CREATE, "start vllm-yi"]),
        ("created", "no", ["start vllm-yi"]),
        ("created", "unless-stopped", ["policy vllm-yi no", "start vllm-yi"]),
        # One that has run has a log, which Docker goes on with: on a real card a second try was shown with the first one's phases.
        ("exited", "no", ["remove id-vllm-yi", CREATE, "start vllm-yi"]),
    ],
)
def test_a_start_begins_with_an_empty_log(docker: Docker, status: str | None, policy: str, asked: list[str]) -> None:
    if status is not None:
        docker.add("vllm-yi", YI, status, policy=policy)
    assert done(hands(docker), ActionKind.START) == []
    assert docker.asked == asked


# What is not ours


@pytest.mark.parametrize("kind", [ActionKind.STOP, ActionKind.START, ActionKind.CREATE])
@pytest.mark.parametrize(("stack", "model"), [("", YI), ("another", YI), ("gpuserve", "yi-surge")])
def test_a_container_of_somebody_else_is_refused_and_not_touched(
    docker: Docker, kind: ActionKind, stack: str, model: str
) -> None:
    docker.add("vllm-yi", model, "exited", stack)
    refused = done(hands(docker), kind)
    assert [one.cause for one in refused] == [Cause.FOREIGN]
    assert refused[0].reason == "a container named vllm-yi is there and is not ours: remove or rename it."
    assert docker.asked == []


def test_a_surge_instance_never_takes_the_name_of_another_model(docker: Docker) -> None:
    docker.add("vllm-yi-surge", "yi-surge")
    assert [one.cause for one in done(hands(docker), ActionKind.START_SURGE)] == [Cause.FOREIGN]
    assert [one.cause for one in done(hands(docker), ActionKind.REMOVE_SURGE)] == [Cause.FOREIGN]
    assert docker.asked == []


def test_a_name_that_is_taken_between_the_look_and_the_end_is_not_stopped(docker: Docker) -> None:
    docker.add("vllm-yi", YI)
    docker.released.clear()
    by = hands(docker)
    by.do(target(), [Action(ActionKind.STOP, YI)])
    docker.released.set()
    by.finish()
    assert docker.asked == ["stop id-vllm-yi 30"], "it is stopped by its id"


def test_what_left_the_stack_is_removed_whatever_model_it_had(docker: Docker) -> None:
    docker.add("vllm-gone", "gone")
    assert done(hands(docker), ActionKind.REMOVE, "/vllm-gone") == []
    assert docker.asked == ["stop id-vllm-gone 30", "remove id-vllm-gone"]
    docker.add("vllm-other", "other", stack="another")
    assert [one.cause for one in done(hands(docker), ActionKind.REMOVE, "/vllm-other")] == [Cause.FOREIGN]


def test_docker_starts_again_only_what_is_ours(docker: Docker) -> None:
    docker.add("vllm-yi", YI)
    hands(docker).keep_up({YI: "vllm-yi", QWEN: "vllm-qwen"})
    assert docker.asked == ["policy vllm-yi unless-stopped"]


# Ends take their time


def test_an_end_keeps_nobody_waiting_but_a_start_of_the_same_container(docker: Docker) -> None:
    docker.add("vllm-yi", YI)
    docker.released.clear()
    by = hands(docker)
    assert (
        by.do(target(), [Action(ActionKind.STOP, YI), Action(ActionKind.STOP, YI), Action(ActionKind.CREATE, QWEN)])
        == []
    )
    assert docker.asked == ["up --no-start --no-deps --pull never qwen"]
    threading.Timer(0.05, docker.released.set).start()
    assert by.do(target(), [Action(ActionKind.START, YI)]) == []
    assert docker.asked[1:] == ["stop id-vllm-yi 30", "remove id-vllm-yi", CREATE, "start vllm-yi"]


def test_an_end_that_docker_refuses_is_told_with_its_words(docker: Docker) -> None:
    docker.add("vllm-yi", YI)
    docker.refuses = "vllm-yi does not stop (permission denied)."
    by = hands(docker)
    by.do(target(), [Action(ActionKind.STOP, YI)])
    next(iter(by._ending.values()))[1].exception(5)
    refused = by.do(target(), [])
    assert refused == [Refusal(Action(ActionKind.STOP, YI), docker.refuses, Cause.REFUSED)]


# Surge instances


def test_a_surge_instance_listens_above_its_model(docker: Docker) -> None:
    assert done(hands(docker), ActionKind.START_SURGE) == []
    assert docker.asked == [RUN]


def test_what_compose_left_of_a_surge_instance_is_taken_away(docker: Docker, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_project: str, _file: str, _words: list[str]) -> None:
        docker.add("vllm-yi-surge", YI, "created")
        raise DockerError("docker compose run failed: Bind for 127.0.0.1:9001 failed: port is already allocated")

    monkeypatch.setattr(executor, "compose", refuse)
    assert [one.cause for one in done(hands(docker), ActionKind.START_SURGE)] == [Cause.PORT]
    assert docker.containers == {}


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("Bind for 127.0.0.1:9001 failed: port is already allocated", Cause.PORT),
        ("listen tcp 127.0.0.1:9001: bind: address already in use", Cause.PORT),
        ('Conflict. The container name "/vllm-yi" is already in use by container "3f"', Cause.FOREIGN),
        ("no space left on device", Cause.REFUSED),
    ],
)
def test_what_docker_says_is_of_a_kind(words: str, cause: Cause) -> None:
    assert executor.cause_of(DockerError(words)) is cause


def test_a_docker_that_is_gone_is_an_error_and_no_refusal(docker: Docker, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_any: Any) -> None:
        raise DockerError("no answer")

    monkeypatch.setattr(executor, "compose", gone)
    docker.there = False
    with pytest.raises(DockerError, match="no answer"):
        done(hands(docker), ActionKind.CREATE)


# The gateway


def test_a_drain_is_told_by_the_port_that_the_container_has_and_undone(docker: Docker, tmp_path: Path) -> None:
    by = hands(docker, tmp_path)
    done(by, ActionKind.DRAIN, port=7001)
    assert [path.name for path in tmp_path.iterdir()] == ["127.0.0.1:7001"]
    done(by, ActionKind.UNDRAIN, port=7001)
    done(by, ActionKind.UNDRAIN, port=7001)
    assert list(tmp_path.iterdir()) == []


def test_drain_files_do_not_outlive_their_reason_and_others_stay(docker: Docker, tmp_path: Path) -> None:
    by = hands(docker, tmp_path)
    done(by, ActionKind.DRAIN, port=7001)  # of a run that was killed
    (tmp_path / "127.0.0.1:8001").touch()  # of a version that wrote nothing into them
    (tmp_path / "127.0.0.1:8555").write_text("kept out by hand\n")
    by.clear_drains(target().watched)
    assert [path.name for path in tmp_path.iterdir()] == ["127.0.0.1:8555"]


def test_without_a_gateway_nothing_is_told(docker: Docker, tmp_path: Path) -> None:
    by = hands(docker, tmp_path / "none")
    assert done(by, ActionKind.DRAIN, port=7001) == []
    by.clear_drains(target().watched)
    assert list(tmp_path.iterdir()) == []


# Engines on sockets


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sockets, "ROOT", str(tmp_path / "engines"))
    monkeypatch.setattr(sockets, "FOLDER", str(tmp_path / "engines" / "sockets"))
    return tmp_path / "engines"


def test_a_surge_instance_has_a_socket_in_a_folder_of_its_own_and_no_port(
    docker: Docker, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, str]] = []

    def compose(_project: str, _file: str, words: tuple[str, ...], environment: dict[str, str] | None = None) -> None:
        docker.asked.append(" ".join(words))
        told.append(dict(environment or {}))

    monkeypatch.setattr(executor, "compose", compose)
    by = hands(docker)
    for kind in (ActionKind.START, ActionKind.START_SURGE):
        assert by.do(target(on_sockets=True), [Action(kind, YI)]) == []
    by.finish()
    assert docker.asked == [CREATE, "start vllm-yi", "run --detach --no-deps --name vllm-yi-surge yi"]
    assert told == [{}, {"GPUSERVE_SURGE": "-surge"}]
    assert root.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in (root / "sockets").iterdir()) == ["yi", "yi-surge"]


def test_a_folder_of_sockets_that_is_somebody_elses_is_refused(docker: Docker, root: Path) -> None:
    root.mkdir(mode=0o777)
    root.chmod(0o777)
    (refused,) = hands(docker).do(target(on_sockets=True), [Action(ActionKind.START, YI)])
    assert "every account may write" in refused.reason and docker.asked == []


def test_one_that_moves_to_a_socket_is_drained_where_it_answers_now(docker: Docker, tmp_path: Path) -> None:
    """What is replaced is on its port still; once it has moved, nothing keeps either of its endpoints out."""
    docker.add("vllm-yi", YI)
    by = hands(docker, tmp_path)
    by.do(target(on_sockets=True), [Action(ActionKind.DRAIN, YI, port=8001)])
    assert [path.name for path in tmp_path.iterdir()] == ["127.0.0.1:8001"]
    docker.containers["vllm-yi"]["Config"]["Labels"]["fleet.gpuserve.transport"] = "socket"
    by.do(target(on_sockets=True), [Action(ActionKind.DRAIN, YI, port=8001)])
    on_socket = sockets.drain_name(sockets.endpoint(YI))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["127.0.0.1:8001", on_socket]
    by.do(target(on_sockets=True), [Action(ActionKind.UNDRAIN, YI, port=8001)])
    assert list(tmp_path.iterdir()) == []


def test_without_a_gateway_nothing_is_written_and_nobody_else_s_folder_read(
    docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "127.0.0.1:8001").write_text("gpuserve\n")
    by = hands(docker, None)
    assert done(by, ActionKind.DRAIN, port=8001) == []
    assert done(by, ActionKind.UNDRAIN, port=8001) == []
    by.clear_drains(target().watched)
    assert [path.name for path in tmp_path.iterdir()] == ["127.0.0.1:8001"]
