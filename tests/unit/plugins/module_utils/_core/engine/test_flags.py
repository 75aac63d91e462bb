# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flags in extra_args: which one the engine takes a word for, what is refused, and what changes an engine's memory."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.flags import Memory, check, meant, read, whole
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError

WHERE = "vllm_stack_models[0]"


@pytest.mark.parametrize(
    ("argument", "flag"),
    [
        ("-q", "--quantization"),
        ("-tp=2", "--tensor-parallel-size"),
        ("-pp", "--pipeline-parallel-size"),
        ("-dp", "--data-parallel-size"),
        ("-dcp", "--decode-context-parallel-size"),
        ("-pcp", "--prefill-context-parallel-size"),
        ("-cc", "--compilation-config"),
        ("-sc", "--speculative-config"),
        ("-O3", "-O3"),
        ("value", "value"),
        ("--max_model_len=8", "--max-model-len"),
        ("--max-model", "--max-model-len"),
        ("--mod", "--model"),
        # Two letters are the beginning of too many.
        ("--mo", "--mo"),
        ("--no-enforce-eager", "--enforce-eager"),
        ("--no-enable-prefix-caching", "--enable-prefix-caching"),
        ("--enable-prefix-caching", "--enable-prefix-caching"),
        ("--no_language_model_only", "--language-model-only"),
        ("--mamba-cache-d", "--mamba-cache-dtype"),
        ("--no-such-thing", "--no-such-thing"),
        ("--reasoning-parser", "--reasoning-parser"),
        ("--speculative-conf", "--speculative-config"),
        ("--hf_over", "--hf-overrides"),
        ("-sc.method", "--speculative-config"),
        ("--compilation-config.mode=3", "--compilation-config"),
        ("--spec-tokens=2.5", "--spec-tokens"),
    ],
)
def test_the_flag_that_a_word_is_taken_for(argument: str, flag: str) -> None:
    assert meant(argument) == flag


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--swap-space", "--swap-space stops the engine at its start. It was removed in 0.18 and did nothing before."),
        ("--task=embed", "--task stops the engine at its start. Set task in the model's entry."),
        ("--max-num-seqs", "--max-num-seqs is decided by the plan. Set max_num_seqs instead."),
        ("-tp", "--tensor-parallel-size is decided by the plan. Set tensor_parallel_size instead."),
        (
            "--enable-eplb",
            "--enable-eplb changes the engine's memory, and no plan knows how. Experts are planned once each.",
        ),
        (
            "--max-num-seqs 8",
            "--max-num-seqs with what follows it is one word to the engine's parser. "
            "--max-num-seqs is decided by the plan: set max_num_seqs instead.",
        ),
        (
            "--reasoning-parser  qwen3 x",
            "--reasoning-parser with what follows it is one word to the engine's parser. "
            "Write --reasoning-parser and its value as two elements.",
        ),
    ],
)
def test_what_is_refused_says_the_remedy(argument: str, message: str) -> None:
    with pytest.raises(FleetError) as caught:
        check(["--reasoning-parser", argument], WHERE)
    assert str(caught.value) == f"{WHERE}.extra_args: {message}"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--reasoning-parser", "qwen3"],
        ["--hf-overrides", '{"a": 1}'],
        ['--hf-overrides={"a": 1}'],
        # A value may hold a space, and a flag may end with one.
        ["--chat-template", "a template of words"],
        ["--enable-auto-tool-choice "],
        ["--no-enable-prefix-caching"],
    ],
)
def test_what_is_let_through(arguments: list[str]) -> None:
    check(arguments, WHERE)


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        ([], {}),
        (["--reasoning-parser", "qwen3"], {}),
        (["--hf-overrides", '{"a": 1}'], {"hf_overrides": {"a": 1}}),
        (['--hf-overrides={"a": "b=c"}'], {"hf_overrides": {"a": "b=c"}}),
        (["--cudagraph-capture-sizes", "1", "2", "8", "--x", "9"], {"capture_sizes": (1, 2, 8)}),
        (["--cudagraph-capture-sizes=4", "5"], {"capture_sizes": (4,)}),
        (["--cuda-graph-sizes", "16"], {"capture_sizes": (16,)}),
        (["--cuda-graph-sizes", "--x"], {"capture_sizes": None}),
        (["--max-cudagraph-capture-size", "256"], {"largest_capture": 256}),
        (["--max-cudagraph-capture-size=0"], {"largest_capture": 0}),
        (["--enable-prefix-caching"], {"prefix_caching": True}),
        (["--no-enable-prefix-caching"], {"prefix_caching": False}),
        (["--no_enable_prefix_caching"], {"prefix_caching": False}),
        (["--disable-hybrid-kv-cache-manager"], {"one_kind_of_cache": True}),
        (["--no-disable-hybrid-kv-cache-manager"], {"one_kind_of_cache": False}),
        (["--language-model-only"], {"language_alone": True}),
        (["--no-language-model-only"], {"language_alone": False}),
    ],
)
def test_what_changes_an_engine_s_memory(arguments: list[str], changed: dict[str, Any]) -> None:
    assert read(arguments, WHERE) == Memory(**changed)


@pytest.mark.parametrize(
    ("config", "changed"),
    [
        ("3", {}),
        ('{"cudagraph_capture_sizes": [1, 2]}', {"capture_sizes": (1, 2)}),
        ('{"cudagraph_capture_sizes": []}', {"capture_sizes": None}),
        ('{"cudagraph_capture_sizes": [1, 0]}', {}),
        ('{"cudagraph_capture_sizes": [true]}', {}),
        ('{"cudagraph_capture_sizes": ["1"]}', {}),
        ('{"cudagraph_capture_sizes": 4}', {}),
        ('{"max_cudagraph_capture_size": 1}', {"largest_capture": 1}),
        ('{"max_cudagraph_capture_size": 0}', {}),
        ('{"max_cudagraph_capture_size": true}', {}),
        ('{"max_cudagraph_capture_size": "8"}', {}),
        ('{"cudagraph_mode": "none"}', {"no_graphs": True}),
        ('{"cudagraph_mode": "FULL"}', {}),
        # Nothing said of graphs is not a word against them.
        ('{"cudagraph_mode": null}', {}),
        ('{"level": 3}', {}),
    ],
)
def test_a_compilation_config(config: str, changed: dict[str, Any]) -> None:
    assert read(["-cc", config], WHERE) == Memory(**changed)


AHEAD = "speculative_config: a layer that predicts ahead is planned as large as one of the model's own"


@pytest.mark.parametrize(
    ("config", "changed"),
    [
        ('{"method": "ngram", "num_speculative_tokens": 5}', {"drafts": 5}),
        ('{"model": "[ngram]"}', {"drafts": 1}),
        ('{"method": "suffix", "num_speculative_tokens": true}', {"drafts": 24}),
        ('{"method": "suffix", "suffix_decoding_max_tree_depth": 8}', {"drafts": 8}),
        ('{"method": "suffix", "num-speculative-tokens": 5}', {"drafts": 5}),
        ('{"method": "ngram_gpu", "num_speculative_tokens": 0}', {"drafts": 1}),
        ('{"method": "ngram", "num_speculative_tokens": 1}', {"drafts": 1}),
        ('{"method": "ngram", "num_speculative_tokens": 999}', {"drafts": 999}),
        ('{"method": "ngram", "num_speculative_tokens": 1000}', {"drafts": 1}),
        (
            '{"method": "mtp", "num_speculative_tokens": 2}',
            {"drafts": 2, "ahead": True, "method": "mtp", "reads_hidden": True, "notes": (AHEAD,)},
        ),
        *(
            (
                f'{{"method": "{method}"}}',
                {"drafts": 1, "ahead": True, "method": method, "reads_hidden": True, "notes": (AHEAD,)},
            )
            for method in ("deepseek_mtp", "exaone_moe_mtp", "step3p5_mtp", "mimo_v2_mtp", "glm_ocr_mtp")
        ),
        (
            '{"method": "eagle3", "model": "x/y", "num_speculative_tokens": 3}',
            {"drafts": 3, "draft_model": "x/y", "method": "eagle3", "reads_hidden": True},
        ),
        # A layer ahead may be said to be in a repository: the model's own, or another.
        (
            '{"method": "mtp", "model": "x/y"}',
            {
                **{"drafts": 1, "ahead": True, "draft_model": "x/y", "method": "mtp", "reads_hidden": True},
                "notes": (AHEAD,),
            },
        ),
        ('{"model": "x/y"}', {"drafts": 1, "draft_model": "x/y"}),
    ],
)
def test_speculation(config: str, changed: dict[str, Any]) -> None:
    assert read(["--speculative-config", config], WHERE) == Memory(**changed)


@pytest.mark.parametrize(
    ("arguments", "bytes_", "notes"),
    [
        (
            ["--cpu-offload-gb", "2.5"],
            2684354560,
            ("cpu_offload_gb 2.5: so much of the weights stays in the host's memory",),
        ),
        (
            ["--enable-sleep-mode"],
            0,
            ("sleep mode: asleep it keeps its context and graphs; weights go to the host's memory, or are dropped",),
        ),
        (
            ["--kv-offloading-size", "4"],
            0,
            ("--kv-offloading-size: what it offloads lies in the host's memory, which is not planned",),
        ),
        (
            ["--kv-transfer-config", "{}"],
            0,
            ("--kv-transfer-config: what it offloads lies in the host's memory, which is not planned",),
        ),
    ],
)
def test_what_a_person_is_told_of(arguments: list[str], bytes_: int, notes: tuple[str, ...]) -> None:
    assert read(arguments, WHERE) == Memory(cpu_offload_bytes=bytes_, notes=notes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--hf-overrides", "x"], 'what follows --hf-overrides is no JSON mapping. Write it as \'{"key": "value"}\'.'),
        (
            ["--hf-overrides", "[1]"],
            'what follows --hf-overrides is no JSON mapping. Write it as \'{"key": "value"}\'.',
        ),
        (["--hf-overrides"], 'what follows --hf-overrides is no JSON mapping. Write it as \'{"key": "value"}\'.'),
        (["--cpu-offload-gb", "much"], "'much' after --cpu-offload-gb is no number. Write a number."),
        (["--cpu-offload-gb", "-1"], "'-1' after --cpu-offload-gb is no number. Write a number."),
        (["--cpu-offload-gb", "1048576"], "'1048576' after --cpu-offload-gb is no number. Write a number."),
        (["--cpu-offload-gb", "x" * 50], f"{'x' * 40!r} after --cpu-offload-gb is no number. Write a number."),
        (
            ["--speculative-config", "{}"],
            "--speculative-config of method 'none' names no model to plan. Name its model, or take method ngram.",
        ),
        (
            ["-sc", '{"method": "eagle"}'],
            "--speculative-config of method 'eagle' names no model to plan. Name its model, or take method ngram.",
        ),
    ],
)
def test_what_can_t_be_read(arguments: list[str], message: str) -> None:
    with pytest.raises(FleetError) as caught:
        read(arguments, WHERE)
    assert str(caught.value) == f"{WHERE}.extra_args: {message}"


def test_the_most_that_is_a_number() -> None:
    assert read(["--cpu-offload-gb", "1048575"], WHERE).cpu_offload_bytes == 1125898833100800


SPECULATION = ["--speculative-config", '{"method": "eagle3", "model": "x/y", "num_speculative_tokens": 3}']


@pytest.mark.parametrize(
    "arguments",
    [
        ["--spec-method", "eagle3", "--spec-model=x/y", "--spec-tokens", "3"],
        ["--speculative-config.method=eagle3", "--speculative-config.model", "x/y", "-sc.num_speculative_tokens=3"],
        [
            "--speculative_config.method",
            "eagle3",
            "--spec-model",
            "x/y",
            "--speculative-conf.num-speculative-tokens",
            "3",
        ],
        ["--speculative-c", SPECULATION[1]],
    ],
)
def test_speculation_is_read_however_the_engine_s_parser_takes_it(arguments: list[str]) -> None:
    assert read(arguments, WHERE) == read(SPECULATION, WHERE) != Memory()
    assert read(["--seed", "1", *arguments, "--seed", "2"], WHERE) == read(SPECULATION, WHERE)


def test_a_mapping_is_put_together_from_its_keys() -> None:
    pieces = ["--hf-overrides.rope_scaling.factor", "2.0", "--limit-mm-per-prompt.image=0", "--x.y", "z"]
    pieces += [
        "--hf-overrides.rope_scaling.rope_type=yarn",
        "--hf-overrides.list+",
        "a,b",
        "--limit-mm-per-prompt.video=0",
    ]
    assert whole(pieces) == (
        *("--x.y", "z"),
        *("--hf-overrides", '{"rope_scaling": {"factor": 2.0, "rope_type": "yarn"}, "list": ["a", "b"]}'),
        *("--limit-mm-per-prompt", '{"image": 0, "video": 0}'),
    )
    assert read(pieces, WHERE).language_alone
    # A dot in a value or a file's name is none in a flag.
    for plain in (
        ["--chat-template", "a.b"],
        ["--seed=1.5"],
        ["--cpu-offload-gb", "2.5"],
        ["--compilation-config", "3"],
    ):
        assert whole(plain) == tuple(plain)
    assert whole(["-cc.cudagraph_mode", "NONE"]) == ("--compilation-config", '{"cudagraph_mode": "NONE"}')
    assert whole(["--hf-overrides.a", "5", "--hf-overrides.a.b=6", "--hf-overrides.c"]) == (
        "--hf-overrides",
        '{"a": {"b": 6}, "c": ""}',
    )


def test_flags_in_a_file_are_refused() -> None:
    with pytest.raises(FleetError, match="--config changes the engine's memory, and no plan knows how"):
        check(["--config", "/x.yaml"], WHERE)
