# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a model's files say of its memory: its weights, and what a token or a sequence costs in the KV cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import (
    ahead,
    architectures,
    encoders,
    gone,
    kv_pool,
    lengths,
    sections,
    states,
    tasks,
    transcribers,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import config as configs
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import quantization as quantizations
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.architectures import LLAMA, Architecture
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.config import Config
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.counted import (
    Counted,
    Keeps,
    count_tensors,
    is_tied,
    kind_of,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.encoders import NO_ENCODERS, Encoders
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.experts import Experts
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.info import ModelInfo
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.kv_pool import CacheSpec, Kind, KvPool
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.layers import Mixer
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.layout import Matrix, Part
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.lengths import UNBOUNDED, Length
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.sections import TRANSCRIBERS
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.weights import (
    VOCABULARY_STEP,
    Loading,
    ahead_bytes,
    loaded_bytes,
)
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB, gib, round_up

_DTYPE_BYTES = {"float16": 2, "half": 2, "bfloat16": 2, "float32": 4, "float": 4}
# A checkpoint that is this much larger or smaller than its tensors counted holds what we don't know of.
_COUNT_IS_RIGHT = 0.02
# Written sizes that are this much smaller than what is counted are a slip of a unit, or of a digit.
_LEAST_WRITTEN = 0.1


@dataclass(frozen=True)
class Latent:
    """Multi-head latent attention (DeepSeek): ranks and head dimensions."""

    kv_rank: int
    q_rank: int | None
    nope_dim: int
    rope_dim: int
    value_dim: int


@dataclass(frozen=True)
class ModelShape:
    """The numbers of one model that decide on its memory."""

    architecture: str
    layers: int
    hidden_size: int
    intermediate_size: int
    # The widest MLP that every token goes through: of layers without experts, or the one that experts share.
    dense_size: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab_size: int
    tied_embeddings: bool
    dtype_bytes: int
    dtype: str
    quantization: str | None
    weight_bits: float
    max_positions: int
    # Parameters that a quantization leaves alone, those of linear layers, and the bytes of these.
    plain_parameters: int
    linear_parameters: int
    linear_bytes: int
    keeps: tuple[tuple[Keeps, int], ...] = ()
    experts: Experts | None = None
    latent: Latent | None = None
    encoders: Encoders = NO_ENCODERS
    known: bool = True
    known_quantization: bool = True
    fp8_cache: bool = False
    given_weights_bytes: int | None = None
    checkpoint_bytes: int | None = None
    tensor_bytes: int | None = None
    plain_parts: str = ""
    # The share of a head's size that is turned with its position.
    rotary_share: float = 1.0
    # Rows of the tables of positions, all together.
    rotary_positions: int = 0
    # What each layer is handed besides the hidden states, elements a token over all layers; and how many streams these are (Gemma 3n).
    layer_inputs: int = 0
    streams: int = 0
    # Elements a token that are alive where states are computed; 0 where there are none.
    state_units: int = 0
    length: Length = UNBOUNDED
    # A model that guesses for this one, with weights and a cache of its own.
    draft: ModelShape | None = None
    # Layers that predict ahead, where the engine is told to load them; their bytes where the checkpoint's tensors are known.
    ahead_layers: int = 0
    ahead_bytes: int | None = None
    # The class that config.json names; of a multimodal model another one than its language part's.
    served_as: str = ""
    task: str = "generate"
    # The engine serves the class as a pooling model by itself.
    pools_unasked: bool = False
    # For stages of a pipeline alone: whether all layers are alike and no encoder is before them; bytes of an output layer of its own.
    is_uniform: bool = field(default=False, repr=False)
    head_bytes: int = field(default=0, repr=False)

    @classmethod
    def from_config(
        cls,
        config: Mapping[str, Any],
        dtype: str = "auto",
        quantization: str | None = None,
        where: str = "config",
        weights_bytes: int | None = None,
        checkpoint_bytes: int | None = None,
        info: ModelInfo | None = None,
        task: str | None = None,
    ) -> ModelShape:
        """Read a config.json.

        dtype, quantization and weights_bytes are the user's and win over the file's; checkpoint_bytes is the total_size of the
        safetensors index, or of the files, where they are there; info is what else stands beside.
        """
        read = configs.read(config, where)
        info = info or ModelInfo(config if isinstance(config, Mapping) else {})
        purpose = task or tasks.told(read.outer, info)
        name, kind = kind_of(read)
        if kind is not None and purpose in tasks.POOLING:
            # The engine drops the output layer over the vocabulary.
            kind = replace(kind, head=False)
        stored = str(read.get("torch_dtype", "dtype", default="float16")).removeprefix("torch.")
        stored_bytes = _DTYPE_BYTES.get(stored, 2)
        # vLLM serves a checkpoint in float32 as float16 unless told otherwise.
        dtype_bytes = _DTYPE_BYTES.get(dtype, 2) if dtype != "auto" else min(2, stored_bytes)
        quantized = quantizations.read(read.outer, quantization, dtype_bytes, info.quantization, where, read.values)
        sections.check_served(read.outer, where)
        counts_on = weights_bytes is not None or bool(info.tensors) or checkpoint_bytes is not None
        known = kind is not None
        if kind is None and not counts_on:
            what, remedy = gone.told(tasks.architecture(read.outer)) or (
                f"the tensors of {name} can't be counted from a config.json.",
                "Let model_info read the model's tensors, or set weights_bytes.",
            )
            fail(f"{where}.architectures", what, remedy)
        if name in TRANSCRIBERS:
            counted = transcribers.read(name, read)
        else:
            counted = count_tensors(read, kind or LLAMA, counts_on, known)
        if not quantized.known and not counts_on and _is_stored(read, info):
            fail(
                f"{where}.quantization_config",
                f"the bits of {quantized.method} can't be told apart layer by layer.",
                "Let model_info read the model's tensors, or set weights_bytes.",
            )
        nested = read.nested or bool(counted.encoders.kinds)
        matrices = counted.layout.matrices
        whole_head = counted.layout.head
        head = Matrix("lm_head", read.whole("hidden_size"), whole_head // read.whole("hidden_size"), part=Part.HEAD)
        linear = sum(quantized.bits_of(one, nested) for one in matrices)
        head_bits = quantized.bits_of(head, nested)
        if head_bits < whole_head * quantized.plain_bits:
            matrices, whole_head, linear = (*matrices, head), 0, linear + head_bits
        online = (
            quantized.weight_bits
            if quantization and quantized.method == quantization and not _is_stored(read, info)
            else None
        )
        shape = cls(
            architecture=name,
            served_as=tasks.architecture(read.outer),
            layers=len(counted.layers),
            hidden_size=read.whole("hidden_size"),
            intermediate_size=max((one.mlp for one in counted.layers), default=0) or _widest_expert(counted.experts),
            dense_size=_widest_dense(counted),
            heads=max(one.heads for one in counted.layers),
            kv_heads=max(one.kv_heads for one in counted.layers),
            head_dim=max(one.head_dim for one in counted.layers),
            vocab_size=read.whole("vocab_size"),
            tied_embeddings=not whole_head,
            dtype_bytes=dtype_bytes,
            dtype=stored if dtype == "auto" else dtype,
            quantization=quantized.method,
            weight_bits=quantized.weight_bits if quantized.method else quantized.plain_bits,
            max_positions=read.whole("max_position_embeddings", 2**31 - 1),
            plain_parameters=counted.layout.plain + counted.layout.embedding + whole_head + counted.encoders.parameters,
            linear_parameters=sum(one.parameters for one in matrices),
            linear_bytes=int(linear / 8),
            keeps=counted.keeps,
            experts=counted.experts,
            latent=_latent(read) if any(Mixer.LATENT in one.mixers for one in counted.layers) else None,
            encoders=encoders.limited(counted.encoders, encoders.largest_picture(info.processor_config)),
            known=known and counted.known,
            known_quantization=quantized.known,
            fp8_cache=quantized.fp8_cache,
            plain_parts=_plain_parts(quantized, matrices, nested),
            rotary_share=_rotary_share(read),
            rotary_positions=lengths.rotary_positions(read, read.whole("max_position_embeddings", 2**31 - 1)),
            layer_inputs=read.count("hidden_size_per_layer_input") * len(counted.layers),
            streams=read.count("altup_num_inputs"),
            state_units=states.state_units(
                read,
                {mixer for one in counted.layers for mixer in one.mixers},
                max((one.mlp for one in counted.layers), default=0),
            ),
            length=lengths.derive(read, info, purpose in tasks.POOLING),
            task=purpose,
            pools_unasked=tasks.is_pooling_class(read.outer) or bool(info.modules),
            ahead_layers=ahead.count(read, info.tensors, len(counted.layers)),
            is_uniform=known
            and counted.known
            and len(set(counted.layers)) == 1
            and not counted.encoders.kinds
            and quantized.is_even(matrices, nested),
            head_bytes=int(head_bits / 8),
        )
        if info.tensors:
            loading = Loading(
                dtype_bytes, is_tied(read, kind or LLAMA), shape.layers, online, read.count(*ahead.COUNTS)
            )
            sizes = loaded_bytes(info.tensors, loading), ahead_bytes(info.tensors, loading)
            shape = replace(shape, tensor_bytes=sizes[0], ahead_bytes=sizes[1])
        elif checkpoint_bytes is not None and online is None:
            scaled = checkpoint_bytes * dtype_bytes // stored_bytes if quantized.method is None else checkpoint_bytes
            shape = replace(shape, checkpoint_bytes=scaled)
        return _with_written(shape, weights_bytes, where)

    @property
    def kind(self) -> Architecture:
        """What sets its tensors apart from a Llama's."""
        return architectures.find(self.architecture) or LLAMA

    @property
    def has_kv_cache(self) -> bool:
        return bool(self.keeps)

    @property
    def has_states(self) -> bool:
        """Whether some layers keep a state a sequence."""
        return any(one.kind is Kind.STATE for one, _count in self.keeps)

    @property
    def only_states(self) -> bool:
        """Whether no layer has attention."""
        return bool(self.keeps) and all(one.kind is Kind.STATE for one, _count in self.keeps)

    def weights_bytes(self) -> int:
        """Bytes of the weights as the engine holds them: what the user gave, the checkpoint's tensors, or those counted.

        Source: the layers' shapes in vLLM's models. Embeddings, norms and the router stay in the model's dtype; the linear
        layers take the quantization's bits. The vocabulary is padded to a multiple of 64. Where the checkpoint's own size is known
        and far from the count, the checkpoint is right.
        """
        if self.given_weights_bytes is not None:
            return self.given_weights_bytes
        copies = 0
        if self.latent:
            # The latent's up-projection is kept a second time, split for decoding.
            up = self.latent.kv_rank * self.heads * (self.latent.nope_dim + self.latent.value_dim)
            copies = up * max((count for one, count in self.keeps if one.latent), default=0) * self.dtype_bytes
        tables = self.tables_bytes
        if self.tensor_bytes is not None:
            return self.tensor_bytes + tables + copies
        padding = (round_up(self.vocab_size, VOCABULARY_STEP) - self.vocab_size) * self.hidden_size
        plain = self.plain_parameters + padding * (1 if self.tied_embeddings else 2)
        counted = int(plain * self.dtype_bytes + tables + self.linear_bytes + copies)
        return counted if self.count_is_right else (self.checkpoint_bytes or 0) + tables + copies

    @property
    def tables_bytes(self) -> int:
        """Bytes of the tables of cosines and sines; others learned positions, or have none."""
        rotary = int((self.latent.rope_dim if self.latent else self.head_dim) * self.rotary_share)
        learned = (self.kind.bias and self.kind.encoder) or self.architecture in TRANSCRIBERS
        learned = learned or self.kind.learned_positions is not None or self.only_states
        return 0 if learned else self.rotary_positions * rotary * self.dtype_bytes

    @property
    def count_is_right(self) -> bool:
        """Whether the tensors counted are those of the checkpoint, as far as its size is known."""
        if self.checkpoint_bytes is None:
            return True
        if not self.known or not self.known_quantization:
            return False
        return abs(self.checkpoint_bytes / self.counted_bytes - 1) <= _COUNT_IS_RIGHT

    @property
    def counted_bytes(self) -> int:
        """Bytes of the tensors counted, without what the engine adds."""
        return self.plain_parameters * self.dtype_bytes + self.linear_bytes

    def parameters(self) -> int:
        """Parameters as they are published: every tensor once, tied embeddings too."""
        return self.plain_parameters + self.linear_parameters

    def kv_pool(
        self,
        kv_dtype_bytes: float,
        tensor_parallel: int = 1,
        states: int = 1,
        one_kind: bool = False,
        ahead: int = 0,
    ) -> KvPool:
        """How the engine cuts the cache into blocks for this model.

        `states` are blocks of state a sequence; `one_kind` has windows keep every token; `ahead` are layers more that predict.
        """
        counts: dict[CacheSpec, int] = {}
        for one, count in self.keeps:
            spec = one.spec(kv_dtype_bytes, self.dtype_bytes, tensor_parallel)
            if one_kind and spec.kind in (Kind.SLIDING, Kind.CHUNKED):
                spec = replace(spec, kind=Kind.FULL, span=0)
            more = ahead if spec.kind is Kind.FULL else 0
            ahead -= more
            counts[spec] = counts.get(spec, 0) + count + more
        for one, count in self.draft.keeps if self.draft is not None else ():
            spec = one.spec(kv_dtype_bytes, self.dtype_bytes, 1)
            counts[spec] = counts.get(spec, 0) + count
        return kv_pool.build(counts, states) if counts else KvPool(1, ())


def _widest_expert(found: Experts | None) -> int:
    return max(found.intermediate_size, found.shared_intermediate_size) if found else 0


def _widest_dense(counted: Counted) -> int:
    shared = counted.experts.shared_intermediate_size if counted.experts else 0
    return max(shared, *(one.mlp for one in counted.layers))


def _latent(read: Config) -> Latent:
    return Latent(
        kv_rank=read.whole("kv_lora_rank"),
        q_rank=read.count("q_lora_rank") or None,
        nope_dim=read.whole("qk_nope_head_dim"),
        rope_dim=read.whole("qk_rope_head_dim"),
        value_dim=read.whole("v_head_dim"),
    )


def _rotary_share(read: Config) -> float:
    # These know no positions (vLLM, models/kimi_linear.py, jamba.py, nemotron_h.py, granitemoehybrid.py, zamba2.py).
    if (
        read.get("mla_use_nope", default=False) is True
        or read.own("model_type") in ("jamba", "nemotron_h")
        or read.own("position_embedding_type") == "nope"
        or (read.own("model_type") == "zamba2" and not read.own("use_mem_rope"))
    ):
        return 0.0
    said = read.get("rope_parameters.partial_rotary_factor", "partial_rotary_factor", "rotary_pct", default=1.0)
    return float(said) if isinstance(said, (int, float)) and not isinstance(said, bool) and 0 < said <= 1 else 1.0


def _is_stored(read: Config, info: ModelInfo) -> bool:
    """Whether the checkpoint itself says that it is quantized."""
    return any(
        section.get(key)
        for section in (read.outer, read.values)
        for key in ("quantization_config", "compression_config")
    ) or bool(info.quantization)


def _plain_parts(quantized: quantizations.Quantization, matrices: Sequence[Matrix], nested: bool) -> str:
    """Which linear layers of a quantized model stay plain, where they are a tenth of it or more."""
    if quantized.method is None or quantized.plain_shares(matrices, nested) < 0.1:
        return ""
    names = [
        one.name.removeprefix("model.layers.*.")
        for one in sorted(matrices, key=lambda each: -each.parameters)
        if quantized.bits_of(one, nested) >= one.parameters * quantized.plain_bits
    ]
    return ", ".join(dict.fromkeys(names[:4]))


def _with_written(shape: ModelShape, weights_bytes: int | None, where: str) -> ModelShape:
    """The shape with what the user wrote of its weights, which is believed where it can be true at all."""
    if weights_bytes is None:
        return shape
    counted = shape.tensor_bytes or (shape.counted_bytes if shape.known and shape.known_quantization else 0)
    if weights_bytes < max(MIB, int(_LEAST_WRITTEN * counted)):
        key = f"{where.removesuffix('.config')}.weights_bytes"
        least = f"its tensors take {gib(counted)}" if counted else "no model is that small"
        fail(key, f"{weights_bytes} bytes are too few, {least}.", "Write it with its unit, like 15GiB.")
    return replace(shape, given_weights_bytes=weights_bytes)
