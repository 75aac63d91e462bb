# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of causes: what a line of an engine's log, or of Docker, means, and what to do about it.

The line that comes first in the log wins, and among the rules of one line the first of them. A test holds a real line for each pattern.
"""

from __future__ import annotations

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.reported import REPORTED
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.rule import Rule

PYTHON_WARNING = "Warning: "
SEGFAULT_REMEDY = (
    "Run once more; if it comes again, take another engine image, and see whether enforce_eager: true helps."
)

BUS_ERROR_TEXT = "it read what is not there any more (a bus error): a file that was cut short under it, or shared memory that ran out"
BUS_ERROR_REMEDY = "See whether the disk or /dev/shm is full; a model whose files are cut short has to be copied anew."
COPY_ANEW = "Remove the model below vllm_stack_cache_dir/huggingface/hub, or copy its folder anew, then run again."

MET = (
    Rule(
        "wrong_image",
        (
            r"unrecognized arguments: (?P<what>[\w.-]+/[\w.-]+)$",
            r"can't open file '(?P<what>[^']*/serve)'",
            r'exec: "(?P<what>vllm)": executable file not found',
        ),
        "the image starts no `vllm serve` ({what})",
        "Take an image whose entrypoint is `vllm serve` in vllm_stack_engine_image.",
    ),
    Rule(
        "unknown_argument",
        (r"unrecognized arguments: (?P<what>.*)", r"ambiguous option: (?P<what>\S+)"),
        "this engine version does not know an argument it was given: {what}",
        "Remove it from extra_args, or set vllm_stack_engine_version to the image's version.",
    ),
    Rule(
        "no_kernel_image",
        (r"no kernel image is available", r"sm_\d+ is not compatible"),
        "the engine's image holds no code for this card",
        "Take an image built for it: on an RTX 5090 a CUDA 12.8 build or newer (enforce_eager does not help).",
    ),
    Rule(
        "driver_too_old",
        (
            r"NVIDIA driver on your system is too old",
            r"forward compatibility was attempted",
            r"unsatisfied condition: cuda>=",
        ),
        "the host's driver is older than the image's CUDA needs",
        "Upgrade the driver (playbooks/upgrade.yml), or take an image for an older CUDA.",
    ),
    Rule(
        "driver_mismatch",
        (r"[Dd]river/library version mismatch", r"NVML/RM version mismatch"),
        "the loaded driver and its libraries are of two versions",
        "Reboot the host: the driver was upgraded under it.",
    ),
    Rule(
        "gpu_fault",
        (r"unspecified launch failure", r"uncorrectable ECC error", r"[Ff]allen off the bus"),
        "the card reported a fault",
        "Look for Xid lines in `dmesg` on the host; reset the card, or reboot.",
    ),
    Rule(
        "free_memory",
        (r"Free memory on device.*is less than desired GPU memory utilization",),
        "the card has less free memory than the engine checks for at its start",
        "End what else holds memory on the card, or lower the preset.",
        True,
    ),
    Rule(
        "profiling_race",
        (r"Error in memory profiling",),
        "another process released memory on the card while the engine measured it",
        "Start again with vllm_stack_mode: serial.",
        True,
    ),
    Rule(
        "no_cache_memory",
        (r"No available memory for the cache blocks",),
        "no memory is left for the KV cache",
        "Raise gpu_memory_utilization of the model, or lower max_model_len or max_num_seqs.",
        True,
    ),
    Rule(
        "cache_too_small",
        (r"max seq len \(\d+\), \(?(?P<what>[\d.]+ GiB) KV",),
        "the KV cache is smaller than one request of max_model_len needs ({what})",
        "Lower max_model_len, or give the model more memory.",
    ),
    Rule(
        "out_of_memory",
        (r"OutOfMemoryError", r"CUDA out of memory", r"CUDA error: out of memory", r"not enough GPU memory"),
        "the card's memory ran out",
        "Lower the preset, max_num_seqs or max_num_batched_tokens, or end what else holds memory on the card.",
        True,
    ),
    Rule(
        "cpu_cache_memory",
        (
            r"on kv cache allocation is less than requested memory",
            r"on startup is less than desired CPU memory utilization",
        ),
        "the host has too little free memory for the KV cache",
        "Lower max_model_len or max_num_seqs, or free memory on the host.",
        True,
    ),
    Rule(
        "too_long",
        (r"is greater than the derived max_model_len \((?P<what>\w+=[\d.]+)",),
        "max_model_len is more than the model can ({what})",
        "Lower max_model_len to that; it is the least of what config.json, sentence_bert_config.json and tokenizer_config.json say.",
    ),
    Rule(
        "batch_too_small",
        (
            r"max_num_batched_tokens \(\d+\) is smaller than",
            r"max_num_batched_tokens \(\d+\) must be greater than or equal to",
        ),
        "max_num_batched_tokens is too small",
        "Raise it to max_num_seqs at least.",
    ),
    Rule(
        "missing_repository",
        (
            r"is not a local folder and is not a valid model identifier",
            r"RepositoryNotFoundError",
            r"Repo id must be in the form",
        ),
        "the hub has no such model, or it is private",
        "Correct the model's id, or set vllm_stack_hf_token.",
    ),
    Rule(
        "bad_token",
        (r"Invalid user token", r"Invalid credentials in Authorization header"),
        "the hub does not know the token",
        "Set vllm_stack_hf_token to one that is valid.",
    ),
    Rule(
        "forbidden",
        (r"403 Client Error", r"(?<!Tunnel connection failed: )403 Forbidden"),
        "the hub's token may not read this model",
        "Accept the model's licence with that account, or widen the token's scope.",
    ),
    Rule(
        "gated",
        (r"gated repo", r"GatedRepoError", r"401 Client Error"),
        "the hub wants to know who asks for this model",
        "Set vllm_stack_hf_token to the token of an account that has accepted the model's licence.",
    ),
    Rule(
        "hub_busy",
        (r"429 Client Error", r"429 Too Many Requests"),
        "the hub answers no more for now: too many requests came from here",
        "Wait some minutes, then run again; with vllm_stack_hf_token it lets more through.",
    ),
    Rule(
        "no_network",
        (
            r"Cannot find the requested files in the (?:disk|local) cache",
            r"LocalEntryNotFoundError",
            r"couldn't connect to '?https",
        ),
        "the model is not on the host and can't be fetched",
        "Give the host a way to the hub, or put the model into a folder and name that.",
    ),
    Rule(
        "damaged_weights",
        (
            r"Error while deserializing header",
            r"incomplete metadata, file not fully covered",
            r"PytorchStreamReader failed",
        ),
        "a file of the model's weights is cut short or damaged",
        COPY_ANEW,
    ),
    Rule(
        "damaged_config",
        (r"the config file at '(?P<what>[^']+)' is not a valid JSON file",),
        "a file of the model is cut short or damaged ({what})",
        COPY_ANEW,
    ),
    Rule(
        "remote_code",
        (r"requires you to execute the configuration file", r"contains custom code"),
        "the model brings code of its own",
        "Read it, then set trust_remote_code: true for the model.",
    ),
    Rule(
        "tokenizer",
        (r"Can't load tokenizer for", r"Couldn't instantiate the backend tokenizer"),
        "the model's tokenizer can't be loaded",
        "Put the tokenizer's files beside the model.",
    ),
    Rule(
        "bfloat16",
        (r"Bfloat16 is only supported on GPUs with compute capability",),
        "this card has no bfloat16",
        "Set dtype: float16 for the model.",
    ),
    Rule(
        "unsupported_model",
        (r"Model architectures? .* (?:are|is) not supported", r"has no vLLM implementation"),
        "this engine version does not know the model's architecture",
        "Take a newer engine image.",
    ),
    Rule(
        "compile_cache",
        (
            r"failed to get the hash of the compiled graph",
            r"corrupted compilation artifact",
            r"Expected tensors only, but got",
            r"Bytes object is corrupted, checksum does not match",
            r"/root/\.cache/\S+\.so: (?:file too short|invalid ELF header)",
        ),
        "what an earlier start compiled can't be used",
        "Remove the model's folder below vllm_stack_cache_dir/vllm: it is made anew.",
    ),
    Rule(
        "expandable_segments",
        (r"Expandable segments are not compatible with memory pool",),
        "sleep mode works with no expandable segments",
        "Set env PYTORCH_CUDA_ALLOC_CONF: '' for the model.",
    ),
    Rule(
        "no_compiler",
        (r"Failed to find C compiler",),
        "the engine's image holds no C compiler, which a start needs to compile its kernels",
        "Take vLLM's own image, or set enforce_eager: true for the model.",
    ),
    Rule(
        "secret_file",
        # As bash, dash and BusyBox say it; a folder stands there where Docker found no file to mount.
        (
            r"/run/gpuserve/env'?: (?:Permission denied|No such file|[Ii]s a directory)",
            r"[Cc]an(?:'t|not) open '?/run/gpuserve/env",
        ),
        "the engine can't read the file of its secrets",
        "Where Docker maps root to another account (userns-remap), turn that off; else run site.yml again, which renders the file.",
    ),
    Rule(
        "no_shell",
        (r'"/bin/sh": stat /bin/sh: no such file', r'exec: "/bin/sh": executable file not found'),
        "the engine's image holds no /bin/sh, by which an engine gets its secrets",
        "Take an image with a shell, or set vllm_stack_auth to false and leave out env, vllm_stack_api_key and vllm_stack_hf_token.",
    ),
    Rule(
        "permission",
        (
            # Python quotes a name that has an apostrophe in it the other way.
            r"Permission denied: (?P<quote>['\"])(?P<what>/.+?)(?P=quote)",
            r"Permission denied \(os error 13\)",
            r"PermissionError at (?P<what>/\S+) when downloading",
        ),
        "the engine, root without its powers, may not use a file of its caches or of the model ({what})",
        "Hand what is behind it on the host to root: chown -R root:root on vllm_stack_cache_dir, or on the model's folder.",
    ),
    Rule(
        "port_taken",
        (r"Address already in use", r"port is already allocated", r"EADDRINUSE"),
        "the engine's port is in use",
        "End the process that has it, or give the model another port.",
    ),
    Rule(
        "shared_memory",
        (r"Insufficient space in /dev/shm", r"No space left on device: '/dev/shm"),
        "the container's shared memory is too small",
        "Raise it: this is a fault of ours if the stack was not edited.",
    ),
    Rule(
        "disk_full",
        (r"No space left on device",),
        "the host's disk is full",
        "Free some space where Docker and the caches are.",
    ),
    Rule(
        "missing_mount",
        (r"bind source path does not exist: (?P<what>\S+)",),
        "what the engine mounts is not on the host: {what}",
        "Put it there, or correct vllm_stack_extra_volumes; a file of secrets is rendered by site.yml.",
    ),
    Rule(
        "no_device",
        (r"could not select device driver", r"unresolvable CDI devices", r"nvidia-container-cli"),
        "Docker can't hand the card to a container",
        "Run the nvidia_container_toolkit role; playbooks/site.yml does.",
    ),
    Rule(
        "nccl",
        (r"NCCL error", r"ncclUnhandledCudaError", r"unhandled system error"),
        "the cards could not talk to each other",
        "Set env NCCL_P2P_DISABLE: '1' for the model on consumer cards, and NCCL_DEBUG: INFO to learn more.",
    ),
    Rule(
        "segfault",
        (
            r"Fatal Python error: Segmentation fault",
            r"Segfault encountered",
            r"Segmentation fault\s+\(core dumped\)",
            r"Failed core proc\(s\): \{[^}]*: -11\b",
        ),
        "it crashed with a segmentation fault",
        SEGFAULT_REMEDY,
    ),
    Rule(
        "bus_error",
        (
            r"Fatal Python error: Bus error",
            r"Unexpected bus error encountered",
            r"Bus error\s+\(core dumped\)",
            r"Failed core proc\(s\): \{[^}]*: -7\b",
        ),
        BUS_ERROR_TEXT,
        BUS_ERROR_REMEDY,
    ),
    Rule(
        "killed",
        (r"Failed core proc\(s\): \{[^}]*: -9\b",),
        "a process of it was killed, most likely since the host's memory ran out",
        "Give the host more memory.",
        True,
    ),
)

# Those of which only reports are known come after: what an engine says itself is nearer than what it says of its surroundings.
RULES = (*MET, *REPORTED)
