# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Render the gateway's configuration into a folder as the role does, for tests and the bench that start nginx themselves.

python -m ...render FOLDER < VARIABLES    variables of the role as YAML or JSON; prints the generation
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import config
from ansible_collections.gpuserve.fleet.plugins.plugin_utils import gateway_files


def render(variables: dict[str, Any], folder: Path) -> str:
    """Write the configuration that the role's defaults and these variables describe; return its generation."""
    defaults = yaml.safe_load((gateway_files.ROLE / "defaults" / "main.yml").read_text(encoding="utf-8"))
    fields = config.Gateway.__dataclass_fields__
    named = {name.removeprefix("gateway_"): value for name, value in {**defaults, **variables}.items()}
    named["gid"] = named["uid"]
    rendered = gateway_files.render(config.parse({name: named[name] for name in fields}, (), "localhost"))
    for name, text in rendered.files.items():
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o644)
    return rendered.generation


if __name__ == "__main__":
    print(render(yaml.safe_load(sys.stdin), Path(sys.argv[1])))
