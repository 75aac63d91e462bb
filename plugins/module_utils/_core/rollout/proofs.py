# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What proves that an engine serves: for each task the smallest request of it, and what its answer has to hold."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

GENERATE = "generate"
_BOUNDARY = "gpuserve-proof"
_RATE = 16000


@dataclass(frozen=True)
class Proof:
    """One request to an engine; `key` is what its answer has, which may be empty where it is a text."""

    path: str
    body: bytes
    content_type: str
    key: str
    may_be_empty: bool = False


def of(task: str, model: str) -> tuple[Proof, ...]:
    """Requests any of which proves a task, the likeliest first: not every classifier scores, and not every reward model classifies."""
    # A prompt of token ids is one for every model: a text can be nothing at all to a tokenizer, and is then refused.
    match task:
        case "embed":
            return (_json("/v1/embeddings", {"model": model, "input": [1]}, "data"),)
        case "score" | "classify":
            score = _json("/v1/score", {"model": model, "text_1": "a", "text_2": "a"}, "data")
            rest = (
                _json("/classify", {"model": model, "input": "a"}, "data"),
                _json("/pooling", {"model": model, "input": "a"}, "data"),
            )
            return (score, *rest) if task == "score" else rest
        case "transcribe":
            return (Proof("/v1/audio/transcriptions", _form(model), _FORM_TYPE, "text", may_be_empty=True),)
        case _:
            body = {"model": model, "prompt": [1], "max_tokens": 1, "temperature": 0}
            return (_json("/v1/completions", body, "choices"),)


_FORM_TYPE = f"multipart/form-data; boundary={_BOUNDARY}"


def _json(path: str, body: dict[str, Any], key: str) -> Proof:
    return Proof(path, json.dumps(body).encode(), "application/json", key)


def _form(model: str) -> bytes:
    """A form with the model's name and a second of silence as a WAV file: 16 kHz, one channel, 16 bits."""
    samples = bytes(2 * _RATE)
    wave = struct.pack("<4sI4s4sIHHIIHH4sI", *_wave_header(len(samples))) + samples
    parts = (
        (b'name="model"', b"", model.encode()),
        (b'name="file"; filename="second.wav"', b"Content-Type: audio/wav\r\n", wave),
    )
    dashes = f"--{_BOUNDARY}".encode()
    body = b"".join(
        b"%b\r\nContent-Disposition: form-data; %b\r\n%b\r\n%b\r\n" % (dashes, name, kind, content)
        for name, kind, content in parts
    )
    return body + dashes + b"--\r\n"


def _wave_header(size: int) -> tuple[Any, ...]:
    return (b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, _RATE, 2 * _RATE, 2, 16, b"data", size)
