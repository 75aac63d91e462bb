# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The longest request that the engine takes of a model, derived from its files as the engine derives it.

Source: vLLM, config/model.py (_get_and_verify_max_len) and transformers_utils/model_arch_config_convertor.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.config import Config
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.info import ModelInfo

# The smallest of these counts.
_KEYS = (
    *(
        "max_position_embeddings",
        "n_positions",
        "max_seq_len",
        "seq_length",
        "model_max_length",
        "max_target_positions",
    ),
    *("max_sequence_length", "max_seq_length", "seq_len"),
)
# What the engine takes where none of them is there.
_UNKNOWN = 2048
# Types of rotary scaling that are in max_position_embeddings already.
_SCALED_ALREADY = ("su", "longrope", "llama3", "default", "mrope")
# No table is counted longer: what takes more positions is served with fewer.
_MOST_ROWS = 2**20
# RoBERTa counts positions from behind the padding token's.
_ROBERTA = ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl")
_ROBERTA_OFFSET = 2


@dataclass(frozen=True)
class Length:
    """The most that the engine takes, and what it takes where nobody says; `key` is where that comes from."""

    most: int
    default: int
    key: str


UNBOUNDED = Length(2**31 - 1, 2**31 - 1, "")


def derive(config: Config, info: ModelInfo, pools: bool) -> Length:
    """Derive a model's longest request; `pools` is of models that make no tokens."""
    found, key = _positions(config)
    if pools and config.get("position_embedding_type") == "absolute":
        limit = _length(info.tokenizer_config.get("model_max_length"))
        if limit and (found is None or limit < found):
            found, key = limit, "tokenizer_config.json"
        elif limit is None and found and config.values.get("model_type") in _ROBERTA:
            found = found - _ROBERTA_OFFSET
    default = found
    for rope in _ropes(config):
        kind = rope.get("rope_type", rope.get("type"))
        if kind == "longrope":
            default = config.count("original_max_position_embeddings") or default
        if kind in _SCALED_ALREADY or found is None or str(config.values.get("model_type")).startswith("gemma3"):
            continue
        if kind == "yarn":
            found = _length(rope.get("original_max_position_embeddings")) or found
        found, key = int(found * _factor(rope)), "rope_scaling"
        default = found
    if sentences := _length(info.sentence_bert_config.get("max_seq_length")):
        found, default, key = sentences, sentences, "sentence_bert_config.json"
    # A larger model_max_length is taken too, where it is written.
    most = min(max(found or _UNKNOWN, _length(config.own("model_max_length")) or 0), 2**31 - 1)
    return Length(most, min(default or _UNKNOWN, most), key or "nothing in its config.json")


def _positions(config: Config) -> tuple[int | None, str]:
    found: int | None = None
    key = ""
    for name in _KEYS:
        value = _length(config.values.get(name))
        if value and (found is None or value < found):
            found, key = value, name
    cohere = _length(config.values.get("model_max_length"))
    return (cohere, "model_max_length") if cohere else (found, key)


def _ropes(config: Config) -> tuple[Mapping[str, Any], ...]:
    """Rotary scaling: one for all layers, or one for each kind of them, which are alike in their factor."""
    found = config.own("rope_scaling") or config.own("rope_parameters")
    if not isinstance(found, Mapping):
        return ()
    if "rope_type" in found or "type" in found:
        return (found,)
    return tuple(one for one in found.values() if isinstance(one, Mapping))[:1]


def has_sections(config: Config) -> bool:
    """Whether positions are of three axes (time, height, width), a section of each head for each."""
    return any("mrope_section" in rope for rope in _ropes(config))


def rotary_positions(config: Config, positions: int) -> int:
    """How many positions the engine's tables of cosines and sines have, all together: one for each kind of layers that turns its own way.

    Source: vLLM, model_executor/layers/rotary_embedding: those that stretch have a table as long as they stretch to.
    """
    if has_sections(config):
        # Positions of pictures and films count four times (rotary_embedding/mrope.py).
        return 4 * min(positions, _MOST_ROWS)
    found = config.own("rope_scaling") or config.own("rope_parameters")
    said = found if isinstance(found, Mapping) else {}
    if "rope_type" in said or "type" in said:
        ropes: list[Mapping[str, Any]] = [said]
    else:
        ropes = [one for one in said.values() if isinstance(one, Mapping)] or [{}]
    if len(ropes) == 1 and _turns_windows_apart(config, said):
        ropes.append({})
    return sum(min(_rows(rope, positions), _MOST_ROWS) for rope in ropes)


def _turns_windows_apart(config: Config, said: Mapping[str, Any]) -> bool:
    """Whether layers with a window turn by a base of their own, as Gemma 3's classes have it whether their file says so or not."""
    local = config.own("rope_local_base_freq")
    if local is None and not str(config.own("model_type")).startswith("gemma3"):
        return False
    return bool(said) or (config.own("rope_theta") or 1e6) != (local or 1e4)


def _rows(rope: Mapping[str, Any], positions: int) -> int:
    original = _length(rope.get("original_max_position_embeddings")) or positions
    match rope.get("rope_type", rope.get("type")):
        case "linear" | "ntk" | "dynamic":
            return int(positions * _factor(rope))
        case "yarn" | "deepseek_yarn":
            return int(original * _factor(rope))
        case "longrope" | "su":
            return original + positions
        case _:
            return positions


def _factor(rope: Mapping[str, Any]) -> float:
    found = rope.get("factor")
    plain = isinstance(found, (int, float)) and not isinstance(found, bool) and 0 < found < 2**16
    return float(found) if plain and found is not None else 1.0


def _length(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**40 else None
