# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user writes of each model, checked once and for all: names, ports, sizes, presets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core import placement_rule
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.ports import (
    MODELS,
    NO_RULES,
    PortRules,
    assign_ports,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spelling import meant
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import parse_size
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.yaml_words import truth

PRESETS = ("conservative", "balanced", "aggressive", "auto")
ENGINES = ("vllm",)
# A name becomes a Compose service, a container, a file and a host name in Docker's DNS.
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
# What the gateway takes for a name of a model in a request.
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
_THOUSANDS = {"k": 1000, "m": 1000**2, "g": 1000**3}
_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3}
# What a model may be for; where nobody says, its files do.
TASKS = ("generate", "embed", "score", "classify", "transcribe")
_DTYPES = ("auto", "half", "float16", "bfloat16", "float", "float32")
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
        key: None if entry.get(key) is None else _integer(_human(entry[key]), f"{at}.{key}", 1, 2**31)
        for key in ("max_model_len", "max_num_seqs", "max_num_batched_tokens", "tensor_parallel_size")
    }
    seqs, tokens = whole["max_num_seqs"], whole["max_num_batched_tokens"]
    if seqs is not None and tokens is not None and tokens < seqs:
        fail(
            f"{at}.max_num_batched_tokens",
            f"{tokens} is less than max_num_seqs, {seqs}.",
            f"Raise it to {seqs} at least: each running request needs one token a step.",
        )
    utilization = entry.get("gpu_memory_utilization")
    if utilization is not None and not (_is_number(utilization) and 0 < float(utilization) <= 1):
        fail(
            f"{at}.gpu_memory_utilization",
            f"{utilization!r} is not a share.",
            f"Write {float(utilization) / 100:g}."
            if _is_number(utilization) and 1 < float(utilization) <= 100
            else "Take a number above 0 and up to 1.",
        )
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
        revision=_text(entry, "revision", at),
        dtype=_choice(entry, "dtype", _DTYPES, at, "auto"),
        quantization=_text(entry, "quantization", at),
        kv_cache_dtype=_choice(entry, "kv_cache_dtype", _KV_DTYPES, at, "auto"),
        enforce_eager=_flag(entry, "enforce_eager", at),
        priority=_integer(entry.get("priority", 1), f"{at}.priority", 0, 1000),
        gpus=_cards(entry, at),
        engine=_engine(entry, at),
        weights_bytes=_size(entry, "weights_bytes", at),
        kv_cache_memory_bytes=_size(entry, "kv_cache_memory_bytes", at),
        gpu_memory_utilization=None if utilization is None else float(utilization),
        extra_args=tuple(str(arg) for arg in _list(entry, "extra_args", at)),
        env=_environment(entry.get("env") or {}, f"{at}.env"),
        aliases=tuple(_alias(alias, f"{at}.aliases") for alias in _list(entry, "aliases", at)),
        lora_adapters=_adapters(entry, at),
        trust_remote_code=_flag(entry, "trust_remote_code", at),
        config=entry.get("config"),
        config_path=_text(entry, "config_path", at),
        info=entry.get("info"),
        task=_choice(entry, "task", TASKS, at, "") or None,
        allow_network=_flag(entry, "allow_network", at),
        placement=placement_rule.parse(entry.get("placement"), f"{at}.placement"),
        auto_length=auto_length,
    )


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
    if not isinstance(value, str) or value != value.strip() or any(c in value for c in "\n\r\t\0\"'`$\\ "):
        fail(where, f"{repr(value)[:60]} is no model.", remedy)
    if value.startswith("-") or ".." in value.split("/") or "://" in value:
        fail(where, f"{value!r} is no model.", "Write a hub id like owner/name, or a whole path.")
    return value


def _check_remote_code(entry: Mapping[str, Any], at: str) -> None:
    """Refuse code from the hub that another may change after somebody has read it."""
    if entry.get("trust_remote_code") is not True or str(entry.get("model")).startswith("/"):
        return
    if not COMMIT.fullmatch(str(entry.get("revision"))):
        fail(
            f"{at}.revision",
            "trust_remote_code runs the model's own code, and what a branch or a tag names can be changed after you have read it.",
            "Write the 40 digits of the commit that you have read.",
        )
    automatic = ((entry.get("info") or {}).get("config") or {}).get("auto_map")
    elsewhere = isinstance(automatic, Mapping) and any("--" in str(value) for value in automatic.values())
    if elsewhere and not _has_code_revision([str(argument) for argument in _list(entry, "extra_args", at)]):
        fail(
            f"{at}.extra_args",
            "the model's code comes from another repository, whose newest commit would run.",
            "Write --code-revision= and the 40 digits of the commit of it that you have read.",
        )


def _has_code_revision(arguments: Sequence[str]) -> bool:
    joined = " ".join(arguments).replace("_", "-")
    return re.search(r"--code-revision[= ][0-9a-f]{40}(?= |$)", joined) is not None


def _environment(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(key)) for key in value):
        fail(where, "it must map variable names to values.", "Write NAME: value below it.")
    for name, variable in STACK_TOKENS.items():
        if name in value:
            fail(f"{where}.{name}", "it is one of the whole stack.", f"Set {variable} instead.")
    for name, remedy in PLANNED_ENVIRONMENT.items():
        if name in value:
            fail(f"{where}.{name}", "the engine would take it in place of what is planned.", remedy)
    return {str(key): str(item) for key, item in value.items()}


def _cards(entry: Mapping[str, Any], at: str) -> tuple[str, ...]:
    cards = tuple(str(gpu) for gpu in _list(entry, "gpus", at))
    if len(set(cards)) < len(cards):
        fail(f"{at}.gpus", f"{', '.join(cards)} names a card twice.", "Name each once.")
    return cards


def _engine(entry: Mapping[str, Any], at: str) -> str:
    if entry.get("engine") == "sglang":
        fail(f"{at}.engine", "SGLang is not served yet.", "Leave engine out: vLLM serves the model.")
    return _choice(entry, "engine", ENGINES, at, "vllm")


def _adapters(entry: Mapping[str, Any], at: str) -> tuple[Mapping[str, Any], ...]:
    where = f"{at}.lora_adapters"
    adapters = _list(entry, "lora_adapters", at)
    for item in adapters:
        if not isinstance(item, Mapping) or not {"name", "path"} <= set(item) <= {"name", "path", "rank"}:
            fail(where, "each adapter needs name and path.", "Write both below it; rank is 16.")
        _name(item["name"], f"{where}.name")
        _model(item["path"], f"{where}.path")
        if item.get("rank", 16) not in LORA_RANKS:
            fail(
                f"{where}.rank",
                f"{item['rank']!r} is no rank that the engine takes.",
                f"Take the next larger one of {', '.join(str(rank) for rank in LORA_RANKS)}.",
            )
    return tuple(adapters)


def _integer(value: Any, where: str, low: int, high: int) -> int:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if isinstance(value, str) and re.fullmatch(r"\d{1,12}", value):
        whole, value = True, int(value)
    if not whole or not low <= value <= high:
        fail(where, f"{value!r} is out of bounds.", f"Take a whole number from {low} to {high}.")
    return int(value)


def _human(value: Any) -> Any:
    """A number as the engine's parser reads one: 32k is 32,000 and 32K 32,768; fractions only of thousands."""
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)([kKmMgG])", value) if isinstance(value, str) else None
    if match is None:
        return value
    number, unit = match.groups()
    if unit in _THOUSANDS:
        return int(float(number) * _THOUSANDS[unit])
    return int(number) * _UNITS[unit] if "." not in number else value


def _size(entry: Mapping[str, Any], key: str, at: str) -> int | None:
    value = entry.get(key)
    if value is None:
        return None
    size = parse_size(value, f"{at}.{key}")
    if size == 0:
        fail(f"{at}.{key}", f"{value!r} is nothing.", "Write it like 6GiB, or leave it out.")
    return size


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, bool)


def _flag(entry: Mapping[str, Any], key: str, at: str) -> bool:
    value = entry.get(key, False)
    answer = truth(value)
    if answer is None:
        fail(f"{at}.{key}", f"{value!r} is neither true nor false.", "Write one of them.")
    return answer


def _text(entry: Mapping[str, Any], key: str, at: str) -> str | None:
    value = entry.get(key)
    if value is not None and (not isinstance(value, str) or not re.fullmatch(r"[\w./@:+-]+", value)):
        fail(f"{at}.{key}", f"{value!r} is not one word.", "Use letters, digits and ./@:+-_ only.")
    return value


def _choice(entry: Mapping[str, Any], key: str, choices: Sequence[str], at: str, default: str) -> str:
    value = entry.get(key) or default
    if value not in choices and value != default:
        fail(
            f"{at}.{key}", f"{value!r} is not known.", f"{meant(str(value), choices)}Take one of {', '.join(choices)}."
        )
    return str(value)


def _list(entry: Mapping[str, Any], key: str, at: str) -> Sequence[Any]:
    value = [] if entry.get(key) is None else entry[key]
    if not isinstance(value, Sequence) or isinstance(value, str):
        fail(f"{at}.{key}", "it must be a list.", "Write it as [one, two].")
    return value
