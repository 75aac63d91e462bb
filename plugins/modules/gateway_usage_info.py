#!/usr/bin/python
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: gateway_usage_info
short_description: Read what clients of a gateway used, by key and model
version_added: 0.2.0
description:
  - Sums the lines that the gateway of a host keeps by day, as far back as C(gateway_usage_months) has them.
  - P(gpuserve.fleet.usage_report#filter) makes a table, CSV or JSON of what several hosts tell.
author:
  - gpuserve.fleet contributors (@gpuserve)
requirements:
  - Python 3.10 or newer
options:
  folder:
    description:
      - The folder of the files on the host.
    type: path
    default: /opt/gpuserve/gateway/usage
  by:
    description:
      - What is summed.
    type: str
    choices: [day, month]
    default: month
  since:
    description:
      - The first day (C(2027-01-31)) or month (C(2027-01)); all without it.
    type: str
    default: ""
  until:
    description:
      - The last day or month, itself included; all without it.
    type: str
    default: ""
  key:
    description:
      - The name of a key, for that one only.
    type: str
    default: ""
extends_documentation_fragment:
  - gpuserve.fleet.attributes.reads
"""

EXAMPLES = r"""
- name: Read what was used in January, by day
  gpuserve.fleet.gateway_usage_info:
    by: day
    since: 2027-01
    until: 2027-01
  register: usage
"""

RETURN = r"""
rows:
  description:
    - What was used, an entry a span, key and model, in this order.
    - Cached tokens are among the prompt's. Of estimated requests the engine never told, since their clients had left.
  returned: success
  type: list
  elements: dict
  sample:
    - {span: 2027-01, key: a, model: qwen, requests: 2, prompt_tokens: 9, cached_tokens: 4, output_tokens: 5, audio_ms: 0, estimated: 0}
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import usage


def read(folder: Path, wanted: usage.Request) -> Iterator[usage.Used]:
    """Read the lines that are asked for; where no gateway ever was there are none."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        # The folder is an account's of its own: nothing is followed out of it.
        if not wanted.wants_file(path.name) or path.is_symlink() or not path.is_file():
            continue
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            used = usage.read(line, wanted)
            if used is not None:
                yield used


def run(params: dict[str, Any]) -> dict[str, Any]:
    """Read and sum."""
    wanted = usage.request(params["by"], params["since"], params["until"], params["key"])
    return {"changed": False, "rows": [usage.as_row(one) for one in usage.summed(read(Path(params["folder"]), wanted))]}


def main() -> NoReturn:
    """Run."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "default": "/opt/gpuserve/gateway/usage"},
            "by": {"type": "str", "choices": list(usage.SPANS), "default": "month"},
            "since": {"type": "str", "default": ""},
            "until": {"type": "str", "default": ""},
            "key": {"type": "str", "default": "", "no_log": False},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module.params))
    except FleetError as error:
        module.fail_json(msg=str(error), field=error.where)
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: it can't be read ({error.strerror}). Run with become: true.")


if __name__ == "__main__":
    main()
