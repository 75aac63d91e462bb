#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: memory_plan
short_description: Plan how much of a card each engine will hold, before anything starts
version_added: 0.1.0
description:
  - Predicts what NVML will show for each engine in steady state after traffic, and hands out the rest as exact KV cache bytes.
  - That it does not fit is an answer, not a failure. It says by how much, and what would fit.
  - Touches nothing, and needs neither Docker nor a card nor a network.
  - Runs on the controller, in Ansible's own process. Only where a model is a folder on the host, or its C(config_path) is not on the
    controller, does it run on the host.
author:
  - gpuserve.fleet contributors (@gpuserve)
requirements:
  - Python 3.10 or newer
options:
  models:
    description:
      - A list of the models, each with at least C(name) and C(model), a hub id or a folder on the host.
      - The shape comes from C(config) (what the model's C(config.json) holds), from the file C(config_path), from C(info) (what
        M(gpuserve.fleet.model_info) returned), from the folder, or from the shipped catalogue by hub id, the first of these that is there.
      - Weights are those that C(weights_bytes) (C(15GiB), or plain bytes) says, else the tensors in C(info) as the engine loads them, else
        they are counted from the shape; where a C(model.safetensors.index.json), or the files, beside the C(config.json) say otherwise by
        more than 2 %, they are as large as those. A model that can't be counted is refused.
      - C(task) is C(generate), C(embed), C(score), C(classify) or C(transcribe), and told from the model's files where it is left out.
      - C(max_model_len) may be C(32k) (32,000), C(32K) (32,768), or C(auto), the most that fits.
      - An adapter of C(lora_adapters) has C(name), C(path) and, where it is not 16, C(rank).
    type: raw
    required: true
  gpus:
    description:
      - A list of the cards, as M(gpuserve.fleet.gpu_info) returns them, or named from the catalogue, in short too (C(5090)).
      - Of what C(memory_free_bytes) says is taken, everything that no process in a container holds stays others'.
    type: raw
    required: true
  preset:
    description:
      - How much of each card's usable memory the whole stack may hold.
    type: str
    default: balanced
  engine_version:
    description:
      - The engine's version, which decides on flags; empty means the newest that is known.
    type: str
    default: ""
  reserved:
    description:
      - What must stay free on each card, besides what others hold now. A size like C(2GiB).
    type: str
    default: "0"
  device:
    description:
      - What the engines compute on.
    type: str
    choices: [cuda, cpu]
    default: cuda
  image:
    description:
      - The engine's image, as it is pulled; what starts of another one measured does not count.
    type: str
    default: ""
  calibration:
    description:
      - What earlier starts on the host measured, as M(gpuserve.fleet.bringup) keeps it in C(calibration.json).
    type: dict
    default: {}
  proved:
    description:
      - The set that served whole last, as M(gpuserve.fleet.bringup) keeps it in C(proved/plan.json).
      - Where it was planned from the same inputs it stays the plan, whatever was measured since, so that learning restarts no engine.
    type: dict
    default: {}
  reserved_ports:
    description:
      - Ports that other parts of the host have, by the variable that sets them (C(gateway_port)); 0 is none. No model gets one of them.
    type: dict
    default: {}
  kept_ports:
    description:
      - Ports that models of the host have already, by name, as P(gpuserve.fleet.kept_ports#filter) finds them. A model without a port of
        its own keeps the one it has, and none of them goes to another.
    type: dict
    default: {}
  surge_offset:
    description:
      - How many ports above a model's own its surge instance listens during a replacement; 0 for none. No model gets such a port.
    type: int
    default: 0
  ttft_objective_s:
    description:
      - Within how many seconds a first token is wanted; 0 for no objective.
      - Becomes a bound on the tokens of prompts that wait in an engine, from how fast the card reads them; beyond, the engine answers 503.
        Without it as many wait as the cache holds. vLLM has such bounds from 0.29.0 on.
    type: float
    default: 0
  ask_hub:
    description:
      - Whether, where the models don't fit, the hub is asked from the controller for quantized checkpoints of the largest. At most five are
        read, within 20 seconds, and named in C(reasons) where they were planned in its place and fit. A hub that is away is no failure.
    type: bool
    default: false
  endpoint:
    description:
      - A mirror of the hub for O(ask_hub); by default the one in E(HF_ENDPOINT), else the public one.
    type: str
    default: ""
  hf_token:
    description:
      - Checked, so that a token which Ansible would blot out of names is refused before anything changes; with O(ask_hub) sent to the hub.
    type: str
    default: ""
  api_key:
    description:
      - Only checked, for the same reason.
    type: str
    default: ""
  refuse:
    description:
      - Whether to fail where O(gpus) has no card, and where the models do not fit.
    type: bool
    default: false
    version_added: 0.2.0
  no_card:
    description:
      - Why the host has no card, for the sentence that says so.
    type: str
    default: ""
    version_added: 0.2.0
  show:
    description:
      - Whether the plan is shown as a table, with what the other presets would do.
    type: bool
    default: false
    version_added: 0.3.0
extends_documentation_fragment:
  - gpuserve.fleet.attributes.reads
"""

EXAMPLES = r"""
- name: Plan two models on a card that is not here yet
  gpuserve.fleet.memory_plan:
    gpus:
      - name: NVIDIA GeForce RTX 5090
    preset: balanced
    models:
      - name: tinyllama
        model: TinyLlama/TinyLlama-1.1B-Chat-v1.0
        max_model_len: 1024
        max_num_seqs: 32
      - name: qwen
        model: Qwen/Qwen2.5-3B-Instruct
        max_model_len: 1536
        max_num_seqs: 24
  register: planned
"""

RETURN = r"""
plan:
  description: The plan.
  returned: success
  type: dict
  contains:
    feasible: {description: Whether everything fits., type: bool}
    reasons: {description: "Why not, a sentence each, with what would fit.", type: list, elements: str}
    preset: {description: The preset planned for., type: str}
    image: {description: O(image)., type: str}
    inputs_digest: {description: "Changes when anything changes that the plan was made from, but for O(calibration).", type: str}
    calibration:
      description: >-
        What this image's engines on these cards used when they were ready less what was planned, C(starts), C(most_bytes) and
        C(least_bytes); null before the first start. What an engine takes under load only is planned, and not used yet then.
      type: dict
    gpus:
      description: A card each.
      type: list
      elements: dict
      contains:
        uuid: {description: The card's UUID., type: str}
        name: {description: Its name., type: str}
        usable_bytes: {description: Bytes that processes can use., type: int}
        budget_bytes: {description: Bytes that the stack may hold under the preset., type: int}
        used_bytes: {description: Bytes that it will hold., type: int}
        headroom_bytes: {description: Usable bytes that stay free., type: int}
        foreign_bytes: {description: Bytes that processes outside of containers hold now., type: int}
        models:
          description:
            - The models on the card, with C(weights_bytes), C(kv_cache_bytes), C(activation_bytes), C(cuda_graph_bytes), C(context_bytes),
              C(total_bytes) (what NVML will show in steady state after traffic), C(traffic_bytes) (of the total,
              what is taken only once traffic fills batches), C(kv_cache_tokens), C(max_concurrency) (full-length requests),
              C(task), C(exact_kv), C(engine_args), C(env), C(parts) and C(notes).
          type: list
          elements: dict
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import flags, vllm
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import Gpu, parse_gpus
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import drafts, encoders, mistral, quantization
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.catalogue import CONFIGS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.info import ModelInfo
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.nearest import nearest
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan import admission
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.calibration import Calibration
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.tradeoffs import choose
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.ports import PortRules
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import (
    LIST,
    ModelSpec,
    check_preset,
    parse_models,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.record import is_as_written
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.secrets import VARIABLES, check_chosen, masked
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import parse_size
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.unlogged import UnloggedModule

# Raise it when a plan's shape changes, so that no kept one of before is taken for today's.
PLANNER = 3
GLOBAL = ("preset", "engine_version", "device", "image")
NOT_PLANNED = ("env", "aliases", "port", "placement")
# The action plugin, which plans on the controller, takes the same.
ARGUMENT_SPEC: dict[str, Any] = {
    "models": {"type": "raw", "required": True},
    "gpus": {"type": "raw", "required": True},
    "preset": {"type": "str", "default": "balanced"},
    "engine_version": {"type": "str", "default": ""},
    "device": {"type": "str", "choices": ["cuda", "cpu"], "default": "cuda"},
    "image": {"type": "str", "default": ""},
    "calibration": {"type": "dict", "default": {}},
    "proved": {"type": "dict", "default": {}},
    "reserved": {"type": "str", "default": "0"},
    "reserved_ports": {"type": "dict", "default": {}},
    "kept_ports": {"type": "dict", "default": {}},
    "surge_offset": {"type": "int", "default": 0},
    "ttft_objective_s": {"type": "float", "default": 0},
    "ask_hub": {"type": "bool", "default": False},
    "endpoint": {"type": "str", "default": ""},
    "hf_token": {"type": "str", "default": "", "no_log": True},
    "api_key": {"type": "str", "default": "", "no_log": True},
    "refuse": {"type": "bool", "default": False},
    "no_card": {"type": "str", "default": ""},
    "show": {"type": "bool", "default": False},
}


def model_config(spec: ModelSpec, where: str) -> Any:
    """What the model's config.json holds, from wherever it can be had."""
    if spec.config is not None:
        return spec.config
    if spec.config_path is None and spec.info is not None:
        info = ModelInfo.read(spec.info, f"{where}.info")
        return info.config or mistral.config_of(info.params)
    if spec.config_path is None and not spec.is_local:
        if spec.model in CONFIGS:
            return CONFIGS[spec.model]
        near = nearest(spec.model, CONFIGS)
        asked = f"Did you mean {', '.join(near)}? Else hand" if near else "Hand"
        fail(
            f"{where}.model",
            f"the catalogue does not know {spec.model}.",
            f"{asked} over its config.json as config or config_path.",
        )
    path = Path(spec.config_path or Path(spec.model, "config.json"))
    key = f"{where}.config_path" if spec.config_path else f"{where}.model"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        if params := _json(path.with_name("params.json")):
            return mistral.config_of(params)
        fail(
            key,
            f"{path} can't be read ({error.strerror}), and there is no params.json in Mistral's own format beside it.",
            f"Put the model there, or correct the path; with params.json the engine wants {mistral.FLAGS} in extra_args.",
        )
    except ValueError as error:
        fail(key, f"{path} is not JSON ({error}).", "Put the model's own config.json there.")


def checkpoint_bytes(folder: Path) -> int | None:
    """What the weights take on the disk: the index's total_size, else the files themselves; None where neither is there."""
    index = _json(folder / "model.safetensors.index.json")
    total = index.get("metadata", {}).get("total_size") if isinstance(index.get("metadata"), dict) else None
    if isinstance(total, int) and total > 0:
        return total
    try:
        # Mistral's own file beside the others holds the same weights once more.
        paths = sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("*.safetensors"))
        return sum(path.stat().st_size for path in paths) or None
    except OSError:
        return None


def info_of(spec: ModelSpec, where: str) -> tuple[ModelInfo, int | None]:
    """What is known of a model's files, and what its weights take on the disk, from wherever that can be had."""
    config = model_config(spec, where)
    if spec.config is not None:
        return ModelInfo(config if isinstance(config, Mapping) else {}), None
    if spec.config_path is None and spec.info is not None:
        return dataclasses.replace(ModelInfo.read(spec.info, f"{where}.info"), config=config), None
    folder = Path(spec.config_path).parent if spec.config_path else Path(spec.model) if spec.is_local else None
    if folder is None:
        return ModelInfo(config), None
    read = {name: _json(folder / name) for name in quantization.FILES}
    info = ModelInfo(
        config if isinstance(config, Mapping) else {},
        quantization={name: found for name, found in read.items() if found},
        generation_config=_json(folder / "generation_config.json"),
        tokenizer_config=_json(folder / "tokenizer_config.json"),
        sentence_bert_config=_json(folder / "sentence_bert_config.json"),
        modules=tuple({"path": str(folder)} for _found in folder.glob("modules.json")),
    )
    return info, checkpoint_bytes(folder)


def _json(path: Path) -> dict[str, Any]:
    """A small file beside a config.json; nothing where it is not there or is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def shape_of(spec: ModelSpec, where: str) -> ModelShape:
    """A model's shape, from what the user wrote and what is on the disk."""
    info, on_disk = info_of(spec, where)
    config = spec.config if spec.config is not None else info.config
    memory = flags.read(spec.extra_args, where)
    drafts.check_is_none(config if isinstance(config, Mapping) else {}, spec.model, where)
    if memory.hf_overrides:
        config = merged(config, memory.hf_overrides)
    found = ModelShape.from_config(
        config, spec.dtype, spec.quantization, f"{where}.config", spec.weights_bytes, on_disk, info, spec.task
    )
    found = dataclasses.replace(found, encoders=encoders.limited(found.encoders, memory.max_pixels))
    draft = draft_config(memory.draft_model) if not memory.ahead else {}
    if not draft:
        return found
    try:
        draft_shape = drafts.shape_of(draft, spec.dtype, f"{where}.extra_args", memory.method)
    except FleetError:
        if spec.weights_bytes is None or not memory.reads_hidden:
            raise
        # What both take together is written, and a head keeps what a layer of the model's own does.
        return found
    return dataclasses.replace(found, draft=draft_shape)


def draft_config(model: str) -> dict[str, Any]:
    """The config.json of a draft model, from its folder or the catalogue; nothing where it is in neither."""
    if model in CONFIGS:
        return dict(CONFIGS[model])
    return _json(Path(model, "config.json")) if model.startswith("/") else {}


def merged(config: Any, overrides: Mapping[str, Any]) -> Any:
    """A config.json with --hf-overrides in it, section by section."""
    if not isinstance(config, Mapping):
        return config
    return {
        **config,
        **{
            key: merged(config.get(key), value)
            if isinstance(value, Mapping) and isinstance(config.get(key), Mapping)
            else value
            for key, value in overrides.items()
        },
    }


def plan(params: dict[str, Any]) -> dict[str, Any]:
    preset = check_preset(params["preset"])
    ports = PortRules.read(
        params.get("reserved_ports", {}), params.get("surge_offset", 0), params.get("kept_ports", {})
    )
    specs, gpus = (
        parse_models(params["models"], ports),
        tuple(
            dataclasses.replace(gpu, reserved_bytes=parse_size(params.get("reserved", "0"), "vllm_stack_reserved"))
            for gpu in parse_gpus(params["gpus"])
        ),
    )
    names = [name for spec in specs for name in (spec.name, *spec.aliases, *(a["name"] for a in spec.lora_adapters))]
    for parameter, variable in VARIABLES.items():
        check_chosen(params.get(parameter, ""), variable, names)
    profile = vllm.profile(params["engine_version"])
    shapes = [shape_of(spec, f"{LIST}[{index}]") for index, spec in enumerate(specs)]
    digest = digest_of(params, shapes, gpus)
    calibration = Calibration.read(params["calibration"], params["image"])
    record = params["proved"]
    proved = record.get("plan") if record.get("inputs_digest") == digest and is_as_written(record) else None
    # A record of another shape counts as none.
    whole = proved if isinstance(proved, dict) and proved.get("gpus") else None
    objective_s = admission.objective(params.get("ttft_objective_s", 0))
    found = dict(whole or choose(specs, shapes, gpus, preset, profile, calibration, objective_s))
    return {
        **found,
        "image": params["image"],
        "inputs_digest": digest,
        "calibration": calibration.error([gpu.name for gpu in gpus]),
    }


def digest_of(params: dict[str, Any], shapes: Sequence[ModelShape], gpus: Sequence[Gpu]) -> str:
    """Of what a plan is made from, without what only runs the engines, and without figures that move by themselves."""
    models = [{key: value for key, value in model.items() if key not in NOT_PLANNED} for model in params["models"]]
    # A host's own memory is a few bytes more or less after each boot; a card's is not.
    sizes = [(gpu.uuid, gpu.name, 0 if gpu.is_cpu else gpu.usable_bytes) for gpu in gpus]
    made_from = [PLANNER, models, [repr(shape) for shape in shapes], sizes, *(params[key] for key in GLOBAL)]
    made_from += [params["reserved"]] if params.get("reserved", "0") != "0" else []
    made_from += [params["ttft_objective_s"]] if params.get("ttft_objective_s", 0) else []
    return hashlib.sha256(json.dumps(made_from, sort_keys=True, default=str).encode()).hexdigest()[:16]


def main() -> NoReturn:
    module = UnloggedModule(
        argument_spec=ARGUMENT_SPEC,
        supports_check_mode=True,
    )
    given = dict(module.params)
    module.params["models"] = masked(given["models"])
    try:
        module.exit_json(changed=False, plan=plan(given))
    except FleetError as error:
        more: dict[str, Any] = {}
        if error.where in VARIABLES.values():
            # The one that is refused would be torn out of the sentence that says so, which names only its variable.
            module.no_log_values.clear()
            more = {"invocation": {}}
        module.fail_json(msg=f"{error} Nothing was changed.", field=error.where, **more)


if __name__ == "__main__":
    main()
