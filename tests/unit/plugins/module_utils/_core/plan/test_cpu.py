# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines on the CPU: what they take, beside what real models were measured to take there."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.info import ModelInfo
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan import estimate
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.plan.load import Load
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.units import MIB

SMOLLM2 = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "torch_dtype": "bfloat16",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}
MINILM = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "torch_dtype": "float32",
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "vocab_size": 30522,
    "max_position_embeddings": 512,
    "position_embedding_type": "absolute",
}


# vLLM's CPU build 0.32.0, proportional set size of the API server, the engine's core and its worker.
@pytest.mark.parametrize(("config", "kv_mib", "measured_mib"), [(SMOLLM2, 256, 2230), (MINILM, 0, 1441)])
def test_real_models_take_what_is_planned(config: dict[str, Any], kv_mib: int, measured_mib: int) -> None:
    shape = ModelShape.from_config(config)
    load = Load(
        max_num_seqs=16,
        max_num_batched_tokens=2048,
        enforce_eager=True,
        on_cpu=True,
        samples=shape.task == "generate",
    )
    planned = sum(part.size_bytes for part in estimate.parts(shape, load)) / MIB + kv_mib
    assert planned == pytest.approx(measured_mib, abs=64)


def test_a_sentence_model_is_as_long_as_the_engine_reads_it() -> None:
    # Its config.json says 512.
    info = ModelInfo(MINILM, sentence_bert_config={"max_seq_length": 256}, modules=({"type": "Pooling"},))
    assert ModelShape.from_config(MINILM, info=info).length.most == 256
