# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway's files, rendered on the controller: templates and Lua of the role, filled with what the core decided."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import jinja2

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import view as views
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway.config import Gateway
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.stack.yaml_text import scalar

FOLDER = "/opt/gpuserve/gateway"
CANDIDATE = f"{FOLDER}/conf/candidate"
MANAGED = "Ansible managed"
ROLE = Path(__file__).resolve().parents[2] / "roles" / "gateway"
_TEMPLATES = ("nginx.conf", "trial.conf", "forward.conf", "engine_keys.conf")
# What no diff shows: long texts that are shipped, and the keys that engines ask for.
_SECRET = "engine_keys.conf"


@dataclass(frozen=True)
class Rendered:
    """All files of one configuration. quiet names those whose text stays out of a diff."""

    files: dict[str, str]
    compose: str
    generation: str
    quiet: tuple[str, ...]


def render(gateway: Gateway, role: Path = ROLE) -> Rendered:
    """Render a whole configuration from the role's templates and Lua."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(role / "templates"),
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        # It is no page of the web; every value has been checked for what nginx and Compose would read in it.
        autoescape=False,
    )
    environment.filters["scalar"] = scalar
    values = {"gateway": views.view(gateway), "managed": MANAGED, "folder": FOLDER}
    texts = {name: environment.get_template(f"{name}.j2").render(values) for name in _TEMPLATES}
    texts |= {**views.accounts(gateway), **views.certificates(gateway)}
    lua = {path.name: path.read_text(encoding="utf-8") for path in sorted((role / "files").glob("*.lua"))}
    decisions = views.data(gateway)
    generation = views.generation({**texts, **lua, "data.json": json.dumps(decisions)})
    texts["data.json"] = json.dumps({"generation": generation, **decisions}, indent=4) + "\n"
    compose = environment.get_template("compose.yml.j2").render(values)
    return Rendered({**texts, **lua}, compose, generation, (*sorted(lua), _SECRET))
