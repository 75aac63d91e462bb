# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A config.json and its values, by whatever name a family gives them, and what the library's class takes where it leaves one out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import defaults

# What a multimodal model calls the section of its language part; the first that is there counts.
TEXT_SECTIONS = ("text_config", "llm_config", "language_config", "thinker_config", "text_model_config")
# Other names for the same sizes; a dot goes into a section.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "hidden_size": ("n_embd", "n_embed", "d_model", "model_dim"),
    "num_hidden_layers": ("n_layer", "num_layers", "n_layers"),
    "num_attention_heads": ("n_head", "num_heads", "n_heads", "decoder_attention_heads"),
    "num_key_value_heads": (
        *("n_head_kv", "num_kv_heads", "multi_query_group_num", "attn_config.kv_n_heads", "num_attention_groups"),
    ),
    "intermediate_size": (
        "n_inner",
        "ffn_dim",
        "ffn_hidden_size",
        "decoder_ffn_dim",
        "block_ff_dim",
        "mlp_hidden_size",
        "ffn_config.ffn_hidden_size",
    ),
    "head_dim": ("hidden_size_per_head",),
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
    # Whether the language part is a section of a multimodal model's file.
    nested: bool = False

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
            pattern = _dotted(self.values, "hybrid_override_pattern")
            told = [words for name in LAYER_BY_LAYER if (words := self.words(name))]
            return next((len(one) for one in (*told, pattern) if one and isinstance(one, (str, tuple))), None)
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

    def needed(self, *keys: str) -> int:
        """A size of one or more under the first of the keys that is there."""
        return self.count(*keys) or self.whole(keys[0])

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


def read(config: Any, where: str) -> Config:
    """The language part of a config.json, with what its class takes where the file leaves a key out."""
    if not isinstance(config, Mapping):
        fail(where, "it is not a mapping.", "Hand over what the model's config.json holds.")
    if isinstance(inside := config.get("vlm_config"), Mapping):
        # A retriever's file has a whole model's in it.
        config = {**inside, **{key: said for key, said in config.items() if key != "vlm_config"}}
    config = _longcat(_moondream(_cohere_asr(config)))
    values: Mapping[str, Any] = config
    model_type = str(config.get("model_type"))
    # Two levels: a thinker_config has a text_config.
    for _level in range(2):
        key = next((key for key in TEXT_SECTIONS if isinstance(values.get(key), Mapping) and values[key]), None)
        if key is None:
            break
        family, model_type, values = str(values.get("model_type")), type_of(values, key), values[key]
        values = filled(values, f"{family}.{key}")
    outer = filled(config, str(config.get("model_type")))
    if values is not config and "tie_word_embeddings" in values and "tie_word_embeddings" not in config:
        # Whether embeddings are tied is the whole class's word by default, but what is written goes before.
        outer.pop("tie_word_embeddings", None)
    if values is config:
        # The language part of older files stands at the top: its class is that of the section.
        every = filled(outer, type_of(config, TEXT_SECTIONS[0]))
        return Config(every, every, where)
    return Config(filled(values, model_type), outer, where, nested=True)


def _cohere_asr(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Cohere's transcriber in its first words (transf_decoder, head, encoder), in those of transformers' class; any other as it is."""
    written, head, heard = (config.get(key) for key in ("transf_decoder", "head", "encoder"))
    decoder = written.get("config_dict") if isinstance(written, Mapping) else None
    if not isinstance(decoder, Mapping) or not isinstance(head, Mapping) or not isinstance(heard, Mapping):
        return config
    width, times = heard.get("d_model"), heard.get("ff_expansion_factor", 4)
    said = {
        **{"hidden_size": decoder.get("hidden_size"), "intermediate_size": decoder.get("inner_size")},
        **{"num_hidden_layers": decoder.get("num_layers"), "num_attention_heads": decoder.get("num_attention_heads")},
        **{"max_position_embeddings": decoder.get("max_sequence_length"), "vocab_size": head.get("num_classes")},
    }
    ears = {
        **{"model_type": "parakeet_encoder", "hidden_size": width, "num_hidden_layers": heard.get("n_layers")},
        "intermediate_size": width * times if isinstance(width, int) and isinstance(times, int) else None,
        **{"subsampling_factor": heard.get("subsampling_factor"), "num_mel_bins": heard.get("feat_in")},
        **{key: heard.get(key) for key in ("subsampling_conv_channels", "conv_kernel_size")},
    }
    return {**config, **said, "encoder_config": {key: value for key, value in ears.items() if value is not None}}


def _longcat(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """LongCat Flash's, with each of its layers as the two that it is made of, the first of them with the experts; any other as it is.

    Source: vLLM, models/longcat_flash.py.
    """
    pairs = config.get("num_layers")
    if (
        config.get("zero_expert_num") is None
        or isinstance(pairs, bool)
        or not isinstance(pairs, int)
        or not 0 < pairs < 1000
    ):
        return config
    halves = {"num_hidden_layers": 2 * pairs, "moe_layers": list(range(0, 2 * pairs, 2)), "enable_moe_block": True}
    return {**{key: value for key, value in config.items() if key != "num_layers"}, **halves}


# What Moondream's classes take (vLLM, transformers_utils/configs/moondream3.py); its own file says nothing.
_MOONDREAM_TEXT = {
    **{"dim": 2048, "ff_dim": 8192, "n_layers": 24, "vocab_size": 51200, "max_context": 4096, "n_heads": 32},
    "n_kv_heads": 32,
}
_MOONDREAM_MOE = {"start_layer": 4, "n_experts": 64, "n_experts_per_tok": 8, "expert_inner_dim": 1024}
_MOONDREAM_VISION = {
    **{"enc_dim": 1152, "enc_patch_size": 14, "enc_n_layers": 27, "enc_ff_dim": 4304, "enc_n_heads": 16},
    **{"proj_inner_dim": 8192, "crop_size": 378},
}


def _moondream(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Moondream 3's in the words of others; any other as it is."""
    if config.get("model_type") != "moondream3" or "text_config" in config:
        return config
    said = config.get("config")
    text, vision = (
        _over(known, said, key) for known, key in ((_MOONDREAM_TEXT, "text"), (_MOONDREAM_VISION, "vision"))
    )
    moe = _over(_MOONDREAM_MOE, text, "moe")
    words = {
        **{"model_type": "moondream3_text", "hidden_size": text["dim"], "intermediate_size": text["ff_dim"]},
        **{"num_hidden_layers": text["n_layers"], "num_attention_heads": text["n_heads"]},
        **{"num_key_value_heads": text["n_kv_heads"], "vocab_size": text["vocab_size"]},
        **{"max_position_embeddings": text["max_context"], "tie_word_embeddings": False},
        **{"first_k_dense_replace": moe["start_layer"], "num_experts": moe["n_experts"]},
        **{"num_experts_per_tok": moe["n_experts_per_tok"], "moe_intermediate_size": moe["expert_inner_dim"]},
    }
    eyes = {
        **{
            "hidden_size": vision["enc_dim"],
            "intermediate_size": vision["enc_ff_dim"],
            "patch_size": vision["enc_patch_size"],
        },
        **{"num_hidden_layers": vision["enc_n_layers"], "num_attention_heads": vision["enc_n_heads"]},
        **{"image_size": vision["crop_size"], "proj_inner_dim": vision["proj_inner_dim"]},
    }
    return {**config, "text_config": words, "vision_config": eyes}


def _over(known: Mapping[str, Any], said: Any, key: str) -> dict[str, Any]:
    written = said.get(key) if isinstance(said, Mapping) else None
    return {**known, **written} if isinstance(written, Mapping) else {**known}


def type_of(holder: Mapping[str, Any], key: str) -> str:
    """The type of a section: the one that its family's class has there, or its own where that class asks for it."""
    said = holder.get(key)
    own = said.get("model_type") if isinstance(said, Mapping) else None
    known = _SECTIONS.get(str(holder.get("model_type")), {}).get(key, "?")
    return str(own) if own and known.endswith("?") else known.removesuffix("?")


def filled(said: Mapping[str, Any], model_type: str) -> dict[str, Any]:
    """A section with what the class of its type takes for keys that it leaves out, also under another name; null is no value."""
    row = _DEFAULTS.get(model_type, {})
    written = {_ONE_NAME.get(key, key) for key in said}
    return {**{key: value for key, value in row.items() if _ONE_NAME.get(key, key) not in written}, **said}


def _table(text: str) -> dict[str, dict[str, str]]:
    rows = (line.split() for line in text.replace("\n ", " ").splitlines() if line)
    return {name: dict(pair.split("=", 1) for pair in pairs) for name, *pairs in rows}


_ONE_NAME = {name: key for key, names in ALIASES.items() for name in names}
_SECTIONS = _table(defaults.SECTIONS)
_DEFAULTS = {
    name: {key: json.loads(value) for key, value in row.items()} for name, row in _table(defaults.ROWS).items()
}


def _dotted(section: Mapping[str, Any], key: str) -> Any:
    head, _dot, rest = key.partition(".")
    value = section.get(head)
    if not rest:
        return value
    return _dotted(value, rest) if isinstance(value, Mapping) else None


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))
