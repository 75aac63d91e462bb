# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a model is for, told from its files: to generate, to embed, to score, to classify or to transcribe."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.info import ModelInfo

# Of these the engine makes no tokens.
POOLING = ("embed", "score", "classify")
_TRANSCRIBE = (
    "WhisperForConditionalGeneration",
    "CohereAsrForConditionalGeneration",
    "Qwen3ASRForConditionalGeneration",
    *("VoxtralRealtimeGeneration", "VoxtralRealtimeForConditionalGeneration", "Qwen3ASRRealtimeGeneration"),
)
_CLASSIFIERS = ("ForSequenceClassification", "ForRewardModel", "ForTokenClassification", "JinaVLForRanking")
# Classes that score by the nearest words of two texts; the engine serves them as pooling models unasked.
_LATE = re.compile(r"Col[A-Z]|HF_ColBERT$|OpsColQwen3Model$|Qwen3VLNemotronEmbedModel$|JinaForRanking$")
# Classes of models that generate in spite of their names' end: ChatGLM's, GPT-2's, and of those that hear.
_GENERATORS = (
    *("ChatModel", "ChatGLMModel", "LMHeadModel"),
    *("UltravoxModel", "Qwen2_5OmniModel", "MiDashengLMModel", "MossAudioModel"),
)
_ENCODERS = ("Model", "ForMaskedLM", "ForTextEncoding", "ForImageClassification", "EncoderModel")


def architecture(config: Mapping[str, Any]) -> str:
    """The class that config.json names; empty where it names none."""
    names = config.get("architectures")
    return str(names[0]) if isinstance(names, Sequence) and not isinstance(names, str) and names else ""


def told(config: Mapping[str, Any], info: ModelInfo) -> str:
    """What a model is for, where nobody says."""
    name = architecture(config)
    if name in _TRANSCRIBE:
        return "transcribe"
    if _LATE.match(name):
        return "score"
    if name.endswith(_CLASSIFIERS):
        return "score" if _labels(config) == 1 and not name.endswith("ForTokenClassification") else "classify"
    if info.modules or (name.endswith(_ENCODERS) and not name.endswith(_GENERATORS)):
        return "embed"
    return "generate"


def is_pooling_class(config: Mapping[str, Any]) -> bool:
    """Whether the engine serves the class as a pooling model unasked."""
    name = architecture(config)
    return bool(_LATE.match(name)) or (name.endswith((*_CLASSIFIERS, *_ENCODERS)) and not name.endswith(_GENERATORS))


def _labels(config: Mapping[str, Any]) -> int:
    labels = config.get("id2label")
    if isinstance(labels, Mapping):
        return len(labels)
    count = config.get("num_labels", 1)
    return count if isinstance(count, int) else 1
