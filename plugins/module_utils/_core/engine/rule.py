# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cause of a failed start: its name, the lines that mean it, what to say of it and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Every cause there is: those of the table, and what is left where none of it is found.
CauseId = Literal[
    "wrong_image",
    "unknown_argument",
    "no_kernel_image",
    "driver_too_old",
    "driver_mismatch",
    "gpu_fault",
    "free_memory",
    "profiling_race",
    "no_cache_memory",
    "cache_too_small",
    "out_of_memory",
    "cpu_cache_memory",
    "too_long",
    "batch_too_small",
    "missing_repository",
    "bad_token",
    "forbidden",
    "gated",
    "hub_busy",
    "no_network",
    "damaged_weights",
    "damaged_config",
    "remote_code",
    "tokenizer",
    "bfloat16",
    "unsupported_model",
    "compile_cache",
    "expandable_segments",
    "no_compiler",
    "secret_file",
    "no_shell",
    "permission",
    "port_taken",
    "shared_memory",
    "disk_full",
    "missing_mount",
    "no_device",
    "nccl",
    "segfault",
    "bus_error",
    "killed",
    "no_gpu_in_container",
    "lost_gpu",
    "driver_not_loaded",
    "fabric_manager",
    "illegal_access",
    "device_assert",
    "cublas_memory",
    "cublas",
    "gpu_busy",
    "peer_access",
    "duplicate_gpu",
    "old_ptxas",
    "kernel_too_large",
    "flash_attention",
    "no_nvcc",
    "mixed_builds",
    "heads",
    "quantization_block",
    "quantization_card",
    "quantization_other",
    "quantization_unknown",
    "quantization_dtype",
    "model_type",
    "other_weights",
    "no_weights",
    "lora_rank",
    "lora_missing",
    "image_budget",
    "mamba_blocks",
    "tool_parser",
    "chat_template",
    "missing_packages",
    "dns",
    "certificate",
    "clock",
    "proxy",
    "slow_network",
    "short_download",
    "xet",
    "hub_down",
    "too_many_processes",
    "too_many_files",
    "host_memory",
    "architecture",
    "processor",
    "read_only",
    "disk_fault",
    "image_missing",
    "pull_limit",
    "registry_login",
    "no_docker",
    "name_taken",
    "address_pool",
    "firewall_rules",
    "no_runtime",
    "device_rules",
    "sglang_memory",
    "sglang_graphs",
    "docker",
    "error",
    "exit",
    "unknown",
]


@dataclass(frozen=True)
class Rule:
    """One cause: patterns of lines, each of which means it; `{what}` in the text is their group of that name.

    `memory`: another try, alone, may have enough. `consequence`: it follows from something else, which counts where the log has it,
    be it as a warning only.
    """

    id: CauseId
    patterns: tuple[str, ...]
    text: str
    remedy: str
    memory: bool = False
    consequence: bool = False
