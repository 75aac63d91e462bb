# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A line for each pattern of the causes known from reports, written anew in the shape that reports and sources show."""

DAEMON = "Error response from daemon: "
URL = "/api/models/org/model"
REPORTED_LINES = [
    (
        "no_gpu_in_container",
        "RuntimeError: Failed to infer device type, please set VLLM_LOGGING_LEVEL=DEBUG to see why",
    ),
    ("no_gpu_in_container", "RuntimeError: No CUDA GPUs are available"),
    (
        "no_gpu_in_container",
        "ImportError: libcuda.so.1: cannot open shared object file: No such file or directory",
    ),
    ("no_gpu_in_container", "RuntimeError: Found no NVIDIA driver on your system. Please check that you have a GPU"),
    ("lost_gpu", "Failed to initialize NVML: Unknown Error"),
    (
        "lost_gpu",
        "RuntimeError: CUDA unknown error - this may be due to an incorrectly set up environment, e.g. changing CUDA_VISIBLE_DEVICES",
    ),
    ("driver_not_loaded", "pynvml.NVMLError_DriverNotLoaded: NVML: Driver Not Loaded"),
    (
        "driver_not_loaded",
        "nvidia-ctk: initialization error: nvml error: driver not loaded",
    ),
    (
        "fabric_manager",
        "RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized",
    ),
    ("illegal_access", "torch.AcceleratorError: CUDA error: an illegal memory access was encountered"),
    ("device_assert", "RuntimeError: CUDA error: device-side assert triggered"),
    ("cublas_memory", "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    (
        "cublas",
        "RuntimeError: CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasGemmEx(handle, opa, opb, m, n, k)`",
    ),
    ("gpu_busy", "RuntimeError: CUDA error: all CUDA-capable devices are busy or unavailable"),
    ("peer_access", "RuntimeError: CUDA error: peer access is not supported between these two devices"),
    (
        "duplicate_gpu",
        "torch.distributed.DistBackendError: Duplicate GPU detected : rank 1 and rank 0 both on CUDA device 1000",
    ),
    ("old_ptxas", "ptxas fatal   : Value 'sm_120' is not defined for option 'gpu-name'"),
    (
        "kernel_too_large",
        "triton.runtime.errors.OutOfResources: out of resource: shared memory, Required: 81920, Hardware limit: 65536.",
    ),
    ("flash_attention", "RuntimeError: FlashAttention only supports Ampere GPUs or newer."),
    ("no_nvcc", "RuntimeError: Could not find nvcc and default cuda_home='/usr/local/cuda' doesn't exist"),
    ("no_nvcc", "RuntimeError: Ninja build failed. Ninja output:"),
    ("no_nvcc", "/bin/sh: 1: /usr/local/cuda/bin/nvcc: not found"),
    (
        "mixed_builds",
        "ImportError: /usr/local/lib/python3.12/dist-packages/vllm/_C.abi3.so: undefined symbol: _ZN3c104cuda9SetDeviceEi",
    ),
    ("heads", "ValueError: Total number of attention heads (28) must be divisible by tensor parallel size (8)."),
    (
        "quantization_block",
        "ValueError: The output_size of gate's and up's weight = 192 is not divisible by weight quantization block_n = 128.",
    ),
    (
        "quantization_card",
        "ValueError: The quantization method awq is not supported for the current GPU. Minimum capability: 75. Current capability: 70.",
    ),
    (
        "quantization_card",
        "RuntimeError: ('Quantization scheme is not supported for ', 'the current GPU. Min capability: 80. ', 'Current capability: 75.')",
    ),
    (
        "quantization_other",
        "ValueError: Quantization method specified in the model config (awq) does not match the quantization method specified in the "
        "`quantization` argument (gptq).",
    ),
    ("quantization_unknown", "ValueError: Unknown quantization method: mxfp6. Must be one of ['awq', 'fp8']."),
    ("quantization_unknown", "ValueError: Invalid quantization method: qq4"),
    (
        "quantization_dtype",
        "ValueError: torch.bfloat16 is not supported for quantization method gptq. Supported dtypes: [torch.float16]",
    ),
    (
        "model_type",
        "ValueError: The checkpoint you are trying to load has type `new` but Transformers does not recognize this architecture.",
    ),
    (
        "model_type",
        "ValueError: Unrecognized model in /models/mine. Should have a `model_type` key in its config.json.",
    ),
    ("other_weights", "ValueError: There is no module or parameter named 'language_model' in Gemma3ForCausalLM"),
    (
        "other_weights",
        "AssertionError: Attempted to load weight (torch.Size([151936, 1024])) into parameter (torch.Size([151936, 896]))",
    ),
    ("no_weights", "RuntimeError: Cannot find any model weights with `/models/gguf-only`"),
    ("lora_rank", "ValueError: LoRA rank 64 is greater than max_lora_rank 16."),
    ("lora_missing", "ValueError: Loading lora support failed: No adapter found for /adapters/support"),
    (
        "image_budget",
        "ValueError: Chunked MM input disabled but max_tokens_per_mm_item (16384) is larger than max_num_batched_tokens (8192).",
    ),
    ("mamba_blocks", "ValueError: max_num_seqs (256) exceeds available Mamba cache blocks (120)."),
    ("tool_parser", "KeyError: 'invalid tool call parser: hermess (chose from { hermes,mistral,pythonic })'"),
    ("tool_parser", "TypeError: Error: --enable-auto-tool-choice requires --tool-call-parser"),
    (
        "chat_template",
        "ValueError: The supplied chat template string (/templates/mine.jinja) looks like a file path, but it failed to be opened.",
    ),
    (
        "missing_packages",
        "ImportError: This modeling file requires the following packages that were not found in your environment: einops. Run `pip",
    ),
    ("clock", "ssl.SSLCertVerificationError: certificate is not yet valid (_ssl.c:1000)"),
    ("clock", f'{DAEMON}Get "https://registry-1.docker.io/v2/": tls: x509: certificate has expired'),
    (
        "certificate",
        "requests.exceptions.SSLError: HTTPSConnectionPool(host='huggingface.co', port=443): [SSL: CERTIFICATE_VERIFY_FAILED] self-signed",
    ),
    (
        "certificate",
        f'{DAEMON}Get "https://registry.example.com/v2/": tls: failed to verify certificate: x509: certificate signed by unknown authority',
    ),
    (
        "proxy",
        f"requests.exceptions.ProxyError: HTTPSConnectionPool: {URL} (Caused by ProxyError('Unable to connect to proxy'))",
    ),
    ("proxy", "OSError: Tunnel connection failed: 403 Forbidden by policy"),
    ("dns", "urllib3.exceptions.NameResolutionError: [Errno -3] Temporary failure in name resolution"),
    ("dns", "socket.gaierror: [Errno -2] Name or service not known"),
    ("dns", "httpx.ConnectError: Failed to resolve 'huggingface.co' ([Errno -5] No address associated with hostname)"),
    (
        "dns",
        f'{DAEMON}Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io on 10.0.0.2:53: no such host',
    ),
    (
        "hub_down",
        f"requests.exceptions.HTTPError: 503 Server Error: Service Unavailable for url: https://huggingface.co{URL}",
    ),
    (
        "short_download",
        "OSError: Consistency check failed: file should be of size 3945441440 but has size 635 (model-00001-of-00002.safetensors).",
    ),
    (
        "xet",
        "RuntimeError: Data processing error: CAS service error : ReqwestMiddleware Error: Request failed after 5 retries",
    ),
    ("xet", "RuntimeError: hf_xet: Data processing error: File reconstruction error"),
    (
        "slow_network",
        "requests.exceptions.ReadTimeout: HTTPSConnectionPool(host='huggingface.co', port=443): Read timed out.",
    ),
    ("slow_network", f'{DAEMON}Get "https://registry-1.docker.io/v2/": net/http: TLS handshake timeout'),
    (
        "slow_network",
        f'{DAEMON}Get "https://registry-1.docker.io/v2/": net/http: request canceled while waiting for connection',
    ),
    ("too_many_processes", "RuntimeError: can't start new thread"),
    (
        "too_many_processes",
        "OpenBLAS blas_thread_init: pthread_create failed for thread 7 of 32: Resource temporarily unavailable",
    ),
    ("too_many_processes", "/bin/sh: 1: Cannot fork: fork: Resource temporarily unavailable"),
    ("too_many_files", "OSError: [Errno 24] Too many open files"),
    ("host_memory", "OSError: [Errno 12] Cannot allocate memory"),
    ("architecture", "exec /usr/bin/python3: exec format error"),
    ("architecture", f"{DAEMON}no matching manifest for linux/arm64/v8 in the manifest list entries"),
    ("processor", "Fatal Python error: Illegal instruction"),
    ("read_only", "OSError: [Errno 30] Read-only file system: '/models/qwen/.lock'"),
    ("disk_fault", "OSError: [Errno 5] Input/output error"),
    ("pull_limit", f"{DAEMON}toomanyrequests: You have reached your unauthenticated pull rate limit."),
    ("image_missing", f"{DAEMON}manifest for vllm/vllm-openai:v9.9.9 not found"),
    ("image_missing", f"{DAEMON}received unexpected HTTP status: manifest unknown"),
    (
        "image_missing",
        f"{DAEMON}pull access denied for vllm/vllm-opnai, repository does not exist or may require 'docker login'",
    ),
    ("registry_login", f'{DAEMON}Get "https://registry.example.com/v2/": no basic auth credentials'),
    ("registry_login", f"{DAEMON}unauthorized: authentication required"),
    ("registry_login", f"{DAEMON}denied: requested access to the resource is denied"),
    ("no_docker", "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"),
    ("name_taken", f'{DAEMON}Conflict. The container name "/vllm-qwen" is already in use by container "1f2e3d".'),
    (
        "address_pool",
        f"{DAEMON}could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network",
    ),
    ("address_pool", f"{DAEMON}all predefined address pools have been fully subnetted"),
    (
        "firewall_rules",
        f"{DAEMON}Failed to Setup IP tables: Unable to enable DROP INCOMING rule: iptables: No chain/target/match by that name.",
    ),
    ("firewall_rules", f"{DAEMON}driver failed programming external connectivity: iptables failed: exit status 1"),
    ("no_runtime", f"{DAEMON}unknown or invalid runtime name: nvidia"),
    (
        "device_rules",
        f"{DAEMON}OCI runtime create failed: bpf_prog_query(BPF_CGROUP_DEVICE) failed: function not implemented",
    ),
    (
        "device_rules",
        f"{DAEMON}OCI runtime create failed: failed to add device rules: unable to find any existing device filters",
    ),
    ("sglang_memory", "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static."),
    (
        "sglang_memory",
        "ValueError: Loaded weights leave no GPU memory for the KV cache under --mem-fraction-static=0.4. Raise it above 0.52.",
    ),
    ("sglang_memory", "RuntimeError: Not enough memory to allocate KV cache."),
    ("sglang_graphs", "Exception: Capture cuda graph failed: HIP or CUDA returned 2"),
]
