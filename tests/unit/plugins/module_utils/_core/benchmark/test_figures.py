# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures at their bounds, the client's command line as a whole, and the table as it is printed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.benchmark import comparison, result, runs, table
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.benchmark.client import (
    Engine,
    arguments,
    engine_of,
    unsupported,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.benchmark.load import Load

QWEN = Engine("qwen", "vllm-qwen", "image@sha256:0", "Qwen/Qwen2.5-3B-Instruct", ("--max-num-seqs", "24"), digest="d")
LOAD = {"requests": 100, "concurrency": 10, "input_tokens": 64, "output_tokens": 100}


def run(model: str, way: str = "gateway", together: bool = False, **figures: Any) -> dict[str, Any]:
    """Return a run as a record keeps it."""
    spread = {"p50": 20.0, "p95": 30.0, "p99": 40.0}
    found = {"success": 1.0, "tokens_per_s": 1234.0, "goodput": None, "ttft_ms": spread, "itl_ms": spread}
    return {
        **{"model": model, "way": way, "together": together, "load": LOAD, "skipped": ""},
        "result": {**found, "e2e_ms": {"p50": 1250.0, "p95": 1300.0, "p99": 1400.0}, **figures},
    }


def record(*made: dict[str, Any], **more: Any) -> dict[str, Any]:
    names = {"tiny": "TinyLlama/TinyLlama-1.1B-Chat-v1.0", "qwen": QWEN.model, "yi": "01-ai/Yi-6B-Chat"}
    return {
        **{"version": 1, "profile": "guide", "engine_version": "0.33.0", "cards": [], "runs": list(made)},
        "models": {name: {"model": model} for name, model in names.items()},
        **more,
    }


def test_the_client_s_whole_command_line() -> None:
    assert arguments(QWEN, Load(100, 10, 64, 90), "", (0, 10, 2)) == [
        *("vllm", "bench", "serve", "--backend", "openai", "--base-url", "http://127.0.0.1:8000"),
        *("--endpoint", "/v1/completions", "--model", QWEN.model, "--served-model-name", "qwen"),
        *("--tokenizer", QWEN.model, "--dataset-name", "random", "--seed", "20260101", "--random-input-len", "64"),
        *("--random-output-len", "90", "--random-range-ratio", "0", "--num-prompts", "100", "--max-concurrency", "10"),
        *("--ready-check-timeout-sec", "60", "--disable-tqdm", "--percentile-metrics", "ttft,tpot,itl,e2el"),
        *("--metric-percentiles", "50,95,99", "--save-result", "--save-detailed", "--result-dir", "/tmp"),
        *("--result-filename", "benchmark.json", "--ignore-eos"),
    ]


@pytest.mark.parametrize(
    ("command", "port"),
    [(["m", "--port", "8004"], 8004), (["m"], 8000), (["m", "--port"], 8000), (["m", "--port", "x"], 8000)],
)
def test_where_an_engine_listens_in_its_container(command: list[str], port: int) -> None:
    found = engine_of({"Config": {"Cmd": command}}, "label", task="embed")
    assert (found.port, found.task) == (port, "embed")
    assert engine_of({"Config": {"Cmd": command}}, "label").task == "generate"


def test_what_ran_is_kept() -> None:
    assert runs.described(runs.with_task(QWEN, "embed")) == {
        **{"model": QWEN.model, "image": "image@sha256:0", "args": ["--max-num-seqs", "24"]},
        **{"task": "embed", "digest": "d"},
    }


@pytest.mark.parametrize(
    ("task", "version", "can"),
    [
        ("generate", (0, 0, 0), True),
        ("embed", (0, 10, 1), False),
        ("embed", (0, 10, 2), True),
        ("score", (0, 25, 9), False),
        ("score", (0, 26, 0), True),
    ],
)
def test_since_when_a_task_can_be_asked(task: str, version: tuple[int, ...], can: bool) -> None:
    assert (unsupported(replace(QWEN, task=task), version, "") == "") is can


def test_rates_of_nothing_are_none() -> None:
    nothing = result.Result(0, 0, 0.0, 0, 0, None, None, None)
    assert (nothing.success, nothing.tokens_per_s, nothing.requests_per_s) == (0.0, 0.0, 0.0)
    some = result.Result(4, 3, 2.0, 30, 0, None, None, None)
    assert (some.success, some.tokens_per_s, some.requests_per_s) == (0.75, 15.0, 1.5)


@pytest.mark.parametrize(
    ("values", "percent", "found"),
    [([3.0], 99, 3.0), ([1.0, 2.0], 0, 1.0), ([1.0, 2.0], 50, 1.5), ([3.0, 1.0, 2.0], 100, 3.0)],
)
def test_a_percentile_lies_between_values(values: list[float], percent: float, found: float) -> None:
    assert result.percentile(values, percent) == pytest.approx(found)


@pytest.mark.parametrize(
    ("objective", "most", "share"),
    [
        ("ttft_ms", 20.5, 1.0),
        ("ttft_ms", 20.4, 0.0),
        ("itl_ms", 1.75, 1.0),
        ("itl_ms", 1.7, 0.0),
        ("e2e_ms", 24.0, 1.0),
        ("e2e_ms", 23.9, 0.0),
    ],
)
def test_an_objective_counts_to_the_fraction_of_a_millisecond(objective: str, most: float, share: float) -> None:
    told = {"duration": 1, "completed": 1, "ttfts": [0.0205], "itls": [[0.001, 0.0025]], "errors": [""]}
    found = result.read(json.dumps(told), 1, {objective: most}, "qwen")
    assert found.goodput == share


@pytest.mark.parametrize("given", [{"ttft_ms": 0}, {"ttft_ms": -1}, {"ttft_ms": "soon"}, {"ttft_ms": float("inf")}])
def test_what_is_no_time_is_no_objective(given: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=r"benchmark_objectives\.ttft_ms: .* is no time\."):
        result.objectives(given)
    assert result.objectives({"ttft_ms": "0.5"}) == {"ttft_ms": 0.5}


@pytest.mark.parametrize(("taken", "worse"), [(14.0, False), (15.0, False), (15.1, True)])
def test_what_is_short_may_differ_by_five_milliseconds(taken: float, worse: bool) -> None:
    before, now = ({"p50": 1.0, "p95": p95, "p99": 1.0} for p95 in (10.0, taken))
    found = comparison.against_last(record(run("qwen", ttft_ms=now)), record(run("qwen", ttft_ms=before)))
    assert [one.text for one in found] == (
        [f"qwen, through the gateway, 10 at once: first token p95 {taken:,.0f} ms, 10 ms before"] if worse else []
    )


@pytest.mark.parametrize(
    ("name", "at", "beyond"),
    [
        ("tokens_per_s", 1234.0, 1234.1),
        ("success", 1.0, 1.01),
        ("goodput", 0.9, 0.91),
        ("ttft_p95_ms", 30.0, 29.9),
        ("itl_p95_ms", 30.0, 29.9),
        ("e2e_p95_ms", 1300.0, 1299.0),
    ],
)
def test_each_threshold_is_met_at_its_figure_and_missed_beyond(name: str, at: float, beyond: float) -> None:
    now = record(run("qwen", "engine", goodput=0.9))
    assert comparison.against_thresholds(now, [{"model": "qwen", name: at}]) == []
    (found,) = comparison.against_thresholds(now, [{"model": "qwen", name: beyond}])
    assert found.text.startswith(f"qwen, alone, 10 at once: {name} ")


def test_what_was_not_measured_meets_no_threshold() -> None:
    unmeasured = {**run("qwen", "engine"), "result": None, "skipped": "the client ended with 1"}
    (found,) = comparison.against_thresholds(record(unmeasured), [{"model": "qwen", "tokens_per_s": 1}])
    assert found.text == "qwen, alone, 10 at once: not measured (the client ended with 1)"


def test_a_card_that_nobody_could_name_meets_no_card_s_threshold() -> None:
    now = {**record(run("qwen", "engine")), "cards": []}
    (found,) = comparison.against_thresholds(now, [{"model": "qwen", "card": "RTX 5090", "tokens_per_s": 1}])
    assert found.text == "qwen, alone, 10 at once: nvidia-smi names no card, and a threshold is for RTX 5090"
    # One that is for any card is held to all the same.
    assert comparison.against_thresholds(now, [{"model": "qwen", "tokens_per_s": 1}]) == []


@pytest.mark.parametrize("without", ["model", "way", "together", "load", "result"])
def test_a_run_that_lacks_a_part_makes_no_record(without: str) -> None:
    assert comparison.is_record(record(run("qwen")))
    assert not comparison.is_record(record({name: part for name, part in run("qwen").items() if name != without}))


# The lines as wide as they are printed.
# ruff: noqa: E501
# fmt: off
def test_the_table_beside_the_guide_s() -> None:
    cards = [{"name": "NVIDIA GeForce RTX 5090", "after": {"clock_mhz": 2400.0, "temperature_c": 0.0}}]
    unmeasured = {**run("embed"), "result": None, "skipped": "the client ended with 1"}
    made = record(run("tiny", goodput=0.5, ttft_ms=None), run("qwen"), run("yi"), unmeasured, cards=cards)
    assert table.table("gpu01", made, [], [], False) == [
        "gpu01   profile guide   NVIDIA GeForce RTX 5090 at 2,400 MHz   vLLM 0.33.0",
        "",
        "                            answered  tokens/s  first token p50   p95   p99  between p50   p95   p99  whole p50      p95      p99  goodput",
        "  tiny  gateway  100 by 10      100%     1,234                -     -     -         20.0  30.0  40.0    1,250.0  1,300.0  1,400.0      50%",
        "  qwen  gateway  100 by 10      100%     1,234             20.0  30.0  40.0         20.0  30.0  40.0    1,250.0  1,300.0  1,400.0        -",
        "  yi  gateway  100 by 10        100%     1,234             20.0  30.0  40.0         20.0  30.0  40.0    1,250.0  1,300.0  1,400.0        -",
        "  embed, gateway: not measured, for the client ended with 1.",
        "",
        "        guide: answered    mean  tokens/s of one request  here: answered       p50  tokens/s of ten",
        "  tiny             98 %  120 ms                      450            100%  1,250 ms            1,234",
        "  qwen             95 %  250 ms                      280            100%  1,250 ms            1,234",
        "  yi               92 %  380 ms                      210            100%  1,250 ms            1,234",
        "  The guide's answers were shorter by an unknown length: its times are no like for like.",
        "",
        "  There is no run of this profile to compare with yet.",
    ]

# fmt: on


def test_a_neighbour_is_measured_beside_who_was_alone() -> None:
    made = record(run("qwen", "engine"), run("qwen", "engine", True, tokens_per_s=617.0), run("yi", "engine", True))
    lines = table.table("gpu01", {**made, "profile": "quick"}, [], [], True)
    assert "  All at once, of the tokens/s alone: qwen 50%." in lines
    idle = record(run("qwen", "engine", tokens_per_s=0.0), run("qwen", "engine", True))
    assert not any("All at once" in line for line in table.table("gpu01", idle, [], [], True))
