# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of an engine: profiles that fit the model, the order of the runs, and the client's command line by task and version."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.benchmark import runs
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.benchmark.client import (
    Engine,
    arguments,
    engine_of,
    unsupported,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.benchmark.load import PROFILES, Load, fitted, loads
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError

ARGS = ("--served-model-name", "qwen", "q", "--port", "8000", "--max-model-len", "1536", "--max-num-seqs", "24")
QWEN = Engine("qwen", "vllm-qwen", "vllm/vllm-openai@sha256:0", "Qwen/Qwen2.5-3B-Instruct", ARGS)
EMBED = replace(QWEN, name="embed", container="vllm-embed", task="embed")


def flags(args: list[str]) -> dict[str, str]:
    """Return each flag with what follows it."""
    pairs = zip(args, [*args[1:], ""], strict=True)
    return {flag: "" if value.startswith("--") else value for flag, value in pairs if flag.startswith("--")}


def inspected(**config: Any) -> dict[str, Any]:
    labels = {"fleet.gpuserve.model": "qwen", "fleet.gpuserve.digest": "abc"}
    return {"Name": "/vllm-qwen", "Config": {"Labels": labels, "Cmd": ["a/b", *ARGS], "Image": "image", **config}}


def test_the_guide_s_run_is_a_profile() -> None:
    (load,) = loads("guide")
    assert (load.requests, load.concurrency) == (100, 10)


def test_a_profile_that_is_none_names_the_nearest() -> None:
    with pytest.raises(FleetError, match=r"benchmark_profile: 'gide' is none\. Did you mean guide"):
        loads("gide")


@pytest.mark.parametrize("length", [10, 16, 40, 100, 164, 172, 4096])
@pytest.mark.parametrize("pools", [True, False])
def test_prompt_and_answer_fit_the_model(length: int, pools: bool) -> None:
    for load in (load for profile in PROFILES.values() for load in profile):
        found = fitted(load, length, pools)
        assert found.input_tokens >= 1 and found.input_tokens + found.output_tokens <= length - 8
        assert (found.output_tokens == 0) is pools
        assert (found.requests, found.concurrency) == (load.requests, load.concurrency)
        if load.input_tokens + load.output_tokens <= length - 8 and not pools:
            assert found == load


def test_a_model_without_room_is_refused_and_one_without_a_bound_is_asked_as_it_is() -> None:
    with pytest.raises(FleetError, match="max_model_len 9 leaves no room"):
        fitted(Load(1, 1, 4, 4), 9, False)
    assert fitted(Load(1, 1, 4000, 4000), 0, False) == Load(1, 1, 4000, 4000)


def test_an_engine_is_what_its_container_says() -> None:
    found = engine_of(inspected(), "fleet.gpuserve")
    assert (found.name, found.container, found.image, found.model) == ("qwen", "vllm-qwen", "image", "a/b")
    assert (found.max_model_len, found.port, found.socket, found.host_network) == (1536, 8000, False, False)
    on_host = engine_of(inspected(Cmd=["a/b", "--host", "127.0.0.1", "--port", "8002"]), "fleet.gpuserve")
    assert (on_host.port, on_host.host_network, on_host.max_model_len) == (8002, True, 0)
    labels = {"fleet.gpuserve.model": "qwen", "fleet.gpuserve.transport": "socket"}
    assert engine_of(inspected(Labels=labels), "fleet.gpuserve").socket
    assert engine_of({}, "fleet.gpuserve").name == ""


@pytest.mark.parametrize(
    ("entrypoint", "program"),
    [
        (["vllm", "serve"], ("vllm",)),
        (["python3", "-m", "vllm.entrypoints.cli.main", "serve"], ("python3", "-m", "vllm.entrypoints.cli.main")),
        (["/bin/sh", "-c", 'exec "$0" "$@"', "/opt/vllm", "serve"], ("/opt/vllm",)),
        (["python3", "-m", "vllm.entrypoints.openai.api_server"], ("vllm",)),
        (["serve"], ("vllm",)),
        (None, ("vllm",)),
    ],
)
def test_the_client_is_called_as_the_image_calls_its_engine(
    entrypoint: list[str] | None, program: tuple[str, ...]
) -> None:
    engine = engine_of(inspected(Entrypoint=entrypoint), "fleet.gpuserve")
    assert arguments(engine, Load(1, 1, 1, 1), "", (0, 33, 0))[: len(program) + 2] == [*program, "bench", "serve"]


def test_each_model_is_asked_alone_both_ways_and_then_all_at_once() -> None:
    other = replace(QWEN, name="yi")
    found = runs.planned([QWEN, other], loads("quick"), gateway=True, together=True)
    shown = [[(run.engine.name, run.way, run.together) for run in group] for group in found]
    assert shown == [
        [("qwen", "engine", False)],
        [("qwen", "gateway", False)],
        [("yi", "engine", False)],
        [("yi", "gateway", False)],
        [("qwen", "engine", True), ("yi", "engine", True)],
    ]
    assert len(runs.planned([QWEN, other], loads("quick"), gateway=False, together=False)) == 2
    through = runs.planned([QWEN, other], loads("quick"), gateway=True, together=False, directly=False)
    assert [(run.engine.name, run.way) for (run,) in through] == [("qwen", "gateway"), ("yi", "gateway")]
    # Somebody has to be asked.
    assert len(runs.planned([QWEN], loads("quick"), gateway=False, together=False, directly=False)) == 1
    # One model has no neighbour.
    assert len(runs.planned([QWEN], loads("quick"), gateway=True, together=True)) == 2


def test_no_more_is_asked_at_once_than_the_engine_takes() -> None:
    alone = [run.load.concurrency for (run,) in runs.planned([QWEN], loads("sweep"), False, True)]
    assert alone == [1, 2, 4, 8, 16]
    two = replace(QWEN, args=("--max-num-seqs", "2"))
    assert [run.load.concurrency for (run,) in runs.planned([two], loads("quick"), False, True)] == [2]


def test_what_generates_answers_with_as_many_tokens_each_time() -> None:
    args = arguments(QWEN, Load(100, 10, 64, 100), "", (0, 33, 0))
    found = flags(args)
    assert found["--base-url"] == "http://127.0.0.1:8000" and found["--endpoint"] == "/v1/completions"
    assert found["--model"] == "Qwen/Qwen2.5-3B-Instruct" and found["--served-model-name"] == "qwen"
    assert (found["--num-prompts"], found["--max-concurrency"]) == ("100", "10")
    assert (found["--random-input-len"], found["--random-output-len"]) == ("64", "100")
    assert "--ignore-eos" in args and "--insecure" not in args and "--trust-remote-code" not in args
    assert "--trust-remote-code" in arguments(
        replace(QWEN, args=("--trust-remote-code",)), Load(1, 1, 1, 1), "", (0, 33, 0)
    )


def test_the_gateway_is_asked_the_same_at_its_own_address() -> None:
    direct, through = (arguments(QWEN, Load(9, 3, 8, 8), url, (0, 33, 0)) for url in ("", "https://127.0.0.1:8000"))
    assert {*through} ^ {*direct} == {"http://127.0.0.1:8000", "https://127.0.0.1:8000", "--insecure"}


def test_what_a_batch_makes_at_first_is_made_before_it_counts() -> None:
    assert flags(arguments(QWEN, Load(9, 3, 8, 8), "", (0, 26, 0)))["--num-warmups"] == "3"
    assert "--num-warmups" not in arguments(QWEN, Load(9, 3, 8, 8), "", (0, 10, 2))


def test_embeddings_and_scores_are_asked_by_their_task() -> None:
    args = arguments(EMBED, Load(9, 3, 8, 0), "", (0, 33, 0))
    found = flags(args)
    assert (found["--backend"], found["--endpoint"]) == ("openai-embeddings", "/v1/embeddings")
    assert found["--percentile-metrics"] == "e2el" and "--ignore-eos" not in args
    scores = flags(arguments(replace(EMBED, task="score"), Load(9, 3, 8, 0), "", (0, 33, 0)))
    assert (scores["--backend"], scores["--dataset-name"]) == ("vllm-rerank", "random-rerank")


@pytest.mark.parametrize(
    ("engine", "version", "url", "said"),
    [
        (QWEN, (0, 10, 1), "", ""),
        (EMBED, (0, 10, 1), "", "vLLM 0.10.1's client has no benchmark for the task embed"),
        (EMBED, (0, 10, 2), "", ""),
        (replace(EMBED, task="score"), (0, 10, 2), "", "vLLM 0.10.2's client has no benchmark for the task score"),
        (replace(EMBED, task="score"), (0, 26, 0), "", ""),
        (replace(EMBED, task="transcribe"), (0, 33, 0), "", "vLLM's client has no benchmark for the task transcribe"),
        (replace(QWEN, socket=True), (0, 33, 0), "", ""),
        (replace(QWEN, socket=True), (0, 33, 0), "http://127.0.0.1:8000", ""),
        (QWEN, (0, 10, 2), "https://x", "vLLM 0.10.2's client takes no certificate that it does not know"),
        (QWEN, (0, 26, 0), "https://x", ""),
    ],
)
def test_what_a_client_can_not_do_is_said(engine: Engine, version: tuple[int, ...], url: str, said: str) -> None:
    assert unsupported(engine, version, url) == said
