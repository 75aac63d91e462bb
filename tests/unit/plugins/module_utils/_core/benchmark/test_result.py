# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured, compared and shown: figures out of the client's JSON, what got worse, what changed, and the table."""

from __future__ import annotations

import copy
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.benchmark import comparison, result, table
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError

DATA = Path(__file__).parents[5] / "data/benchmarks"


def measured(**change: Any) -> dict[str, Any]:
    """Return what the client leaves of three requests, one of which failed."""
    found = {
        "duration": 2.0,
        "completed": 2,
        "total_input_tokens": 20,
        "total_output_tokens": 6,
        "ttfts": [0.1, 0.3, 0.0],
        "itls": [[0.01, 0.03], [0.02, 0.02], []],
        "errors": ["", "", "Traceback\n  at\nClientError: 503, Service Unavailable"],
    }
    return {**found, **change}


def read(found: Any, held_to: dict[str, float] | None = None, asked: int = 3) -> result.Result:
    return result.read(found if isinstance(found, str) else json.dumps(found), asked, held_to or {}, "qwen")


def record(tokens: float = 100.0, ttft: float = 50.0, success: float = 1.0, **more: Any) -> dict[str, Any]:
    """Return a record of one model, asked directly and through the gateway, and at once with another."""
    spread = {"p50": ttft / 2, "p95": ttft, "p99": ttft}

    def run(model: str, way: str, together: bool) -> dict[str, Any]:
        figures = {"success": success, "tokens_per_s": tokens / (1 + together), "goodput": None, "first_error": "503"}
        times = {"ttft_ms": spread, "itl_ms": {"p50": 1.0, "p95": 2.0, "p99": 3.0}, "e2e_ms": spread}
        load = {"requests": 100, "concurrency": 10, "input_tokens": 64, "output_tokens": 100}
        told = {"model": model, "way": way, "together": together, "load": load, "skipped": ""}
        return {**told, "result": {**figures, **times, "requests": 100}}

    return {
        "version": 1,
        "profile": "guide",
        "engine_version": "0.33.0",
        "cards": [
            {
                "name": "NVIDIA GeForce RTX 5090",
                "driver": "575.64.05",
                "before": {"clock_mhz": 210.0, "temperature_c": 40.0},
                "after": {"clock_mhz": 2400.0, "temperature_c": 61.0},
            }
        ],
        "models": {
            "qwen": {
                "model": "Qwen/Qwen2.5-3B-Instruct",
                "image": "i",
                "args": ["--max-num-seqs", "24"],
                "task": "generate",
            }
        },
        "runs": [run("qwen", "engine", False), run("qwen", "gateway", False), run("qwen", "engine", True)],
        **more,
    }


def test_figures_are_those_of_the_answered_requests() -> None:
    found = read(measured(), {"ttft_ms": 200.0, "itl_ms": 25.0})
    assert (found.requests, found.completed, round(found.success, 3)) == (3, 2, 0.667)
    assert (found.tokens_per_s, found.requests_per_s) == (3.0, 1.0)
    assert found.ttft_ms == result.Spread(200.0, 290.0, 298.0)
    assert found.itl_ms and found.itl_ms.p50 == 20.0
    assert found.e2e_ms == result.Spread(240.0, 330.0, 338.0)
    # The second was late, and the third was no answer at all.
    assert found.goodput == 0.3333
    assert found.first_error == "ClientError: 503, Service Unavailable"
    assert read(measured(), {"e2e_ms": 1000.0}).goodput == 0.6667
    assert read(measured()).goodput is None
    data = found.as_data()
    assert data["tokens_per_s"] == 3.0 and data["ttft_ms"] == {"p50": 200.0, "p95": 290.0, "p99": 298.0}


def test_figures_are_vllm_s_own_where_it_tells_them() -> None:
    """What `vllm bench serve` 0.32.0 left, asked by the module's own command against the real engine (CPU build, random weights)."""
    text = (DATA / "vllm-0.32.0-cpu-llama.json").read_text()
    own = json.loads(text)
    found = read(text, {"ttft_ms": 100.0}, asked=6)
    assert (found.completed, found.success, found.first_error) == (6, 1.0, "")
    assert (found.input_tokens, found.output_tokens) == (98, 48)
    assert found.tokens_per_s == pytest.approx(own["output_throughput"])
    assert found.requests_per_s == pytest.approx(own["request_throughput"])
    for spread, metric in ((found.ttft_ms, "ttft"), (found.itl_ms, "itl"), (found.e2e_ms, "e2el")):
        assert spread is not None
        for percent in (50, 95, 99):
            assert getattr(spread, f"p{percent}") == pytest.approx(own[f"p{percent}_{metric}_ms"], abs=0.001)
    assert found.goodput == 0.6667


def test_what_embeds_has_the_client_s_own_percentiles_and_the_prompts_tokens() -> None:
    told = {"p50_e2el_ms": 8.0, "p95_e2el_ms": 9.5, "p99_e2el_ms": 9.9}
    found = read({"duration": 2.0, "completed": 3, "total_input_tokens": 60, "errors": ["", "", ""], **told})
    assert (found.ttft_ms, found.itl_ms, found.e2e_ms) == (None, None, result.Spread(8.0, 9.5, 9.9))
    assert found.tokens_per_s == 30.0 and found.success == 1.0


def test_where_all_failed_there_are_no_times() -> None:
    found = read(
        measured(completed=0, total_output_tokens=0, ttfts=[0.0], itls=[[]], errors=["refused"]), {"ttft_ms": 1}
    )
    assert (found.success, found.ttft_ms, found.e2e_ms, found.first_error) == (0.0, None, None, "refused")


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"duration": "2"}', '{"duration": NaN}', "[" * 99999])
def test_what_is_no_result_is_refused(text: str) -> None:
    with pytest.raises(FleetError, match=r"qwen: vLLM's client left no result\."):
        read(text)


@pytest.mark.parametrize(
    "change",
    [
        {"ttfts": None},
        {"itls": [1, None]},
        {"errors": 3},
        {"ttfts": ["a"]},
        {"itls": [["x"], [True], []]},
        {"completed": -1},
    ],
)
def test_parts_that_are_not_there_make_no_figures_and_no_crash(change: dict[str, Any]) -> None:
    assert read(measured(**change)).duration_s == 2.0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ttft": 300}, "benchmark_objectives.ttft: there is no such objective. Known are ttft_ms, itl_ms, e2e_ms."),
        ({"ttft_ms": "soon"}, "benchmark_objectives.ttft_ms: 'soon' is no time."),
        ({"ttft_ms": 0}, "is no time"),
        ({"ttft_ms": None}, "is no time"),
    ],
)
def test_an_objective_that_is_none_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(FleetError, match=said):
        result.objectives(given)


def test_objectives_are_milliseconds_however_they_are_written() -> None:
    assert result.objectives({"ttft_ms": "300", "e2e_ms": 2000}) == {"ttft_ms": 300.0, "e2e_ms": 2000.0}


def test_what_got_worse_is_named_and_noise_is_not() -> None:
    assert comparison.against_last(record(), record()) == []
    assert comparison.against_last(record(tokens=91.0, ttft=62.0), record()) == []
    # A fifth of next to nothing is nothing.
    assert comparison.against_last(record(ttft=6.0), record(ttft=2.0)) == []
    found = [one.text for one in comparison.against_last(record(tokens=80.0, ttft=90.0, success=0.9), record())]
    assert found[:4] == [
        "qwen, alone, 10 at once: 90% of the requests were answered, 100% before (503)",
        "qwen, alone, 10 at once: 80 tokens/s, 100 before",
        "qwen, alone, 10 at once: first token p95 90 ms, 50 ms before",
        "qwen, alone, 10 at once: whole answer p95 90 ms, 50 ms before",
    ]
    assert found[4].startswith("qwen, through the gateway, ") and found[8].startswith("qwen, all models at once, ")


def test_only_the_same_load_compares() -> None:
    other = record()
    for run in other["runs"]:
        run["load"] = {**run["load"], "concurrency": 4}
    assert comparison.against_last(record(tokens=1.0), other) == []
    none = record()
    none["runs"][0]["result"] = None
    assert all("alone" not in one.text for one in comparison.against_last(record(tokens=1.0), none))


def test_what_else_is_not_as_it_was_is_said() -> None:
    now, last = record(), record()
    assert comparison.changes(now, last) == []
    now["models"]["qwen"] |= {"image": "j", "args": ["--max-num-seqs", "16", "--enforce-eager"]}
    now["cards"][0]["driver"] = "580.1"
    now["models"]["new"] = now["models"]["qwen"]
    assert comparison.changes(now, last) == [
        "qwen: another engine image",
        "qwen: without 24 and with 16 --enforce-eager",
        "driver: 580.1, 575.64.05 before",
    ]
    now["cards"][0]["name"] = "NVIDIA H100"
    now["models"]["qwen"]["args"] = ["24", "--max-num-seqs"]
    assert "qwen: its flags in another order" in comparison.changes(now, last)
    assert "card: NVIDIA H100, NVIDIA GeForce RTX 5090 before" in comparison.changes(now, last)


def test_thresholds_are_of_a_model_alone_and_of_a_card() -> None:
    expected = comparison.thresholds(
        [{"model": "qwen", "card": "5090", "tokens_per_s": 120, "ttft_p95_ms": 40, "goodput": 0.9}]
    )
    assert [one.text for one in comparison.against_thresholds(record(), expected)] == [
        "qwen, alone, 10 at once: tokens_per_s 100, threshold 120",
        "qwen, alone, 10 at once: ttft_p95_ms 50, threshold 40",
    ]
    for other in ({**expected[0], "card": "H100"}, {**expected[0], "model": "yi"}, {"model": "qwen", "success": 1}):
        assert comparison.against_thresholds(record(), [other]) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([{"tokens_per_s": 1}], r"benchmark_thresholds\[0\]: it names no model."),
        (["qwen"], r"benchmark_thresholds\[0\]: it names no model."),
        ([{"model": "q"}, {"model": "q", "tps": 1}], r"benchmark_thresholds\[1\].tps: there is no such figure."),
        ([{"model": "q", "success": True}], "True is no figure"),
        ([{"model": "q", "success": -1}], "-1 is no figure"),
    ],
)
def test_a_threshold_that_is_none_is_refused(given: Any, said: str) -> None:
    with pytest.raises(FleetError, match=said):
        comparison.thresholds(given)


@pytest.mark.parametrize("found", [None, [], {}, {"version": 2}, {"version": 1, "runs": [1], "models": {}}])
def test_what_is_no_record_compares_with_nothing(found: Any) -> None:
    assert not comparison.is_record(found)
    assert comparison.is_record(json.loads(json.dumps(record())))


def test_the_table_says_what_a_person_asks() -> None:
    now = record()
    now["runs"].append({**copy.deepcopy(now["runs"][0]), "model": "embed", "result": None, "skipped": "a reason"})
    now["runs"][1]["result"]["ttft_ms"] = {"p50": 27.5, "p95": 60.0, "p99": 60.0}
    shown = table.table("gpu01", now, [], [], compared=False)
    text = "\n".join(shown)
    assert shown[0] == "gpu01   profile guide   NVIDIA GeForce RTX 5090 at 2,400 MHz, 61 °C   vLLM 0.33.0"
    assert "qwen  alone  100 by 10" in text and "qwen  gateway  100 by 10" in text
    assert "  embed, alone: not measured, for a reason." in shown
    assert "  All at once, of the tokens/s alone: qwen 50%." in shown
    assert "  Through the gateway, at the median: qwen +2.5 ms." in shown
    # The guide's own row beside ours.
    row = next(line for line in shown if "95 %" in line)
    assert row.split() == ["qwen", "95", "%", "250", "ms", "280", "100%", "25", "ms", "100"]
    assert shown[-1] == "  There is no run of this profile to compare with yet."
    assert not any(line == "" and after == "" for line, after in itertools.pairwise(shown))
    worse = [comparison.Regression("qwen", "qwen, alone: slow")]
    shown = table.table("gpu01", {**now, "profile": "quick", "cards": []}, worse, ["a driver"], compared=True)
    assert shown[-2:] == ["  Changed since the last run: a driver.", "  Worse: qwen, alone: slow."]
    assert "no card" in shown[0] and not any("guide" in line for line in shown)


def test_a_run_began_with_its_first_request() -> None:
    told = {"duration": 2.0, "completed": 2, "errors": ["", ""]}
    assert read({**told, "start_times": [7.5, 7.25, 0.0, None, True]}).began_s == 7.25
    assert read(told).began_s is None


def test_of_several_loads_each_says_what_the_gateway_adds_to_it() -> None:
    more = [copy.deepcopy(run) for run in record(ttft=90.0)["runs"]]
    for run in more:
        run["load"]["concurrency"] = 4
        run["result"]["ttft_ms"]["p50"] += run["way"] == "gateway"
    told = record()
    told["runs"] += more
    (line,) = [line for line in table.table("gpu01", told, [], [], True) if "the median" in line]
    assert line == "  Through the gateway, at the median: qwen, 10 at once, +0.0 ms; qwen, 4 at once, +1.0 ms."


@pytest.mark.parametrize(
    ("spans", "share"),
    [
        ([(0, 4), (1, 2)], 1.0),
        ([(0, 4), (3, 2)], 0.5),
        ([(0, 4), (1, 4), (3, 4)], 0.25),
        # One after the other: no neighbour was there.
        ([(0, 1), (1, 1)], 0.0),
        ([(0, 1), (5, 1)], 0.0),
        ([(0, 1)], None),
        ([(0, 1), (None, 1)], None),
        ([(0, 1), None], None),
        ([(0, 0), (0, 1)], None),
    ],
)
def test_how_long_all_asked_at_once_is_told_of_the_shortest(spans: list[Any], share: float | None) -> None:
    results = [span and {"began_s": span[0], "duration_s": span[1]} for span in spans]
    assert result.at_once(results) == share
