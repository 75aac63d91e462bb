# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A config.json and its values, by whatever name a family gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail

# What a multimodal model calls the section of its language part; the first that is there counts.
TEXT_SECTIONS = ("text_config", "llm_config", "language_config", "thinker_config", "text_model_config")
# Other names for the same sizes; a dot goes into a section.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "hidden_size": ("n_embd", "n_embed", "d_model", "model_dim"),
    "num_hidden_layers": ("n_layer", "num_layers", "n_layers"),
    "num_attention_heads": ("n_head", "num_heads", "n_heads", "decoder_attention_heads"),
    "num_key_value_heads": ("n_head_kv", "num_kv_heads", "multi_query_group_num", "attn_config.kv_n_heads"),
    "intermediate_size": (
        "n_inner",
        "ffn_dim",
        "ffn_hidden_size",
        "decoder_ffn_dim",
        "block_ff_dim",
        "mlp_hidden_size",
    ),
    "max_position_embeddings": ("n_positions", "max_seq_len", "seq_length", "max_target_positions"),
    "vocab_size": ("padded_vocab_size",),
}

# Lists with a word for each layer.
LAYER_BY_LAYER = ("layers_block_type", "layer_types")


@dataclass(frozen=True)
class Config:
    """The part of a config.json that a model's language part is described by, and the whole of it."""

    values: Mapping[str, Any]
    outer: Mapping[str, Any]
    where: str = "config"

    @property
    def nested(self) -> bool:
        """Whether the language part is a section of a multimodal model's file."""
        return self.values is not self.outer

    def get(self, *keys: str, default: Any = None) -> Any:
        """The first of these keys that is there, of the language part or of the whole."""
        for section in (self.values, self.outer):
            for key in keys:
                value = _dotted(section, key)
                if value is not None:
                    return value
        return default

    def own(self, key: str) -> Any:
        """The value of a size in the language part alone, by any of its names."""
        for name in (key, *ALIASES.get(key, ())):
            value = _dotted(self.values, name)
            if value is not None:
                return value
        if key == "num_hidden_layers":
            # Nemotron-H's later files say no more than what each layer is.
            return next((len(words) for name in LAYER_BY_LAYER if (words := self.words(name))), None)
        return None

    def whole(self, key: str, default: int | None = None) -> int:
        """A size of one or more; the largest where a list says it for each layer."""
        value = self.own(key)
        if value is None and default is not None:
            return default
        if value is None:
            fail(
                self.where,
                f"it has no {key}.",
                "Hand over the model's whole config.json, or let model_info read the model.",
            )
        if _is_list(value):
            return max((self._bounded(one, key, 0) for one in value), default=0) or self._bounded(0, key, 1)
        return self._bounded(value, key, 1)

    def count(self, *keys: str) -> int:
        """A number that may be zero or left out; the first of the keys that is there."""
        for key in keys:
            value = _dotted(self.values, key)
            if value is not None:
                return (
                    max((self._bounded(one, key, 0) for one in value), default=0)
                    if _is_list(value)
                    else self._bounded(value, key, 0)
                )
        return 0

    def by_layer(self, key: str, layers: int, default: int) -> tuple[int, ...]:
        """A size for each layer, where it is a list or one for all."""
        value = self.own(key)
        if value is None:
            return (default,) * layers
        if not _is_list(value):
            return (self._bounded(value, key, 0),) * layers
        if len(value) < layers:
            raise self._not_a_size(value, key)
        return tuple(self._bounded(one, key, 0) for one in value[:layers])

    def flag(self, *keys: str, default: bool = False) -> bool:
        """A switch of the language part, or of the whole."""
        value = self.get(*keys)
        return value if isinstance(value, bool) else default

    def numbers(self, key: str) -> tuple[int, ...] | None:
        """A list of whole numbers; None where it is none."""
        value = _dotted(self.values, key)
        if not _is_list(value) or not all(isinstance(one, int) and not isinstance(one, bool) for one in value):
            return None
        return tuple(value)

    def words(self, key: str) -> tuple[str, ...] | None:
        """A list of words; None where it is none."""
        value = _dotted(self.values, key)
        return tuple(value) if _is_list(value) and value and all(isinstance(one, str) for one in value) else None

    def _bounded(self, value: Any, key: str, least: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**40:
            raise self._not_a_size(value, key)
        return value

    def _not_a_size(self, value: Any, key: str) -> FleetError:
        return FleetError(
            f"{self.where}.{key}",
            f"{str(value)[:60]!r} is no size of a model.",
            "Hand over the model's own config.json, or set weights_bytes.",
        )


def read(config: Any, where: str, defaults: Mapping[str, Mapping[str, Any]]) -> Config:
    """The language part of a config.json; `defaults` is what published files leave to the library's, by model_type."""
    if not isinstance(config, Mapping):
        fail(where, "it is not a mapping.", "Hand over what the model's config.json holds.")
    values: Mapping[str, Any] = config
    # Two levels: a thinker_config has a text_config.
    for _level in range(2):
        section = next(
            (values[key] for key in TEXT_SECTIONS if isinstance(values.get(key), Mapping) and values[key]), None
        )
        if section is None:
            break
        values = section
    if values is config:
        return Config(config, config, where)
    known = defaults.get(str(values.get("model_type")), {})
    # What is null stands for the library's default where there is one, and says "none" where there is not.
    said = {key: value for key, value in values.items() if value is not None or key not in known}
    return Config({**known, **said}, config, where)


def _dotted(section: Mapping[str, Any], key: str) -> Any:
    head, _dot, rest = key.partition(".")
    value = section.get(head)
    if not rest:
        return value
    return _dotted(value, rest) if isinstance(value, Mapping) else None


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))
