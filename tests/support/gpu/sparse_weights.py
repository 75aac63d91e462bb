# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A checkpoint's file of weights as large as the real one and empty on the disk: the header is whole, what follows is a hole.

sparse_weights.py FOLDER...    write model.safetensors beside each config.json

Engines make the weights up themselves (--load-format dummy); whoever plans reads the header. Needs torch and transformers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM


def write(folder: Path) -> None:
    """Write the file of one model, every tensor in bfloat16."""
    config = AutoConfig.from_pretrained(folder)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    header, offset = {}, 0
    for name, tensor in model.state_dict().items():
        if name not in tied:
            size = tensor.numel() * 2
            header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [offset, offset + size]}
            offset += size
    words = json.dumps(header).encode()
    words += b" " * (-len(words) % 8)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(words).to_bytes(8, "little") + words)
        file.truncate(8 + len(words) + offset)


if __name__ == "__main__":
    for place in sys.argv[1:]:
        write(Path(place))
