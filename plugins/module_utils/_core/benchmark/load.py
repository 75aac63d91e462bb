# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much is asked of a model in a benchmark: profiles, and a profile's loads made to fit what the model takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.spelling import meant


@dataclass(frozen=True)
class Load:
    """So many requests, so many of them at once, each of so many tokens in and out; what embeds has none out."""

    requests: int
    concurrency: int
    input_tokens: int
    output_tokens: int


# `guide` is the run of the guide that this collection began with: `ab -n 100 -c 10`, short questions and answers.
PROFILES: Mapping[str, tuple[Load, ...]] = {
    "quick": (Load(16, 4, 64, 32),),
    "guide": (Load(100, 10, 64, 100),),
    "sweep": tuple(Load(8 * at_once, at_once, 256, 128) for at_once in (1, 2, 4, 8, 16, 32)),
}
# Special tokens that an engine puts before a prompt, and what another tokenizer run makes of it.
_SPARE_TOKENS = 8


def loads(profile: str) -> tuple[Load, ...]:
    """Return the loads of a profile."""
    if profile not in PROFILES:
        fail(
            "benchmark_profile",
            f"{profile!r} is none.",
            f"{meant(profile, PROFILES)}Take one of {', '.join(PROFILES)}.",
        )
    return PROFILES[profile]


def fitted(load: Load, max_model_len: int, pools: bool) -> Load:
    """Return the load with prompts and answers that the model has room for, in the same proportion; 0 knows no bound."""
    if pools:
        load = replace(load, output_tokens=0)
    room = max_model_len - _SPARE_TOKENS
    wanted = load.input_tokens + load.output_tokens
    if not max_model_len or wanted <= room:
        return load
    least = 1 if pools else 2
    if room < least:
        fail("vllm_stack_models", f"max_model_len {max_model_len} leaves no room for a prompt.", "Raise it.")
    given = max(1, load.input_tokens * room // wanted)
    return replace(
        load, input_tokens=given, output_tokens=0 if pools else max(1, min(load.output_tokens, room - given))
    )
