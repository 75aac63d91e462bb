# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of published configurations by the classes themselves: transformers on PyTorch's meta device, which holds no values.

    python -m ansible_collections.gpuserve.fleet.tests.support.class_parameters

writes them into tests/data/class_parameters.json beside each configuration, with what the planner's own count is off ("off", where it is);
a unit test holds the count to both. It takes half a minute with the environment of the flags' test (torch and transformers), and runs only
when somebody asks.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "data" / "class_parameters.json"


def counted(config: dict[str, Any]) -> int:
    """Every parameter once, without the quantization that a checkpoint may have."""
    import torch  # type: ignore[import-not-found,unused-ignore]
    import transformers  # type: ignore[import-not-found,unused-ignore]

    # Some classes take keys out of what they are handed.
    plain = {
        key: copy.deepcopy(value) for key, value in config.items() if key not in ("model_type", "quantization_config")
    }
    shape = transformers.AutoConfig.for_model(config["model_type"], **plain)
    with torch.device("meta"):
        model = getattr(transformers, config["architectures"][0])(shape)
    return sum(tensor.numel() for tensor in {id(one): one for one in model.parameters()}.values())


def off(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry with what the planner's count is over the class's parameters, where it is."""
    from ansible_collections.gpuserve.fleet.plugins.module_utils._core.models.shape import ModelShape

    over = ModelShape.from_config(entry["config"]).parameters() - entry["parameters"]
    return {key: value for key, value in {**entry, "off": over}.items() if key != "off" or over}


def kept(entries: list[dict[str, Any]]) -> None:
    """Write the file, a line an entry."""
    lines = [json.dumps(entry, separators=(", ", ": ")) for entry in entries]
    DATA.write_text("[\n" + ",\n".join(lines) + "\n]\n")


def main() -> None:
    """Renew the file: the classes' parameters in an environment that has what it takes, what the count is off in this one."""
    if "--inside" in sys.argv:
        kept([{**entry, "parameters": counted(entry["config"])} for entry in json.loads(DATA.read_text())])
        return
    from ansible_collections.gpuserve.fleet.tests.support.parsers import sources

    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    subprocess.run([sources.ensure_python(), __file__, "--inside"], check=True, env=environment)
    kept([off(entry) for entry in json.loads(DATA.read_text())])


if __name__ == "__main__":
    main()
