# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flags that people write in extra_args: what no parser takes, what the plan decides, and what changes an engine's memory."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import credentials
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import speculation
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import GIB

# Flags of older guides that a parser of some supported version refuses or ignores, and what to do instead.
REFUSED_FLAGS = {
    "--use-v2-block-manager": "No version since 0.10 has it.",
    "--swap-space": "It was removed in 0.18 and did nothing before.",
    "--disable-log-requests": "Requests aren't logged unless asked for.",
    "--max-parallel-loading-workers": "It does nothing.",
    "--device": "The image decides.",
    "--max-seq-len-to-capture": "It was removed.",
    "--task": "Set task in the model's entry.",
    "--guided-decoding-backend": "It was removed.",
    "--block-size": "The attention backend picks its own, and the plan counts in those.",
    "--pipeline-parallel-size": "Set tensor_parallel_size for the cards of a host, or distributed for several hosts.",
    "--data-parallel-size": "Write the model once for each copy.",
    "--enable-reasoning": "Write --reasoning-parser alone.",
    "--rope-scaling": "Write --hf-overrides with rope_scaling in it.",
    "--rope-theta": "Write --hf-overrides with rope_theta in it.",
    "--speculative-model": "Write --speculative-config.",
    "--num-speculative-tokens": "Write --speculative-config.",
    "--num-lookahead-slots": "Leave it out: the engine decides.",
    "--num-scheduler-steps": "Leave it out: it was of an older engine.",
    "--multi-step-stream-outputs": "Leave it out: it was of an older engine.",
    "--worker-use-ray": "Leave it out.",
    "--max-context-len-to-capture": "Leave it out: it was removed.",
    "--preemption-mode": "Leave it out: it was of an older engine.",
    "--override-pooler-config": "Write --pooler-config.",
    "--override-neuron-config": "Leave it out.",
    "--disable-async-output-proc": "Leave it out: it was of an older engine.",
    "--scheduler-delay-factor": "Leave it out: it was of an older engine.",
    "--enable-prompt-adapter": "Leave it out: it was removed.",
    "--guided-decoding-disable-fallback": "It was removed.",
}
# These the plan decides; the same thing said twice would hide which one counts.
OWNED_FLAGS = {
    "--model": "model",
    "--port": "port",
    "--host": "nothing: the stack binds it",
    "--uds": "vllm_stack_transport",
    "--served-model-name": "name",
    "--max-model-len": "max_model_len",
    "--max-num-seqs": "max_num_seqs",
    "--max-num-batched-tokens": "max_num_batched_tokens",
    "--gpu-memory-utilization": "gpu_memory_utilization",
    "--kv-cache-memory-bytes": "kv_cache_memory_bytes",
    "--kv-cache-dtype": "kv_cache_dtype",
    "--tensor-parallel-size": "tensor_parallel_size",
    "--nnodes": "distributed",
    "--node-rank": "distributed",
    "--master-addr": "distributed",
    "--master-port": "distributed",
    "--headless": "distributed",
    "--enforce-eager": "enforce_eager",
    "--dtype": "dtype",
    "--quantization": "quantization",
    "--revision": "revision",
    "--trust-remote-code": "trust_remote_code",
    "--num-gpu-blocks-override": "kv_cache_memory_bytes",
    "--enable-lora": "lora_adapters",
    "--lora-modules": "lora_adapters",
    "--max-loras": "lora_adapters",
    "--max-lora-rank": "rank in lora_adapters",
    "--runner": "task",
    "--convert": "task",
    "--api-key": "vllm_stack_api_key, which keeps it out of process lists",
    "--hf-token": "vllm_stack_hf_token, which keeps it out of process lists",
}
# What changes an engine's memory in a way that no plan knows of.
UNPLANNED_FLAGS = {
    "--mamba-cache-dtype": "States are planned in the engine's own dtype.",
    "--mamba-ssm-cache-dtype": "States are planned in the engine's own dtype.",
    "--mamba-block-size": "Blocks are planned as the engine makes them.",
    "--mamba-cache-mode": "Write --no-enable-prefix-caching for one state a sequence.",
    "--decode-context-parallel-size": "Set tensor_parallel_size alone.",
    "--prefill-context-parallel-size": "Set tensor_parallel_size alone.",
    "--enable-eplb": "Experts are planned once each.",
    "--num-redundant-experts": "Experts are planned once each.",
    "--kv-cache-dtype-skip-layers": "The cache is planned in one dtype.",
    "--fully-sharded-loras": "Adapters are planned whole.",
    "--config": "Write the flags of that file in extra_args themselves.",
}
# What changes it by bytes that are counted in (see Memory), or takes none of the card's.
COUNTED_FLAGS = (
    *("--hf-overrides", "--cpu-offload-gb", "--compilation-config", "--cudagraph-capture-sizes", "--cuda-graph-sizes"),
    *(
        "--max-cudagraph-capture-size",
        "--enable-prefix-caching",
        "--disable-hybrid-kv-cache-manager",
        "--speculative-config",
        "--spec-method",
        "--spec-model",
        "--spec-tokens",
    ),
    *(
        "--enable-sleep-mode",
        "--kv-offloading-size",
        "--kv-transfer-config",
        "--limit-mm-per-prompt",
        "--mm-processor-kwargs",
        "--language-model-only",
    ),
)
# Whose value is a mapping, which may be written key by key.
_MAPPINGS = (
    *("--hf-overrides", "--compilation-config", "--speculative-config", "--kv-transfer-config"),
    *("--limit-mm-per-prompt", "--mm-processor-kwargs"),
)
# The short forms of the above.
_SHORT = {
    "-q": "--quantization",
    "-tp": "--tensor-parallel-size",
    "-pp": "--pipeline-parallel-size",
    "-dp": "--data-parallel-size",
    "-dcp": "--decode-context-parallel-size",
    "-pcp": "--prefill-context-parallel-size",
    "-cc": "--compilation-config",
    "-sc": "--speculative-config",
    "-n": "--nnodes",
    "-r": "--node-rank",
}


@dataclass(frozen=True)
class Memory:
    """What extra_args change of an engine's memory."""

    hf_overrides: Mapping[str, Any] = field(default_factory=dict)
    cpu_offload_bytes: int = 0
    capture_sizes: tuple[int, ...] | None = None
    largest_capture: int | None = None
    no_graphs: bool = False
    prefix_caching: bool | None = None
    one_kind_of_cache: bool = False
    # Layers that predict ahead, each with weights and a cache like one of the model's own; the guesses that they make.
    ahead: bool = False
    drafts: int = 0
    # A draft model of its own, whose weights are not in this model's files.
    draft_model: str = ""
    # How guesses are made, where a model of its own makes them; and whether of the model's own hidden states.
    method: str = ""
    reads_hidden: bool = False
    language_alone: bool = False
    # Pixels of the largest picture that the processor is told to make.
    max_pixels: int | None = None
    notes: tuple[str, ...] = ()


def meant(argument: str) -> str:
    """The flag that the engine's parser takes an argument for: it knows short forms, underscores, --no-, beginnings of flags, and keys of
    a mapping after a dot.
    """
    flag = argument.split("=", 1)[0]
    if flag.startswith("-"):
        flag = flag.split(".", 1)[0]
    if not flag.startswith("--"):
        return _SHORT.get(flag, flag)
    flag = flag.replace("_", "-")
    positive = "--" + flag.removeprefix("--no-") if flag.startswith("--no-") else flag
    known_flags = (*REFUSED_FLAGS, *OWNED_FLAGS, *UNPLANNED_FLAGS, *COUNTED_FLAGS)
    if positive in known_flags:
        return positive
    begun = (known for known in known_flags if known.startswith(positive)) if len(positive) > 4 else iter(())
    return next(begun, flag)


def check(arguments: Sequence[str], where: str) -> None:
    """Refuse what no parser takes, what the plan says already, and what no plan knows of."""
    for argument in arguments:
        first = argument.split("=", 1)[0]
        if first.startswith("-") and re.search(r"\s", first.strip()):
            flag = first.strip().split(None, 1)[0]
            name = meant(flag)
            remedy = (
                f"{name} is decided by the plan: set {OWNED_FLAGS[name]} instead."
                if name in OWNED_FLAGS
                else f"Write {flag} and its value as two elements."
            )
            # What follows the flag may be a secret: no message repeats it.
            fail(f"{where}.extra_args", f"{flag} with what follows it is one word to the engine's parser.", remedy)
        if credentials.is_in(argument):
            fail(
                f"{where}.extra_args",
                "they hold an address with an account, which process lists and `docker inspect` would show.",
                "Hand it over in env, where the engine reads it from there.",
            )
        flag = meant(argument)
        if flag in REFUSED_FLAGS:
            fail(f"{where}.extra_args", f"{flag} stops the engine at its start.", REFUSED_FLAGS[flag])
        if flag in OWNED_FLAGS:
            fail(f"{where}.extra_args", f"{flag} is decided by the plan.", f"Set {OWNED_FLAGS[flag]} instead.")
        if flag in UNPLANNED_FLAGS:
            fail(
                f"{where}.extra_args",
                f"{flag} changes the engine's memory, and no plan knows how.",
                UNPLANNED_FLAGS[flag],
            )


def read(arguments: Sequence[str], where: str) -> Memory:
    """What extra_args change of an engine's memory; a value that can't be read is a FleetError."""
    found: dict[str, Any] = {}
    notes: list[str] = []
    arguments = whole(arguments)
    for place, argument in enumerate(arguments):
        flag, is_off = meant(argument), argument.replace("_", "-").startswith("--no-")
        value = argument.split("=", 1)[1] if "=" in argument else next(iter(arguments[place + 1 : place + 2]), "")
        match flag:
            case "--hf-overrides":
                found["hf_overrides"] = _mapping(flag, value, where)
            case "--cpu-offload-gb":
                found["cpu_offload_bytes"] = int(_number(flag, value, where) * GIB)
                notes.append(f"cpu_offload_gb {value}: so much of the weights stays in the host's memory")
            case "--cudagraph-capture-sizes" | "--cuda-graph-sizes":
                found["capture_sizes"] = tuple(_sizes(arguments[place + 1 :], argument, where)) or None
            case "--max-cudagraph-capture-size":
                found["largest_capture"] = int(_number(flag, value, where))
            case "--compilation-config":
                found |= _compilation(value, where)
            case "--enable-prefix-caching":
                found["prefix_caching"] = not is_off
            case "--disable-hybrid-kv-cache-manager":
                found["one_kind_of_cache"] = not is_off
            case "--speculative-config":
                found |= speculation.read(_mapping(flag, value, where), where, notes)
            case "--enable-sleep-mode":
                notes.append(
                    "sleep mode: asleep it keeps its context and graphs; weights go to the host's memory, or are dropped"
                )
            case "--kv-offloading-size" | "--kv-transfer-config":
                notes.append(f"{flag}: what it offloads lies in the host's memory, which is not planned")
            case "--language-model-only":
                found["language_alone"] = not is_off
            case "--limit-mm-per-prompt":
                if _takes_no_items(_mapping(flag, value, where)):
                    found["language_alone"] = True
            case "--mm-processor-kwargs":
                pixels = _mapping(flag, value, where).get("max_pixels")
                found["max_pixels"] = pixels if isinstance(pixels, int) and not isinstance(pixels, bool) else None
            case _:
                pass
    return Memory(**found, notes=tuple(notes))


def whole(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return arguments with each mapping in one piece: what is written key by key after a dot, or as --spec-method and its like, is put
    together as the engine's parser puts it.
    """
    kept: list[str] = []
    pieces: dict[str, dict[str, Any]] = {}
    following = iter(arguments)
    for argument in following:
        name, has_value, value = argument.partition("=")
        flag = meant(argument)
        keys = name.split(".")[1:] if name.startswith("-") and flag in _MAPPINGS else []
        if flag in speculation.ALONE:
            flag, keys = "--speculative-config", [speculation.ALONE[flag]]
        if not keys:
            kept.append(argument)
            continue
        value = value if has_value else next(following, "")
        _put(pieces.setdefault(flag, {}), keys, value)
    return (*kept, *(word for flag, said in pieces.items() for word in (flag, json.dumps(said))))


def _put(said: dict[str, Any], keys: Sequence[str], value: str) -> None:
    *outer, last = keys
    for key in outer:
        inner = said.setdefault(key, {})
        if not isinstance(inner, dict):
            inner = said[key] = {}
        said = inner
    try:
        found = json.loads(value)
    except ValueError:
        found = value
    if last.endswith("+"):
        last, found = last[:-1], [*(said.get(last[:-1]) or []), *value.split(",")]
    said[last] = found


def _takes_no_items(limits: Mapping[str, Any]) -> bool:
    """Whether no picture and no film is taken, so that the engine leaves their encoder out."""
    counts = {name: said.get("count") if isinstance(said, Mapping) else said for name, said in limits.items()}
    return all(counts.get(name) == 0 for name in ("image", "video"))


def _compilation(value: str, where: str) -> dict[str, Any]:
    if not value.strip().startswith("{"):
        return {}
    said = _mapping("--compilation-config", value, where)
    found: dict[str, Any] = {}
    sizes = said.get("cudagraph_capture_sizes")
    if isinstance(sizes, list) and all(isinstance(one, int) and not isinstance(one, bool) and one > 0 for one in sizes):
        found["capture_sizes"] = tuple(sizes) or None
    largest = said.get("max_cudagraph_capture_size")
    if isinstance(largest, int) and not isinstance(largest, bool) and largest > 0:
        found["largest_capture"] = largest
    if str(said.get("cudagraph_mode") or "").upper() == "NONE":
        found["no_graphs"] = True
    return found


def _mapping(flag: str, value: str, where: str) -> Mapping[str, Any]:
    try:
        found = json.loads(value)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        fail(f"{where}.extra_args", f"what follows {flag} is no JSON mapping.", """Write it as '{"key": "value"}'.""")
    return found


def _number(flag: str, value: str, where: str) -> float:
    try:
        found = float(value)
    except ValueError:
        found = -1
    if not 0 <= found < 2**20:
        fail(f"{where}.extra_args", f"{value[:40]!r} after {flag} is no number.", "Write a number.")
    return found


def _sizes(following: Sequence[str], argument: str, where: str) -> list[int]:
    words = [argument.split("=", 1)[1]] if "=" in argument else list(following)
    found: list[int] = []
    for word in words:
        if not word.isdecimal():
            break
        found.append(int(word))
    return found
