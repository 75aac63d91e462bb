# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demonstration's models: what is packed in GGUF is read, and what is written is a folder of the hub's kind."""

from __future__ import annotations

import json
import math
import re
import struct
from pathlib import Path
from typing import Any

import numpy
import pytest
from safetensors import safe_open
from tokenizers import Tokenizer

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape
from ansible_collections.gpuserve.fleet.tests.support.lab import checkpoint, random_model, real_models
from ansible_collections.gpuserve.fleet.tests.support.lab.common import LabError
from ansible_collections.gpuserve.fleet.tests.support.lab.gguf import Gguf

QWEN = random_model.QWEN


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models") / "qwen-random"
    random_model.make(QWEN, place)
    return place


def test_a_checkpoint_is_as_large_as_the_planner_thinks() -> None:
    tensors_bytes = 2 * sum(math.prod(size) for size in QWEN.tensors().values())
    planned = ModelShape.from_config(QWEN.config()).weights_bytes()
    assert planned == pytest.approx(tensors_bytes, rel=0.03)


def test_what_was_written_reads_back(folder: Path) -> None:
    with safe_open(str(folder / "model.safetensors"), framework="numpy") as file:
        assert {name: tuple(file.get_slice(name).get_shape()) for name in set(file.keys())} == QWEN.tensors()
        assert "Random weights" in file.metadata()["note"]
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["Qwen2ForCausalLM"]


def test_the_tokenizer_keeps_any_text_and_ends_a_turn_where_the_model_stops(folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    text = "Hello, 안녕하세요: def fibonacci(n):"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert tokenizer.token_to_id("<|im_end|>") == QWEN.config()["eos_token_id"]
    assert tokenizer.get_vocab_size() <= random_model.VOCABULARY


@pytest.mark.parametrize(
    ("number", "bits"),
    [
        (1.0, 0x3F80),
        (-2.5, 0xC020),
        (1 + 2**-8, 0x3F80),  # between two: the even one
        (1 + 3 * 2**-8, 0x3F82),
        (1 + 2**-8 + 2**-20, 0x3F81),
    ],
)
def test_a_number_is_rounded_to_the_nearest_bfloat16(number: float, bits: int) -> None:
    assert struct.unpack("<H", checkpoint.bfloat16(numpy.array([number], numpy.float32))) == (bits,)


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _gguf(path: Path, metadata: dict[str, Any], tensors: dict[str, tuple[tuple[int, ...], int, bytes]]) -> Path:
    """Write a GGUF file: numbers are u32, text and lists of text as they are; tensors have rows first, a type, their bytes."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for name, value in metadata.items():
        head += _string(name)
        if isinstance(value, str):
            head += struct.pack("<I", 8) + _string(value)
        elif isinstance(value, list):
            texts = isinstance(value[0], str)
            head += struct.pack("<IIQ", 9, 8 if texts else 4, len(value))
            head += b"".join(_string(entry) if texts else struct.pack("<I", entry) for entry in value)
        elif isinstance(value, float):
            head += struct.pack("<If", 6, value)
        else:
            head += struct.pack("<II", 4, value)
    body = b""
    for name, (shape, kind, content) in tensors.items():
        head += _string(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        head += struct.pack("<IQ", kind, len(body))
        body += content + bytes(-len(content) % 32)
    path.write_bytes(head + bytes(-len(head) % 32) + body)
    return path


def test_each_kind_of_packed_numbers_is_read(tmp_path: Path) -> None:
    # 0.5 and 1.0 as halves of a float; lower halves of the bytes come first.
    q4 = struct.pack("<ee", 0.5, 1.0) + bytes(low | (15 - low) << 4 for low in range(16))
    q8 = struct.pack("<e", 0.25) + struct.pack("<32b", *range(-16, 16))
    file = Gguf(
        _gguf(
            tmp_path / "x.gguf",
            {"general.architecture": "llama"},
            {
                "plain": ((2, 3), 0, struct.pack("<6f", *range(6))),
                "q4": ((2, 16), 3, q4),
                "q8": ((1, 32), 8, q8),
            },
        )
    )
    read = dict(file.arrays())
    assert read["plain"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read["q4"].tolist() == [[1 + n / 2 for n in range(16)], [1 + n / 2 for n in reversed(range(16))]]
    assert read["q8"].tolist() == [[n / 4 for n in range(-16, 16)]]


def test_what_is_no_gguf_file_or_packed_otherwise_is_refused(tmp_path: Path) -> None:
    (tmp_path / "zip").write_bytes(b"PK" + bytes(60))
    with pytest.raises(LabError, match="zip is no GGUF file"):
        Gguf(tmp_path / "zip")
    with pytest.raises(LabError, match="q6 is of GGUF type 14"):
        dict(Gguf(_gguf(tmp_path / "x", {}, {"q6": ((1, 32), 14, bytes(34))})).arrays())


LLAMA: dict[str, Any] = {
    "general.architecture": "llama",
    "llama.block_count": 1,
    "llama.context_length": 64,
    "llama.embedding_length": 8,
    "llama.feed_forward_length": 16,
    "llama.attention.head_count": 2,
    "llama.attention.head_count_kv": 1,
    "llama.rope.freq_base": 100000.0,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "llama.vocab_size": 7,
    "llama.rope.dimension_count": 4,
    "tokenizer.ggml.tokens": ["<|end|>", "1", "2", "a", "b", "ab", "12"],
    "tokenizer.ggml.token_type": [3, 1, 1, 1, 1, 1, 1],
    "tokenizer.ggml.merges": ["a b", "1 2"],
    "tokenizer.ggml.bos_token_id": 0,
    "tokenizer.ggml.eos_token_id": 0,
    "tokenizer.ggml.padding_token_id": 0,
    "tokenizer.chat_template": "{{ messages }}",
}


def test_a_packed_llama_becomes_a_folder_that_the_planner_reads(tmp_path: Path) -> None:
    shapes = {
        "token_embd": (7, 8),
        "output_norm": (8,),
        "blk.0.attn_norm": (8,),
        "blk.0.attn_q": (8, 8),
        "blk.0.attn_k": (4, 8),
        "blk.0.attn_v": (4, 8),
        "blk.0.attn_output": (8, 8),
        "blk.0.ffn_norm": (8,),
        "blk.0.ffn_gate": (16, 8),
        "blk.0.ffn_up": (16, 8),
        "blk.0.ffn_down": (8, 16),
    }
    packed = _gguf(
        tmp_path / "x.gguf",
        LLAMA,
        {
            f"{name}.weight": (shape, 0, numpy.arange(math.prod(shape), dtype="<f4").tobytes())
            for name, shape in shapes.items()
        },
    )
    (tmp_path / "LICENSE").write_text("Apache License")
    made = tmp_path / "made"
    real_models.make_smollm2(packed, tmp_path / "LICENSE", made)
    config = json.loads((made / "config.json").read_text())
    assert (config["rms_norm_eps"], config["rope_theta"], config["head_dim"]) == (1e-5, 1e5, 4)
    # numpy has no bfloat16, and what safetensors gives of it is raw: read the file as it is written.
    raw = (made / "model.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    assert "Apache-2.0" in header.pop("__metadata__")["note"]
    assert ModelShape.from_config(config).kv_heads == 1
    assert [tuple(entry["shape"]) for entry in header.values()] == list(shapes.values())
    assert {"model.embed_tokens.weight", "model.norm.weight", "model.layers.0.mlp.down_proj.weight"} <= set(header)
    begin, end = header["model.layers.0.self_attn.q_proj.weight"]["data_offsets"]
    rows = (numpy.frombuffer(raw[8 + length :][begin:end], "<u2").astype("<u4") << 16).view("<f4").reshape(8, 8)
    # GGUF has both halves of a head row by row in turn; transformers has one half after the other.
    assert (rows[:, 0] / 8).tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    assert "Apache-2.0" in (made / "NOTICE").read_text() and (made / "LICENSE").exists()
    tokenizer = Tokenizer.from_file(str(made / "tokenizer.json"))
    assert tokenizer.encode("ab12<|end|>").tokens == ["ab", "1", "2", "<|end|>"], "each digit is a token of its own"


def test_weights_are_taken_by_hash_from_packages_whose_licence_is_named() -> None:
    lines = [line for line in real_models.LOCK.read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+ --hash=sha256:[0-9a-f]{64}", line) for line in lines)
    named = real_models.SMOLLM2_NOTICE + real_models.MINILM_NOTICE
    for line in lines:
        package, version = line.split()[0].split("==")
        assert f"{package} {version}" in named
    assert named.count("Apache-2.0") == len(lines)
