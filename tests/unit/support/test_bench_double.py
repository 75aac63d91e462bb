# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The double of vLLM's client takes what a benchmark hands to it, asks an engine's double, and leaves what a benchmark reads."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.benchmark import client, load, result
from ansible_collections.gpuserve.fleet.tests.support.doubles import bench_double, engine_double

TOKEN_S = 0.002


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return where an engine's double answers, that takes its time for each token."""
    (tmp_path / "engines").mkdir()
    (tmp_path / "engines" / "qwen.json").write_text(f'{{"token_s": {TOKEN_S}}}')
    monkeypatch.setattr(engine_double, "FOLDER", tmp_path)
    given = engine_double.parser().parse_args(["model", "--served-model-name", "qwen"])
    handler = type("Handler", (engine_double.Handler,), {"engine": engine_double.Engine(given)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def measured(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> result.Result:
    """Ask as `quick` does, by the command line that a benchmark has."""
    (quick,) = load.loads("quick")
    words = client.arguments(client.Engine("qwen", "vllm-qwen", "image", "model", ()), quick, url, (0, 26, 0))
    words[words.index("--result-dir") + 1] = str(tmp_path)
    monkeypatch.setattr(sys, "argv", words)
    assert bench_double.main() == 0
    left = (tmp_path / Path(client.RESULT).name).read_text()
    return result.read(left, quick.requests, {}, "qwen")


def test_what_an_engine_gives_is_what_is_measured(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured(engine, tmp_path, monkeypatch)
    assert (found.requests, found.completed, found.output_tokens, found.success) == (16, 16, 16 * 32, 1.0)
    # Four at once, each as fast as the engine's double is and no faster.
    assert 0 < found.tokens_per_s <= 4 / TOKEN_S
    assert found.ttft_ms is not None and found.ttft_ms.p50 >= 32 * TOKEN_S * 1000


def test_an_engine_that_comes_later_is_waited_for_and_one_that_does_not_is_none(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, asked = bench_double.ask, list[int]()

    def late(given: argparse.Namespace, number: int) -> dict[str, Any]:
        asked.append(number)
        return {"error": "Connection refused"} if len(asked) < 3 else real(given, number)

    monkeypatch.setattr(bench_double, "ask", late)
    assert measured(engine, tmp_path, monkeypatch).success == 1
    monkeypatch.setattr(bench_double, "ask", lambda *_asked: {"error": "Connection refused"})
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--ready-check-timeout-sec", "0"])
    assert bench_double.main() == 1 and "not ready: Connection refused" in capsys.readouterr().err


def test_it_stands_for_one_command_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["vllm", "serve", "model"])
    assert bench_double.main() == 2 and "it knows `vllm bench serve` alone" in capsys.readouterr().err
