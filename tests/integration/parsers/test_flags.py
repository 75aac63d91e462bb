# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every command line that a plan becomes, through the parsers that vLLM published: taken, and taken for what was meant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import vllm
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import parse_models
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack import compose
from ansible_collections.gpuserve.fleet.plugins.modules.memory_plan import plan
from ansible_collections.gpuserve.fleet.tests.support.parsers import sources
from tests.bench.plan import GUIDE

VERSIONS = tuple(sources.WHEELS)
RTX_5090 = {"name": "NVIDIA GeForce RTX 5090"}
QWEN = {"name": "qwen", "model": "Qwen/Qwen2.5-7B-Instruct", "max_model_len": 8192}
LLAMA = {"name": "llama", "model": "meta-llama/Llama-3.1-8B-Instruct", "max_model_len": 8192}
LONG = {**LLAMA, "max_model_len": 65536}
BERT = {
    "architectures": ["BertModel"],
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "vocab_size": 30522,
    "max_position_embeddings": 512,
}
# `engine settings` of vLLM beside the keys of a plan's model that they must carry.
CARRIED = {
    "max_model_len": "max_model_len",
    "max_num_seqs": "max_num_seqs",
    "max_num_batched_tokens": "max_num_batched_tokens",
    "tensor_parallel_size": "tensor_parallel_size",
    "enforce_eager": "enforce_eager",
    "kv_cache_dtype": "kv_cache_dtype",
    "model_tag": "model",
}


def card(size_gib: float, index: int = 0) -> dict[str, Any]:
    return {
        "name": "card",
        "uuid": f"GPU-{index}",
        "index": index,
        "memory_total_bytes": int(size_gib * 2**30),
        "compute_capability": "12.0",
    }


@dataclass(frozen=True)
class Case:
    """What a user writes, and what an engine must have understood beside what the plan says."""

    models: list[dict[str, Any]]
    preset: str = "aggressive"
    gpus: list[dict[str, Any]] = field(default_factory=lambda: [RTX_5090])
    means: dict[str, Any] = field(default_factory=dict)
    network: str = "bridge"
    transport: str = "tcp"
    exact_only: bool = False
    # Where a trade of preset auto is the case: a word of its note. The card is then as large as it takes to bring that trade about.
    trade: str = ""
    # The first version that has what is asked for.
    since: tuple[int, int, int] = (0, 0, 0)
    objective_s: float = 0


CASES = {
    **{f"the guide's models, {preset}": Case(GUIDE, preset) for preset in ("balanced", "aggressive", "auto")},
    "the guide's models, conservative": Case([{**model, "max_num_seqs": 4} for model in GUIDE[:2]], "conservative"),
    "on the host's network": Case(GUIDE, network="host", means={"host": "127.0.0.1"}),
    "on sockets": Case(GUIDE, transport="socket", means={"uds": compose.ENGINE_SOCKET}),
    "auto with room": Case([{"name": "small", "model": "Qwen/Qwen2.5-0.5B-Instruct", "max_model_len": 2048}], "auto"),
    "auto, an fp8 cache": Case([LONG], "auto", means={"kv_cache_dtype": "fp8"}, trade="kv_cache_dtype fp8"),
    "auto, few graphs": Case([{**LLAMA, "max_num_seqs": 256}], "auto", trade="graphs for at most"),
    "auto, few sequences": Case([LLAMA], "auto", trade="max_num_seqs 4"),
    "auto, no graphs": Case([{**LLAMA, "max_num_seqs": 16}], "auto", trade="enforce_eager"),
    **{
        f"quantization {name}": Case([{**QWEN, "quantization": name}], means={"quantization": name})
        for name in sorted(vllm.QUANTIZATIONS)
    },
    **{f"dtype {name}": Case([{**QWEN, "dtype": name}], means={"dtype": name}) for name in ("half", "bfloat16")},
    **{
        f"kv_cache_dtype {name}": Case([{**QWEN, "kv_cache_dtype": name}], means={"kv_cache_dtype": name})
        for name in ("fp8", "fp8_e4m3", "fp8_e5m2")
    },
    "enforce_eager": Case([{**QWEN, "enforce_eager": True}]),
    "adapters": Case(
        [
            {
                **QWEN,
                "lora_adapters": [{"name": "sql", "path": "/srv/sql", "rank": 64}, {"name": "chat", "path": "o/chat"}],
            }
        ],
        means={"enable_lora": True, "max_loras": 2, "max_lora_rank": 64},
    ),
    "two cards, chosen": Case([{**LLAMA, "max_model_len": 2048}], gpus=[card(12), card(12, 1)]),
    "two cards, written": Case([{**LLAMA, "tensor_parallel_size": 2}], gpus=[card(24), card(24, 1)]),
    "media from a domain": Case(
        [{**QWEN, "extra_args": ["--allowed-media-domains", "example.org"]}],
        means={"allowed_media_domains": ["example.org"]},
        since=(0, 11, 0),
    ),
    "a queue of the user's own": Case(
        [{**QWEN, "extra_args": ["--max-num-queued-reqs", "7"]}], means={"max_num_queued_reqs": 7}, since=(0, 29, 0)
    ),
    "a first token in time": Case([{**QWEN, "max_num_seqs": 64}], objective_s=1.5),
    "pinned bytes": Case(
        [{**QWEN, "kv_cache_memory_bytes": "2GiB"}], means={"kv_cache_memory_bytes": 2**31}, exact_only=True
    ),
    "a pinned share": Case([{**QWEN, "gpu_memory_utilization": 0.75}], means={"gpu_memory_utilization": 0.75}),
    "an embedding model": Case([{"name": "bert", "model": "owner/bert", "config": BERT, "max_model_len": 512}]),
    "an embedding model of a class that generates": Case(
        [{**QWEN, "task": "embed"}], means={"runner": "pooling", "convert": "embed"}
    ),
    "a reranker of a class that generates": Case(
        [{**QWEN, "task": "score"}], means={"runner": "pooling", "convert": "classify"}
    ),
    "a length in thousands": Case([{**QWEN, "max_model_len": "8k"}], means={"max_model_len": 8000}),
    "the longest that fits": Case([{**QWEN, "max_model_len": "auto"}]),
    # The first of the hosts answers at the model's own port; the other one has no API, and its parser keeps the default.
    **{
        f"host {rank} of two": Case(
            [
                {
                    **LLAMA,
                    "distributed": {
                        "hosts": 2,
                        "master_port": 29511,
                        "member": {"rank": rank, "address": f"192.0.2.{rank + 1}", "master_address": "192.0.2.1"},
                    },
                }
            ],
            means={
                "pipeline_parallel_size": 2,
                "distributed_executor_backend": "mp",
                "nnodes": 2,
                "node_rank": rank,
                "master_addr": "192.0.2.1",
                "master_port": 29511,
                "headless": rank > 0,
            },
            network="bridge" if rank else "host",
            since=vllm.SEVERAL_HOSTS_SINCE,
        )
        for rank in range(2)
    },
    "everything else": Case(
        [
            {
                **QWEN,
                "revision": "0123456789abcdef0123456789abcdef01234567",
                "trust_remote_code": True,
                "aliases": ["gpt-4o", "default"],
                "extra_args": ["--seed", "7", "--no-enable-prefix-caching"],
                "env": {"A": "1"},
            }
        ],
        means={
            "revision": "0123456789abcdef0123456789abcdef01234567",
            "trust_remote_code": True,
            "served_model_name": ["qwen", "gpt-4o", "default"],
            "seed": 7,
            "enable_prefix_caching": False,
        },
    ),
}
# Written in older guides. Which parser refuses what is in docs/memory-model.md; here it is tried.
_ALL = set(VERSIONS)
_NEWER = _ALL - {"0.10.1.1", "0.10.2"}
FOREIGN = {
    **{
        flag: ([flag, *values], _ALL)
        for flag, values in {
            "--enable-reasoning": [],
            "--speculative-model": ["o/draft"],
            "--num-speculative-tokens": ["3"],
            "--num-scheduler-steps": ["8"],
            "--multi-step-stream-outputs": [],
            "--worker-use-ray": [],
            "--max-context-len-to-capture": ["8192"],
        }.items()
    },
    **{
        flag: ([flag, value], _NEWER)
        for flag, value in {
            "--rope-scaling": '{"rope_type": "yarn"}',
            "--rope-theta": "1000000",
            "--num-lookahead-slots": "1",
            "--preemption-mode": "swap",
            "--override-pooler-config": '{"pooling_type": "CLS"}',
            "--scheduler-delay-factor": "0.5",
        }.items()
    },
    "a flag and its value in one": (["--seed 7"], _ALL),
    "--use-v2-block-manager": (["--use-v2-block-manager"], set(VERSIONS)),
    "--swap-space": (["--swap-space", "4"], set(VERSIONS) - {"0.10.1.1", "0.10.2"}),
    "--disable-log-requests": (["--disable-log-requests"], {"0.26.0", "0.32.0"}),
    # 0.26's parser takes it for the beginning of another flag.
    "--device": (["--device", "cuda"], set(VERSIONS) - {"0.26.0"}),
    "--max-seq-len-to-capture": (["--max-seq-len-to-capture", "4096"], set(VERSIONS) - {"0.10.1.1", "0.10.2"}),
    "--task": (["--task", "generate"], set(VERSIONS) - {"0.10.1.1", "0.10.2"}),
    "--guided-decoding-backend": (
        ["--guided-decoding-backend", "xgrammar"],
        set(VERSIONS) - {"0.10.1.1", "0.10.2"},
    ),
    "--kv-cache-memory-bytes": (["--kv-cache-memory-bytes", "1073741824"], {"0.10.1.1"}),
    "--max-num-queued-reqs": (["--max-num-queued-reqs", "80"], set(VERSIONS) - {"0.32.0", "0.33.0"}),
    "--max-num-queued-tokens": (["--max-num-queued-tokens", "9000"], set(VERSIONS) - {"0.32.0", "0.33.0"}),
    "--allowed-media-domains": (["--allowed-media-domains", "media.invalid"], {"0.10.1.1", "0.10.2"}),
    "--cudagraph-capture-sizes": (["--cudagraph-capture-sizes", "1", "2"], {"0.10.1.1", "0.10.2"}),
    "--cuda-graph-sizes": (["--cuda-graph-sizes", "1", "2"], set(VERSIONS) - {"0.10.1.1", "0.10.2"}),
}


@dataclass(frozen=True)
class Line:
    """One command line, the plan behind it, and what a parser made of it."""

    command: list[str]
    case: Case
    model: dict[str, Any]
    answer: dict[str, Any] = field(default_factory=dict)


def _applies(case: Case, version: str) -> bool:
    asked = case.means.get("quantization", "")
    profile = vllm.profile(version)
    return (profile.exact_kv or not case.exact_only) and vllm.loads(profile, asked) and profile.version >= case.since


def _plan(case: Case, version: str, gpus: list[dict[str, Any]]) -> dict[str, Any]:
    asked = {"models": case.models, "gpus": gpus, "preset": case.preset, "engine_version": version, "device": "cuda"}
    return plan({**asked, "image": "", "calibration": {}, "proved": {}, "ttft_objective_s": case.objective_s})


def _made(case: Case, version: str) -> dict[str, Any]:
    if not case.trade:
        return _plan(case, version, case.gpus)
    for size in range(32 * 50, 10 * 50, -1):
        made = _plan(case, version, [card(size / 50)])
        notes = [note for gpu in made["gpus"] for model in gpu["models"] for note in model["notes"]]
        if made["feasible"] and any(case.trade in note for note in notes):
            return made
    raise AssertionError(f"no size of a card brings about {case.trade}")


def _planned(case: Case, version: str) -> list[Line]:
    made = _made(case, version)
    assert made["feasible"], made["reasons"]
    options = compose.StackOptions("test", "image", "cuda", "/cache", case.network, transport=case.transport)
    services = compose.render(parse_models(case.models), made, options)["services"]
    models = {model["name"]: model for gpu in made["gpus"] for model in gpu["models"]}
    return [Line(service["command"], case, models[name]) for name, service in services.items()]


@pytest.fixture(scope="session")
def parsed() -> dict[str, tuple[dict[str, list[Line]], dict[str, dict[str, Any]]]]:
    """By version, the lines of each case with the parsers' answers, and the answers to what older guides write."""
    lines = {
        version: {name: _planned(case, version) for name, case in CASES.items() if _applies(case, version)}
        for version in VERSIONS
    }
    asked = {
        version: [line.command for case in cases.values() for line in case]
        + [["owner/model", *words] for words, _refusing in FOREIGN.values()]
        for version, cases in lines.items()
    }
    found = {}
    for version, answers in sources.parse(asked).items():
        left = iter(answers)
        known = {
            name: [Line(line.command, line.case, line.model, next(left)) for line in case]
            for name, case in lines[version].items()
        }
        found[version] = (known, dict(zip(FOREIGN, left, strict=True)))
    return found


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_plan_emits_is_taken_and_means_what_was_meant(parsed: Any, version: str, name: str) -> None:
    if not _applies(CASES[name], version):
        pytest.skip(f"vLLM {version} has no such thing, and the plan says so (a unit test)")
    for line in parsed[version][0][name]:
        assert line.answer["exit"] == 0, (line.command, line.answer["said"])
        understood, model = line.answer["fields"], line.model
        assert {theirs: understood[theirs] for theirs in CARRIED} == {theirs: model[o] for theirs, o in CARRIED.items()}
        assert {key: understood[key] for key in line.case.means} == line.case.means
        assert understood["port"] == (model["port"] if line.case.network == "host" else compose.ENGINE_PORT)
        _check_cache(version, line)
        _check_bounds(version, line)
        _check_graphs(version, line)
        adapters = line.case.models[0].get("lora_adapters", [])
        assert [(a["name"], a["path"]) for a in understood["lora_modules"] or []] == [
            (adapter["name"], adapter["path"]) for adapter in adapters
        ]


def _check_cache(version: str, line: Line) -> None:
    understood, model = line.answer["fields"], line.model
    if not model["kv_cache_bytes"]:
        assert "--kv-cache-memory-bytes" not in line.command
    elif model["exact_kv"]:
        assert understood["kv_cache_memory_bytes"] == model["kv_cache_bytes"]
        assert understood["gpu_memory_utilization"] == 0.01
    elif "gpu_memory_utilization" not in line.case.means:
        assert understood["num_gpu_blocks_override"] > 0
        assert 0.01 < understood["gpu_memory_utilization"] <= 1


def _check_bounds(version: str, line: Line) -> None:
    """What waits is bounded where a version can, and nothing is fetched for a request unless the user names from where."""
    understood, model, since = line.answer["fields"], line.model, vllm.profile(version).version
    # No field of the engine's settings: that it was taken is all that can be seen.
    assert "--enable-prompt-tokens-details" in line.command
    if since >= vllm.MEDIA_DOMAINS_SINCE:
        assert understood["allowed_media_domains"] == line.case.means.get(
            "allowed_media_domains", [vllm.NO_MEDIA_DOMAIN]
        )
    if since < vllm.QUEUE_BOUNDS_SINCE:
        assert not any("queued" in word for word in line.command)
        return
    assert understood["max_num_queued_reqs"] == line.case.means.get(
        "max_num_queued_reqs", max(128, 5 * model["max_num_seqs"])
    )
    tokens, held = understood["max_num_queued_tokens"], model["kv_cache_tokens"]
    if line.case.objective_s:
        # 40 % of 209.5 TFLOPS, 15.2 GFLOP a token, 1.5 s.
        assert 7500 <= tokens <= 9000 < held
    else:
        assert tokens == (held or None)


def _check_graphs(version: str, line: Line) -> None:
    chosen = "graphs for at most" in " ".join(line.model["notes"]) and not line.model["enforce_eager"]
    key = "cudagraph_capture_sizes" if vllm.profile(version).version >= (0, 12, 0) else "cuda_graph_sizes"
    sizes = line.answer["fields"][key]
    assert bool(sizes and 1 in sizes and len(sizes) > 2) == chosen
    if chosen:
        assert sizes == [1, 2, 4, 8, 16]


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_kept_from_users_is_refused_by_the_parsers(parsed: Any, version: str) -> None:
    answers = parsed[version][1]
    refused = {name for name, answer in answers.items() if answer["exit"] == 2}
    assert refused == {name for name, (_words, versions) in FOREIGN.items() if version in versions}
