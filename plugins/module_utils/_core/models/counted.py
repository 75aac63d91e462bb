# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A config.json, counted: its tensors, its layers, and what each of them keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import (
    architectures,
    encoders,
    experts,
    layers,
    layout,
    states,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.architectures import LLAMA, Architecture
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.config import Config
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.encoders import NO_ENCODERS, Encoders
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.experts import Experts
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.kv_pool import CacheSpec, Kind
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.layers import Layer, Mixer
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.layout import Layout
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.sections import (
    FLAT,
    TRANSCRIBERS,
    VERSIONS,
    language,
)


@dataclass(frozen=True)
class Keeps:
    """What one layer keeps: elements a token and KV head, elements of a latent, or a state's with their bytes."""

    kind: Kind
    kv_heads: int = 0
    head_dim: int = 0
    latent: int = 0
    convolved: int = 0
    recurrent: int = 0
    recurrent_bytes: int = 2
    span: int = 0
    # The size of a head's values where it is not that of its keys.
    value_dim: int = 0

    def spec(self, cache_bytes: float, dtype_bytes: int, ranks: int) -> CacheSpec:
        """In bytes, on one of so many ranks."""
        if self.kind is Kind.STATE:
            size = self.convolved // ranks * dtype_bytes + self.recurrent // ranks * self.recurrent_bytes
            return CacheSpec(self.kind, size)
        if self.latent:
            # One latent a token, the same on every rank.
            return CacheSpec(self.kind, int(self.latent * cache_bytes), self.span)
        both = self.head_dim + (self.value_dim or self.head_dim)
        return CacheSpec(self.kind, int(max(1, self.kv_heads // ranks) * both * cache_bytes), self.span)


@dataclass(frozen=True)
class Counted:
    """What was found in a config.json."""

    layout: Layout
    layers: tuple[Layer, ...]
    keeps: tuple[tuple[Keeps, int], ...]
    experts: Experts | None
    encoders: Encoders
    known: bool = True


def kind_of(read: Config) -> tuple[str, Architecture | None]:
    """The name of the language part's class, and what sets it apart; None where nothing is known of it."""
    names = read.outer.get("architectures")
    outer = str(names[0]) if isinstance(names, Sequence) and not isinstance(names, str) and names else ""
    if outer in TRANSCRIBERS:
        return outer, LLAMA
    inner = VERSIONS.get(outer, {}).get(str(read.outer.get("version")), FLAT.get(outer, outer))
    if read.nested:
        own = read.values.get("architectures")
        inner = language(str(read.values.get("model_type")))
        if not inner and isinstance(own, Sequence) and not isinstance(own, str) and own:
            inner = str(own[0])
    if not inner:
        inner = language(str(read.outer.get("model_type")))
    return inner or outer or f"model_type {read.outer.get('model_type')}", architectures.find(inner)


def count_tensors(read: Config, kind: Architecture, counts_on: bool, known: bool) -> Counted:
    if not known:
        _check_sizes(read)
    count = read.whole("num_hidden_layers")
    try:
        found_layers = layers.read(read, kind, counts_on)
        found_experts = experts.read(read, count)
        if not counts_on:
            experts.check_all_read(read)
        found_encoders = _encoders(read, counts_on)
    except FleetError:
        if known or not counts_on:
            raise
        # Of an unknown architecture every layer is taken to keep every token.
        heads = read.whole("num_attention_heads")
        head_dim = read.whole("head_dim", max(1, read.whole("hidden_size") // heads))
        one = Layer((Mixer.FULL,), heads, read.whole("num_key_value_heads", heads), head_dim, 0)
        found_layers, found_experts, found_encoders = (one,) * count, None, NO_ENCODERS
    if kind.encoder:
        return Counted(layout.encoder(read, kind), found_layers, (), None, found_encoders)
    found = layout.decoder(read, kind, found_layers, found_experts, is_tied(read, kind))
    keeps = (*_keeps(read, kind, found_layers), *_heard(read)) if _is_causal(read) else ()
    return Counted(found, found_layers, keeps, found_experts, found_encoders, not layers.unknown_kinds(read, kind))


def _check_sizes(read: Config) -> None:
    """Refuse a class that nobody knows, where its file does not say in the words of others what a cache is planned by."""
    missing = [key for key in ("num_hidden_layers", "hidden_size", "num_attention_heads") if read.own(key) is None]
    if missing:
        fail(
            f"{read.where}.{missing[0]}",
            "nothing is known of this class, and its file does not say it where others do: no cache can be planned.",
            f"Write {', '.join(missing)} of its decoder into the entry's config.",
        )


def _encoders(read: Config, counts_on: bool) -> Encoders:
    try:
        encoders.check_all_read(read.outer, read.where)
        if not encoders.sections(read.outer):
            return NO_ENCODERS
        family = encoders.family_of(read.outer)
        if family not in encoders.COUNTED:
            fail(
                f"{read.where}.model_type",
                f"the encoder of {family or 'this model'} can't be counted from a config.json.",
                "Let model_info read the model's tensors, or set weights_bytes.",
            )
        return encoders.read(read)
    except FleetError:
        if not counts_on:
            raise
        return Encoders(kinds=("unknown",))


def _keeps(read: Config, kind: Architecture, found: Sequence[Layer]) -> tuple[tuple[Keeps, int], ...]:
    """What the layers keep, the same ones together."""
    counts: dict[Keeps, int] = {}
    # Ouro goes through its layers several times, and keeps what each time saw.
    times = read.count("total_ut_steps") or 1
    # IQuest's looped coder goes through them again with a window (vLLM, models/iquest_loopcoder.py).
    again = max(1, read.count("loop_num")) - 1
    looped = read.whole("loop_window_size", 64)
    for layer, alike in Counter(found).items():
        for mixer in layer.mixers:
            if layer.borrows_cache and mixer in layers.ATTENTION:
                continue
            one = _kept(read, kind, layer, mixer)
            counts[one] = counts.get(one, 0) + alike * times
            if again and one.kind is Kind.FULL:
                more = replace(one, kind=Kind.SLIDING, span=looped)
                counts[more] = counts.get(more, 0) + alike * again
    index = read.count("index_head_dim")
    if index and any(Mixer.LATENT in layer.mixers for layer in found):
        # DeepSeek V3.2: an indexer's key of one byte an element, and its scale, beside each latent.
        counts[Keeps(Kind.FULL, latent=(index + 4 + 1) // 2)] = len(found)
    if chosen := layout.indexed_layers(read, len(found)):
        # MiniMax M3: an indexer's key, of 16 bits an element.
        counts[Keeps(Kind.FULL, latent=read.count("sparse_attention_config.sparse_index_dim"))] = len(chosen)
    return tuple(counts.items())


def _heard(read: Config) -> tuple[tuple[Keeps, int], ...]:
    """What an encoder keeps that hears while the language model speaks (Voxtral Realtime): keys and values of the steps that become one
    token, as heads of it, and of a window so much shorter. Source: vLLM, models/whisper_causal.py (get_kv_cache_spec).
    """
    if encoders.family_of(read.outer) != "voxtral_realtime":
        return ()
    own = encoders.section_of(read, "audio")
    steps = Config(read.outer, read.outer, read.where).whole("downsample_factor", 4)
    heads = own.whole("num_attention_heads")
    size = own.whole("head_dim", max(1, own.whole("hidden_size") // heads))
    window = -(-own.whole("sliding_window") // steps) + 1
    return ((Keeps(Kind.SLIDING, steps * heads, size, span=window), own.whole("num_hidden_layers")),)


def _is_causal(read: Config) -> bool:
    """Whether a token sees only those before it; where it sees all, the engine keeps nothing. Source: vLLM, models/config.py."""
    names = read.outer.get("architectures")
    classes = [str(one) for one in names] if isinstance(names, (list, tuple)) else []
    inner = read.values.get("architectures")
    classes += [str(one) for one in inner] if isinstance(inner, (list, tuple)) else []
    named = (
        any("Bidirectional" in one or "PrivacyFilter" in one for one in classes)
        or read.values.get("model_type") == "llama_bidirec"
    )
    # Of others the key says how a picture's tokens see each other (PaliGemma).
    embeds = "Gemma3TextModel" in classes and read.own("use_bidirectional_attention") is True
    return not (named or embeds or read.own("is_causal") is False)


def _kept(read: Config, kind: Architecture, layer: Layer, mixer: Mixer) -> Keeps:
    if mixer is Mixer.LATENT:
        return Keeps(Kind.FULL, latent=read.whole("kv_lora_rank") + read.whole("qk_rope_head_dim"))
    if mixer in layers.STATES:
        convolved, recurrent = states.state_elements(read, mixer, kind)
        return Keeps(Kind.STATE, convolved=convolved, recurrent=recurrent, recurrent_bytes=_state_bytes(read, mixer))
    window = layers.window(read, kind)
    if mixer is Mixer.SLIDING and window:
        return Keeps(Kind.SLIDING, layer.kv_heads, layer.head_dim, span=window, value_dim=layer.value_dim)
    if mixer is Mixer.CHUNKED:
        return Keeps(Kind.CHUNKED, layer.kv_heads, layer.head_dim, span=read.whole("attention_chunk_size"))
    return Keeps(Kind.FULL, layer.kv_heads, layer.head_dim, value_dim=layer.value_dim)


def _state_bytes(read: Config, mixer: Mixer) -> int:
    """Bytes of an element that recurs: of the model's dtype but where a family says otherwise."""
    said = read.own("mamba_ssm_dtype") or read.own("mamba_ssm_cache_dtype")
    if said is None and (read.own("hybrid_override_pattern") is not None or mixer is Mixer.KDA):
        said = "float32"
    return 4 if str(said) == "float32" else 2


def is_tied(read: Config, kind: Architecture) -> bool:
    """Whether the output layer is the embedding. Of a multimodal model the whole file's word goes before its language part's, as it does
    in the engine (vLLM, config/vllm.py: with_hf_config).
    """
    said = read.outer.get("tie_word_embeddings")
    return not kind.head or bool(
        read.get("tie_word_embeddings", "tie_embedding", default=kind.tied) if said is None else said
    )
