# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many bits a linear layer's weight takes, by what config.json or the user says of its quantization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Bits with scales and zero points (16 bits each for a group of 128; a byte for 16 values of NVFP4, for 32 of MXFP4; a float for 64 of NF4).
_BITS = {
    "fp8": 8.0,
    "fbgemm_fp8": 8.0,
    "experts_int8": 8.0,
    "awq": 4 + 32 / 128,
    "awq_marlin": 4 + 32 / 128,
    "gptq": 4 + 32 / 128,
    "gptq_marlin": 4 + 32 / 128,
    "bitsandbytes": 4 + 32 / 64,
    "modelopt": 8.0,
    "modelopt_fp4": 4 + 8 / 16,
    "mxfp4": 4 + 8 / 32,
}
# Each input row's place in its group and the order by groups, two whole numbers, where GPTQ reordered by activations.
_ROW_ORDER_BITS = 64


@dataclass(frozen=True)
class Quantization:
    """`method` is None for plain weights; `known` is False where bits had to be taken for plain ones."""

    method: str | None
    weight_bits: float
    fp8_cache: bool = False
    known: bool = True


def read(config: Mapping[str, Any], asked: str | None, dtype_bytes: int, hidden_size: int) -> Quantization:
    """What a config.json's quantization_config says; `asked` is the user's, for weights that are quantized while they load."""
    section = config.get("quantization_config")
    if not isinstance(section, Mapping):
        section = {}
    plain = 8.0 * dtype_bytes
    method = str(section.get("quant_method") or "") or asked
    if not method:
        return Quantization(None, plain)
    fp8_cache = isinstance(section.get("kv_cache_scheme"), Mapping) or section.get("kv_cache_quant_algo") == "FP8"
    if method == "compressed-tensors":
        return Quantization(method, _compressed(section, plain), fp8_cache)
    bits = _BITS.get(method)
    if bits is None:
        return Quantization(method, plain, fp8_cache, known=False)
    if method.startswith(("gptq", "awq")):
        bits = _grouped(section, hidden_size)
    if method == "bitsandbytes" and section.get("load_in_8bit") is True:
        bits = 8.0
    if method == "modelopt" and "FP4" in str(section.get("quant_algo") or "").upper():
        bits = _BITS["modelopt_fp4"]
    return Quantization(method, bits, fp8_cache)


def _grouped(section: Mapping[str, Any], hidden_size: int) -> float:
    bits, group = _positive(section.get("bits"), 4), section.get("group_size", 128)
    # A group of -1 is a whole row.
    row_order = _ROW_ORDER_BITS / hidden_size if section.get("desc_act") is True else 0
    return bits + 32 / (group if _is_positive(group) else max(128, hidden_size)) + row_order


def _compressed(section: Mapping[str, Any], plain: float) -> float:
    """The widest of its groups: which layers are in which stands in patterns of names."""
    groups = section.get("config_groups")
    widths = []
    for group in groups.values() if isinstance(groups, Mapping) else ():
        weights = group.get("weights") if isinstance(group, Mapping) else None
        if not isinstance(weights, Mapping) or not _is_positive(weights.get("num_bits")):
            continue
        bits, size = float(weights["num_bits"]), _positive(weights.get("group_size"), 0)
        if size:
            # NVFP4's scales are fp8; all others are of the model's dtype, and so are zero points where there are any.
            scale = 8 if weights.get("type") == "float" and bits == 4 else 16
            bits += (scale + (0 if weights.get("symmetric", True) else bits)) / size
        widths.append(min(plain, bits))
    return max(widths, default=plain)


def _is_positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _positive(value: Any, default: int) -> int:
    return int(value) if _is_positive(value) else default
