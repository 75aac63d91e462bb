# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many bits each linear layer's weight takes, by what a checkpoint's files or the user say of its quantization.

Patterns are matched as the engine matches them; each method has its own way. Source: vLLM, model_executor/layers/quantization.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.layout import Matrix, Part, names

# Bits with scales and zero points (16 bits each for a group of 128; a byte for 16 values of NVFP4, for 32 of MXFP4; a float for 64 of NF4).
_NVFP4, _MXFP4, _MXFP8 = 4 + 8 / 16, 4 + 8 / 32, 8 + 8 / 32
_BITS: Mapping[str, float] = {
    "fp8": 8.0,
    "fbgemm_fp8": 8.0,
    "experts_int8": 8.0,
    "awq": 4 + 32 / 128,
    "awq_marlin": 4 + 32 / 128,
    "gptq": 4 + 32 / 128,
    "gptq_marlin": 4 + 32 / 128,
    "auto-round": 4 + 16 / 128,
    "inc": 4 + 16 / 128,
    "bitsandbytes": 4 + 32 / 64,
    "modelopt": 8.0,
    "modelopt_fp4": _NVFP4,
    "modelopt_mixed": 8.0,
    "mxfp4": _MXFP4,
    "compressed-tensors": 8.0,
}
_ALGORITHMS: Mapping[str, float] = {
    "FP8": 8.0,
    "FP8_PER_CHANNEL_PER_TOKEN": 8.0,
    "FP8_PB_WO": 8.0,
    "NVFP4": _NVFP4,
    "W4A16_NVFP4": _NVFP4,
    "NVFP4_AWQ": _NVFP4,
    "MXFP8": _MXFP8,
    "W4A8_AWQ": 4 + 16 / 128,
}
# Each input row's place in its group and the order by groups, two whole numbers, where GPTQ reordered by activations.
_ROW_ORDER_BITS = 64
# Files beside config.json that say what it doesn't.
FILES = ("hf_quant_config.json", "quantize_config.json", "quant_config.json")


class Match(enum.Enum):
    """How a list of layers is matched: whole names, words between dots, any part of a name, shell patterns, or whole names and "re:"."""

    WHOLE = enum.auto()
    WORDS = enum.auto()
    PART = enum.auto()
    WILDCARD = enum.auto()
    REGEX = enum.auto()


@dataclass(frozen=True)
class Rule:
    """Bits for the layers that one pattern names; of several the first that matches counts."""

    match: Match
    pattern: str
    bits: float | None


@dataclass(frozen=True)
class Quantization:
    """`method` is None for plain weights; `rules` say which layers differ from `weight_bits`, None in one meaning plain."""

    method: str | None
    weight_bits: float
    plain_bits: float = 16.0
    fp8_cache: bool = False
    known: bool = True
    rules: tuple[Rule, ...] = ()
    # Whether a layer that no rule names is quantized.
    otherwise: bool = True
    parts: frozenset[Part] = frozenset((Part.DECODER, Part.EXPERTS))
    row_order: bool = False

    def bits_of(self, matrix: Matrix, nested: bool) -> float:
        """Bits of all parameters of a matrix, over its layers."""
        if self.method is None or (matrix.part not in self.parts and not self.rules):
            return matrix.parameters * self.plain_bits
        order = _ROW_ORDER_BITS * matrix.inputs * matrix.copies if self.row_order else 0
        total = 0.0
        for _number, known in names(matrix, nested):
            bits = self._bits(matrix, known)
            total += matrix.each * bits + (order if bits != self.plain_bits else 0)
        return total

    def _bits(self, matrix: Matrix, known: Sequence[str]) -> float:
        rule = _first_match(self.rules, known)
        if rule is not None:
            return self.plain_bits if rule.bits is None else rule.bits
        return self.weight_bits if self.otherwise and matrix.part in self.parts else self.plain_bits

    def is_even(self, matrices: Sequence[Matrix], nested: bool) -> bool:
        """Whether each linear layer has the same bits in all layers of the model."""
        if self.method is None or not self.rules:
            return True
        return all(len({self._bits(one, known) for _number, known in names(one, nested)}) <= 1 for one in matrices)

    def plain_shares(self, matrices: Sequence[Matrix], nested: bool) -> float:
        """The share of linear parameters that stay plain in a quantized model."""
        whole = sum(one.parameters for one in matrices) or 1
        plain = sum(one.parameters for one in matrices if self.bits_of(one, nested) >= one.parameters * self.plain_bits)
        return plain / whole


def read(
    config: Mapping[str, Any],
    asked: str | None,
    dtype_bytes: int,
    files: Mapping[str, Mapping[str, Any]] | None = None,
    where: str = "config",
    inner: Mapping[str, Any] | None = None,
) -> Quantization:
    """What a checkpoint says of its quantization; `asked` is the user's, for weights that are quantized while they load.

    `files` are the files beside config.json, `inner` the section of a multimodal model's language part.
    """
    plain = 8.0 * dtype_bytes
    section = (
        _section(config)
        or _section(inner or {})
        or next((said for name in FILES if (said := (files or {}).get(name))), {})
    )
    quantized = section.get("quantization")
    # ModelOpt's older form has everything one level down.
    body: Mapping[str, Any] = {**section, **quantized} if isinstance(quantized, Mapping) else section
    method = _method(body) or asked
    if not method:
        if section:
            return Quantization("unknown", plain, plain, known=False)
        return Quantization(None, plain, plain)
    scheme = body.get("kv_cache_scheme")
    fp8_cache = isinstance(scheme, Mapping) or scheme == "FP8" or body.get("kv_cache_quant_algo") == "FP8"
    reader = _READERS.get(method)
    if reader is None:
        known = method in _BITS
        found = Quantization(method, _BITS.get(method, plain), plain, known=known)
    else:
        found = reader(method, body, plain, where)
    return dataclasses.replace(found, fp8_cache=fp8_cache, plain_bits=plain)


def _section(config: Mapping[str, Any]) -> Mapping[str, Any]:
    for key in ("quantization_config", "compression_config"):
        found = config.get(key)
        if isinstance(found, Mapping) and found:
            return found
    return {}


def _method(body: Mapping[str, Any]) -> str:
    method = str(body.get("quant_method") or "").lower().replace("compressed_tensors", "compressed-tensors")
    algorithm = str(body.get("quant_algo") or "").upper()
    producer = body.get("producer")
    if algorithm and (not method or method.startswith("modelopt")):
        is_modelopt = (
            method or (isinstance(producer, Mapping) and producer.get("name") == "modelopt") or algorithm in _ALGORITHMS
        )
        if is_modelopt:
            return (
                "modelopt_mixed"
                if algorithm == "MIXED_PRECISION"
                else "modelopt_fp4"
                if "FP4" in algorithm
                else "modelopt"
            )
    if not method and body.get("bits") is not None and body.get("group_size") is not None:
        # AutoGPTQ's and AutoAWQ's own files name no method.
        return "awq" if "zero_point" in body or "w_bit" in body else "gptq"
    return method


def _block_fp8(method: str, body: Mapping[str, Any], plain: float, _where: str) -> Quantization:
    skipped = (*_texts(body.get("modules_to_not_convert")), *_texts(body.get("ignored_layers")))
    return Quantization(method, 8.0, rules=tuple(Rule(Match.WHOLE, one, None) for one in skipped))


def _experts_only(method: str, _body: Mapping[str, Any], _plain: float, _where: str) -> Quantization:
    """mxfp4 and experts_int8 quantize experts and nothing else."""
    return Quantization(method, _BITS[method], parts=frozenset((Part.EXPERTS,)))


def _awq(method: str, body: Mapping[str, Any], plain: float, _where: str) -> Quantization:
    rules = tuple(Rule(Match.PART, one, None) for one in _texts(body.get("modules_to_not_convert")))
    return Quantization(method, _grouped(body, 32), rules=rules)


def _gptq(method: str, body: Mapping[str, Any], plain: float, where: str) -> Quantization:
    # Of a symmetric one no zero points are kept: seen of two starts.
    rules, parts, scales = [], {Part.DECODER, Part.EXPERTS}, 32 if body.get("sym") is False else 16
    dynamic = body.get("dynamic")
    for pattern, change in dynamic.items() if isinstance(dynamic, Mapping) else ():
        sign, regex = (str(pattern)[:2], str(pattern)[2:]) if str(pattern)[:2] in ("-:", "+:") else ("+:", str(pattern))
        _check_regex(regex, where)
        bits = None if sign == "-:" else _grouped({**body, **change} if isinstance(change, Mapping) else body, scales)
        rules.append(Rule(Match.REGEX, f"re:{regex}", bits))
    if body.get("lm_head") is True:
        parts.add(Part.HEAD)
    return Quantization(
        method,
        _grouped(body, scales),
        rules=tuple(rules),
        parts=frozenset(parts),
        row_order=body.get("desc_act") is True,
    )


def _auto_round(method: str, body: Mapping[str, Any], plain: float, where: str) -> Quantization:
    scales = 16 if body.get("sym") is not False else 32
    rules = []
    extra = body.get("extra_config")
    for name, change in extra.items() if isinstance(extra, Mapping) else ():
        changed = {**body, **change} if isinstance(change, Mapping) else body
        bits = changed.get("bits")
        found = None if _positive(bits, 16) >= 16 else _grouped(changed, scales)
        rules.append(Rule(Match.WHOLE, str(name), found))
        if any(mark in str(name) for mark in "*^$["):
            _check_regex(str(name), where)
            rules.append(Rule(Match.REGEX, f"re:{name}", found))
    return Quantization(method, _grouped(body, scales), rules=tuple(rules))


def _bitsandbytes(method: str, body: Mapping[str, Any], plain: float, _where: str) -> Quantization:
    bits = 8.0 if body.get("load_in_8bit") is True else _BITS[method]
    return Quantization(
        method, bits, rules=tuple(Rule(Match.WORDS, one, None) for one in _texts(body.get("llm_int8_skip_modules")))
    )


def _modelopt(method: str, body: Mapping[str, Any], plain: float, where: str) -> Quantization:
    excluded = [*_texts(body.get("exclude_modules")), *_texts(body.get("ignore"))]
    rules = [Rule(Match.WILDCARD, one, None) for one in excluded]
    algorithm = str(body.get("quant_algo") or ("NVFP4" if method == "modelopt_fp4" else "FP8")).upper()
    parts = frozenset((Part.DECODER, Part.EXPERTS, Part.HEAD))
    if algorithm != "MIXED_PRECISION":
        bits = _ALGORITHMS.get(algorithm)
        return Quantization(method, bits or plain, rules=tuple(rules), parts=parts, known=bits is not None)
    named = body.get("quantized_layers")
    for name, change in named.items() if isinstance(named, Mapping) else ():
        bits = _ALGORITHMS.get(str(change.get("quant_algo")).upper()) if isinstance(change, Mapping) else None
        if bits is None:
            return Quantization(method, plain, known=False)
        rules.append(Rule(Match.WHOLE, str(name), bits))
    return Quantization(method, 8.0, rules=tuple(rules), otherwise=False, parts=parts, known=isinstance(named, Mapping))


def _compressed(method: str, body: Mapping[str, Any], plain: float, where: str) -> Quantization:
    """Its groups name layers or a class; a name counts before the class."""
    groups = body.get("config_groups")
    rules: list[Rule] = []
    for one in _texts(body.get("ignore")):
        _check_regex(one.removeprefix("re:"), where)
        rules.append(Rule(Match.REGEX, one, None))
    widths: list[float] = []
    for group in groups.values() if isinstance(groups, Mapping) else ():
        weights = group.get("weights") if isinstance(group, Mapping) else None
        if not isinstance(weights, Mapping) or not _is_positive(weights.get("num_bits")):
            continue
        bits = _group_bits(weights, plain)
        targets = _texts(group.get("targets"))
        named = [one for one in targets if one.startswith("re:") or "." in one]
        for one in named:
            _check_regex(one.removeprefix("re:"), where)
            rules.append(Rule(Match.REGEX, one, bits))
        if len(named) < len(targets) or not targets:
            widths.append(bits)
    found = max(widths, default=max((rule.bits for rule in rules if rule.bits), default=plain))
    return Quantization(method, found, rules=tuple(rules), otherwise=bool(widths))


def _group_bits(weights: Mapping[str, Any], plain: float) -> float:
    bits, size = float(weights["num_bits"]), _positive(weights.get("group_size"), 0)
    if size:
        # NVFP4's and MXFP4's scales are of eight bits; all others are of the model's dtype, and so are zero points where there are any.
        scale = 8 if weights.get("type") == "float" and bits == 4 else 16
        bits += (scale + (0 if weights.get("symmetric", True) else bits)) / size
    return min(plain, bits)


def _quark(method: str, body: Mapping[str, Any], plain: float, _where: str) -> Quantization:
    rules = [Rule(Match.WILDCARD, one, None) for one in _texts(body.get("exclude"))]
    layers = body.get("layer_quant_config")
    for name, change in layers.items() if isinstance(layers, Mapping) else ():
        rules.append(Rule(Match.WILDCARD, str(name), _quark_bits(change)))
    bits = _quark_bits(body.get("global_quant_config"))
    return Quantization(method, bits or plain, rules=tuple(rules), known=bits is not None)


def _quark_bits(section: Any) -> float | None:
    weight = section.get("weight") if isinstance(section, Mapping) else None
    if isinstance(weight, Sequence) and weight and not isinstance(weight, str):
        weight = weight[0]
    dtype = str(weight.get("dtype")) if isinstance(weight, Mapping) else ""
    return {"fp8_e4m3": 8.0, "int8": 8.0, "fp4": _MXFP4, "int4": 4 + 16 / 128}.get(dtype)


_Reader = Callable[[str, Mapping[str, Any], float, str], Quantization]
_READERS: Mapping[str, _Reader] = {
    **dict.fromkeys(("fp8", "fbgemm_fp8"), _block_fp8),
    **dict.fromkeys(("mxfp4", "experts_int8"), _experts_only),
    **dict.fromkeys(("awq", "awq_marlin"), _awq),
    **dict.fromkeys(("gptq", "gptq_marlin"), _gptq),
    **dict.fromkeys(("auto-round", "inc"), _auto_round),
    **dict.fromkeys(("modelopt", "modelopt_fp4", "modelopt_mixed"), _modelopt),
    "bitsandbytes": _bitsandbytes,
    "compressed-tensors": _compressed,
    "quark": _quark,
}


def _first_match(rules: tuple[Rule, ...], known: Sequence[str]) -> Rule | None:
    """The first rule that names the layer that goes by these names."""
    whole, others = _indexed(rules)
    # A name stands for the module and all below it.
    best = min((whole[part] for name in known for part in _parents(name) if part in whole), default=len(rules))
    for place, rule in others:
        if place >= best:
            break
        if _is_named(rule, known):
            best = place
            break
    return rules[best] if best < len(rules) else None


@functools.lru_cache(maxsize=64)
def _indexed(rules: tuple[Rule, ...]) -> tuple[Mapping[str, int], tuple[tuple[int, Rule], ...]]:
    """Rules of whole names by name, and the others, each with its place: lists of a thousand names are not walked for every layer."""
    whole: dict[str, int] = {}
    others = []
    for place, rule in enumerate(rules):
        if rule.match is Match.WHOLE or (rule.match is Match.REGEX and not rule.pattern.startswith("re:")):
            whole.setdefault(rule.pattern, place)
        else:
            others.append((place, rule))
    return whole, tuple(others)


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:size]) for size in range(len(parts), 0, -1)]


def _fused(name: str) -> tuple[str, ...]:
    """The names by which the engine asks for a part of a name: experts are one layer to it, and so are gate and up, or q, k and v."""
    before, experts, _after = name.partition(".experts.")
    if experts:
        return (f"{before}.experts",)
    base, _dot, last = name.rpartition(".")
    return (name, f"{base}.{_FUSED[last]}") if last in _FUSED else (name,)


_FUSED = {
    **dict.fromkeys(("gate_proj", "up_proj"), "gate_up_proj"),
    **dict.fromkeys(("q_proj", "k_proj", "v_proj"), "qkv_proj"),
}


def _is_named(rule: Rule, known: Sequence[str]) -> bool:
    match rule.match:
        case Match.PART:
            return any(rule.pattern in name for each in known for name in _fused(each))
        case Match.WORDS:
            # Source: vLLM, quantization/bitsandbytes.py: is_layer_skipped_bnb.
            return any(rule.pattern in name.split(".") or f"{name}.".startswith(f"{rule.pattern}.") for name in known)
        case Match.WILDCARD:
            # "module*" stands for the module and all below it; some exporters leave out the last dot.
            wanted = _wildcard(rule.pattern)
            return any(wanted.fullmatch(name) or name.startswith(f"{rule.pattern}.") for name in known)
        case Match.REGEX:
            pattern = _regex(rule.pattern.removeprefix("re:"))
            return any(pattern.match(name) for name in known)
        case Match.WHOLE:
            return rule.pattern in known
        case _:
            assert_never(rule.match)


@functools.lru_cache(maxsize=4096)
def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


@functools.lru_cache(maxsize=4096)
def _wildcard(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")))


def _check_regex(pattern: str, where: str) -> None:
    try:
        _regex(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        fail(
            f"{where}.quantization_config",
            f"{pattern[:60]!r} is no pattern of layers ({error}).",
            "Set weights_bytes, or hand over the model's own config.json.",
        )


def _grouped(section: Mapping[str, Any], scales: int) -> float:
    bits, group = (
        _positive(section.get("bits", section.get("w_bit")), 4),
        section.get("group_size", section.get("q_group_size", 128)),
    )
    # A group of -1 is a whole row.
    return bits + scales / (group if _is_positive(group) else 4096)


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(one) for one in value if one) if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _is_positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _positive(value: Any, default: int) -> int:
    return int(value) if _is_positive(value) else default
