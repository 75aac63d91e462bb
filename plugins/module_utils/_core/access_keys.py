# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a key that opens the gateway or an engine may be: what a header carries, and too long to be guessed."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail

# With fewer letters, a digest that leaks can be turned back into its key.
SHORTEST, LONGEST = 24, 256
_SECRET = re.compile(r"[A-Za-z0-9._~+/=-]+")


def check(secret: Any, where: str, whose: str) -> str:
    """Return a key that somebody chose. What was written is a secret, also where it is a wrong one: no message repeats it."""
    if not isinstance(secret, str) or not _SECRET.fullmatch(secret) or len(secret) > LONGEST:
        fail(
            where,
            f"the key of {whose} holds what no key holds.",
            f"Use letters, digits and . _ ~ + / = -, {SHORTEST} to {LONGEST} of them.",
        )
    if len(secret) < SHORTEST:
        fail(
            where,
            f"the key of {whose} has {len(secret)} characters, which can be guessed from its digest.",
            f"Take a random one of at least {SHORTEST}; `openssl rand -hex 24` makes one.",
        )
    return secret
