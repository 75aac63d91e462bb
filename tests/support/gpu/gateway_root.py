# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write what the gateway's image holds as a tar, for `docker import` on a machine without a registry."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from ansible_collections.gpuserve.fleet.tests.support.lab import images
from ansible_collections.gpuserve.fleet.tests.support.lab.bases import scratch


def main() -> None:
    """Make the root and pack it."""
    with tempfile.TemporaryDirectory(prefix="gpuserve-gateway-", dir=scratch()) as folder:
        root = Path(folder, "root")
        images.make_gateway_root(root)
        images.pack(root, Path(sys.argv[1]), ["."])


if __name__ == "__main__":
    main()
