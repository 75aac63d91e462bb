# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway started and reloaded where that is due, by what Compose says and nginx serves; and a failure says where to look."""

from __future__ import annotations

import http.server
import json
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway import serving
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway.leaving import FILE, Leaving
from ansible_collections.gpuserve.fleet.plugins.modules.gateway_serve import serve, stop


@dataclass
class Host:
    """A host whose nginx serves a generation, and reads the new one on its signal."""

    generation: str = "old"
    status: int = 200
    up: tuple[int, str] = (0, " Container gpuserve-gateway  Running\n")
    pid: str = "4711\n"
    called: list[list[str]] = field(default_factory=list)
    signals: list[tuple[int, int]] = field(default_factory=list)
    reads: bool = True

    def run(self, command: list[str]) -> tuple[int, str, str]:
        """Answer as Docker does."""
        self.called.append(command)
        if command[1] == "compose":
            return self.up[0], "", self.up[1]
        return (0, self.pid, "") if self.pid else (1, "", "no such object")

    def kill(self, pid: int, number: int) -> None:
        """Take the signal."""
        self.signals.append((pid, number))
        if self.reads:
            self.generation = "new"


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Host, serving.Serving]]:
    there = Host()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(there.status)
            self.end_headers()
            self.wfile.write(json.dumps({"generation": there.generation}).encode() if self.path == "/health" else b"[]")

        def log_message(self, *_words: object) -> None:
            """Say nothing."""

    monkeypatch.setattr(os, "kill", there.kill)
    monkeypatch.setattr(serving, "POLL_S", 0.01)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        yield there, serving.Serving(Path("/opt/gateway"), url, "new", there.run)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


Pair = tuple[Host, serving.Serving]
ALONE = Leaving(Path("/nowhere"), (), 0)


def test_what_is_served_already_is_left_alone(host: Pair) -> None:
    host[0].generation, host[0].status = "new", 503
    found = serve(host[1], ALONE, start=True, reload=False, timeout_s=1)
    assert found == {"changed": False, "started": False, "reloaded": False} and host[0].signals == []
    assert host[0].called == [
        [
            "docker",
            "compose",
            "--file",
            "/opt/gateway/compose.yml",
            "up",
            "--detach",
            "--remove-orphans",
            "--quiet-pull",
        ]
    ]


@pytest.mark.parametrize(("serves", "reload"), [("old", False), ("old", True), ("new", True)])
def test_files_that_nginx_has_yet_to_read_are_read(host: Pair, serves: str, reload: bool) -> None:
    host[0].generation = serves
    found = serve(host[1], ALONE, start=True, reload=reload, timeout_s=1)
    assert found == {"changed": True, "started": False, "reloaded": True}
    assert host[0].signals == [(4711, signal.SIGHUP)]


@pytest.mark.parametrize("word", ["Created", "Recreated", "Started"])
def test_a_container_that_begins_reads_its_files_by_itself(host: Pair, word: str) -> None:
    host[0].generation, host[0].up = "new", (0, f" Container gpuserve-gateway  {word}\n")
    found = serve(host[1], ALONE, start=True, reload=True, timeout_s=1)
    assert found == {"changed": True, "started": True, "reloaded": False} and host[0].signals == []


def test_keys_alone_start_no_container(host: Pair) -> None:
    assert serve(host[1], ALONE, start=False, reload=True, timeout_s=1)["reloaded"]
    assert [command[1] for command in host[0].called] == ["inspect"]


def test_a_container_that_does_not_start_says_why(host: Pair) -> None:
    host[0].up = (1, "Creating\nport is already allocated\n\n")
    with pytest.raises(FleetError, match=r"did not start: port is already allocated\. `docker logs"):
        serve(host[1], ALONE, start=True, reload=False, timeout_s=1)
    host[0].up = (1, "")
    with pytest.raises(FleetError, match="no reason given"):
        serve(host[1], ALONE, start=True, reload=False, timeout_s=1)


@pytest.mark.parametrize("pid", ["0\n", ""])
def test_no_signal_goes_to_a_container_that_does_not_run(host: Pair, pid: str) -> None:
    host[0].pid = pid
    with pytest.raises(FleetError, match="does not run"):
        serve(host[1], ALONE, start=False, reload=True, timeout_s=1)
    assert host[0].signals == []


@pytest.mark.parametrize("status", [200, 500])
def test_a_configuration_that_is_not_served_in_time_is_a_failure(host: Pair, status: int) -> None:
    host[0].reads, host[0].status = status != 200, status
    with pytest.raises(FleetError, match="does not serve its new configuration"):
        serve(host[1], ALONE, start=True, reload=False, timeout_s=0.05)


class Left:
    """An edge beside another one, and what was under way each time that clients had gone."""

    def __init__(self, folder: Path, host: Host, others: list[str]) -> None:
        self.file, self.host = folder / FILE, host
        self.before: list[list[str]] = []
        self.leaving = Leaving(folder, others, 5, self.pause)

    def pause(self, seconds: float) -> None:
        """Note what had been called while the edge says that it leaves."""
        assert seconds == 5 and self.file.exists()
        self.before.append([command[-2] if "--dry-run" in command else command[4] for command in self.host.called])


@pytest.fixture
def left(host: Pair, tmp_path: Path) -> Left:
    host[1].compose = tmp_path / "compose.yml"
    host[1].compose.touch()
    # The host's own server stands for the other edge as well.
    return Left(tmp_path, host[0], ["127.0.0.1:1", host[1].url.netloc])


def test_an_edge_whose_container_is_replaced_leaves_first(host: Pair, left: Left) -> None:
    host[0].generation, host[0].up = "new", (0, " Container gpuserve-gateway  Recreated\n")
    assert serve(host[1], left.leaving, start=True, reload=False, timeout_s=1)["started"]
    assert left.before == [["up"]] and len(host[0].called) == 2 and not left.file.exists()


def test_an_edge_that_is_stopped_leaves_first(host: Pair, left: Left) -> None:
    host[0].up = (0, " Container gpuserve-gateway  Removed\n")
    assert stop(host[1], left.leaving)["changed"]
    assert left.before == [[]] and host[0].called[0][4] == "down" and not left.file.exists()
    host[1].compose.unlink()
    assert not stop(host[1], left.leaving)["changed"] and len(host[0].called) == len(left.before) == 1


def test_an_edge_that_only_reads_its_files_does_not_leave(host: Pair, left: Left) -> None:
    # A run that was killed has left this.
    left.file.touch()
    assert serve(host[1], left.leaving, start=True, reload=False, timeout_s=1)["reloaded"]
    assert serve(host[1], left.leaving, start=False, reload=True, timeout_s=1)["reloaded"]
    assert left.before == [] and not left.file.exists()


@pytest.mark.parametrize("others", [[], ["127.0.0.1:1"]])
def test_nobody_leaves_where_no_other_edge_answers(host: Pair, tmp_path: Path, others: list[str]) -> None:
    alone = Left(tmp_path, host[0], others)
    host[0].generation, host[0].up = "new", (0, " Container gpuserve-gateway  Recreated\n")
    assert serve(host[1], alone.leaving, start=True, reload=False, timeout_s=1)["started"] and alone.before == []


def test_a_container_that_is_not_removed_says_why(host: Pair, left: Left) -> None:
    host[0].up = (1, "Cannot connect to the Docker daemon\n")
    with pytest.raises(FleetError, match="was not removed: Cannot connect to the Docker daemon"):
        stop(host[1], left.leaving)
    assert not left.file.exists()


def test_who_does_not_answer_serves_nothing() -> None:
    nobody = serving.Serving(Path("/opt/gateway"), "http://127.0.0.1:1", "new", lambda _command: (0, "", ""))
    assert not nobody.is_current()
