# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine's command line: each setting arrives in its flag, as the version takes it, and what can't be served is refused before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import vllm
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.vllm import EngineSettings, engine_args
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import Gpu, parse_gpus
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import ModelSpec

SPEC = ModelSpec("qwen", "Qwen/Qwen2.5-3B-Instruct", 8001)
SETTINGS = EngineSettings(max_model_len=1536, max_num_seqs=24, max_num_batched_tokens=2048)
SIZES = ["--max-model-len", "1536", "--max-num-seqs", "24", "--max-num-batched-tokens", "2048"]
WHERE = "vllm_stack_models[0]"


@pytest.mark.parametrize(
    ("version", "settings", "spec", "more"),
    [
        ("0.33.0", {}, {}, []),
        ("0.10.2", {"kv_cache_bytes": 4096}, {}, ["--kv-cache-memory-bytes", "4096"]),
        # Before 0.10.2 no flag takes bytes: blocks, or a share of the card.
        ("0.10.1", {"kv_cache_bytes": 4096, "blocks": 77}, {}, ["--num-gpu-blocks-override", "77"]),
        ("0.10.1", {"utilization": 0.8125}, {}, ["--gpu-memory-utilization", "0.8125"]),
        ("0.33.0", {"blocks": 77}, {}, ["--num-gpu-blocks-override", "77"]),
        (
            "0.33.0",
            {"kv_cache_bytes": 1, "utilization": 0.5},
            {},
            ["--kv-cache-memory-bytes", "1", "--gpu-memory-utilization", "0.5"],
        ),
        ("0.33.0", {"tensor_parallel": 2}, {}, ["--tensor-parallel-size", "2"]),
        ("0.33.0", {"kv_cache_dtype": "fp8"}, {}, ["--kv-cache-dtype", "fp8"]),
        ("0.33.0", {"enforce_eager": True, "capture_sizes": (1, 2)}, {}, ["--enforce-eager"]),
        ("0.12.0", {"capture_sizes": (1, 2)}, {}, ["--cudagraph-capture-sizes", "1", "2"]),
        ("0.11.9", {"capture_sizes": (1, 2)}, {}, ["--cuda-graph-sizes", "1", "2"]),
        ("0.33.0", {"runner": True, "task": "embed"}, {}, ["--runner", "pooling", "--convert", "embed"]),
        ("0.33.0", {"runner": True, "task": "score"}, {}, ["--runner", "pooling", "--convert", "classify"]),
        ("0.10.0", {"runner": True, "task": "classify"}, {}, ["--runner", "pooling", "--convert", "classify"]),
        ("0.9.2", {"runner": True, "task": "score"}, {}, ["--task", "score"]),
        ("0.33.0", {"runner": True, "task": "transcribe"}, {}, []),
        ("0.33.0", {"task": "embed"}, {}, []),
        ("0.29.0", {"queued_requests": 128}, {}, ["--max-num-queued-reqs", "128"]),
        ("0.33.0", {"queued_tokens": 9000}, {}, ["--max-num-queued-tokens", "9000"]),
        ("0.28.9", {"queued_requests": 128, "queued_tokens": 9000}, {}, []),
        ("0.33.0", {}, {"dtype": "half"}, ["--dtype", "half"]),
        ("0.33.0", {}, {"quantization": "awq"}, ["--quantization", "awq"]),
        ("0.33.0", {}, {"revision": "0123abc"}, ["--revision", "0123abc"]),
        ("0.33.0", {}, {"trust_remote_code": True}, ["--trust-remote-code"]),
        (
            "0.33.0",
            {},
            {"lora_adapters": ({"name": "a", "path": "/a", "rank": 8}, {"name": "b", "path": "x/b", "rank": 64})},
            ["--enable-lora", "--max-loras", "2", "--max-lora-rank", "64", "--lora-modules", "a=/a", "b=x/b"],
        ),
        (
            "0.33.0",
            {},
            {"lora_adapters": ({"name": "a", "path": "/a"},), "extra_args": ("--x", "1")},
            ["--enable-lora", "--max-loras", "1", "--max-lora-rank", "16", "--lora-modules", "a=/a", "--x", "1"],
        ),
    ],
)
def test_each_setting_arrives_in_its_flag(
    version: str, settings: dict[str, Any], spec: dict[str, Any], more: list[str]
) -> None:
    found = engine_args(replace(SPEC, **spec), vllm.profile(version), replace(SETTINGS, **settings))
    extra = list(spec.get("extra_args", ()))
    media = ["--allowed-media-domains", "media.invalid"] if vllm.profile(version).version >= (0, 11, 0) else []
    safe = [*media, "--enable-prompt-tokens-details"]
    assert found == [*SIZES, *more[: len(more) - len(extra)], *safe, *extra]


@pytest.mark.parametrize("words", [["--allowed-media-domains", "a.example"], ["--allowed_media_domains=a.example"]])
def test_where_a_user_says_where_media_come_from_nothing_else_does(words: list[str]) -> None:
    found = engine_args(replace(SPEC, extra_args=tuple(words)), vllm.profile("0.33.0"), SETTINGS)
    assert "media.invalid" not in found and found[-len(words) :] == words


@pytest.mark.parametrize(
    ("version", "numbers", "exact", "sockets"),
    [
        ("", (0, 33, 0), True, True),
        ("0.9.1", (0, 9, 1), False, False),
        ("v0.10.0", (0, 10, 0), False, False),
        ("0.10.1", (0, 10, 1), False, True),
        ("0.10.2.post1", (0, 10, 2), True, True),
        ("1.2.3", (1, 2, 3), True, True),
    ],
)
def test_what_a_version_can_be_told(version: str, numbers: tuple[int, int, int], exact: bool, sockets: bool) -> None:
    found = vllm.profile(version)
    assert (found.version, found.exact_kv, found.sockets) == (numbers, exact, sockets)
    assert found.shown == ".".join(map(str, numbers))


@pytest.mark.parametrize(
    ("version", "where", "words"),
    [
        ("latest", "vllm_stack_engine_version", "'latest' is no version. Write it like 0.33.0."),
        ("0.33", "vllm_stack_engine_version", "'0.33' is no version. Write it like 0.33.0."),
        ("0.9.0", "vllm_stack_engine_image", "vLLM 0.9.0 charges its neighbours' memory to itself."),
    ],
)
def test_a_version_that_is_none_or_too_old(version: str, where: str, words: str) -> None:
    with pytest.raises(FleetError) as caught:
        vllm.profile(version)
    assert caught.value.where == where
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("quantization", "version", "loads"),
    [
        (None, "0.33.0", True),
        ("awq", "0.9.1", True),
        ("something-new", "0.33.0", True),
        ("bitsandbytes", "0.27.9", True),
        ("bitsandbytes", "0.28.0", False),
    ],
)
def test_which_version_loads_a_quantization(quantization: str | None, version: str, loads: bool) -> None:
    assert vllm.loads(vllm.profile(version), quantization) is loads


@pytest.mark.parametrize(("said", "found"), [("bitsandbytes", None), (None, "bitsandbytes"), ("bitsandbytes", "awq")])
def test_a_quantization_that_this_version_dropped(said: str | None, found: str | None) -> None:
    spec = replace(SPEC, quantization=said)
    vllm.check_quantization(spec, found, vllm.profile("0.27.0"), WHERE)
    with pytest.raises(FleetError) as caught:
        vllm.check_quantization(spec, found, vllm.profile("0.28.0"), WHERE)
    assert str(caught.value) == (
        f"{WHERE}.quantization: vLLM 0.28.0 no longer loads bitsandbytes (removed in 0.28.0). "
        "Take an AWQ, GPTQ or fp8 build of the model, or quantization: fp8, or an older image."
    )


def test_a_quantization_that_is_none() -> None:
    with pytest.raises(FleetError) as caught:
        vllm.check_quantization(replace(SPEC, quantization="q4"), None, vllm.profile(""), WHERE)
    assert caught.value.where == f"{WHERE}.quantization"
    assert caught.value.what == "'q4' is not known."
    for name in (
        *("awq", "awq_marlin", "gptq", "gptq_marlin", "compressed-tensors", "modelopt", "modelopt_fp4", "fp8"),
        *("fbgemm_fp8", "experts_int8", "mxfp4", "bitsandbytes"),
    ):
        assert f" {name}," in caught.value.remedy
    # What a checkpoint says of itself, and we do not know, is the engine's to judge.
    vllm.check_quantization(SPEC, "q4", vllm.profile(""), WHERE)


def card(capability: str | None, uuid: str = "u0") -> Gpu:
    entry = {"name": "card", "uuid": uuid, "index": 0, "memory_total_bytes": 2**34, "compute_capability": capability}
    return parse_gpus([entry])[0]


@pytest.mark.parametrize(
    ("capability", "version", "spec", "quantization", "refused"),
    [
        ("8.0", "0.33.0", {"dtype": "bfloat16"}, None, ""),
        (
            "7.5",
            "0.33.0",
            {"dtype": "bfloat16"},
            None,
            f"{WHERE}.dtype: card has compute capability 7.5, and bfloat16 is",
        ),
        ("7.5", "0.33.0", {"dtype": "half"}, None, ""),
        ("7.0", "0.33.0", {}, None, ""),
        (
            "6.1",
            "0.33.0",
            {},
            None,
            "vllm_stack_gpus: card has compute capability 6.1, and the engine computes from 7.0 on",
        ),
        ("12.0", "0.10.0", {}, None, ""),
        (
            "12.0",
            "0.9.2",
            {},
            None,
            "vllm_stack_engine_image: vLLM 0.9.2 has no kernels for card, compute capability 12.0. Take 0.10.0",
        ),
        ("9.0", "0.9.2", {}, None, ""),
        *[
            (below, "0.33.0", {}, name, f"{WHERE}.quantization: {name} is computed from compute capability {least} on")
            for names, least, below in (
                (("awq", "awq_marlin", "fp8", "compressed-tensors", "gptq_marlin", "modelopt_fp4"), "7.5", "7.2"),
                (("experts_int8", "fbgemm_fp8", "mxfp4", "modelopt", "modelopt_mixed"), "8.0", "7.5"),
            )
            for name in names
        ],
        ("7.5", "0.33.0", {}, "awq", ""),
        ("8.0", "0.33.0", {}, "mxfp4", ""),
        ("7.0", "0.33.0", {}, "gptq", ""),
        (None, "0.33.0", {"dtype": "bfloat16"}, "mxfp4", ""),
    ],
)
def test_what_a_card_can_t_compute_is_refused_before_anything_is_pulled(
    capability: str | None, version: str, spec: dict[str, Any], quantization: str | None, refused: str
) -> None:
    def check() -> None:
        vllm.check_gpu(replace(SPEC, **spec), quantization, vllm.profile(version), card(capability), WHERE)

    if not refused:
        check()
        return
    with pytest.raises(FleetError) as caught:
        check()
    assert str(caught.value).startswith(refused)


def test_a_processor_is_no_card_that_lacks_a_capability() -> None:
    spec = replace(SPEC, dtype="bfloat16")
    vllm.check_gpu(spec, None, vllm.profile(""), card("6.1", "cpu"), WHERE)
