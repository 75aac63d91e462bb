# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Causes known from public reports on vLLM, SGLang, Docker, the container toolkit and the hub: the second half of the table of causes.

What is behind a line is what reports and the program's own source say of it; none of these was met by us. Where one report says most,
it is named.
"""

from __future__ import annotations

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine.rule import Rule

_NEWER_IMAGE = "Take a newer engine image (vllm_stack_engine_image)"

_GPU = (
    Rule(
        "no_gpu_in_container",
        (
            r"Failed to infer device type",  # vllm-project/vllm#13946
            r"No CUDA GPUs are available",
            r"libcuda\.so\.1: cannot open shared object file",
            r"Found no NVIDIA driver on your system",
        ),
        "no card reaches the container",
        "Run site.yml with --tags nvidia_container_toolkit; on the host `nvidia-ctk cdi list` has to name the cards.",
        consequence=True,
    ),
    Rule(
        "lost_gpu",
        # NVIDIA/nvidia-container-toolkit#48: systemd takes the devices of a container that got them behind its back.
        (r"Failed to initialize NVML: Unknown Error", r"CUDA unknown error - this may be due to"),
        "the container has lost its card, most likely by `systemctl daemon-reload` on the host",
        "Restart the engine's container; with docker_engine_cdi: true, the default, it gets its card in a way that lasts.",
    ),
    Rule(
        "driver_not_loaded",
        (r"nvml error: driver not loaded", r"NVML: Driver Not Loaded"),
        "the host's driver is not loaded",
        "Run site.yml with --tags nvidia_driver; `dmesg | grep NVRM` on the host says why it is not.",
    ),
    Rule(
        "fabric_manager",
        (r"system not yet initialized",),
        "the host's NVSwitch is not ready (CUDA error 802)",
        "Start nvidia-fabricmanager of the driver's own version on the host.",
    ),
    Rule(
        "illegal_access",
        (r"an illegal memory access was encountered",),
        "a kernel of the engine reached beyond its memory",
        f"{_NEWER_IMAGE}; until then try enforce_eager: true, or another kv_cache_dtype, for the model.",
    ),
    Rule(
        "device_assert",
        (r"device-side assert triggered",),
        "a kernel of the engine refused its input, most often a token beyond the vocabulary",
        "Check that tokenizer, adapters and draft belong to the model; env CUDA_LAUNCH_BLOCKING: '1' shows which kernel it is.",
    ),
    Rule(
        "cublas_memory",
        (r"CUBLAS_STATUS_(?:ALLOC_FAILED|NOT_INITIALIZED)",),
        "the card's memory ran out under cuBLAS",
        "Lower the preset or max_num_batched_tokens, or end what else uses memory on the card.",
        True,
    ),
    Rule(
        "cublas",
        (r"CUBLAS_STATUS_(?:INVALID_VALUE|NOT_SUPPORTED|EXECUTION_FAILED|ARCH_MISMATCH)",),
        "cuBLAS refuses what the engine asks of it",
        f"Remove LD_LIBRARY_PATH from the model's env if it is there. {_NEWER_IMAGE} otherwise.",
    ),
    Rule(
        "gpu_busy",
        (r"all CUDA-capable devices are busy or unavailable",),
        "the card takes no further process",
        "Set its compute mode back on the host, where that is exclusive (`nvidia-smi -c DEFAULT`); reboot otherwise.",
    ),
    Rule(
        "peer_access",
        (r"peer access is not supported between these two devices",),
        "the cards can't reach each other's memory",
        "Set env NCCL_P2P_DISABLE: '1' for the model, and --disable-custom-all-reduce in its extra_args.",
    ),
    Rule(
        "duplicate_gpu",
        (r"Duplicate GPU detected",),
        "two ranks were given the same card",
        "Set gpus of the model to as many different cards as it is spread over.",
    ),
    Rule(
        "old_ptxas",
        # triton-lang/triton#8539
        (r"Value '(?P<what>sm_\w+)' is not defined for option 'gpu-name'",),
        "the compiler in the engine's image does not know this card ({what})",
        f"{_NEWER_IMAGE}, or set env TRITON_PTXAS_PATH: /usr/local/cuda/bin/ptxas for the model.",
    ),
    Rule(
        "kernel_too_large",
        # vllm-project/vllm#36802
        (r"out of resource: shared memory",),
        "a kernel of the engine needs more shared memory than this card's cores have",
        "Take another quantization of the model, or another engine image: this card is older than those the kernel was made for.",
    ),
    Rule(
        "flash_attention",
        (r"FlashAttention only supports Ampere GPUs or newer",),
        "this card is too old for FlashAttention",
        "Set env VLLM_ATTENTION_BACKEND: TRITON_ATTN for the model (in new versions --attention-backend in its extra_args).",
    ),
    Rule(
        "no_nvcc",
        (r"Could not find nvcc", r"Ninja build failed", r"nvcc: not found"),
        "a kernel has to be compiled at the start, and the engine's image has no compiler for it",
        "Take vLLM's own image, or set env VLLM_USE_FLASHINFER_SAMPLER: '0' for the model.",
    ),
    Rule(
        "mixed_builds",
        (r"undefined symbol: (?P<what>\S+)",),
        "libraries of two builds are mixed in the engine's image ({what})",
        "Take a release's image as it is, or remove what vllm_stack_pip_args adds.",
    ),
)

_MODEL = (
    Rule(
        "heads",
        # vllm-project/vllm#2652
        (r"[Tt]otal number of attention heads \(\d+\) must be divisible by tensor parallel size",),
        "the model's attention heads can't be shared evenly by so many cards",
        "Give the model a number of cards (gpus) that divides its heads: 1, 2 or 4 mostly do.",
    ),
    Rule(
        "quantization_block",
        (r"is not divisible by weight quantization block_[nk]",),
        "the model's quantized blocks can't be shared by so many cards",
        "Give the model fewer cards, or take another quantization of it.",
    ),
    Rule(
        "quantization_card",
        # vllm-project/vllm#4202, #14040
        (
            r"quantization method \S+ is not supported for the current GPU",
            r"Quantization scheme is not supported for",
        ),
        "this card is too old for the model's quantization",
        "Take another quantization of the model: AWQ and GPTQ run from compute capability 7.5 on, FP8 on 8.9 and newer is quickest.",
    ),
    Rule(
        "quantization_other",
        (r"Quantization method specified in the model config",),
        "the model is quantized in another way than its entry says",
        "Remove quantization from the model's entry: the engine reads it from the model.",
    ),
    Rule(
        "quantization_unknown",
        (r"Unknown quantization method: '?(?P<what>[\w-]+)", r"Invalid quantization method: '?(?P<what>[\w-]+)"),
        "this engine version does not know the quantization {what}",
        f"{_NEWER_IMAGE}, or another quantization of the model.",
    ),
    Rule(
        "quantization_dtype",
        (r"torch\.bfloat16 is not supported for quantization method",),
        "the model's quantization works with float16 only",
        "Set dtype: float16 for the model.",
    ),
    Rule(
        "model_type",
        (r"but Transformers does not recognize this architecture", r"Unrecognized model in "),
        "the libraries in the engine's image do not know this kind of model",
        f"{_NEWER_IMAGE}; where the model brings its own code, read it and set trust_remote_code: true.",
    ),
    Rule(
        "other_weights",
        # vllm-project/vllm#21176, #28517
        (
            r"There is no module or parameter named '?(?P<what>[\w.]+)",
            r"Attempted to load weight \((?P<what>[^)]*)\)",
        ),
        "the model's weights are not those that this engine version expects ({what})",
        f"{_NEWER_IMAGE}, or the publisher's own revision of the model: one that was merged or converted may have other names.",
    ),
    Rule(
        "no_weights",
        (r"Cannot find any model weights with",),
        "the model's folder holds no weights that the engine reads",
        "Take a repository with .safetensors files; GGUF and .bin are not planned.",
    ),
    Rule(
        "lora_rank",
        (r"LoRA rank (?P<what>\d+) is greater than max_lora_rank",),
        "an adapter has rank {what}, more than the engine makes room for",
        "Set rank of that entry in lora_adapters to it.",
    ),
    Rule(
        "lora_missing",
        (r"No adapter found for (?P<what>\S+)",),
        "an adapter is not where its entry says ({what})",
        "Correct path in lora_adapters.",
    ),
    Rule(
        "image_budget",
        (r"max_tokens_per_mm_item \(\d+\) is larger than max_num_batched_tokens",),
        "one image takes more tokens than a batch may have",
        "Raise the model's max_num_batched_tokens.",
    ),
    Rule(
        "mamba_blocks",
        (r"exceeds .*Mamba cache blocks",),
        "the cache holds fewer states than max_num_seqs needs",
        "Lower max_num_seqs of the model, or give it more memory.",
    ),
    Rule(
        "tool_parser",
        (
            r"invalid (?:tool call|reasoning) parser: (?P<what>\S+)",
            r"--enable-auto-tool-choice requires (?P<what>--tool-call-parser)",
        ),
        "the parser of tool calls or of reasoning is missing or not one that this version has ({what})",
        "Correct --tool-call-parser or --reasoning-parser in the model's extra_args; the engine's line lists those there are.",
    ),
    Rule(
        "chat_template",
        (r"looks like a file path, but it failed to be opened",),
        "the chat template is no file that the engine can open",
        "Correct --chat-template in the model's extra_args: its path is one inside the container (vllm_stack_extra_volumes).",
    ),
    Rule(
        "missing_packages",
        (r"packages that were not found in your environment: (?P<what>.+?)\. ",),
        "the model's own code needs Python packages that the engine's image does not have: {what}",
        "Build an image with them, or take a model that the engine knows itself.",
    ),
)

_NETWORK = (
    Rule(
        "clock",
        (r"certificate (?:has expired or )?is not yet valid", r"x509: certificate has expired"),
        "a server's certificate is not valid at the time that this host believes it is",
        "Set the host's clock (`timedatectl`), and run again.",
    ),
    Rule(
        "certificate",
        (r"CERTIFICATE_VERIFY_FAILED", r"x509: certificate signed by unknown authority"),
        "a server's certificate is signed by nobody that this host or image knows",
        "Where a mirror or a proxy stands between: put its authority onto the host, and name it in gpuserve's *_ca_file variables.",
    ),
    Rule(
        "proxy",
        (r"ProxyError\(", r"Tunnel connection failed"),
        "the proxy does not let it through",
        "Correct the proxy in the model's env or in Docker's, or leave the host out of it (NO_PROXY).",
    ),
    Rule(
        "dns",
        (
            r"Temporary failure in name resolution",
            r"Name or service not known",
            r"Failed to resolve '(?P<what>[\w.-]+)'",
            r"lookup (?P<what>[\w.-]+).*: (?:no such host|server misbehaving|i/o timeout)",
        ),
        "a name is not resolved ({what})",
        "Correct /etc/resolv.conf on the host, or use a mirror (docs/airgap.md).",
    ),
    Rule(
        "hub_down",
        (r"50[0234] Server Error",),
        "the hub has trouble of its own",
        "Run again later; https://status.huggingface.co says how it is.",
    ),
    Rule(
        "short_download",
        # huggingface/huggingface_hub#2589
        (r"Consistency check failed: file should be of size",),
        "a file of the model came cut short",
        "Run again: it is fetched anew. Behind a proxy, see whether that cuts long answers.",
    ),
    Rule(
        "xet",
        (r"CAS service error", r"hf_xet.*Data processing error"),
        "the hub's store of large files (xet) did not answer",
        "Run again, or let the host reach cas-server.xethub.hf.co; env HF_HUB_DISABLE_XET: '1' takes the other way.",
    ),
    Rule(
        "slow_network",
        (r"Read timed out", r"TLS handshake timeout", r"net/http: request canceled"),
        "a server answered too slowly",
        "Run again; if it stays so, use a mirror (docs/airgap.md).",
    ),
)

_HOST = (
    Rule(
        "too_many_processes",
        (r"can't start new thread", r"pthread_create failed", r"fork: Resource temporarily unavailable"),
        "the container may start no further thread",
        "Raise the pids limit of the container, or set env OMP_NUM_THREADS: '1' for the model.",
    ),
    Rule(
        "too_many_files",
        (r"[Tt]oo many open files",),
        "too many files are open",
        'Raise Docker\'s limit: {"default-ulimits": {"nofile": ...}} in docker_engine_options.',
    ),
    Rule(
        "host_memory",
        (r"Cannot allocate memory",),
        "the host's memory ran out",
        "Give the host more memory, or start the models one after the other (vllm_stack_mode: serial).",
    ),
    Rule(
        "architecture",
        (r"exec format error", r"no matching manifest for (?P<what>\S+)"),
        "the image is for another kind of processor ({what})",
        "Take an image for this host's architecture: `uname -m` says which it is.",
    ),
    Rule(
        "processor",
        (r"Illegal instruction",),
        "the image uses instructions that this processor does not have",
        "Take an image that was built for it: vLLM's CPU builds want AVX2, some AVX-512.",
    ),
    Rule(
        "read_only",
        (r"Read-only file system",),
        "a file system can't be written",
        "Where it is the host's, `dmesg` says why it was put so; where it is a model's folder, it must not be the cache.",
    ),
    Rule(
        "disk_fault",
        (r"Input/output error",),
        "the host's disk fails",
        "Look at `dmesg` and `smartctl -a` on the host, before anything else is written there.",
    ),
)

_DOCKER = (
    Rule(
        "pull_limit",
        (r"toomanyrequests",),
        "the registry lets this address pull no more for now",
        "Wait some hours, log Docker in, or name a mirror in docker_engine_options (registry-mirrors).",
    ),
    Rule(
        "image_missing",
        (
            r"manifest for (?P<what>\S+) not found",
            r"manifest unknown",
            r"pull access denied for (?P<what>[^\s,]+)",
        ),
        "the registry has no such image ({what})",
        "Correct vllm_stack_engine_image, or log Docker in where it is a private one.",
    ),
    Rule(
        "registry_login",
        (r"no basic auth credentials", r"unauthorized: ", r"denied: requested access"),
        "the registry wants to know who asks",
        "Log Docker in on the host (`docker login`), as root.",
    ),
    Rule(
        "no_docker",
        (r"Cannot connect to the Docker daemon",),
        "Docker does not run",
        "See `systemctl status docker` and `journalctl -u docker` on the host, or run site.yml with --tags docker_engine.",
    ),
    Rule(
        "name_taken",
        (r'The container name "/?(?P<what>[^"]+)" is already in use',),
        "another container has the name {what}",
        "Rename that one, or the model; nothing of ours removes it.",
    ),
    Rule(
        "address_pool",
        # docker/for-linux#599
        (
            r"could not find an available, non-overlapping IPv4 address pool",
            r"all predefined address pools have been fully subnetted",
        ),
        "Docker has no free addresses left for a network, or a VPN's route covers them all",
        "Remove networks that nobody uses (`docker network ls`), or set default-address-pools in docker_engine_options.",
    ),
    Rule(
        "firewall_rules",
        (r"No chain/target/match by that name", r"iptables failed"),
        "the rules that Docker needs are gone from the firewall, most likely by a reload of it",
        "Restart Docker: `systemctl restart docker`. With live-restore, as we set it, engines run on.",
    ),
    Rule(
        "no_runtime",
        (r"unknown or invalid runtime name: (?P<what>\S+)",),
        "Docker has no runtime {what}",
        "Run site.yml with --tags nvidia_container_toolkit; engines get their cards by CDI and need no runtime.",
    ),
    Rule(
        "device_rules",
        (r"bpf_prog_query\(BPF_CGROUP_DEVICE\) failed", r"failed to add device rules"),
        "the kernel does not let the container have its device",
        "Use cards by CDI (docker_engine_cdi: true), or a newer container toolkit.",
    ),
)

_SGLANG = (
    Rule(
        "sglang_memory",
        # sgl-project/sglang#322: it says "increase" where other pages say "lower"; both are about the same share.
        (
            r"Please try to increase --mem-fraction-static",
            r"leave no GPU memory for the KV cache under --mem-fraction-static",
            r"Not enough memory to allocate KV cache",
        ),
        "no memory is left for the KV cache",
        "Give the model more memory, or lower its max_model_len or max_num_seqs.",
        True,
    ),
    Rule(
        "sglang_graphs",
        (r"Capture cuda graph failed",),
        "the card's memory ran out while CUDA graphs were captured",
        "Lower max_num_seqs, or set enforce_eager: true for the model.",
        True,
    ),
)

REPORTED = (*_GPU, *_MODEL, *_NETWORK, *_HOST, *_DOCKER, *_SGLANG)
