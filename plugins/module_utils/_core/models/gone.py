# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Classes that vLLM served once, by the last version that did, and those that a plugin serves. Source: models/registry.py of 0.33.0."""

from __future__ import annotations

from collections.abc import Mapping

LAST_SERVED: Mapping[str, tuple[int, int, int]] = {
    **dict.fromkeys(("Phi3SmallForCausalLM",), (0, 9, 2)),
    **dict.fromkeys(
        ("DonutForConditionalGeneration", "MllamaForConditionalGeneration", "MotifForCausalLM", "Phi4FlashForCausalLM"),
        (0, 10, 2),
    ),
    **dict.fromkeys(("Phi4MultimodalForCausalLM",), (0, 12, 0)),
    **dict.fromkeys(("JAISLMHeadModel",), (0, 22, 0)),
    **dict.fromkeys(
        (
            "BaiChuanForCausalLM",
            "BaichuanForCausalLM",
            "BambaForCausalLM",
            "Dots1ForCausalLM",
            "ErnieForSequenceClassification",
            "ErnieForTokenClassification",
            "ErnieModel",
            "InternLM2VEForCausalLM",
            "InternLMForCausalLM",
            "MiniMaxForCausalLM",
            "MiniMaxM1ForCausalLM",
            "MiniMaxText01ForCausalLM",
            "MiniMaxVL01ForConditionalGeneration",
            "QWenLMHeadModel",
            "QwenVLForConditionalGeneration",
            "Tarsier2ForConditionalGeneration",
            "XverseForCausalLM",
        ),
        (0, 23, 0),
    ),
    **dict.fromkeys(
        (
            "AquilaForCausalLM",
            "AquilaModel",
            "AyaVisionForConditionalGeneration",
            "Grok1ForCausalLM",
            "Grok1ModelForCausalLM",
            "MantisForConditionalGeneration",
            "MusicFlamingoForConditionalGeneration",
            "TarsierForConditionalGeneration",
        ),
        (0, 24, 0),
    ),
    **dict.fromkeys(("FuyuForCausalLM", "PersimmonForCausalLM", "TeleChatForCausalLM"), (0, 25, 0)),
    **dict.fromkeys(("OuroForCausalLM", "Plamo2ForCausalLM"), (0, 26, 0)),
    **dict.fromkeys(
        (
            "ArcticForCausalLM",
            "ChameleonForConditionalGeneration",
            "Cheers",
            "CheersForConditionalGeneration",
            "Fairseq2LlamaForCausalLM",
            "FireRedLIDForConditionalGeneration",
            "GritLM",
            "HCXVisionForCausalLM",
            "MPTForCausalLM",
            "MptForCausalLM",
            "PrithviGeoSpatialMAE",
            "RWForCausalLM",
            "StableLMEpochForCausalLM",
        ),
        (0, 28, 0),
    ),
}
PLUGIN = frozenset(
    ("BartModel", "BartForConditionalGeneration", "MBartForConditionalGeneration", "Florence2ForConditionalGeneration")
)


def told(name: str) -> tuple[str, str] | None:
    """Return what keeps vLLM from serving a class, and what to do; None where nothing is known to."""
    if name in PLUGIN:
        return (
            f"vLLM serves {name} by a plugin alone, bart-plugin, which is in no image of its own.",
            "Take another model, or an image with the plugin, and set weights_bytes.",
        )
    if (last := LAST_SERVED.get(name)) is None:
        return None
    shown = ".".join(str(number) for number in last)
    return (
        f"vLLM has had no class for {name} since {shown}.",
        f"Take another model, or an engine image of {shown} at most, and set weights_bytes.",
    )


def note(name: str, version: tuple[int, int, int]) -> list[str]:
    """Say that this version of the engine has no class of its own for the model any more."""
    last = LAST_SERVED.get(name)
    if last is None or version <= last:
        return []
    shown = ".".join(str(number) for number in last)
    return [
        f"vLLM has had no class for {name} since {shown}: it starts only where transformers' class can take its place"
    ]
