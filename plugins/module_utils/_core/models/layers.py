# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each layer of a decoder is: how it mixes tokens, and which MLP follows, by whatever key of config.json says so."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import experts as expert_keys
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.architectures import Architecture
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.config import Config


class Mixer(enum.Enum):
    """How a layer mixes tokens, which decides what it keeps of each: keys and values, a latent, or a state a sequence."""

    FULL = "attention"
    SLIDING = "sliding"
    CHUNKED = "chunked"
    LATENT = "latent"
    DELTA = "delta"
    KDA = "kda"
    LIGHTNING = "lightning"
    MAMBA1 = "mamba1"
    MAMBA2 = "mamba2"
    CONV = "conv"


ATTENTION = frozenset({Mixer.FULL, Mixer.SLIDING, Mixer.CHUNKED})
STATES = frozenset({Mixer.DELTA, Mixer.KDA, Mixer.LIGHTNING, Mixer.MAMBA1, Mixer.MAMBA2, Mixer.CONV})
# The words of layer_types, layers_block_type and hybrid_override_pattern; "state" stands for the architecture's own kind of state.
_WORDS = {
    "full_attention": (Mixer.FULL,),
    "attention": (Mixer.FULL,),
    "*": (Mixer.FULL,),
    "sliding_attention": (Mixer.SLIDING,),
    "chunked_attention": (Mixer.CHUNKED,),
    "indexed_attention": (Mixer.FULL,),
    "hybrid": (Mixer.FULL, Mixer.MAMBA2),
    "conv": (Mixer.CONV,),
    "short_conv": (Mixer.CONV,),
    "M": (Mixer.MAMBA2,),
    "E": (),
    "-": (),
    "moe": (),
    "mlp": (),
}
# MLPs of pruned layers are rounded up to this.
_BLOCK_STEP = 256
_STATE_WORDS = ("linear_attention", "mamba", "mamba2")


@dataclass(frozen=True)
class Layer:
    """One layer: its mixers (none, one, or two side by side), the sizes of its attention, and its MLP."""

    mixers: tuple[Mixer, ...]
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    sparse: bool = False
    # Keys serve as values too: there is no second matrix.
    keys_are_values: bool = False
    # Keys and values are those of an earlier layer.
    borrows_cache: bool = False
    # The size of a head's values where it is not that of its keys; 0 where it is.
    value_dim: int = 0

    @property
    def values(self) -> int:
        """The size of a head's values."""
        return self.value_dim or self.head_dim


def read(config: Config, kind: Architecture, counts_on: bool = False) -> tuple[Layer, ...]:
    """Every layer of the decoder, the first one first; where its weights are known otherwise, one of a kind that nobody knows is taken to
    keep every token.
    """
    count = config.whole("num_hidden_layers")
    if count > 1000:
        fail(
            f"{config.where}.num_hidden_layers",
            f"{count} layers are none of a model.",
            "Hand over the model's own config.json.",
        )
    if (blocks := _blocks(config, count)) is not None:
        return blocks
    mixers = _mixers(config, kind, count, counts_on)
    sparse = expert_keys.sparse_layers(config, count)
    pattern = config.own("hybrid_override_pattern")
    words = config.words("layers_block_type") if pattern or "moe" in (config.words("layers_block_type") or ()) else None
    alone = pattern if isinstance(pattern, str) and pattern else words
    heads = config.whole("num_attention_heads", 1 if _only_states(mixers) else None)
    head_dim = config.whole(
        "head_dim", config.whole("attention_head_dim", max(1, config.whole("hidden_size") // heads))
    )
    if config.own("kv_lora_rank") is not None and not kind.latent:
        # Keys and values of all heads, as wide as the part of a key that is turned and the one that is not.
        head_dim = config.whole("qk_nope_head_dim") + config.whole("qk_rope_head_dim")
    heads_of = config.by_layer("num_attention_heads_per_layer", count, heads)
    kv_heads = _kv_heads(config, count, heads)
    widths = config.by_layer("intermediate_size", count, _dense_width(config, kind, all(sparse)))
    if dense := config.count("intermediate_size_mlp", "dense_intermediate_size"):
        widths = (dense,) * count
    elif not any(sparse) and config.count("shared_intermediate_size"):
        # Granite 4: what experts would share is the whole MLP where there are none.
        widths = (config.count("shared_intermediate_size"),) * count
    widths = tuple(_adjusted(config, width) for width in widths)
    # Gemma 4 has an MLP beside its experts.
    both = config.own("enable_moe_block") is True
    found = [
        Layer(
            mixers[at],
            heads_of[at],
            max(1, kv_heads[at]),
            head_dim,
            0 if sparse[at] and not both else widths[at],
            sparse[at],
        )
        for at in range(count)
    ]
    if alone is not None:
        # Nemotron-H: a layer is a mixer or an MLP, not both.
        found = [
            replace(one, mlp=widths[at] if alone[at] in ("-", "mlp") else 0, sparse=alone[at] in ("E", "moe"))
            for at, one in enumerate(found)
        ]
    elif kind.norms == 1 and (_only_states(mixers) or config.own("hybrid_layer_ids") is not None):
        # Mamba and Mamba 2: a layer is a mixer, and intermediate_size is the mixer's; Zamba's is of the block that layers share.
        found = [replace(one, mlp=0) for one in found]
    return _one_by_one(config, _by_kind(config, _gemma(config, found)))


def _blocks(config: Config, count: int) -> tuple[Layer, ...] | None:
    """Nemotron's pruned Llamas: for each layer how many heads share keys and values, how wide its MLP is, and whether it has them at all.

    Source: vLLM, models/nemotron_nas.py.
    """
    said = config.own("block_configs")
    if not isinstance(said, (list, tuple)):
        return None
    heads = config.whole("num_attention_heads")
    head_dim = config.whole("head_dim", max(1, config.whole("hidden_size") // heads))
    if len(said) < count or not all(isinstance(one, dict) for one in said):
        fail(
            f"{config.where}.block_configs",
            f"it says too little of {count} layers.",
            "Hand over the model's own config.json.",
        )
    found = []
    for number, block in enumerate(said[:count]):
        own = Config(block, block, f"{config.where}.block_configs[{number}]")
        together = 0 if own.get("attention.no_op") is True else own.count("attention.n_heads_in_group")
        multiple = own.get("ffn.ffn_mult", default=0)
        wide = own.get("ffn.no_op") is not True and isinstance(multiple, (int, float)) and 0 < multiple < 2**10
        width = int(2 * multiple * config.whole("hidden_size") / 3) if wide else 0
        found.append(
            Layer(
                (Mixer.FULL,) if together else (),
                heads,
                max(1, heads // together) if together else 1,
                head_dim,
                -(-width // _BLOCK_STEP) * _BLOCK_STEP,
            )
        )
    return tuple(found)


def _by_kind(config: Config, found: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Sliding layers with heads of their own (MiMo V2, Step 3.5), and values of another size than keys.

    Source: vLLM, models/mimo_v2.py and step3p5.py.
    """
    values = config.count("v_head_dim") if config.own("kv_lora_rank") is None else 0
    other = config.own("attention_other_setting")
    said = other if isinstance(other, dict) and other.get("attention_type") == "sliding_attention" else {}
    own = Config(said, said, f"{config.where}.attention_other_setting")
    sliding_values = config.count("swa_v_head_dim") or values
    return tuple(
        replace(
            one,
            heads=config.count("swa_num_attention_heads", "num_sliding_attention_heads")
            or own.whole("num_attention_heads", one.heads),
            kv_heads=config.count("swa_num_key_value_heads") or own.whole("num_key_value_heads", one.kv_heads),
            head_dim=config.count("swa_head_dim") or one.head_dim,
            value_dim=sliding_values,
        )
        if one.mixers == (Mixer.SLIDING,)
        else replace(one, value_dim=values)
        for one in found
    )


def _one_by_one(config: Config, found: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Layers whose sizes a section says by their number."""
    section = config.own("per_layer_config")
    if not isinstance(section, dict):
        return found
    layers = list(found)
    for number, said in section.items():
        at = int(number) if str(number).isdecimal() and len(str(number)) < 5 else len(layers)
        if at >= len(layers) or not isinstance(said, dict):
            fail(
                f"{config.where}.per_layer_config",
                f"{str(number)[:40]!r} is none of its {len(layers)} layers.",
                "Hand over the model's own config.json.",
            )
        own = Config(said, said, f"{config.where}.per_layer_config.{number}")
        layers[at] = replace(
            layers[at],
            heads=own.whole("num_attention_heads", layers[at].heads),
            kv_heads=own.whole("num_key_value_heads", layers[at].kv_heads),
            head_dim=own.whole("head_dim", layers[at].head_dim),
            mlp=own.whole("intermediate_size", layers[at].mlp) if layers[at].mlp else 0,
        )
    return tuple(layers)


def unknown_kinds(config: Config, kind: Architecture) -> tuple[str, ...]:
    """Return the words for layers of which nothing is known."""
    words = _written(config, config.whole("num_hidden_layers")) or ()
    stateful = _STATE_WORDS if Mixer(kind.mixer) in STATES else ()
    return tuple(dict.fromkeys(word for word in words if word not in _WORDS and word not in stateful))


def _mixers(config: Config, kind: Architecture, count: int, counts_on: bool) -> list[tuple[Mixer, ...]]:
    state = Mixer(kind.mixer)
    if kind.latent and config.own("kv_lora_rank") is not None:
        full: tuple[Mixer, ...] = (Mixer.LATENT,)
    else:
        full = (Mixer.FULL,)
    if (word := _written(config, count)) is not None:
        if not counts_on and (unknown := unknown_kinds(config, kind)):
            fail(
                f"{config.where}.layer_types",
                f"layers of kind {unknown[0][:40]!r} can't be counted.",
                "Let model_info read the model's tensors, or set weights_bytes; each is then planned to keep every token.",
            )
        return [_of_word(config, each, state, full) for each in word]
    if (states := _state_layers(config, kind, count)) is not None:
        return [(state,) if at in states else full for at in range(count)]
    if config.own("mamba_d_ssm") is not None:
        # Falcon-H1: both in every layer.
        return [(*full, Mixer.MAMBA2)] * count
    if state is not Mixer.FULL:
        return [(state,)] * count
    if (chunk := config.own("attention_chunk_size")) and isinstance(chunk, int):
        rotary = config.numbers("no_rope_layers") or tuple(int((at + 1) % 4 != 0) for at in range(count))
        return [(Mixer.CHUNKED,) if at < len(rotary) and rotary[at] else full for at in range(count)]
    return _by_window(config, kind, count, full)


def _written(config: Config, count: int) -> Sequence[str] | None:
    """A word for each layer, where one of the keys for it is there."""
    pattern = config.own("hybrid_override_pattern")
    found: Sequence[str] | None = pattern if isinstance(pattern, str) and pattern else None
    found = found or config.words("layers_block_type") or config.words("layer_types")
    if found is None:
        return None
    if len(found) < count:
        fail(
            f"{config.where}.layer_types",
            f"{len(found)} kinds are too few for {count} layers.",
            "Hand over the model's own config.json.",
        )
    return found[:count]


def _of_word(config: Config, word: str, state: Mixer, full: tuple[Mixer, ...]) -> tuple[Mixer, ...]:
    if word in _STATE_WORDS and state in STATES:
        return (state,)
    found = _WORDS.get(word, (Mixer.FULL,))
    if found == (Mixer.SLIDING,) and not window(config, None):
        return full
    if found == (Mixer.CHUNKED,) and not config.count("attention_chunk_size"):
        # Rnj-1's chunks look back one more, and are as long as a window.
        return full
    return full if found == (Mixer.FULL,) else found


def _state_layers(config: Config, kind: Architecture, count: int) -> set[int] | None:
    """Which layers keep a state, by the keys of families that name the others; None where none of them is there."""
    attention = next(
        (found for key in ("full_attn_idxs", "attn_layer_indices") if (found := config.numbers(key)) is not None), None
    )
    if attention is not None:
        return set(range(count)) - set(attention)
    if (named := config.numbers("linear_attn_config.kda_layers")) is not None:
        return {number - 1 for number in named}
    if (types := config.numbers("attn_type_list")) is not None:
        return {at for at, each in enumerate(types) if not each}
    if (step := config.count("mamba_step")) > 1:
        # Plamo 2: the layer in the middle of so many has attention, the last one where there are fewer.
        return {at for at in range(count) if at % step != step // 2 and (count > step // 2 or at != count - 1)}
    if (period := config.count("attn_layer_period")) > 0:
        return {at for at in range(count) if at % period != config.count("attn_layer_offset")}
    if kind.mixer == "delta" or config.own("full_attention_interval") is not None:
        interval = config.count("full_attention_interval") or 4
        return {at for at in range(count) if (at + 1) % interval}
    return None


def _by_window(config: Config, kind: Architecture, count: int, full: tuple[Mixer, ...]) -> list[tuple[Mixer, ...]]:
    if not window(config, kind) or config.own("use_sliding_window") is False:
        return [full] * count
    if (hybrid := config.numbers("hybrid_layer_pattern")) is not None:
        # MiMo V2: a number for each layer, and one is a window.
        return [(Mixer.SLIDING,) if at < len(hybrid) and hybrid[at] == 1 else full for at in range(count)]
    pattern = config.own("sliding_window_pattern") or kind.sliding_pattern
    if isinstance(pattern, str) and pattern and set(pattern) <= {"L", "G"}:
        return [(Mixer.SLIDING,) if pattern[at % len(pattern)] == "L" else full for at in range(count)]
    if pattern == 1:
        return [(Mixer.SLIDING,)] * count
    if isinstance(pattern, int) and not isinstance(pattern, bool) and pattern > 1:
        return [(Mixer.SLIDING,) if (at + 1) % pattern else full for at in range(count)]
    # One window for every layer where the engine was not seen to use it (Phi-3): planned as full attention.
    return [full] * count


def window(config: Config, kind: Architecture | None) -> int | None:
    """Tokens that a sliding layer sees; None where there is no window."""
    found = config.values.get("sliding_window", config.values.get("sliding_window_size", kind.window if kind else None))
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else None


def _kv_heads(config: Config, count: int, heads: int) -> tuple[int, ...]:
    if config.own("multi_query") is True and not config.flag("new_decoder_architecture"):
        # Falcon's, whatever number of them is written beside.
        return (1,) * count
    return config.by_layer("num_key_value_heads", count, heads)


def _dense_width(config: Config, kind: Architecture, all_sparse: bool) -> int:
    """The MLP's size where config.json leaves it out; 0 where no layer has one."""
    if config.own("intermediate_size") is None and (all_sparse or (kind.norms == 1 and kind.mixer.startswith("mamba"))):
        return 0
    ratio = config.count("expansion_ratio") or 4
    return config.whole(
        "intermediate_size", ratio * config.whole("hidden_size") if not kind.gated or kind.encoder else None
    )


def _adjusted(config: Config, width: int) -> int:
    """LFM2 writes the size before two thirds are taken of it and rounded up; Molmo both halves of what is gated as one."""
    if config.values.get("model_type") == "molmo":
        return width // 2
    if config.own("block_auto_adjust_ff_dim") is not True:
        return width
    step, width = config.whole("block_multiple_of"), 2 * width // 3
    multiplier = config.own("block_ffn_dim_multiplier")
    if isinstance(multiplier, (int, float)) and not isinstance(multiplier, bool):
        width = int(multiplier * width)
    return -(-width // step) * step


def _only_states(mixers: Sequence[tuple[Mixer, ...]]) -> bool:
    return all(mixer in STATES for each in mixers for mixer in each)


def _gemma(config: Config, found: list[Layer]) -> tuple[Layer, ...]:
    """Gemma 3n and 4: full layers of another size, and last layers that borrow an earlier one's cache."""
    wide, shared = config.count("global_head_dim"), config.count("num_kv_shared_layers")
    if wide:
        kv_heads = config.count("num_global_key_value_heads")
        same = config.flag("attention_k_eq_v")
        found = [
            replace(
                one, head_dim=wide, kv_heads=(kv_heads or one.kv_heads) if same else one.kv_heads, keys_are_values=same
            )
            if one.mixers == (Mixer.FULL,)
            else one
            for one in found
        ]
    first_borrower = len(found) - shared if shared < len(found) else len(found)
    found = [replace(one, borrows_cache=True) if at >= first_borrower else one for at, one in enumerate(found)]
    if config.flag("use_double_wide_mlp"):
        found = [replace(one, mlp=2 * one.mlp) if one.borrows_cache else one for one in found]
    return tuple(found)
