# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A self-signed certificate in a folder of ours, made by openssl and made anew when it no longer serves."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.gateway import certificate
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.storage import atomic

Run = Callable[[list[str]], tuple[int, str, str]]
DAY_S = 86_400


class OwnCertificate:
    """The certificate tls.crt and its key tls.key."""

    def __init__(self, folder: Path, run: Run) -> None:
        self.folder = folder
        self.run = run
        self.certificate, self.key = folder / "tls.crt", folder / "tls.key"

    def serves(self, names: Sequence[str]) -> bool:
        """Tell whether it bears exactly these names, lasts for a while, and belongs to the key."""
        if not (self.certificate.exists() and self.key.exists()):
            return False
        seconds = str(certificate.RENEWED_BEFORE_DAYS * DAY_S)
        asked = ["openssl", "x509", "-in", str(self.certificate), "-noout"]
        code, text, _error = self.run([*asked, "-ext", "subjectAltName", "-checkend", seconds])
        return code == 0 and certificate.named_in(text) == set(names) and self._is_of_the_key(asked)

    def _is_of_the_key(self, asked: list[str]) -> bool:
        _code, of_certificate, _error = self.run([*asked, "-pubkey"])
        code, of_key, _error = self.run(["openssl", "pkey", "-in", str(self.key), "-pubout"])
        return code == 0 and of_key.strip() == of_certificate.strip()

    def make(self, wanted: str, names: Sequence[str]) -> None:
        """Make certificate and key beside the old ones, and put both in their place once openssl has made both."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        draft = self.folder / ".draft"
        atomic.clear(draft)
        draft.mkdir(mode=0o700)
        try:
            code, _out, error = self.run(
                [
                    *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
                    *("-days", str(certificate.LIFETIME_DAYS), "-subj", certificate.subject(wanted)),
                    *("-addext", f"subjectAltName={','.join(names)}"),
                    *("-keyout", str(draft / self.key.name), "-out", str(draft / self.certificate.name)),
                ]
            )
            if code:
                fail(
                    "gateway_tls_name",
                    f"openssl makes no certificate for {wanted} ({error.strip().splitlines()[-1:]}).",
                    "Install openssl on the host, or name another host.",
                )
            for path, mode in ((self.key, 0o600), (self.certificate, 0o644)):
                os.chmod(draft / path.name, mode)
                (draft / path.name).replace(path)
        finally:
            atomic.clear(draft)
