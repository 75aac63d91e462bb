# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tensors of a decoder or an encoder, counted from its config.json: linear layers by name, and everything else as one sum.

Names are those of published checkpoints, since the ignore lists of quantized ones speak of them.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import assert_never

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import states
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.architectures import Architecture
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.config import Config
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.experts import Experts
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.layers import Layer, Mixer


class Part(enum.Enum):
    """What a linear layer belongs to: some quantizations know only of one."""

    DECODER = enum.auto()
    EXPERTS = enum.auto()
    HEAD = enum.auto()


@dataclass(frozen=True)
class Matrix:
    """One linear layer, in each of the layers that have it; `*` in its name is the layer's number, `copies` are of experts."""

    name: str
    inputs: int
    outputs: int
    layers: tuple[int, ...] = (0,)
    copies: int = 1
    part: Part = Part.DECODER

    @property
    def each(self) -> int:
        """Parameters in one layer."""
        return self.inputs * self.outputs * self.copies

    @property
    def parameters(self) -> int:
        """Parameters in all layers."""
        return self.each * len(self.layers)


@dataclass(frozen=True)
class Layout:
    """Linear layers, what a quantization leaves alone (norms, biases, routers), and the two ends of the vocabulary."""

    matrices: tuple[Matrix, ...]
    plain: int
    embedding: int
    head: int


_LIKE_GPT_OSS = ("gpt_oss", "openai_privacy_filter")


class _Counter:
    """Matrices and plain parameters of one model, collected."""

    def __init__(self) -> None:
        self.matrices: list[Matrix] = []
        self.plain = 0

    def linear(self, name: str, inputs: int, outputs: int, at: Sequence[int], bias: bool = False) -> None:
        if inputs and outputs:
            self.matrices.append(Matrix(f"model.layers.*.{name}", inputs, outputs, tuple(at)))
            self.plain += outputs * len(at) if bias else 0


_WAITING_RANK = 32


def decoder(config: Config, kind: Architecture, layers: Sequence[Layer], experts: Experts | None, tied: bool) -> Layout:
    """Count a decoder: the same layers together."""
    counter, hidden, vocabulary = _Counter(), config.whole("hidden_size"), config.whole("vocab_size")
    alike: dict[Layer, list[int]] = {}
    for number, layer in enumerate(layers):
        alike.setdefault(layer, []).append(number)
    for layer, at in alike.items():
        for mixer in layer.mixers:
            _mix(counter, config, kind, layer, mixer, at)
        _mlp(counter, config, kind, layer, experts, at)
        norms = kind.norms if layer.mixers or layer.mlp or layer.sparse else 1
        counter.plain += _norm(kind, hidden) * norms * len(at)
    counter.plain += _norm(kind, hidden)
    if kind.learned_positions is not None:
        counter.plain += (config.whole("max_position_embeddings") + kind.learned_positions) * hidden
    _per_layer_inputs(counter, config, len(layers), hidden)
    _alternated(counter, config, len(layers), hidden)
    # Voxtral Realtime: how long it waits turns what an MLP reads, through a low rank.
    waits = config.count("ada_rms_norm_t_cond_dim") or (
        _WAITING_RANK if config.values.get("model_type") == "voxtral_realtime_text" else 0
    )
    counter.plain += 2 * hidden * waits * len(layers)
    if chosen := indexed_layers(config, len(layers)):
        # MiniMax M3: an indexer chooses the blocks that attention reads.
        heads = config.whole("sparse_attention_config.sparse_num_index_heads")
        width = config.whole("sparse_attention_config.sparse_index_dim")
        counter.linear("self_attn.index_q_proj", hidden, heads * width, chosen)
        counter.linear("self_attn.index_k_proj", hidden, width, chosen)
        counter.plain += 2 * width * len(chosen)
    head = 0 if tied or not kind.head else vocabulary * hidden
    return Layout(tuple(counter.matrices), counter.plain, vocabulary * hidden, head)


def indexed_layers(config: Config, layers: int) -> tuple[int, ...]:
    """Layers with an indexer beside keys and values of heads (vLLM, models/minimax_m3)."""
    said = config.numbers("sparse_attention_config.sparse_attention_freq") or ()
    return tuple(at for at, one in enumerate(said[:layers]) if one)


def _norm(kind: Architecture, width: int) -> int:
    return width * (2 if kind.norm_bias else 1)


def _mix(counter: _Counter, config: Config, kind: Architecture, layer: Layer, mixer: Mixer, at: Sequence[int]) -> None:
    hidden, count = config.whole("hidden_size"), len(at)
    match mixer:
        case Mixer.FULL | Mixer.SLIDING | Mixer.CHUNKED:
            if config.own("hybrid_layer_ids") is not None:
                _shared_block(counter, config, layer, at)
            elif config.own("kv_lora_rank") is not None:
                # Stored as a latent's matrices, though the engine keeps keys and values of all heads (MiniCPM 3).
                _latent(counter, config, layer, at)
            else:
                _attention(counter, config, kind, layer, at)
        case Mixer.LATENT:
            _latent(counter, config, layer, at)
        case Mixer.DELTA:
            key, value = states.delta_sizes(config)
            heads = config.whole("linear_num_value_heads")
            counter.linear("linear_attn.in_proj_qkv", hidden, 2 * key + value, at)
            counter.linear("linear_attn.in_proj_z", hidden, value, at)
            counter.linear("linear_attn.in_proj_b", hidden, heads, at)
            counter.linear("linear_attn.in_proj_a", hidden, heads, at)
            counter.linear("linear_attn.out_proj", value, hidden, at)
            kernel = config.whole("linear_conv_kernel_dim")
            counter.plain += ((2 * key + value) * kernel + 2 * heads + config.whole("linear_value_head_dim")) * count
        case Mixer.KDA:
            heads, dim, kernel = states.kda_sizes(config)
            for name in ("q_proj", "k_proj", "v_proj"):
                counter.linear(f"self_attn.{name}", hidden, heads * dim, at)
            for name in ("f", "g"):
                counter.linear(f"self_attn.{name}_a_proj", hidden, dim, at)
                counter.linear(f"self_attn.{name}_b_proj", dim, heads * dim, at)
            counter.linear("self_attn.b_proj", hidden, heads, at)
            counter.linear("self_attn.o_proj", heads * dim, hidden, at)
            counter.plain += (3 * heads * dim * kernel + heads + heads * dim + dim) * count
        case Mixer.LIGHTNING:
            width = layer.heads * layer.head_dim
            counter.linear("self_attn.qkv_proj", hidden, 3 * width, at)
            counter.linear("self_attn.output_gate", hidden, width, at)
            counter.linear("self_attn.out_proj", width, hidden, at)
            counter.plain += width * count
        case Mixer.MAMBA1:
            inner, size, kernel = states.mamba1_sizes(config)
            rank = config.count("mamba_dt_rank", "time_step_rank") or -(-hidden // 16)
            counter.linear("mamba.in_proj", hidden, 2 * inner, at)
            counter.linear("mamba.x_proj", inner, rank + 2 * size, at)
            counter.linear("mamba.dt_proj", rank, inner, at)
            counter.linear("mamba.out_proj", inner, hidden, at)
            counter.plain += (inner * (kernel + 1) + inner + inner * size + inner + rank + 2 * size) * count
        case Mixer.MAMBA2:
            inner, heads, _dim, groups, size, kernel = states.mamba2_sizes(config)
            if not groups:
                _narrow_mamba2(counter, hidden, inner, heads, size, kernel, at)
                return
            convolved = inner + 2 * groups * size
            counter.linear("mixer.in_proj", hidden, inner + convolved + heads, at)
            counter.linear("mixer.out_proj", inner, hidden, at)
            counter.plain += (convolved * (kernel + 1) + 3 * heads + inner) * count
        case Mixer.CONV:
            counter.linear("conv.in_proj", hidden, 3 * hidden, at)
            counter.linear("conv.out_proj", hidden, hidden, at)
            counter.plain += hidden * config.whole("conv_L_cache") * count
        case _:
            assert_never(mixer)


def _narrow_mamba2(
    counter: _Counter, hidden: int, inner: int, heads: int, size: int, kernel: int, at: Sequence[int]
) -> None:
    """Plamo 2's: steps and what steers a state come from what was convolved, through a low rank. Source: vLLM, models/plamo2.py."""
    rank = max(64, hidden // 16)
    counter.linear("mixer.in_proj", hidden, 2 * inner, at)
    counter.linear("mixer.bcdt_proj", inner, rank + 2 * size, at)
    counter.linear("mixer.dt_proj", rank, heads, at)
    counter.linear("mixer.out_proj", inner, hidden, at)
    counter.plain += (inner * kernel + 3 * heads + rank + 2 * size) * len(at)


def _attention(counter: _Counter, config: Config, kind: Architecture, layer: Layer, at: Sequence[int]) -> None:
    hidden, query, key = config.whole("hidden_size"), layer.heads * layer.head_dim, layer.kv_heads * layer.head_dim
    value = layer.kv_heads * layer.values
    said = config.get("attention_bias", "qkv_bias", "use_qkv_bias", "use_bias", "bias")
    biased = said is True or ((kind.qkv_bias or kind.bias) and said is not False)
    # Output projections have a bias where the whole file says so, and not where the family has one for queries alone.
    out_bias = (biased and not kind.qkv_bias) or (said is True and config.values.get("model_type") in _LIKE_GPT_OSS)
    gate = 2 if config.flag("attn_output_gate", default=kind.gated_attention) else 1
    counter.linear("self_attn.q_proj", hidden, query * gate, at, biased)
    if not layer.borrows_cache:
        counter.linear("self_attn.k_proj", hidden, key, at, biased)
        if not layer.keys_are_values:
            counter.linear("self_attn.v_proj", hidden, value, at, biased)
    counter.linear("self_attn.o_proj", layer.heads * layer.values, hidden, at, out_bias)
    if config.count("loop_num") > 1:
        # What of each time through counts: a number a head, made of what it asks.
        counter.linear("gate_projections", layer.head_dim, layer.heads, at, True)
    if config.values.get("model_type") == "moondream3_text":
        # Two numbers a head of what was asked, for how far a token looks; and how that grows with its place.
        counter.plain += (2 * (query + key + value) + 1) * layer.heads * len(at)
    if config.own("gating") is True or config.own("use_head_wise_attn_gate") is True:
        # Laguna's and Step's gate is a number a head.
        counter.linear("self_attn.g_proj", hidden, layer.heads, at)
    if kind.wide_qk_norm:
        counter.plain += (query + key) * len(at)
    elif kind.qk_norm or config.flag("use_qk_norm", "qk_layernorm"):
        counter.plain += 2 * layer.head_dim * len(at)


def _shared_block(counter: _Counter, config: Config, layer: Layer, at: Sequence[int]) -> None:
    """Zamba 2: so many blocks of attention and MLP that layers share by turns, each layer with its adapter and its way back in."""
    hidden, inner, rank = (
        config.whole("hidden_size"),
        config.whole("intermediate_size"),
        config.whole("adapter_rank"),
    )
    query, key = layer.heads * layer.head_dim, layer.kv_heads * layer.head_dim
    read = config.whole("attention_hidden_size", 2 * hidden)
    copies = tuple(at[: config.whole("num_mem_blocks")])
    for name, width in (("q_proj", query), ("k_proj", key), ("v_proj", key)):
        counter.linear(f"shared_transformer.self_attn.{name}", read, width, copies)
        if config.flag("use_shared_attention_adapter"):
            counter.linear(f"linear_{name}_adapter.0", read, rank, at)
            counter.linear(f"linear_{name}_adapter.1", rank, width, at)
    counter.linear("shared_transformer.self_attn.o_proj", query, hidden, copies)
    counter.linear("shared_transformer.feed_forward.gate_up_proj", hidden, 2 * inner, copies)
    counter.linear("shared_transformer.feed_forward.down_proj", inner, hidden, copies)
    counter.linear("gate_up_proj_adapter.0", hidden, rank, at)
    counter.linear("gate_up_proj_adapter.1", rank, 2 * inner, at)
    counter.linear("linear", hidden, hidden, at)
    counter.plain += (read + hidden) * len(copies)


def _latent(counter: _Counter, config: Config, layer: Layer, at: Sequence[int]) -> None:
    hidden, rank, query_rank = config.whole("hidden_size"), config.whole("kv_lora_rank"), config.count("q_lora_rank")
    nope, rope = config.whole("qk_nope_head_dim"), config.whole("qk_rope_head_dim")
    # MiniCPM 3's files leave the last one out.
    value = config.whole("v_head_dim", max(1, hidden // layer.heads))
    query = layer.heads * (nope + rope)
    if query_rank:
        counter.linear("self_attn.q_a_proj", hidden, query_rank, at)
        counter.linear("self_attn.q_b_proj", query_rank, query, at)
    else:
        counter.linear("self_attn.q_proj", hidden, query, at)
    counter.linear("self_attn.kv_a_proj_with_mqa", hidden, rank + rope, at)
    counter.linear("self_attn.kv_b_proj", rank, layer.heads * (nope + value), at)
    counter.linear("self_attn.o_proj", layer.heads * value, hidden, at)
    counter.plain += (rank + query_rank) * len(at)
    if width := config.count("index_head_dim"):
        # DeepSeek V3.2: an indexer chooses the tokens that attention reads.
        count = config.whole("index_n_heads")
        counter.linear("self_attn.indexer.wq_b", query_rank, count * width, at)
        counter.linear("self_attn.indexer.wk", hidden, width, at)
        counter.linear("self_attn.indexer.weights_proj", hidden, count, at)
        counter.plain += 2 * width * len(at)


def _mlp(
    counter: _Counter, config: Config, kind: Architecture, layer: Layer, experts: Experts | None, at: Sequence[int]
) -> None:
    hidden = config.whole("hidden_size")
    bias = kind.bias or config.flag("mlp_bias") or (kind.gated is False and config.flag("use_bias"))
    if layer.mlp:
        _one_mlp(counter, kind, "mlp", hidden, layer.mlp, at, bias)
    if not layer.sparse or experts is None:
        return
    base = "mixer" if config.own("hybrid_override_pattern") else "mlp"
    inside = experts.latent_size or hidden
    names = ("gate_proj", "up_proj") if kind.gated or kind.gated_experts else ("up_proj",)
    for name in names:
        counter.matrices.append(
            Matrix(
                f"model.layers.*.{base}.experts.0.{name}",
                inside,
                experts.intermediate_size,
                tuple(at),
                experts.count,
                Part.EXPERTS,
            )
        )
    counter.matrices.append(
        Matrix(
            f"model.layers.*.{base}.experts.0.down_proj",
            experts.intermediate_size,
            inside,
            tuple(at),
            experts.count,
            Part.EXPERTS,
        )
    )
    if experts.shared_intermediate_size:
        shared = "shared_expert" if kind.shared_gate else "shared_experts"
        _one_mlp(counter, kind, f"{base}.{shared}", hidden, experts.shared_intermediate_size, at, False)
        counter.plain += hidden * len(at) if kind.shared_gate else 0
    if experts.latent_size:
        counter.linear(f"{base}.fc1_latent_proj", hidden, experts.latent_size, at)
        counter.linear(f"{base}.fc2_latent_proj", experts.latent_size, hidden, at)
    # LongCat's router may choose experts that do nothing.
    counter.plain += hidden * (experts.count + config.count("zero_expert_num")) * len(at)
    if config.values.get("model_type") in _LIKE_GPT_OSS or (config.own("swiglu_limit") is not None and kind.qkv_bias):
        # Every expert has biases, and so has the router; sinks are a number a head.
        counter.plain += (experts.count * (2 * experts.intermediate_size + hidden + 1) + layer.heads) * len(at)


def _one_mlp(
    counter: _Counter, kind: Architecture, base: str, hidden: int, width: int, at: Sequence[int], bias: bool
) -> None:
    if kind.gated:
        counter.linear(f"{base}.gate_proj", hidden, width, at, bias)
    counter.linear(f"{base}.up_proj", hidden, width, at, bias)
    counter.linear(f"{base}.down_proj", width, hidden, at, bias)


def _per_layer_inputs(counter: _Counter, config: Config, layers: int, hidden: int) -> None:
    """Gemma 3n and 4's small models: an embedding for each layer, with its gate and projection."""
    width = config.count("hidden_size_per_layer_input")
    if not width:
        return
    at = tuple(range(layers))
    counter.plain += config.whole("vocab_size_per_layer_input") * width * layers
    counter.linear("per_layer_input_gate", hidden, width, at)
    counter.linear("per_layer_projection", width, hidden, at)
    counter.matrices.append(Matrix("model.per_layer_model_projection", hidden, width * layers))
    counter.plain += hidden * layers + width


def _alternated(counter: _Counter, config: Config, layers: int, hidden: int) -> None:
    """Gemma 3n: so many streams are predicted and corrected by turns, beside a low-rank path around attention."""
    streams, rank, at = config.count("altup_num_inputs"), config.count("laurel_rank"), tuple(range(layers))
    if streams:
        counter.plain += (streams**3 + streams**2 + (streams + 2) * hidden) * layers
        counter.plain += 2 * (streams - 1) * hidden * hidden
    if rank:
        counter.linear("laurel.linear_left", hidden, rank, at)
        counter.linear("laurel.linear_right", rank, hidden, at)
        counter.plain += hidden * layers


def encoder(config: Config, kind: Architecture) -> Layout:
    """Count an encoder: BERT's with biases and learned positions, later ones with a gate and without."""
    counter, hidden, count = _Counter(), config.whole("hidden_size"), config.whole("num_hidden_layers")
    width, at = config.whole("intermediate_size", 4 * hidden), tuple(range(min(count, 1000)))
    for name in ("query", "key", "value", "output"):
        counter.linear(f"attention.{name}", hidden, hidden, at)
    if copies := config.count("num_experts"):
        _expert_layers(counter, config, hidden, width, at, copies)
    else:
        _one_mlp(counter, kind, "mlp", hidden, width, at, False)
    if kind.bias:
        # Turned ones have no table (Jina's embeddings 3 and ColBERT).
        turned = config.own("position_embedding_type") == "rotary"
        positions = 0 if turned else min(config.whole("max_position_embeddings"), 2**20)
        positions += config.whole("type_vocab_size", 2)
        counter.plain += positions * hidden + 2 * hidden + (4 * hidden + width + hidden + 4 * hidden) * len(at)
    elif kind.qkv_bias:
        # GTE's: biases but within the gated MLP, and no table of positions.
        counter.plain += (config.whole("type_vocab_size", 1) + 2 + 9 * len(at)) * hidden
    else:
        counter.plain += kind.norms * hidden * len(at) + hidden
    if any(str(name).endswith("ForSequenceClassification") for name in config.words("architectures") or ()):
        counter.plain += hidden * hidden + hidden
    return Layout(tuple(counter.matrices), counter.plain, config.whole("vocab_size") * hidden, 0)


def _expert_layers(counter: _Counter, config: Config, hidden: int, width: int, at: Sequence[int], copies: int) -> None:
    """Nomic's encoder with experts: every second layer has so many MLPs without a gate, the others have one."""
    step = max(1, config.count("moe_every_n_layers") or 1)
    sparse = tuple(number for number in at if number % step == step - 1)
    plain = tuple(number for number in at if number not in sparse)
    for name, inputs, outputs in (("up_proj", hidden, width), ("down_proj", width, hidden)):
        counter.linear(f"mlp.{name}", inputs, outputs, plain, True)
        counter.matrices.append(
            Matrix(f"model.layers.*.mlp.experts.0.{name}", inputs, outputs, sparse, copies, Part.EXPERTS)
        )
    counter.plain += (hidden * copies + hidden) * len(sparse) + (4 + 4) * hidden * len(at)


def names(matrix: Matrix, nested: bool) -> Iterator[tuple[int, tuple[str, ...]]]:
    """For each layer every name that a checkpoint or the engine may give the matrix, the checkpoint's own first."""
    starts = _NESTED if nested else _TOP
    for number in matrix.layers:
        inner = matrix.name.removeprefix("model.").replace("*", str(number))
        found = (
            [start + one for one in _also(inner) for start in starts]
            if matrix.part in (Part.DECODER, Part.EXPERTS)
            else []
        )
        if matrix.part is Part.HEAD:
            found = ["lm_head", "language_model.lm_head", "model.lm_head"]
        yield number, tuple(found) or (matrix.name.replace("*", str(number)),)


# What stands before a layer's name, in checkpoints and in the engine.
_TOP = ("model.", "", "backbone.")
_NESTED = ("model.", "language_model.model.", "model.language_model.", "language_model.", "backbone.")
_OTHER_NAMES = (
    (".mixer.", ".mamba."),
    (".mlp.", ".feed_forward."),
    (".mlp.", ".block_sparse_moe."),
    (".linear_attn.", ".self_attn."),
)
_FUSED = {
    **dict.fromkeys(("q_proj", "k_proj", "v_proj"), "qkv_proj"),
    **dict.fromkeys(("gate_proj", "up_proj"), "gate_up_proj"),
    **dict.fromkeys(("in_proj_qkv", "in_proj_z"), "in_proj_qkvz"),
    **dict.fromkeys(("in_proj_b", "in_proj_a"), "in_proj_ba"),
}


def _also(name: str) -> Iterator[str]:
    yield name
    head, _dot, last = name.rpartition(".")
    if last in _FUSED:
        yield f"{head}.{_FUSED[last]}"
    if ".experts.0." in name:
        base = name.partition(".experts.0.")[0]
        yield f"{base}.experts"
        yield f"{base}.experts.{last}"
    for ours, theirs in _OTHER_NAMES:
        if ours in name:
            yield name.replace(ours, theirs)
