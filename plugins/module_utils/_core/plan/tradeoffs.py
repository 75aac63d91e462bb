# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user left open and the plan decides: cards for a model that is too large for one, and preset auto's trades."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.engine import vllm
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gpu import Gpu
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.calibration import Calibration
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.candidate import Candidate, Choice, on_gpus
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.planner import make_plan
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.presets import SHARES, budget_on
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.remedies import LENGTH_STEP
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spec import ModelSpec

FEW_CAPTURE_SIZES = (1, 2, 4, 8, 16)
FEW_SEQS = 4
# Cards compute in fp8 from this capability on.
FP8_SINCE = (8, 9)
MORE_SEQS = (32, 64, 128, 256)


def choose(
    specs: Sequence[ModelSpec],
    shapes: Sequence[ModelShape],
    gpus: Sequence[Gpu],
    preset: str,
    profile: vllm.Profile,
    calibration: Calibration,
    ttft_objective_s: float = 0,
) -> dict[str, Any]:
    """The plan with everything decided; pinned values are never changed."""
    if not gpus:
        return make_plan([], gpus, preset, profile)

    def plan(choices: Sequence[Choice]) -> tuple[dict[str, Any], list[Candidate]]:
        found = [on_gpus(c, profile, tuple(gpus), calibration) for c in choices]
        return make_plan(found, gpus, preset, profile, ttft_objective_s), found

    choices = [Choice(spec, shape, index) for index, (spec, shape) in enumerate(zip(specs, shapes, strict=True))]
    for index, choice in enumerate(choices):
        if choice.spec.auto_length:
            choices[index] = _longest(choices, index, plan)
    result, found = plan(choices)
    if len(gpus) > 1 and not result["feasible"]:
        smallest = min(budget_on(preset, gpu) for gpu in gpus)
        choices = [
            _spread(c, item, smallest, len(gpus), lambda each: on_gpus(each, profile, tuple(gpus), calibration))
            for c, item in zip(choices, found, strict=True)
        ]
        result, found = plan(choices)
    if gpus[0].is_cpu:
        return result
    if preset != "auto" and not result["feasible"]:
        remedies = _smaller_caches(choices, gpus[0], plan)

        def fits(other: str) -> bool:
            return bool(choose(specs, shapes, gpus, other, profile, calibration)["feasible"])

        # A larger share of the card is named where it is enough; auto trades besides.
        if not any(fits(other) for other, share in SHARES.items() if share > SHARES[preset]) and fits("auto"):
            remedies.append("vllm_stack_preset: auto")
        return make_plan(found, gpus, preset, profile, ttft_objective_s, remedies)
    if preset != "auto":
        return _with_notes(choices, result, gpus[0], plan)
    for trade in (_smaller_cache, _fewer_graphs, _fewer_sequences, _no_graphs):
        if result["feasible"]:
            return _more_sequences(choices, result, plan)
        traded = [trade(c, gpus[0]) for c in choices]
        _result, less = plan(traded)
        # A trade that saves nothing (a workspace larger than the half cache) is not made.
        choices = [
            new if after.need_bytes < before.need_bytes else old
            for new, old, before, after in zip(traded, choices, found, less, strict=True)
        ]
        result, found = plan(choices)
    return _more_sequences(choices, result, plan) if result["feasible"] else result


def _longest(choices: Sequence[Choice], index: int, plan: Callable[[Sequence[Choice]], Any]) -> Choice:
    """The longest max_model_len that fits, in steps; the shortest step where none does."""
    most = choices[index].shape.length.most

    def tried(length: int) -> Choice:
        return choices[index].having(
            f"max_model_len {length}: the most that fits, of {most}", max_model_len=length, auto_length=False
        )

    def fits(length: int) -> bool:
        others = [replace(c, spec=replace(c.spec, auto_length=False)) if c.spec.auto_length else c for c in choices]
        others[index] = tried(length)
        return bool(plan(others)[0]["feasible"])

    if fits(most):
        return tried(most)
    low, high = 1, max(1, most // LENGTH_STEP)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle * LENGTH_STEP) else (low, middle)
    return tried(min(most, low * LENGTH_STEP))


def _with_notes(
    choices: Sequence[Choice],
    result: dict[str, Any],
    gpu: Gpu,
    plan: Callable[[Sequence[Choice]], tuple[dict[str, Any], list[Candidate]]],
) -> dict[str, Any]:
    """The plan as written, with a note on each model that serves fewer requests than it could with an fp8 cache."""
    served = {model["name"]: model for planned in result["gpus"] for model in planned["models"]}
    for place, choice in enumerate(choices):
        name = choice.spec.name
        if not result["feasible"] or served[name]["max_concurrency"] >= served[name]["max_num_seqs"]:
            continue
        smaller = _smaller_cache(choice, gpu)
        other, _found = plan([smaller if at == place else one for at, one in enumerate(choices)])
        more = next(m["max_concurrency"] for planned in other["gpus"] for m in planned["models"] if m["name"] == name)
        if other["feasible"] and int(more) > int(served[name]["max_concurrency"]):
            for planned in result["gpus"]:
                for model in planned["models"]:
                    if model["name"] == name:
                        model["notes"].append(
                            f"with kv_cache_dtype fp8 it would serve {int(more)} in preset {result['preset']}"
                        )
    return result


def _spread(choice: Choice, item: Candidate, smallest: int, gpus: int, again: Callable[[Choice], Candidate]) -> Choice:
    """As few cards as hold it, where one is too small."""
    spec = choice.spec
    if _is_fixed(choice) or spec.tensor_parallel_size is not None or item.need_bytes <= smallest:
        return choice
    heads, kv_heads = choice.shape.heads, choice.shape.kv_heads
    for count in (2, 4, 8):
        splits = heads % count == 0 and (kv_heads % count == 0 or count % kv_heads == 0)
        if count <= (len(spec.gpus) or gpus) and splits:
            spread = choice.having(f"tensor parallel over {count} cards: one is too small", tensor_parallel_size=count)
            if again(spread).need_bytes <= smallest:
                return spread
    return choice


def _smaller_cache(choice: Choice, gpu: Gpu) -> Choice:
    """Half the cache for a little accuracy, on cards that compute in fp8."""
    capable = gpu.capability is not None and gpu.capability >= FP8_SINCE
    if (
        _is_fixed(choice)
        or not capable
        or choice.spec.kv_cache_dtype != "auto"
        or choice.shape.latent
        or not choice.shape.has_kv_cache
    ):
        return choice
    return choice.having("kv_cache_dtype fp8: nothing fits without it", kv_cache_dtype="fp8")


def _smaller_caches(choices: Sequence[Choice], gpu: Gpu, plan: Callable[[Sequence[Choice]], Any]) -> list[str]:
    """The one model, else all, whose caches in fp8 are enough, as a setting; nothing where they are not."""
    smaller = [_smaller_cache(choice, gpu) for choice in choices]
    able = [place for place, choice in enumerate(choices) if smaller[place] is not choice]
    for places in dict.fromkeys([*((place,) for place in able), tuple(able)]):
        tried = [smaller[place] if place in places else choice for place, choice in enumerate(choices)]
        if places and plan(tried)[0]["feasible"]:
            return [f"kv_cache_dtype of {' and '.join(choices[place].spec.name for place in places)} to fp8"]
    return []


def _fewer_graphs(choice: Choice, _gpu: Gpu) -> Choice:
    if _is_fixed(choice) or choice.spec.enforce_eager:
        return choice
    return choice.having("graphs for at most 16 sequences: more don't fit", capture_sizes=FEW_CAPTURE_SIZES)


def _fewer_sequences(choice: Choice, _gpu: Gpu) -> Choice:
    if not _takes(choice, FEW_SEQS):
        return choice
    return choice.having(f"max_num_seqs {FEW_SEQS}: more don't fit", max_num_seqs=FEW_SEQS)


def _no_graphs(choice: Choice, _gpu: Gpu) -> Choice:
    if _is_fixed(choice) or choice.spec.enforce_eager:
        return choice
    return choice.having("enforce_eager: nothing fits with CUDA graphs", enforce_eager=True)


def _more_sequences(
    choices: Sequence[Choice],
    result: dict[str, Any],
    plan: Callable[[Sequence[Choice]], tuple[dict[str, Any], list[Candidate]]],
) -> dict[str, Any]:
    """More requests at once where they were left open and the memory is there."""
    for seqs in MORE_SEQS:
        more = [
            c.having(f"max_num_seqs {seqs}: there is room", max_num_seqs=seqs) if _takes(c, seqs) else c
            for c in choices
        ]
        if more == list(choices):
            return result
        larger, _found = plan(more)
        served = {model["name"]: model["max_concurrency"] for gpu in larger["gpus"] for model in gpu["models"]}
        open_names = [c.spec.name for c in choices if _takes(c, seqs)]
        if not larger["feasible"] or any(served[name] < seqs for name in open_names):
            return result
        result = larger
    return result


def _takes(choice: Choice, seqs: int) -> bool:
    """Whether a model may be given more sequences: a batch of pinned size has to hold a token of each."""
    spec = choice.spec
    return (
        not _is_fixed(choice)
        and spec.max_num_seqs is None
        and (spec.max_num_batched_tokens or seqs) >= seqs
        and choice.shape.has_kv_cache
    )


def _is_fixed(choice: Choice) -> bool:
    """Whether nothing is traded: hosts of a group have to come to the same, and each plans for itself."""
    return choice.spec.distributed is not None
