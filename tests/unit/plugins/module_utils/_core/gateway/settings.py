# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway's variables as the role's defaults have them, with two models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import config

ROLE = Path(__file__).resolve().parents[6] / "roles" / "gateway"
MODELS: list[dict[str, Any]] = [
    {"name": "qwen", "endpoints": ["127.0.0.1:8002"], "aliases": ["Qwen/Qwen2.5-3B-Instruct"], "max_num_seqs": 24},
    {
        "name": "yi",
        "endpoints": ["127.0.0.1:8003", "[::1]:8004"],
        "standby": ["127.0.0.1:9003"],
        "api_key": "engine-key-of-yi",
    },
]
SECRET = "a-key-that-is-long-enough"


def settings(**changed: Any) -> dict[str, Any]:
    """Return the role's variables without their prefix."""
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8"))
    names = set(config.Gateway.__dataclass_fields__)
    plain = {name.removeprefix("gateway_"): value for name, value in defaults.items()}
    return {**{name: value for name, value in plain.items() if name in names}, "gid": 0, "models": MODELS, **changed}


def gateway(**changed: Any) -> config.Gateway:
    """Return the gateway that they describe."""
    return config.parse(settings(**changed), (), "box")
