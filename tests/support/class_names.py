# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that a config.json may bear: classes in the registries of vLLM's releases, and the model types of vLLM and transformers.

    python -m ansible_collections.gpuserve.fleet.tests.support.class_names

writes them into tests/data/class_names.json; a unit test holds the planner's tables to them, so that a slip in a name is seen. It takes
seconds with what the flags' test fetched, and runs only when somebody asks.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from ansible_collections.gpuserve.fleet.tests.support.parsers import sources

DATA = Path(__file__).parents[1] / "data" / "class_names.json"
REGISTRY = "vllm/model_executor/models/registry.py"
CONFIGS = "vllm/transformers_utils/config.py"
BROUGHT = "vllm/transformers_utils/configs"
ASK = """
import json
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
print(json.dumps(sorted(CONFIG_MAPPING_NAMES)))
"""


def main() -> None:
    """Renew the file."""
    folders = list(sources.ensure_sources().values())
    texts = [(folder / REGISTRY).read_text(encoding="utf-8") for folder in folders]
    classes = sorted({name for text in texts for name in re.findall(r'"(\w+)":\s*\(', text)})
    # Types whose configuration vLLM brings itself; those of the newest release alone beside them.
    configs = [(folder / CONFIGS).read_text(encoding="utf-8") for folder in folders]
    own = {name for text in configs for name in re.findall(r'^    (\w+)="\w+Config"', text, re.MULTILINE)}
    asked = subprocess.run([sources.ensure_python(), "-c", ASK], check=True, capture_output=True, text=True)
    pairs = [pair for text in texts for pair in re.findall(r'"(\w+)":\s*\(\s*"([\w.]+)",\s*"(\w+)"', text)]
    read = re.findall(r'^    (\w+)="(\w+Config)"', configs[-1], re.MULTILINE)
    brought = "".join(path.read_text(encoding="utf-8") for path in sorted((folders[-1] / BROUGHT).rglob("*.py")))
    found = {
        "classes": classes,
        # Which class of which module serves a name, in the newest release that has it.
        "served_by": {name: f"{module}.{served}" for name, module, served in sorted(pairs, key=lambda pair: pair[0])},
        "model_types": sorted({*own, *json.loads(asked.stdout.splitlines()[-1])}),
        # By which other class of transformers' the newest release reads a type, or by one of its own ("").
        "own_types": {of: "" if f"class {name}(" in brought else name for of, name in sorted(read)},
    }
    DATA.write_text(json.dumps(found, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
