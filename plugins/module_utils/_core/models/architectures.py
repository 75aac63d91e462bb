# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What sets one architecture's tensors apart from a Llama's. One that is not here can't be counted from its config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Architecture:
    """A decoder unless it is an encoder: norms a layer, biases, norms of queries and keys, and what config.json leaves out."""

    norms: int = 2
    qkv_bias: bool = False
    # Norms of queries and keys: of one head's size, or over all heads.
    qk_norm: bool = False
    wide_qk_norm: bool = False
    tied: bool = False
    shared_gate: bool = False
    head: bool = True
    encoder: bool = False
    gated: bool = True
    # Biases in every linear layer, and in the norms.
    bias: bool = False
    norm_bias: bool = False
    # One layer of so many has full attention, of 1 none; and the window that holds where config.json is silent.
    sliding_pattern: int = 0
    window: int | None = None
    # Attention and MLP read the same input, side by side.
    parallel: bool = False
    # Positions are learned, and so many come before the first.
    learned_positions: int | None = None
    # Layers without an attention key of their own are of this kind.
    mixer: str = "attention"
    # The engine keeps a latent a token only for these; others with a kv_lora_rank get keys and values of all heads.
    latent: bool = False
    # Routers compute in float32, from a copy of their input.
    wide_router: bool = False
    # Experts have a gate, whether other MLPs have one or not.
    gated_experts: bool = False
    # What attention finds goes through a gate as wide as the queries.
    gated_attention: bool = False


LLAMA = Architecture()
MISTRAL = Architecture(sliding_pattern=1, window=4096)
QWEN2 = Architecture(qkv_bias=True)
QWEN3 = Architecture(qk_norm=True)
QWEN3_NEXT = Architecture(qk_norm=True, shared_gate=True, mixer="delta", gated_attention=True)
DEEPSEEK = Architecture(latent=True)
GEMMA = Architecture(tied=True)
GEMMA3 = Architecture(tied=True, norms=4, qk_norm=True, sliding_pattern=6)
COHERE = Architecture(tied=True, norms=1, parallel=True)
OLMO2 = Architecture(wide_qk_norm=True)
GPT2 = Architecture(tied=True, gated=False, bias=True, norm_bias=True, learned_positions=0)
# Encoders have no KV cache and no output layer; BERT's have biases everywhere and no gate in the MLP.
BERT = Architecture(encoder=True, head=False, gated=False, bias=True)
MODERN_BERT = Architecture(encoder=True, head=False)
GTE = Architecture(encoder=True, head=False, qkv_bias=True, norm_bias=True)
_LIKE_LLAMA = (
    *("LlamaForCausalLM", "LLaMAForCausalLM", "Phi3ForCausalLM", "MixtralForCausalLM", "SmolLM3ForCausalLM"),
    *("GraniteForCausalLM", "GraniteMoeForCausalLM", "GraniteMoeSharedForCausalLM", "GraniteSWAForCausalLM"),
    *("GraniteMoeSWAForCausalLM", "Llama4ForCausalLM", "InternLM2ForCausalLM", "InternLM3ForCausalLM"),
    *("AquilaForCausalLM", "Ernie4_5ForCausalLM", "Ministral3ForCausalLM"),
    *("BaichuanForCausalLM", "BaiChuanForCausalLM", "MiniCPMForCausalLM", "ExaoneForCausalLM", "SolarForCausalLM"),
    *("OlmoForCausalLM", "TeleChat2ForCausalLM", "TeleChat3ForCausalLM", "TeleFLMForCausalLM", "InternLMForCausalLM"),
    *("DeepseekForCausalLM", "XverseForCausalLM", "CwmForCausalLM", "IQuestCoderForCausalLM", "NanbeigeForCausalLM"),
    *("HyperCLOVAXForCausalLM", "PanguEmbeddedForCausalLM", "BailingMoeForCausalLM", "BailingMoeV2ForCausalLM"),
    *("MiniCPM3ForCausalLM", "DeciLMForCausalLM", "AriaForCausalLM", "MolmoForCausalLM", "Fairseq2LlamaForCausalLM"),
    *("GritLM", "IQuestLoopCoderForCausalLM", "DbrxForCausalLM", "MiMoV2FlashForCausalLM", "MiMoV2ForCausalLM"),
)
_LIKE_QWEN3 = (
    *("Qwen3ForCausalLM", "Qwen3MoeForCausalLM", "HunYuanDenseV1ForCausalLM", "HunYuanMoEV1ForCausalLM"),
    *("Dots1ForCausalLM", "Exaone4ForCausalLM", "ExaoneMoeForCausalLM", "ExaoneMoEForCausalLM", "MellumForCausalLM"),
    *("HYV3ForCausalLM", "LagunaForCausalLM", "MiniMaxM3SparseForCausalLM", "Step3p5ForCausalLM"),
)
_DECODERS = {
    **dict.fromkeys(_LIKE_LLAMA, LLAMA),
    **dict.fromkeys(_LIKE_QWEN3, QWEN3),
    "MistralForCausalLM": MISTRAL,
    "Qwen2ForCausalLM": QWEN2,
    "SeedOssForCausalLM": QWEN2,
    "MiMoForCausalLM": QWEN2,
    "Qwen2MoeForCausalLM": Architecture(qkv_bias=True, shared_gate=True),
    "ArceeForCausalLM": Architecture(gated=False),
    "ApertusForCausalLM": Architecture(qk_norm=True, gated=False),
    "MiniMaxM2ForCausalLM": OLMO2,
    **dict.fromkeys(("Qwen3NextForCausalLM", "Qwen3_5ForCausalLM", "Qwen3_5MoeForCausalLM"), QWEN3_NEXT),
    "OlmoHybridForCausalLM": Architecture(wide_qk_norm=True, mixer="delta"),
    "AfmoeForCausalLM": Architecture(norms=4, qk_norm=True, gated_attention=True),
    "GemmaForCausalLM": GEMMA,
    "Gemma2ForCausalLM": Architecture(tied=True, norms=4, sliding_pattern=2),
    "Gemma3ForCausalLM": GEMMA3,
    "Gemma3nForCausalLM": GEMMA3,
    "Gemma4ForCausalLM": GEMMA3,
    "VaultGemmaForCausalLM": Architecture(tied=True, sliding_pattern=2),
    **dict.fromkeys(("Plamo3ForCausalLM", "Rnj1ForCausalLM"), Architecture(norms=4, qk_norm=True)),
    "OuroForCausalLM": Architecture(norms=4),
    **dict.fromkeys(
        ("MuseGlimmerForCausalLM", "MuseGlimmerForConditionalGeneration"), Architecture(norms=4, gated_attention=True)
    ),
    "SarvamMoEForCausalLM": QWEN3,
    "DeepseekV2ForCausalLM": DEEPSEEK,
    "DeepseekV3ForCausalLM": DEEPSEEK,
    "DeepseekV32ForCausalLM": DEEPSEEK,
    "GlmMoeDsaForCausalLM": DEEPSEEK,
    "MistralLarge3ForCausalLM": DEEPSEEK,
    "AXK1ForCausalLM": replace(DEEPSEEK, norms=3),
    "LongcatFlashForCausalLM": DEEPSEEK,
    "Glm4MoeLiteForCausalLM": DEEPSEEK,
    "KimiLinearForCausalLM": Architecture(latent=True, mixer="kda"),
    **dict.fromkeys(("GlmForCausalLM", "ChatGLMModel", "ChatGLMForConditionalGeneration"), QWEN2),
    "Glm4ForCausalLM": Architecture(norms=4, qkv_bias=True),
    "Glm4MoeForCausalLM": replace(QWEN2, wide_router=True),
    "Ernie4_5_MoeForCausalLM": Architecture(wide_router=True),
    "GptOssForCausalLM": Architecture(qkv_bias=True, sliding_pattern=2),
    # The same layers, each of them looking both ways.
    "OpenAIPrivacyFilterForTokenClassification": Architecture(qkv_bias=True, head=False),
    "Olmo2ForCausalLM": OLMO2,
    "Olmo3ForCausalLM": OLMO2,
    "OlmoeForCausalLM": OLMO2,
    "PhiMoEForCausalLM": Architecture(norm_bias=True),
    "FlexOlmoForCausalLM": OLMO2,
    "CohereForCausalLM": COHERE,
    **dict.fromkeys(("Cohere2ForCausalLM", "Cohere2MoeForCausalLM"), replace(COHERE, sliding_pattern=4)),
    **dict.fromkeys(
        ("StableLmForCausalLM", "StableLMEpochForCausalLM", "OrionForCausalLM"), Architecture(norm_bias=True)
    ),
    "Starcoder2ForCausalLM": Architecture(gated=False, bias=True, norm_bias=True, tied=True, sliding_pattern=1),
    "NemotronForCausalLM": Architecture(gated=False, norm_bias=True),
    "PhiForCausalLM": Architecture(norms=1, parallel=True, gated=False, bias=True, norm_bias=True),
    **dict.fromkeys(
        ("Moondream3ForCausalLM", "HfMoondream"),
        Architecture(norms=1, parallel=True, gated=False, gated_experts=True, bias=True, norm_bias=True),
    ),
    "GPT2LMHeadModel": GPT2,
    "GPTBigCodeForCausalLM": GPT2,
    "GPTNeoXForCausalLM": Architecture(gated=False, bias=True, norm_bias=True),
    "BloomForCausalLM": replace(GPT2, learned_positions=None),
    **dict.fromkeys(("MPTForCausalLM", "MptForCausalLM"), Architecture(tied=True, gated=False)),
    "GPTJForCausalLM": Architecture(norms=1, parallel=True, gated=False, norm_bias=True),
    "Jais2ForCausalLM": Architecture(gated=False, norm_bias=True),
    "OPTForCausalLM": replace(GPT2, learned_positions=2),
    **dict.fromkeys(
        ("FalconForCausalLM", "RWForCausalLM"),
        Architecture(norms=1, parallel=True, gated=False, norm_bias=True, tied=True),
    ),
    "GraniteMoeHybridForCausalLM": Architecture(mixer="mamba2"),
    "BambaForCausalLM": Architecture(mixer="mamba2"),
    "FalconH1ForCausalLM": Architecture(mixer="mamba2"),
    "NemotronHForCausalLM": Architecture(norms=1, gated=False, mixer="mamba2"),
    "Mamba2ForCausalLM": Architecture(norms=1, mixer="mamba2", tied=True),
    "Zamba2ForCausalLM": Architecture(norms=1, mixer="mamba2", tied=True),
    "Plamo2ForCausalLM": Architecture(norms=4, wide_qk_norm=True, mixer="mamba2", tied=True),
    "MambaForCausalLM": Architecture(norms=1, mixer="mamba1", tied=True),
    "FalconMambaForCausalLM": Architecture(norms=1, mixer="mamba1", tied=True),
    "JambaForCausalLM": Architecture(mixer="mamba1"),
    "Lfm2ForCausalLM": Architecture(qk_norm=True, mixer="conv", tied=True),
    "Lfm2MoeForCausalLM": Architecture(qk_norm=True, mixer="conv", tied=True),
    **dict.fromkeys(
        ("MiniMaxText01ForCausalLM", "MiniMaxM1ForCausalLM", "MiniMaxForCausalLM"), Architecture(mixer="lightning")
    ),
}
_LIKE_MODERN_BERT = (
    *("ModernBertModel", "ModernBertForSequenceClassification", "ModernBertForTokenClassification"),
    *("NomicBertModel", "ColBERTModernBertModel"),
)
_LIKE_GTE = ("GteModel", "GteNewModel", "GteNewForSequenceClassification", "NewModel", "NewForSequenceClassification")
_ENCODERS = {
    **{
        name + suffix: BERT
        for name in ("Bert", "Roberta", "XLMRoberta", "Camembert", "Ernie")
        for suffix in ("Model", "ForSequenceClassification", "ForTokenClassification", "ForMaskedLM")
    },
    **dict.fromkeys(
        ("BertSpladeSparseEmbeddingModel", "BgeM3EmbeddingModel", "HF_ColBERT", "ColBERTJinaRobertaModel"), BERT
    ),
    **dict.fromkeys(("CLIPModel", "SiglipModel"), BERT),
    **dict.fromkeys(_LIKE_MODERN_BERT, MODERN_BERT),
    **dict.fromkeys(_LIKE_GTE, GTE),
}
ARCHITECTURES: Mapping[str, Architecture] = {**_DECODERS, **_ENCODERS}
# Any decoder serves as an embedding model or a classifier: it has a KV cache then and no output layer over the vocabulary.
_HEADLESS = (
    *("BidirectionalForSequenceClassification", "ForSequenceClassification", "ForTokenClassification"),
    *("ForProcessRewardModel", "ForRewardModel", "BidirectionalModel", "TextModel", "Model", "ForRanking"),
)
# Classes that are not called after the decoder in them.
_CALLED = {
    **{"Mistral": "Llama", "MistralBidirectional": "Llama", "ColBERTLfm2": "Lfm2"},
    **dict.fromkeys(("JinaEmbeddingsV5", "Jina", "VoyageQwen3BidirectionalEmbed"), "Qwen3"),
}


def find(name: str) -> Architecture | None:
    """Return what is known of a class by its name; None where nothing is."""
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    suffix = next((one for one in _HEADLESS if name.endswith(one)), None)
    if suffix is None:
        return None
    base = name.removesuffix(suffix)
    base = _CALLED.get(base, base)
    known = ARCHITECTURES.get(f"{base}ForCausalLM") or ARCHITECTURES.get(f"{base}LMHeadModel")
    return replace(known, head=False) if known else None
