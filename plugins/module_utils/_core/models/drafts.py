# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A draft beside a model, which guesses tokens for it to check: a smaller model of its own, or a head that reads the model's states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import tasks
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape

_HEADS = ("eagle", "dflash")


def check_is_none(config: Mapping[str, Any], model: str, where: str) -> None:
    """Refuse a draft in the place of a model: of the speculators' format the engine loads the model that it guesses for as well."""
    said = config.get("speculators_config")
    if not isinstance(said, Mapping):
        return
    verifier = said.get("verifier")
    name = verifier.get("name_or_path") if isinstance(verifier, Mapping) else None
    fail(
        f"{where}.model",
        f"{model} is a draft, and the engine would load {name or 'the model that it guesses for'} too, which is not counted.",
        f"Set model to {name or 'that one'}, and name the draft in --speculative-config of extra_args.",
    )


def shape_of(config: Mapping[str, Any], dtype: str, where: str, method: str = "") -> ModelShape:
    """A draft's shape from its config.json; `method` is how it guesses, where its file does not say so."""
    inner = config.get("transformer_layer_config")
    if isinstance(inner, Mapping):
        # The speculators' format: the sizes of its layers are those of a section.
        config = {**inner, **{key: value for key, value in config.items() if key != "transformer_layer_config"}}
    name = f"{config.get('speculators_model_type') or ''} {method} {tasks.architecture(config)}".lower()
    try:
        if any(one in name for one in _HEADS):
            return _head(config, name, dtype, where)
        return ModelShape.from_config(config, dtype, where=where)
    except FleetError as error:
        fail(
            where,
            f"the draft can't be counted: {error.where.removeprefix(where).lstrip('.')}: {error.what}",
            "Set weights_bytes to what both take together, or take method ngram.",
        )


def _head(config: Mapping[str, Any], name: str, dtype: str, where: str) -> ModelShape:
    """Layers that read the model's states.

    Of EAGLE's the embedding is the model's own; what joins its states to a token is a layer over two of them (EAGLE 3: over three, and
    attention reads two; DFlash: over those of so many layers). Source: vLLM, models/llama_eagle.py, llama_eagle3.py, qwen3_dflash.py.
    """
    # One matrix of the draft's vocabulary stays: its output layer.
    base = "Qwen3ForCausalLM" if "qwen3" in name or "dflash" in name else "LlamaForCausalLM"
    words = config.get("draft_vocab_size") or config.get("vocab_size")
    found = ModelShape.from_config(
        {**config, "architectures": [base], "tie_word_embeddings": True, "vocab_size": words}, dtype, where=where
    )
    hidden = found.hidden_size
    joined = 2 * hidden * hidden
    if "eagle3" in name:
        joined = 3 * hidden * hidden + hidden * (found.heads + 2 * found.kv_heads) * found.head_dim
    elif "dflash" in name:
        joined = _layers_read(config) * hidden * hidden
    if "eagle" in name and "eagle3" not in name and "minicpm" not in name:
        # The first EAGLE speaks with the model's own output layer, too (vLLM, llama_eagle.py, but not minicpm_eagle.py).
        joined -= found.vocab_size * hidden
    return replace(found, plain_parameters=found.plain_parameters + joined)


def _layers_read(config: Mapping[str, Any]) -> int:
    said = config.get("dflash_config")
    layers = said.get("target_layer_ids") if isinstance(said, Mapping) else None
    return len(layers) if isinstance(layers, (list, tuple)) and layers else 5
