# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why an engine did not start: the first true cause in its log, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cause:
    """A cause a person can act on."""

    id: str
    text: str
    remedy: str
    memory: bool = False


@dataclass(frozen=True)
class Rule:
    """One signature: a pattern of a log line, what it means, and its cure."""

    id: str
    pattern: str
    text: str
    remedy: str
    memory: bool = False


# Specific rows; the line that comes first in the log wins, and among the rows of one line the first of them.
RULES = (
    Rule(
        "unknown_argument",
        r"unrecognized arguments: (?P<what>.*)|ambiguous option: (?P<option>\S+)",
        "this engine version does not know an argument it was given: {what}",
        "Remove it from extra_args, or set vllm_stack_engine_version to the image's version.",
    ),
    Rule(
        "no_kernel_image",
        r"no kernel image is available|sm_\d+ is not compatible",
        "the engine's image holds no code for this card",
        "Take an image built for it: on an RTX 5090 a CUDA 12.8 build or newer (enforce_eager does not help).",
    ),
    Rule(
        "driver_too_old",
        r"NVIDIA driver on your system is too old|forward compatibility was attempted|unsatisfied condition: cuda>=",
        "the host's driver is older than the image's CUDA needs",
        "Upgrade the driver (playbooks/upgrade.yml), or take an image for an older CUDA.",
    ),
    Rule(
        "driver_mismatch",
        r"[Dd]river/library version mismatch|NVML/RM version mismatch",
        "the loaded driver and its libraries are of two versions",
        "Reboot the host: the driver was upgraded under it.",
    ),
    Rule(
        "free_memory",
        r"Free memory on device.*is less than desired GPU memory utilization",
        "the card has less free memory than the engine checks for at its start",
        "End what else holds memory on the card, or lower the preset.",
        True,
    ),
    Rule(
        "profiling_race",
        r"Error in memory profiling",
        "another process released memory on the card while the engine measured it",
        "Start again with vllm_stack_mode: serial.",
        True,
    ),
    Rule(
        "no_cache_memory",
        r"No available memory for the cache blocks",
        "no memory is left for the KV cache",
        "Raise gpu_memory_utilization of the model, or lower max_model_len or max_num_seqs.",
        True,
    ),
    Rule(
        "cache_too_small",
        r"max seq len \(\d+\), \((?P<what>[\d.]+ GiB) KV",
        "the KV cache is smaller than one request of max_model_len needs ({what})",
        "Lower max_model_len, or give the model more memory.",
    ),
    Rule(
        "out_of_memory",
        r"OutOfMemoryError|CUDA out of memory|CUDA error: out of memory|not enough GPU memory",
        "the card's memory ran out",
        "Lower the preset, max_num_seqs or max_num_batched_tokens, or end what else holds memory on the card.",
        True,
    ),
    Rule(
        "cpu_cache_memory",
        r"on kv cache allocation is less than requested memory",
        "the host has too little free memory for the KV cache",
        "Lower max_model_len or max_num_seqs, or free memory on the host.",
        True,
    ),
    Rule(
        "too_long",
        r"is greater than the derived max_model_len",
        "max_model_len is more than the model can",
        "Lower max_model_len to what the model's config.json says.",
    ),
    Rule(
        "batch_too_small",
        r"max_num_batched_tokens \(\d+\) is smaller than",
        "max_num_batched_tokens is too small",
        "Raise it to max_num_seqs at least.",
    ),
    Rule(
        "missing_repository",
        r"is not a local folder and is not a valid model identifier|RepositoryNotFoundError|Repo id must be in the form",
        "the hub has no such model, or it is private",
        "Correct the model's id, or set vllm_stack_hf_token.",
    ),
    Rule(
        "gated",
        r"gated repo|GatedRepoError|401 Client Error",
        "the hub wants to know who asks for this model",
        "Set vllm_stack_hf_token to the token of an account that has accepted the model's licence.",
    ),
    Rule(
        "forbidden",
        r"403 (Client Error|Forbidden)",
        "the hub's token may not read this model",
        "Accept the model's licence with that account, or widen the token's scope.",
    ),
    Rule(
        "no_network",
        r"Cannot find the requested files in the (disk|local) cache|LocalEntryNotFoundError|couldn't connect to '?https",
        "the model is not on the host and can't be fetched",
        "Give the host a way to the hub, or put the model into a folder and name that.",
    ),
    Rule(
        "remote_code",
        r"requires you to execute the configuration file|contains custom code",
        "the model brings code of its own",
        "Read it, then set trust_remote_code: true for the model.",
    ),
    Rule(
        "tokenizer",
        r"Can't load tokenizer for|Couldn't instantiate the backend tokenizer",
        "the model's tokenizer can't be loaded",
        "Put the tokenizer's files beside the model.",
    ),
    Rule(
        "bfloat16",
        r"Bfloat16 is only supported on GPUs with compute capability",
        "this card has no bfloat16",
        "Set dtype: float16 for the model.",
    ),
    Rule(
        "unsupported_model",
        r"Model architectures? .* (are|is) not supported|has no vLLM implementation",
        "this engine version does not know the model's architecture",
        "Take a newer engine image.",
    ),
    Rule(
        "port_taken",
        r"Address already in use|port is already allocated",
        "the engine's port is in use",
        "End the process that has it, or give the model another port.",
    ),
    Rule(
        "shared_memory",
        r"Insufficient space in /dev/shm|No space left on device: '/dev/shm",
        "the container's shared memory is too small",
        "Raise it: this is a fault of ours if the stack was not edited.",
    ),
    Rule(
        "disk_full",
        r"No space left on device",
        "the host's disk is full",
        "Free some space where Docker and the caches are.",
    ),
    Rule(
        "no_device",
        r"could not select device driver|unresolvable CDI devices|nvidia-container-cli",
        "Docker can't hand the card to a container",
        "Run the nvidia_container_toolkit role; playbooks/site.yml does.",
    ),
    Rule(
        "nccl",
        r"NCCL error|ncclUnhandledCudaError|unhandled system error",
        "the cards could not talk to each other",
        "Set env NCCL_P2P_DISABLE: '1' for the model on consumer cards, and NCCL_DEBUG: INFO to learn more.",
    ),
)
# What the engine says of its own end, and never the reason.
WRAPPERS = re.compile(
    r"Engine core initialization failed|EngineCore failed to start|EngineDeadError|EngineCore encountered"
)
_ERROR = re.compile(r"\b(\w*(?:Error|Exception)): (.{3,300})")
# An engine that starts well warns of errors that it might have one day.
_HARMLESS = re.compile(r"\b(?:WARNING|INFO|DEBUG) \d\d-\d\d ")


def diagnose(log: Sequence[str], exit_code: int | None = None) -> Cause:
    """The first cause in a log; the last resort is what the process itself said last."""
    for line in log:
        for rule in RULES:
            match = re.search(rule.pattern, line)
            if match:
                groups = [value for value in match.groupdict().values() if value]
                return Cause(rule.id, rule.text.format(what=(groups or ["?"])[0]), rule.remedy, rule.memory)
    for line in log:
        match = _ERROR.search(line)
        if match and not WRAPPERS.search(line) and not _HARMLESS.search(line):
            return Cause("error", f"{match.group(1)}: {match.group(2).strip()}", "See the last lines of its log below.")
    if exit_code == 137:
        return Cause(
            "killed", "it was killed, most likely since the host's memory ran out", "Give the host more memory.", True
        )
    if exit_code is not None:
        return Cause("exit", f"it ended with exit status {exit_code}", "See the last lines of its log below.")
    return Cause("unknown", "it gave no reason", "See the last lines of its log below.")
