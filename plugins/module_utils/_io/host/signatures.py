# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check a signature with the program that the host's apt uses for it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import openpgp

Run = Callable[[list[str]], tuple[int, str, str]]
Which = Callable[[str], "str | None"]
# Both take a keyring, a detached signature and the signed file; Debian 13's apt brings sqv, older ones gpgv.
_PROGRAMS = ("gpgv", "sqv")


def signed_text(data: bytes, keyring: str, origin: str, run: Run, which: Which) -> str:
    """Return what a cleartext-signed file says, if a key of the keyring signed it; nothing around it is returned."""
    text, signature = openpgp.split_signed(data, origin)
    program = next((path for path in map(which, _PROGRAMS) if path), None)
    if program is None:
        fail("", "Neither gpgv nor sqv is here to check signatures with.", "Run `apt-get install gpgv`.")
    with tempfile.TemporaryDirectory() as folder:
        signed, detached = Path(folder, "text"), Path(folder, "text.asc")
        # As apt splits it: the last line end belongs to the armour and not to the text.
        signed.write_text(text, encoding="utf-8")
        detached.write_text(signature, encoding="utf-8")
        status, _out, err = run([program, "--keyring", keyring, str(detached), str(signed)])
    if status != 0:
        said = [line.strip() for line in err.splitlines() if line.strip()]
        fail(
            origin,
            f"it is not signed by the expected key ({said[-1] if said else f'{program} ends with {status}'}).",
            "If its owner changed the key, set the fingerprints to what the owner publishes; else use another mirror.",
        )
    return text
