# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bundle behind an address, whose files are believed by their checksums only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ansible.module_utils.urls import open_url

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import FleetError, fail
from ansible_collections.gpuserve.fleet.plugins.module_utils._core.host import bundle

# Of every module that reads a bundle; the fragment `bundle` documents them.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "url": {"type": "str", "required": True},
    "sums_sha256": {"type": "str", "default": ""},
    "ca_file": {"type": "path"},
    "timeout_s": {"type": "int", "default": 60},
}
_MAX_LIST_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 20


class Bundle:
    """The bundle, with the checksums that it carries."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.url = params["url"].rstrip("/")
        self._ca_file, self._timeout_s = params["ca_file"], params["timeout_s"]
        self.sums = bundle.read_sums(self._read(bundle.SUMS, params["sums_sha256"]))

    def read(self, name: str) -> str:
        """Fetch a list."""
        return self._read(name, bundle.expected(self.sums, name))

    def fetch(self, name: str, path: str) -> None:
        """Fetch a large file, and compare it before anybody reads it."""
        sha256 = bundle.expected(self.sums, name)
        answer, digest = self._open(name), hashlib.sha256()
        with open(path, "wb") as file:
            while chunk := self._next(answer, name):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != sha256:
            raise self._wrong(name)

    def _read(self, name: str, sha256: str) -> str:
        data = self._open(name).read(_MAX_LIST_BYTES)
        # An empty checksum believes it.
        if sha256 and hashlib.sha256(data).hexdigest() != sha256.lower():
            raise self._wrong(name)
        text: str = data.decode("utf-8", "replace")
        return text

    def _wrong(self, name: str) -> FleetError:
        remedy = "Carry the bundle over again. Nothing of that file was used."
        return FleetError("url", f"{self.url}/{name} is not the file that was bundled.", remedy)

    def _next(self, answer: Any, name: str) -> bytes:
        try:
            chunk: bytes = answer.read(_CHUNK_BYTES)
        except Exception as error:  # what a server may do in the middle is of every kind
            fail("url", f"{self.url}/{name} broke off ({error}).", "Run it again.")
        return chunk

    def _open(self, name: str) -> Any:
        try:
            return open_url(
                f"{self.url}/{quote(name)}", timeout=self._timeout_s, ca_path=self._ca_file, http_agent="gpuserve.fleet"
            )
        except Exception as error:  # open_url lets every kind of network error through
            fail("url", f"{self.url}/{name} can't be read ({error}).", "Check the address.")
