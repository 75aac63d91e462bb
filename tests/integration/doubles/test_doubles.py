# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The doubles, asked by the code that will ask them in a box: nvidia-ml-py and our own edges."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import diagnosis, log
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.log import Phase
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.engine_http import Engine
from ansible_collections.gpuserve.fleet.tests.support.lab import doubles
from ansible_collections.gpuserve.fleet.tests.support.lab.common import CHECKOUT

MIB, GIB = 1 << 20, 1 << 30
CARDS = [doubles.gpu(0), doubles.gpu(1)]
UUID, _name, TOTAL, RESERVED, _capability = CARDS[0]
USABLE = TOTAL - RESERVED
FAST = {"created": 0.01, "loading": 0.1, "measuring": 0.01, "graphs": 0.01}
ASK = """\
import json, sys
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.nvml import Nvml, NvmlError
try:
    with Nvml() as nvml:
        print(json.dumps(nvml.gpus()))
except NvmlError as error:
    sys.exit(str(error))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for part in ("held", "engines", "struck"):
        (tmp_path / part).mkdir()
    (tmp_path / "cards").write_text("".join("\t".join(map(str, card)) + "\n" for card in CARDS))
    monkeypatch.setenv("NVML_DOUBLE_DIR", str(tmp_path))
    monkeypatch.setenv("NVML_DOUBLE_VISIBLE_0", UUID)
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    return tmp_path


def ask_nvml() -> subprocess.CompletedProcess[str]:
    """What our code reads from NVML, in a process of its own: a library is loaded once and for all."""
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(doubles.ensure_nvml().parent),
        "PYTHONPATH": str(CHECKOUT / ".collections"),
    }
    return subprocess.run([sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=False)


def cards() -> list[dict[str, Any]]:
    done = ask_nvml()
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def until(true: Callable[[], bool]) -> None:
    """Wait for what is bound to come; a test that hangs says less than one that fails."""
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


@contextlib.contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that ends with the block, however that ends: Popen's own would wait an hour for one that a failed assertion left."""
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


class Started:
    """An engine double as a plain process, with its log as it grows."""

    def __init__(self, *arguments: str, name: str = "tiny", **settings: Any) -> None:
        folder = Path(os.environ["NVML_DOUBLE_DIR"])
        (folder / "engines" / f"{name}.json").write_text(json.dumps({"seconds": FAST, **settings}))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, str(doubles.SOURCES / "engine_double.py"), "some/model"]
        command += ["--served-model-name", name, "--host", "127.0.0.1", "--port", str(self.port)]
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [*command, "--gpu-memory-utilization", "0.01", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.engine = Engine(self.port, name)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines += line.splitlines()

    @property
    def facts(self) -> log.LogFacts:
        return log.read(self.lines)

    def ready(self) -> Started:
        until(lambda: self.engine.health() == 200 or self.process.poll() is not None)
        assert self.process.poll() is None, "\n".join(self.lines)
        return self

    def ended(self) -> tuple[int, diagnosis.Cause]:
        code = self.process.wait(30)
        self._reader.join(30)
        return code, diagnosis.diagnose(self.lines, code)


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Started]]:
    running: list[Started] = []

    def begin(*arguments: str, **more: Any) -> Started:
        running.append(Started(*arguments, **more))
        return running[-1]

    yield begin
    for one in running:
        one.process.kill()
        one.process.wait()


def test_nvml_shows_the_cards_as_listed(folder: Path) -> None:
    first, second = cards()
    assert (first["uuid"], second["uuid"]) == (CARDS[0][0], CARDS[1][0])
    assert first["name"] == "NVIDIA GeForce RTX 5090"
    assert first["compute_capability"] == "12.0"
    assert first["memory_total_bytes"] == first["memory_free_bytes"] == USABLE
    assert first["processes"] == []


def test_memory_is_its_holders_and_ends_with_it(folder: Path) -> None:
    command = [sys.executable, str(doubles.SOURCES / "hold_double.py"), UUID, str(4 * GIB)]
    with ended(subprocess.Popen(command, stdout=subprocess.PIPE, text=True)) as holder:
        assert holder.stdout is not None
        assert int(holder.stdout.readline()) == holder.pid
        first, second = cards()
        assert first["processes"] == [{"pid": holder.pid, "used_bytes": 4 * GIB, "container": None}]
        assert first["memory_free_bytes"] == USABLE - 4 * GIB
        assert second["memory_free_bytes"] == USABLE
    assert cards()[0]["processes"] == []
    assert cards()[0]["memory_free_bytes"] == USABLE


def test_a_driver_of_another_version(folder: Path) -> None:
    (folder / "fault").write_text("18\n")
    assert ask_nvml().stderr.strip().startswith("driver/library version mismatch: ")
    (folder / "fault").unlink()
    assert len(cards()) == 2


def test_a_start_goes_through_the_phases_that_our_parser_knows(start: Callable[..., Started]) -> None:
    one = start("--kv-cache-memory-bytes", str(GIB), total_bytes=3 * GIB).ready()
    until(lambda: one.facts.phase is Phase.LISTENING)
    reached = [log.read([line]).phase for line in one.lines]
    assert list(dict.fromkeys(phase for phase in reached if phase)) == list(Phase)
    assert one.facts.percent == 100
    assert one.facts.kv_cache_tokens == GIB // (64 * 1024)
    assert one.facts.max_concurrency == 8.0
    (process,) = cards()[0]["processes"]
    assert process["pid"] == one.process.pid
    # Weights are taken in quarters, each rounded down.
    assert process["used_bytes"] == pytest.approx(3 * GIB, abs=3)
    assert cards()[0]["memory_free_bytes"] == USABLE - process["used_bytes"]


def test_eager_captures_no_graphs(start: Callable[..., Started]) -> None:
    one = start("--kv-cache-memory-bytes", str(GIB), "--enforce-eager").ready()
    assert not any("Graph capturing" in line for line in one.lines)


def test_its_endpoints(start: Callable[..., Started], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "secret")
    one = start("--kv-cache-memory-bytes", str(GIB)).ready()
    assert not one.engine.names_model()
    assert one.engine.proves("generate", 5)[0] is False
    keyed = Engine(one.port, "tiny", "secret")
    assert keyed.names_model()
    assert keyed.proves("generate", 5) == (True, "")
    for task in ("embed", "score", "classify", "transcribe"):
        assert keyed.proves(task, 5) == (True, "")
    assert keyed.figures() == {"num_requests_running": 0, "num_requests_waiting": 0, "generation_tokens_total": 1}
    assert not keyed.sleeps()


def test_a_client_that_hangs_up_leaves_no_error_in_its_log(start: Callable[..., Started]) -> None:
    one = start("--kv-cache-memory-bytes", str(GIB), token_s=0.2).ready()
    body = json.dumps({"model": "tiny", "prompt": [1], "max_tokens": 1})
    with socket.create_connection(("127.0.0.1", one.port), timeout=10) as line:
        line.sendall(f"POST /v1/completions HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        # Closed by a reset: what is written to it fails.
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: (one.engine.figures() or {}).get("generation_tokens_total") == 1)
    # Asked after it, this one is answered after it.
    assert one.engine.proves("generate", 10) == (True, "")
    one.process.terminate()
    assert one.ended()[0] == 0
    assert not [text for text in one.lines if "Error" in text or "Traceback" in text]


def test_a_streamed_answer_ends_as_one(start: Callable[..., Started]) -> None:
    one = start("--kv-cache-memory-bytes", str(GIB)).ready()
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "max_tokens": 3, "stream": True}
    address = f"http://127.0.0.1:{one.port}/v1/chat/completions"
    with urllib.request.urlopen(urllib.request.Request(address, json.dumps(body).encode()), timeout=10) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        events = [line for line in answer.read().decode().split("\n\n") if line]
    assert json.loads(events[0].removeprefix("data: "))["usage"]["completion_tokens"] == 3
    assert events[-1] == "data: [DONE]"


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ({"kind": "oom", "at": "loading"}, "out_of_memory"),
        ({"kind": "oom", "at": "graphs"}, "out_of_memory"),
        ({"kind": "no_kernel_image", "at": "loading"}, "no_kernel_image"),
        ({"kind": "gated", "at": "created"}, "gated"),
        ({"kind": "missing_repository", "at": "created"}, "missing_repository"),
    ],
    ids=lambda value: " at ".join(value.values()) if isinstance(value, dict) else "",
)
def test_a_start_that_fails_says_why_and_ends_with_1(
    start: Callable[..., Started], fault: dict[str, str], cause: str
) -> None:
    code, found = start("--kv-cache-memory-bytes", str(GIB), fault=fault).ended()
    assert (code, found.id) == (1, cause)
    assert cards()[0]["memory_free_bytes"] == USABLE


def test_an_unknown_argument_ends_with_2(start: Callable[..., Started]) -> None:
    code, found = start("--use-v2-block-manager").ended()
    assert (code, found.id) == (2, "unknown_argument")
    assert "--use-v2-block-manager" in found.text


def test_a_full_card_needs_no_fault(start: Callable[..., Started]) -> None:
    start("--kv-cache-memory-bytes", str(20 * GIB), total_bytes=22 * GIB).ready()
    second = start("--kv-cache-memory-bytes", str(20 * GIB), name="second", total_bytes=22 * GIB)
    code, found = second.ended()
    assert (code, found.id) == (1, "out_of_memory")
    code, found = start("--gpu-memory-utilization", "0.5", name="third").ended()
    assert (code, found.id) == (1, "free_memory")


def test_a_port_in_use(start: Callable[..., Started]) -> None:
    first = start("--kv-cache-memory-bytes", str(GIB)).ready()
    code, found = start("--kv-cache-memory-bytes", str(GIB), "--port", str(first.port), name="second").ended()
    assert (code, found.id) == (1, "port_taken")


def test_a_fault_strikes_as_often_as_told(start: Callable[..., Started]) -> None:
    fault = {"kind": "oom", "at": "loading", "times": 1}
    assert start("--kv-cache-memory-bytes", str(GIB), fault=fault).ended()[0] == 1
    start("--kv-cache-memory-bytes", str(GIB), fault=fault).ready()


def test_a_start_that_hangs_is_silent_and_keeps_its_memory(start: Callable[..., Started]) -> None:
    one = start("--kv-cache-memory-bytes", str(GIB), fault={"kind": "silent", "at": "measuring"})
    until(lambda: one.facts.phase is Phase.LOADED)
    said, held = list(one.lines), cards()[0]["processes"]
    assert [process["pid"] for process in held] == [one.process.pid]
    # Longer than all of its phases together.
    time.sleep(0.5)
    assert one.process.poll() is None
    assert one.lines == said
    assert one.engine.health() is None


def test_a_mute_engine_is_healthy_and_answers_nothing(start: Callable[..., Started]) -> None:
    one = start("--kv-cache-memory-bytes", str(GIB), fault={"kind": "mute"}).ready()
    assert one.engine.proves("generate", 0.3) == (False, "")
    assert one.engine.health() == 200


def test_an_engine_that_dies_while_it_serves(start: Callable[..., Started]) -> None:
    one = start("--kv-cache-memory-bytes", str(GIB), fault={"kind": "dies", "after_s": 0.5})
    assert one.ended()[0] == 1
    assert one.facts.phase is Phase.LISTENING
    assert cards()[0]["processes"] == []


def test_a_neighbour_that_frees_memory_spoils_the_measuring(start: Callable[..., Started]) -> None:
    neighbour = start("--kv-cache-memory-bytes", str(8 * GIB), name="neighbour", total_bytes=10 * GIB).ready()
    one = start("--gpu-memory-utilization", "0.3", name="second", seconds={**FAST, "measuring": 2})
    until(lambda: one.facts.phase is Phase.LOADED)
    # It has to have looked at the card once before the neighbour ends.
    time.sleep(0.3)
    neighbour.process.kill()
    code, found = one.ended()
    assert (code, found.id) == (1, "profiling_race")


def test_it_ends_orderly_when_told(start: Callable[..., Started]) -> None:
    one = start("--kv-cache-memory-bytes", str(GIB)).ready()
    one.process.send_signal(signal.SIGTERM)
    assert one.process.wait(30) == 0
    assert cards()[0]["processes"] == []
