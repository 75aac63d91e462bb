# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model's repository or folder by the names of its files: which hold the weights, which are read, which an engine needs, and the
document that is kept of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.tensors import MOST_GROUPS, Tensor, group
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB, gib

FORMAT = 1
INDEX = "model.safetensors.index.json"
# Small files that are read, with the most that one may have; an index names each tensor.
SMALL_FILES: Mapping[str, int] = {
    "config.json": 8 * MIB,
    "generation_config.json": MIB,
    "tokenizer_config.json": 32 * MIB,
    "sentence_bert_config.json": MIB,
    "modules.json": MIB,
    "hf_quant_config.json": 8 * MIB,
    "quantize_config.json": 8 * MIB,
    "quant_config.json": 8 * MIB,
    "params.json": 8 * MIB,
    "preprocessor_config.json": MIB,
    "processor_config.json": MIB,
    INDEX: 64 * MIB,
}
QUANTIZATION_FILES = ("hf_quant_config.json", "quantize_config.json", "quant_config.json")
_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
_TOKENIZER_LIMITS = ("model_max_length",)
# The same weights in another form, or what no engine reads.
_NOT_NEEDED = re.compile(
    r"\.(bin|pt|pth|ckpt|gguf|ggml|onnx|onnx_data|h5|msgpack|ot|tflite|mlmodel|mlpackage|nemo|exe|png|jpe?g|gif|webp|svg|mp[34]|wav|pdf|ipynb)$",
    re.I,
)
_OTHER_FORMATS = ("original/", "metal/", "onnx/", "openvino/", "coreml/", "gguf/", ".cache/", ".git/")
# Other forms of a model that the engine can't load, and kinds of quantization, by how repositories are called.
_OTHER_FORMS = re.compile(r"gguf|mlx|exl[23]|onnx|openvino|coreml|litert|\bggml", re.I)
_KIND = re.compile(r"awq|gptq|nvfp4|mxfp4|fp8|bnb|w\d+a\d+|int[48]|[48]-?bit", re.I)
MOST_FILES = 20_000


def weight_files(files: Iterable[str], index: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Return the safetensors files that an engine loads: those that the index names, else those at the top.

    A repository of Mistral's has the same weights twice, for transformers and as consolidated*.safetensors for Mistral's own code.
    """
    there = [path for path in files if path.endswith(".safetensors") and "/" not in path]
    named = (index or {}).get("weight_map")
    if isinstance(named, Mapping) and named:
        wanted = {str(file) for file in named.values()}
        missing = sorted(wanted - set(there))
        if missing:
            fail(INDEX, f"it names {missing[0]}, which is not there.", "The upload is not complete: have it repeated.")
        return tuple(sorted(wanted))
    if "model.safetensors" in there:
        return ("model.safetensors",)
    adapter = {path for path in there if path.startswith("adapter_")}
    own = [path for path in there if not path.startswith("consolidated") and path not in adapter]
    return tuple(sorted(own or set(there) - adapter))


def needed_files(files: Mapping[str, int], weights: Sequence[str]) -> dict[str, int]:
    """Return the files that an engine needs on the disk, with their sizes: all but weights in other forms and pictures."""
    return {
        path: size
        for path, size in files.items()
        if (path in weights or not _NOT_NEEDED.search(path))
        and not path.startswith(_OTHER_FORMATS)
        and (path in weights or "/" in path or not path.endswith(".safetensors"))
    }


def holds_other_weights(files: Iterable[str]) -> bool:
    """Whether there are weights in another form than safetensors, or an adapter, and none of a whole model."""
    names = [path.lower() for path in files]
    safetensors = any(path.endswith(".safetensors") and not path.startswith("adapter_") for path in names)
    return not safetensors and any(path.endswith((".gguf", ".bin", ".pt", ".pth", ".safetensors")) for path in names)


def without_safetensors(files: Iterable[str], where: str, model: str) -> FleetError:
    """Say what to do about a repository without safetensors files."""
    names = list(files)
    gguf = sorted(path for path in names if path.lower().endswith(".gguf"))
    pickled = sorted(path for path in names if path.endswith((".bin", ".pt", ".pth")))
    nested = sorted(path for path in names if path.endswith(".safetensors"))
    if gguf:
        fact, remedy = f"has its weights as GGUF only ({gguf[0]})", "Name the repository that it was made from"
    elif any(path.startswith("adapter_") for path in nested):
        fact, remedy = "is an adapter and no model", "Name its base model here and the adapter in lora_adapters"
    elif pickled:
        fact = f"has its weights as pickled files only ({pickled[0]}), which are not read: loading one runs code"
        remedy = "Name a repository with safetensors files; where you trust it, give its config.json as config_path"
    elif nested:
        fact, remedy = f"has its safetensors in folders ({nested[0]})", "Name a repository for one model"
    else:
        fact, remedy = "holds no weights", "Name the repository that has them"
    return FleetError(where, f"{model} {fact}.", f"{remedy}.")


def parse_json(data: bytes, name: str, where: str) -> Any:
    """Return what a small file holds; a web page and what is no JSON are a FleetError."""
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        fact = "is a web page" if data.lstrip()[:1] == b"<" else "is not JSON"
        fail(where, f"its {name} {fact}.", "Put the one that its authors published there.")


def check_config(config: Any, params: Any, where: str, model: str) -> None:
    """Refuse a model of which no engine could tell what it is."""
    if config is None and params is None:
        fail(where, f"{model} has no config.json.", "Name a repository or folder of a whole model.")
    if config is None:
        return
    if not isinstance(config, Mapping):
        fail(where, f"{model}'s config.json is no mapping.", "Put the one that its authors published there.")
    if not config.get("model_type"):
        fail(
            where,
            f"{model}'s config.json has no model_type, so that no engine can tell what it is.",
            "Add it to a copy and name the folder, or name another repository of this model.",
        )


def document(
    model: str,
    commit: str,
    small: Mapping[str, Any],
    tensors: Iterable[Tensor],
    files: Mapping[str, int],
    facts: Mapping[str, Any],
    where: str,
) -> dict[str, Any]:
    """Return what is kept of a model, as ModelInfo reads it; `small` are the parsed small files by name."""
    groups = group(tensors)
    if len(groups) > MOST_GROUPS:
        fail(
            where,
            f"{model} has tensors of {len(groups):,} kinds, more than the {MOST_GROUPS:,} that are kept.",
            "Give its weights_bytes and config instead.",
        )
    tokenizer = small.get("tokenizer_config.json")
    modules = small.get("modules.json")
    kept = {
        "format": FORMAT,
        "id": model,
        "commit": commit,
        **facts,
        "config": small.get("config.json") or {},
        "quantization": {name: small[name] for name in QUANTIZATION_FILES if isinstance(small.get(name), Mapping)},
        "params": _mapping(small.get("params.json")),
        "generation_config": _mapping(small.get("generation_config.json")),
        "tokenizer_config": {key: value for key, value in _mapping(tokenizer).items() if key in _TOKENIZER_LIMITS},
        "sentence_bert_config": _mapping(small.get("sentence_bert_config.json")),
        "processor_config": next((_mapping(small[name]) for name in _PROCESSOR_FILES if small.get(name)), {}),
        "modules": modules if isinstance(modules, list) else [],
        "tensors": [entry.data() for entry in groups],
        "files": [{"path": path, "bytes": size} for path, size in sorted(files.items())],
        "disk_bytes": sum(files.values()),
    }
    return {key: value for key, value in kept.items() if value not in ({}, []) or key == "config"}


def dump(info: Mapping[str, Any]) -> str:
    """Return the text of the kept file: sorted, a line for each group of tensors, so that a new commit shows as a small diff."""
    plain = {key: value for key, value in info.items() if key not in ("tensors", "files")}
    text = json.dumps(plain, indent=1, sort_keys=True, ensure_ascii=False)
    lists = [
        f' "{key}": [\n  '
        + ",\n  ".join(json.dumps(entry, sort_keys=True, ensure_ascii=False) for entry in info[key])
        + "\n ]"
        for key in ("files", "tensors")
        if info.get(key)
    ]
    return text[: text.rindex("\n}")] + "".join(f",\n{part}" for part in lists) + "\n}\n"


def summary(info: Mapping[str, Any]) -> str:
    """Return what a person wants to see of a kept file in a diff."""
    config = info["config"]
    names = config.get("architectures") or [config.get("model_type", "params.json alone")]
    return (
        f"{info['id']} at {info['commit'] or 'no commit'}: {', '.join(map(str, names))}, {gib(info['disk_bytes'])} on disk, "
        f"{info.get('licence') or 'no licence named'}{', gated' if info.get('gated') else ''}\n"
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def loadable(ids: Iterable[str]) -> list[str]:
    """Return the quantized checkpoints that the engine can load, as far as their names tell: the first of each kind, then the second."""
    seen: dict[str, int] = {}
    turns: list[tuple[int, str]] = []
    for model in dict.fromkeys(ids):
        if not _OTHER_FORMS.search(model):
            found = _KIND.search(model)
            kind = found[0].casefold() if found else ""
            seen[kind] = seen.get(kind, 0) + 1
            turns.append((seen[kind], model))
    return [model for _turn, model in sorted(turns, key=lambda each: each[0])]
