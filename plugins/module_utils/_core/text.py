# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words that come from a host (process and container names, lock contents, log lines) as text that does nothing where it is shown."""

from __future__ import annotations

import re

LIMIT = 400
# Colours and weights of a terminal, which engines write into their logs.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def harmless(text: object, limit: int = LIMIT) -> str:
    """Escape what a terminal, a log or a page would act on, and bound the length.

    Control characters, line ends, direction marks and lone surrogates become \\x1b or \\u202e; a tab becomes a blank, and colours go.
    """
    given = _COLOUR.sub("", str(text)).replace("\t", " ")
    if len(given) <= limit and given.isprintable():
        return given
    # No sign gets shorter, so that what lies beyond the limit needs no look.
    shown = "".join(sign if sign.isprintable() else _escaped(sign) for sign in given[: limit + 1])
    return shown if len(shown) <= limit else f"{shown[: max(0, limit - 3)]}..."


def _escaped(sign: str) -> str:
    code = ord(sign)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
