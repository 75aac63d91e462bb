# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a model from its files without its weights: the mapping that model_info keeps, one JSON a model.

    {"format": 1,
     "id": "Qwen/Qwen3-8B",             the hub id, or the folder
     "commit": "<40 hex digits>",       empty for a folder
     "config": {...},                   config.json as published; {} where there is only params.json
     "tensors": [group, ...],           as models/tensors.py describes them, of the files that the engine loads: those of the index
                                        where there is one, not consolidated.safetensors beside them; [] where none was read
     "quantization": {file: {...}},     what stands beside config.json, by file name: hf_quant_config.json, quantize_config.json, ...
     "params": {...},                   Mistral's params.json
     "generation_config": {...},
     "tokenizer_config": {"model_max_length": 131072},    only limits
     "sentence_bert_config": {"max_seq_length": 256},
     "modules": [{"type": "sentence_transformers.models.Pooling", ...}],   modules.json
     "processor_config": {...},         preprocessor_config.json or processor_config.json, where the model sees or hears
     "files": [{"path": "model.safetensors", "bytes": 123}],
     "disk_bytes": 123, "gated": false, "licence": "apache-2.0"}

All but format, id and config may be left out; keys that are not named here are not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.tensors import TensorGroup, read_groups

FORMAT = 1


@dataclass(frozen=True)
class ModelInfo:
    """One model's files without its weights; only `config` is always there."""

    config: Mapping[str, Any]
    id: str = ""
    commit: str = ""
    tensors: tuple[TensorGroup, ...] = ()
    quantization: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    generation_config: Mapping[str, Any] = field(default_factory=dict)
    tokenizer_config: Mapping[str, Any] = field(default_factory=dict)
    sentence_bert_config: Mapping[str, Any] = field(default_factory=dict)
    processor_config: Mapping[str, Any] = field(default_factory=dict)
    modules: tuple[Mapping[str, Any], ...] = ()
    disk_bytes: int | None = None

    @classmethod
    def read(cls, data: Any, where: str) -> ModelInfo:
        """Read the mapping that model_info keeps; what is not of its form is a FleetError."""
        if not isinstance(data, Mapping):
            fail(where, "it must be a mapping.", "Hand over what model_info returned.")
        if data.get("format") != FORMAT:
            fail(
                f"{where}.format",
                f"{str(data.get('format'))[:60]!r} is none that this release reads.",
                "Have model_info read the model again.",
            )
        quantization = _mapping(data, "quantization", where)
        modules = data.get("modules") or ()
        if not isinstance(modules, Sequence) or isinstance(modules, (str, bytes)):
            raise _damaged(f"{where}.modules", "a list")
        disk = data.get("disk_bytes")
        return cls(
            config=_mapping(data, "config", where),
            id=_text(data, "id", where),
            commit=_text(data, "commit", where),
            tensors=read_groups(data.get("tensors") or [], f"{where}.tensors"),
            quantization={str(name): _mapping(quantization, name, f"{where}.quantization") for name in quantization},
            params=_mapping(data, "params", where),
            generation_config=_mapping(data, "generation_config", where),
            tokenizer_config=_mapping(data, "tokenizer_config", where),
            sentence_bert_config=_mapping(data, "sentence_bert_config", where),
            processor_config=_mapping(data, "processor_config", where),
            modules=tuple(entry for entry in modules if isinstance(entry, Mapping)),
            disk_bytes=disk if isinstance(disk, int) and not isinstance(disk, bool) and disk > 0 else None,
        )


def _mapping(data: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = data.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _damaged(f"{where}.{key}", "a mapping")
    return value


def _text(data: Mapping[str, Any], key: str, where: str) -> str:
    value = data.get(key)
    if value is not None and not isinstance(value, str):
        raise _damaged(f"{where}.{key}", "a text")
    return value or ""


def _damaged(where: str, what: str) -> FleetError:
    return FleetError(where, f"it must be {what}.", "Have model_info read the model again.")
