# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Models that write down what is said: an encoder of sound, and a decoder that keeps its own tokens and the encoder's output."""

from __future__ import annotations

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models import encoders, towers
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.config import Config
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.counted import Counted, Keeps
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.encoders import Encoders
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.kv_pool import Kind
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.layers import Layer, Mixer
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.layout import Layout
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.sections import COHERE_ASR


def read(name: str, config: Config) -> Counted:
    """Count one of them by its class."""
    return _cohere(config) if name == COHERE_ASR else _whisper(config)


def _whisper(read: Config) -> Counted:
    """Whisper's: the output layer is the embedding."""
    hidden, inner = read.whole("hidden_size"), read.whole("intermediate_size")
    count = read.whole("decoder_layers")
    positions = read.whole("max_source_positions")
    outer = towers.whisper_encoder(
        hidden,
        read.whole("encoder_ffn_dim"),
        read.whole("encoder_layers"),
        read.whole("num_mel_bins"),
        positions,
    )
    layer = 8 * hidden * hidden + 6 * hidden + 2 * hidden * inner + inner + hidden + 6 * hidden
    plain = layer * count + read.whole("max_position_embeddings") * hidden + 2 * hidden
    heads = read.whole("num_attention_heads")
    one = Layer((Mixer.FULL,), heads, heads, max(1, hidden // heads), inner)
    keeps = (
        (Keeps(Kind.FULL, heads, max(1, hidden // heads)), count),
        (Keeps(Kind.CROSS, heads, max(1, hidden // heads), span=positions), count),
    )
    found = Layout((), plain, read.whole("vocab_size") * hidden, 0)
    return Counted(found, (one,) * count, keeps, None, Encoders(outer, hidden, inner, ("audio",)))


def _cohere(config: Config) -> Counted:
    """Cohere's: Parakeet's encoder, and a decoder of its own width with biases everywhere. Source: vLLM, models/cohere_asr.py."""
    hidden, inner = config.whole("hidden_size"), config.whole("intermediate_size")
    count, heads, vocabulary = (
        config.whole("num_hidden_layers"),
        config.whole("num_attention_heads"),
        config.whole("vocab_size"),
    )
    heard = encoders.read(config)
    layer = 8 * hidden * (hidden + 1) + 2 * hidden * inner + inner + hidden + 6 * hidden
    plain = layer * count + config.whole("max_position_embeddings") * hidden + 4 * hidden
    plain += (heard.hidden_size + 1) * hidden + vocabulary
    one = Layer((Mixer.FULL,), heads, heads, max(1, hidden // heads), inner)
    keeps = (
        (Keeps(Kind.FULL, heads, max(1, hidden // heads)), count),
        (Keeps(Kind.CROSS, heads, max(1, hidden // heads), span=heard.tokens), count),
    )
    found = Layout((), plain, vocabulary * hidden, vocabulary * hidden)
    return Counted(found, (one,) * count, keeps, None, heard)
