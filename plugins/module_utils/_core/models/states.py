# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""States that layers keep of a sequence (Mamba, gated delta nets, short convolutions): their sizes under the names of each family."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.architectures import Architecture
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.config import Config
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.layers import STATES, Mixer


def state_elements(config: Config, mixer: Mixer, kind: Architecture) -> tuple[int, int]:
    """Elements of a layer's state a sequence: of its convolution, and of what recurs. Source: vLLM, mamba/mamba_utils.py."""
    hidden = config.whole("hidden_size")
    match mixer:
        case Mixer.DELTA:
            key, value = delta_sizes(config)
            taps = config.whole("linear_conv_kernel_dim") - 1
            return (2 * key + value) * taps, value * config.whole("linear_key_head_dim")
        case Mixer.KDA:
            heads, dim, kernel = kda_sizes(config)
            return 3 * heads * dim * (kernel - 1), heads * dim * dim
        case Mixer.LIGHTNING:
            heads = config.whole("num_attention_heads")
            dim = config.whole("head_dim", max(1, hidden // heads))
            return 0, heads * dim * dim
        case Mixer.MAMBA1:
            inner, size, kernel = mamba1_sizes(config)
            return inner * (kernel - 1), inner * size
        case Mixer.MAMBA2:
            inner, heads, dim, groups, size, kernel = mamba2_sizes(config)
            return (inner + 2 * groups * size) * (kernel - 1), heads * dim * size
        case Mixer.CONV:
            return config.whole("conv_dim", hidden) * (config.whole("conv_L_cache") - 1), 0
        case Mixer.FULL | Mixer.SLIDING | Mixer.CHUNKED | Mixer.LATENT:
            return 0, 0
        case _:
            assert_never(mixer)


def delta_sizes(config: Config) -> tuple[int, int]:
    """Keys and values of a gated delta net."""
    key = config.whole("linear_num_key_heads") * config.whole("linear_key_head_dim")
    return key, config.whole("linear_num_value_heads") * config.whole("linear_value_head_dim")


def kda_sizes(config: Config) -> tuple[int, int, int]:
    """Heads, their size, and the kernel of a Kimi delta attention."""
    found = config.own("linear_attn_config")
    if not isinstance(found, dict):
        return (
            config.whole("linear_num_heads"),
            config.whole("linear_head_dim"),
            config.whole("linear_conv_kernel_dim"),
        )
    section = Config(found, found, f"{config.where}.linear_attn_config")
    return section.whole("num_heads"), section.whole("head_dim"), section.whole("short_conv_kernel_size")


def mamba1_sizes(config: Config) -> tuple[int, int, int]:
    """Inner size, size of a state, and the kernel."""
    # Mamba itself writes the inner size; of hybrids that key is the MLP's.
    written = config.count("intermediate_size") if config.own("time_step_rank") is not None else 0
    return (
        written or config.needed("mamba_expand", "expand") * config.whole("hidden_size"),
        config.needed("mamba_d_state", "state_size"),
        config.needed("mamba_d_conv", "conv_kernel"),
    )


def mamba2_sizes(config: Config) -> tuple[int, int, int, int, int, int]:
    """Inner size, heads and their size, groups, size of a state, and the kernel, under the names of each family."""
    heads, dim = config.count("mamba_n_heads", "mamba_num_heads"), config.count("mamba_d_head", "mamba_head_dim")
    if config.own("mamba_step") is not None:
        # Plamo 2's convolve what goes in alone; what steers a state is made of it afterwards.
        dim = config.whole("head_dim")
        return heads * dim, heads, dim, 0, config.whole("mamba_d_state"), config.whole("mamba_d_conv")
    if not heads:
        # Zamba 2's are as wide as there is room for; Mamba 2's own are called as if they were attention's.
        heads, dim = config.count("n_mamba_heads"), 0
        if not heads:
            heads, dim = config.count("num_heads"), config.count("mamba_headdim", "head_dim")
    inner = config.count("mamba_d_ssm") or (
        heads * dim if heads and dim else config.needed("mamba_expand", "expand") * config.whole("hidden_size")
    )
    if not heads:
        dim = dim or 64
        heads = inner // dim
    groups = config.needed("mamba_n_groups", "mamba_ngroups", "n_groups")
    size = config.needed("mamba_d_state", "ssm_state_size", "state_size")
    kernel = config.needed("mamba_d_conv", "conv_kernel")
    return inner, heads, dim or inner // heads, groups, size, kernel


def state_units(config: Config, mixers: Iterable[Mixer], mlp: int) -> int:
    """Elements a token that are alive at once where states are computed: what goes in, what is convolved, chunks of the scan, and of the
    MLP beside it.

    Mamba's were seen on four models to 6 %, Kimi's delta attention on one start, with what the allocator keeps of it; the others are taken
    for like Mamba's.
    """
    hidden, found = 2 * config.whole("hidden_size"), 0
    for mixer in set(mixers) & STATES:
        if mixer is Mixer.MAMBA2:
            inner, heads, _dim, groups, size, _kernel = mamba2_sizes(config)
            found = max(found, hidden + 7 * inner + 3 * mlp // 2 + 4 * groups * size + heads)
        elif mixer is Mixer.DELTA:
            key, value = delta_sizes(config)
            found = max(found, hidden + 4 * key + 9 * value)
        elif mixer is Mixer.MAMBA1:
            found = max(found, hidden + 7 * mamba1_sizes(config)[0] + 3 * mlp // 2)
        elif mixer is Mixer.KDA:
            heads, dim, _kernel = kda_sizes(config)
            found = max(found, hidden + 38 * heads * dim)
        else:
            found = max(found, 4 * hidden)
    return found
