# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Speculative decoding as --speculative-config asks for it: who guesses, how many tokens, and what of it a plan can count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail

# Keys of --speculative-config that are flags too.
ALONE = {"--spec-method": "method", "--spec-model": "model", "--spec-tokens": "num_speculative_tokens"}
# These take no weights: they guess from the text itself.
_WEIGHTLESS = ("ngram", "ngram_gpu", "suffix", "[ngram]")
# Heads of a layer or so that read the model's states.
_HEADS = ("eagle", "eagle3", "medusa", "mlp_speculator", "dflash", "dspark")
# Of a suffix tree the engine takes so many where nobody says.
_SUFFIX_DEPTH = 24


def predicts_ahead(method: str) -> bool:
    """Whether the model's own last layers guess (multi-token prediction), by any of the names that versions have for it."""
    return method == "mtp" or method.endswith("_mtp")


def read(said: Mapping[str, Any], where: str, notes: list[str]) -> dict[str, Any]:
    """Return what it changes of an engine's memory; what can't be counted at all is a FleetError."""
    said = {str(key).replace("-", "_"): value for key, value in said.items()}
    method, model = str(said.get("method") or ""), str(said.get("model") or "")
    drafts = _count(said.get("num_speculative_tokens"), 1)
    if method in _WEIGHTLESS or model in _WEIGHTLESS:
        if "suffix" in (method, model):
            drafts = _count(
                said.get("num_speculative_tokens"), _count(said.get("suffix_decoding_max_tree_depth"), _SUFFIX_DEPTH)
            )
        return {"drafts": drafts}
    if predicts_ahead(method):
        notes.append("speculative_config: a layer that predicts ahead is planned as large as one of the model's own")
        return {"drafts": drafts, "ahead": True, "draft_model": model, "method": method, "reads_hidden": True}
    if not model:
        fail(
            f"{where}.extra_args",
            f"--speculative-config of method {method or 'none'!r} names no model to plan.",
            "Name its model, or take method ngram.",
        )
    reads_hidden = method in _HEADS or "eagle" in model.lower()
    return {"drafts": drafts, "draft_model": model, "method": method, "reads_hidden": reads_hidden}


def _count(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1000 else default
