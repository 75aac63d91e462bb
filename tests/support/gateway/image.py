# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Print the gateway's image for a box of the lab, and let the box's Docker Engine pull it."""

from __future__ import annotations

import sys

from ansible_collections.gpuserve.fleet.tests.support.lab import boxes, images, registry

OFFICIAL = "openresty/openresty:1.31.1.1-3-jammy"


def main() -> None:
    """Take the official image where a public registry answers, else the one that the lab builds."""
    if images.registry_answers():
        print(OFFICIAL)
        return
    registry.ensure_registry()
    image = images.ensure_gateway()
    registry.trust_in(boxes.container_name(sys.argv[1]))
    print(image)


if __name__ == "__main__":
    main()
