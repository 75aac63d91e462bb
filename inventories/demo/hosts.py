#!/usr/bin/env python3
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Inventory of the demonstration: the host that `make demo` made or was given, as it wrote it down.

So `ansible-playbook -i inventories/demo site.yml` works by hand too, once `make demo` has run.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

CACHE = Path(os.environ.get("GPUSERVE_CACHE") or Path.home() / ".cache" / "gpuserve-fleet")
NOTE = CACHE / "demo" / "host.json"


def main() -> int:
    """Print the inventory that ansible asks for."""
    if not NOTE.exists():
        print("There is no demonstration host yet: run `make demo` first.", file=sys.stderr)
        return 1
    hostvars = json.loads(NOTE.read_text())
    print(json.dumps({"gpu_hosts": {"hosts": ["demo"]}, "_meta": {"hostvars": {"demo": hostvars}}}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
