# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user writes of each model, checked once and for all: names, ports, sizes, presets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import distributed_rule, entry_values, placement_rule
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.ports import (
    MODELS,
    NO_RULES,
    PortRules,
    assign_ports,
    check_master_ports,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spelling import meant
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import whole_number

PRESETS = ("conservative", "balanced", "aggressive", "auto")
ENGINES = ("vllm",)
# A name becomes a Compose service, a container, a file and a host name in Docker's DNS.
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
# What the hub takes for a repository; few have no owner.
_HUB_ID = re.compile(r"(?=.{1,96}$)(?:\w[\w.-]*/)?\w(?:[\w.-]*\w)?", re.ASCII)
# What the gateway takes for a name of a model in a request.
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
# What a model may be for; where nobody says, its files do.
TASKS = ("generate", "embed", "score", "classify", "transcribe")
_DTYPES = ("auto", "half", "float16", "bfloat16", "float", "float32")
_SHORT_DTYPES = {"fp16": "float16", "f16": "float16", "bf16": "bfloat16", "fp32": "float32", "f32": "float32"}
_KV_DTYPES = ("auto", "fp8", "fp8_e4m3", "fp8_e5m2")
# What has a variable of its own, which renews it everywhere at once.
STACK_TOKENS = {
    "HF_TOKEN": "vllm_stack_hf_token",
    "HUGGING_FACE_HUB_TOKEN": "vllm_stack_hf_token",
    "HUGGINGFACE_HUB_TOKEN": "vllm_stack_hf_token",
    "VLLM_API_KEY": "vllm_stack_api_key",
}
# What overrides a figure of the plan. vLLM, platforms/cpu.py: the variable wins over --kv-cache-memory-bytes.
PLANNED_ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "Set kv_cache_memory_bytes instead."}
# What NVML gives a card; MIG-... is a part of one.
_UUID = re.compile(r"[A-Za-z][A-Za-z0-9/-]{0,79}")
# A name of ours for a second container of a model.
SURGE_SUFFIX = "-surge"
# The engine's parser takes these ranks of adapters and no others.
LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
LIST = MODELS


@dataclass(frozen=True)
class ModelSpec:
    """One model as the user wants it; None means that the plan or the engine decides."""

    name: str
    model: str
    port: int
    max_model_len: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    revision: str | None = None
    dtype: str = "auto"
    quantization: str | None = None
    kv_cache_dtype: str = "auto"
    enforce_eager: bool = False
    priority: int = 1
    gpus: tuple[str, ...] = ()
    tensor_parallel_size: int | None = None
    engine: str = "vllm"
    weights_bytes: int | None = None
    kv_cache_memory_bytes: int | None = None
    gpu_memory_utilization: float | None = None
    extra_args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    lora_adapters: tuple[Mapping[str, Any], ...] = ()
    trust_remote_code: bool = False
    config: Mapping[str, Any] | None = None
    config_path: str | None = None
    info: Mapping[str, Any] | None = None
    task: str | None = None
    allow_network: bool = False
    placement: placement_rule.PlacementRule = placement_rule.EVERYWHERE
    distributed: distributed_rule.Distributed | None = None
    # The length is the most that fits, up to what the model can.
    auto_length: bool = False

    @property
    def is_local(self) -> bool:
        """Whether the model is a folder on the host and not a hub id."""
        return self.model.startswith("/")


# What no branch and no tag is: they move.
COMMIT = re.compile(r"[0-9a-f]{40}")
_KNOWN = frozenset(ModelSpec.__dataclass_fields__) - {"auto_length"}


def parse_models(models: Any, ports: PortRules = NO_RULES) -> tuple[ModelSpec, ...]:
    """The models as written in vllm_stack_models; the first mistake is a FleetError that names its place."""
    if not isinstance(models, Sequence) or isinstance(models, (str, bytes)):
        fail(LIST, "it must be a list of models.", "Each entry needs at least name and model.")
    if not models:
        fail(LIST, "it is empty.", "Add one entry with name and model for each model to serve.")
    named = [_require_mapping(entry, index) for index, entry in enumerate(models)]
    assigned = assign_ports(named, ports)
    specs = tuple(_parse(entry, index, assigned[index]) for index, entry in enumerate(named))
    seen: dict[str, int] = {}
    for index, spec in enumerate(specs):
        names = [(spec.name, "name"), *((alias, "aliases") for alias in spec.aliases)]
        names += [(str(adapter["name"]), "lora_adapters") for adapter in spec.lora_adapters]
        for name, kind in names:
            if name in seen:
                where = f"{LIST}[{index}].{kind}"
                fail(where, f"{name} is already the name of {LIST}[{seen[name]}].", "Give each model its own.")
            seen[name] = index
    groups = {index: spec.distributed.master_port for index, spec in enumerate(specs) if spec.distributed}
    check_master_ports(groups, {spec.port: spec.name for spec in specs}, ports)
    return specs


def check_preset(preset: Any) -> str:
    """The preset, or a FleetError that lists the ones there are."""
    if preset not in PRESETS:
        fail(
            "vllm_stack_preset",
            f"there is no preset {preset!r}.",
            f"{meant(str(preset), PRESETS)}Take one of {', '.join(PRESETS)}.",
        )
    return str(preset)


def _require_mapping(entry: Any, index: int) -> Mapping[str, Any]:
    where = f"{LIST}[{index}]"
    if not isinstance(entry, Mapping):
        fail(where, "it must be a mapping.", "Write name: and model: below it.")
    unknown = sorted(str(key) for key in entry if key not in _KNOWN)
    if unknown:
        fail(
            f"{where}.{unknown[0]}",
            "there is no such setting.",
            meant(unknown[0], _KNOWN).strip() or f"Known are {', '.join(sorted(_KNOWN))}.",
        )
    return entry


def _parse(entry: Mapping[str, Any], index: int, port: int) -> ModelSpec:
    at = f"{LIST}[{index}]"
    auto_length = entry.get("max_model_len") in ("auto", -1, "-1")
    if auto_length:
        entry = {**entry, "max_model_len": None}
    whole = {
        key: None
        if entry.get(key) is None
        else entry_values.integer(entry_values.human(entry[key]), f"{at}.{key}", 1, 2**31)
        for key in ("max_model_len", "max_num_seqs", "max_num_batched_tokens", "tensor_parallel_size")
    }
    seqs, tokens = whole["max_num_seqs"], whole["max_num_batched_tokens"]
    if seqs is not None and tokens is not None and tokens < seqs:
        fail(
            f"{at}.max_num_batched_tokens",
            f"{tokens} is less than max_num_seqs, {seqs}.",
            f"Raise it to {seqs} at least: each running request needs one token a step.",
        )
    utilization = entry_values.share(entry.get("gpu_memory_utilization"), f"{at}.gpu_memory_utilization")
    if utilization is not None and entry.get("kv_cache_memory_bytes") is not None:
        fail(
            f"{at}.gpu_memory_utilization",
            "kv_cache_memory_bytes says already how large the cache is.",
            "Leave one of them out.",
        )
    _check_remote_code(entry, at)
    return ModelSpec(
        name=_name(entry.get("name"), f"{at}.name"),
        model=_model(entry.get("model"), f"{at}.model"),
        port=port,
        **whole,
        revision=entry_values.text(entry, "revision", at),
        dtype=entry_values.choice(entry, "dtype", _DTYPES, at, "auto", _SHORT_DTYPES),
        quantization=entry_values.text(entry, "quantization", at),
        kv_cache_dtype=entry_values.choice(entry, "kv_cache_dtype", _KV_DTYPES, at, "auto"),
        enforce_eager=entry_values.flag(entry, "enforce_eager", at),
        priority=entry_values.integer(
            1 if entry.get("priority") is None else entry["priority"], f"{at}.priority", 0, 1000
        ),
        gpus=_gpus(entry, at),
        engine=_engine(entry, at),
        weights_bytes=entry_values.size(entry, "weights_bytes", at),
        kv_cache_memory_bytes=entry_values.size(entry, "kv_cache_memory_bytes", at),
        gpu_memory_utilization=utilization,
        extra_args=_arguments(entry, at),
        env=_environment(entry.get("env"), f"{at}.env"),
        aliases=tuple(_alias(alias, f"{at}.aliases") for alias in entry_values.items(entry, "aliases", at)),
        lora_adapters=_adapters(entry, at),
        trust_remote_code=entry_values.flag(entry, "trust_remote_code", at),
        config=entry_values.mapping(entry, "config", at),
        config_path=entry_values.text(entry, "config_path", at),
        info=entry_values.mapping(entry, "info", at),
        task=entry_values.choice(entry, "task", TASKS, at, "") or None,
        allow_network=entry_values.flag(entry, "allow_network", at),
        placement=distributed_rule.rule_of(entry, at),
        distributed=_distributed(entry, at, auto_length),
        auto_length=auto_length,
    )


def _distributed(entry: Mapping[str, Any], at: str, auto_length: bool) -> distributed_rule.Distributed | None:
    group = distributed_rule.parse(entry.get("distributed"), f"{at}.distributed")
    if group is not None and auto_length:
        fail(
            f"{at}.max_model_len",
            "each host of a model over several would find another length.",
            "Write the number of tokens.",
        )
    return group


def _name(value: Any, where: str) -> str:
    if value in (None, ""):
        fail(where, "it is missing.", "Write a name such as qwen.")
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        fail(
            where,
            f"{repr(value)[:60]} is no name for a container.",
            "Use lower-case letters, digits, dot, dash and underscore, beginning and ending with a letter or digit.",
        )
    return _not_a_surge_name(value, where)


def _not_a_surge_name(value: str, where: str) -> str:
    if value.endswith(SURGE_SUFFIX):
        fail(
            where,
            f"{value} ends in {SURGE_SUFFIX}, which names the surge instance of another model.",
            "Take another name.",
        )
    return value


def _alias(value: Any, where: str) -> str:
    """A name that clients may use: it names no container, so that a hub id is one, too."""
    if not isinstance(value, str) or not _ALIAS.fullmatch(value):
        fail(
            where,
            f"{repr(value)[:60]} is no name of a model.",
            "Use letters, digits and . _ : / -, at most 128, beginning with a letter or digit.",
        )
    return _not_a_surge_name(value, where)


def _model(value: Any, where: str) -> str:
    remedy = "Write a hub id like owner/name, or a folder on the host."
    if value in (None, ""):
        fail(where, "it is missing.", remedy)
    if not isinstance(value, str) or any(c in value for c in "\n\r\t\0\"'`$\\ "):
        fail(where, f"{entry_values.shown(value)} is no model.", remedy)
    if value.startswith("/") and ".." not in value.split("/"):
        return value
    if not _HUB_ID.fullmatch(value):
        path = value.startswith((".", "~")) or value.count("/") > 1
        fail(
            where,
            f"{entry_values.shown(value)} is no model.",
            "Write the whole path of a folder on the host." if path and "://" not in value else remedy,
        )
    return value


def _check_remote_code(entry: Mapping[str, Any], at: str) -> None:
    """Refuse code from the hub that another may change after somebody has read it."""
    if not entry_values.flag(entry, "trust_remote_code", at) or str(entry.get("model")).startswith("/"):
        return
    if not COMMIT.fullmatch(str(entry.get("revision"))):
        fail(
            f"{at}.revision",
            "trust_remote_code runs the model's own code, and what a branch or a tag names can be changed after you have read it.",
            "Write the 40 digits of the commit that you have read.",
        )
    config = (entry_values.mapping(entry, "info", at) or {}).get("config")
    automatic = config.get("auto_map") if isinstance(config, Mapping) else None
    elsewhere = isinstance(automatic, Mapping) and any("--" in str(value) for value in automatic.values())
    if elsewhere and not _has_code_revision(_arguments(entry, at)):
        fail(
            f"{at}.extra_args",
            "the model's code comes from another repository, whose newest commit would run.",
            "Write --code-revision= and the 40 digits of the commit of it that you have read.",
        )


def _has_code_revision(arguments: Sequence[str]) -> bool:
    joined = " ".join(arguments).replace("_", "-")
    return re.search(r"--code-revision[= ][0-9a-f]{40}(?= |$)", joined) is not None


def _arguments(entry: Mapping[str, Any], at: str) -> tuple[str, ...]:
    written = entry_values.items(entry, "extra_args", at)
    return tuple(entry_values.word(item, f"{at}.extra_args[{index}]") for index, item in enumerate(written))


def _environment(value: Any, where: str) -> dict[str, str]:
    value = {} if value is None else value
    if not isinstance(value, Mapping) or not all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(key)) for key in value):
        fail(where, "it must map variable names to values.", "Write NAME: value below it.")
    for name, variable in STACK_TOKENS.items():
        if name in value:
            fail(f"{where}.{name}", "it is one of the whole stack.", f"Set {variable} instead.")
    for name, remedy in PLANNED_ENVIRONMENT.items():
        if name in value:
            fail(f"{where}.{name}", "the engine would take it in place of what is planned.", remedy)
    return {str(key): "" if item == "" else entry_values.word(item, f"{where}.{key}") for key, item in value.items()}


def _gpus(entry: Mapping[str, Any], at: str) -> tuple[str, ...]:
    gpus = tuple(_gpu(gpu, f"{at}.gpus[{index}]") for index, gpu in enumerate(entry_values.items(entry, "gpus", at)))
    if len(set(gpus)) < len(gpus):
        fail(f"{at}.gpus", f"{', '.join(gpus)} names a card twice.", "Name each once.")
    return gpus


def _gpu(value: Any, where: str) -> str:
    number = whole_number(value)
    if (number is None or number < 0) and not (isinstance(value, str) and _UUID.fullmatch(value)):
        fail(where, f"{entry_values.shown(value)} is no card.", "Write its number, from 0, or its UUID.")
    return str(value)


def _engine(entry: Mapping[str, Any], at: str) -> str:
    if entry.get("engine") == "sglang":
        fail(f"{at}.engine", "SGLang is not served yet.", "Leave engine out: vLLM serves the model.")
    return entry_values.choice(entry, "engine", ENGINES, at, "vllm")


def _adapters(entry: Mapping[str, Any], at: str) -> tuple[Mapping[str, Any], ...]:
    where = f"{at}.lora_adapters"
    adapters = entry_values.items(entry, "lora_adapters", at)
    for item in adapters:
        if not isinstance(item, Mapping) or not {"name", "path"} <= set(item) <= {"name", "path", "rank"}:
            fail(where, "each adapter needs name and path.", "Write both below it; rank is 16.")
        _name(item["name"], f"{where}.name")
        _model(item["path"], f"{where}.path")
        if whole_number(item.get("rank", 16)) not in LORA_RANKS:
            fail(
                f"{where}.rank",
                f"{entry_values.shown(item['rank'])} is no rank that the engine takes.",
                f"Take the next larger one of {', '.join(str(rank) for rank in LORA_RANKS)}.",
            )
    return tuple(adapters)
