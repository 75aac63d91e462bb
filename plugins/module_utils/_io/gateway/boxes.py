# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateways of boxes asked from an edge for what they serve, all at once, on the way that its requests will go."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

PATH = "/v1/models"
# What is read of an answer at most, and shown of a bad one.
MOST, SHOWN = 4 * 1024 * 1024, 120
AT_ONCE = 16


class _Named(http.client.HTTPSConnection):
    """A connection to an address that has to show a certificate of another name."""

    def __init__(self, host: str, port: int, name: str, context: ssl.SSLContext, timeout_s: float) -> None:
        super().__init__(host, port, timeout=timeout_s, context=context)
        self._name = name
        self._verified = context

    def connect(self) -> None:
        """Connect, and verify the name."""
        plain = socket.create_connection((self.host, self.port), self.timeout)
        try:
            self.sock = self._verified.wrap_socket(plain, server_hostname=self._name)
        except BaseException:
            plain.close()
            raise


def ask_all(
    boxes: Sequence[Mapping[str, Any]], key: str, certificates: str, timeout_s: float
) -> dict[str, dict[str, Any]]:
    """Return what each box lists, or why it lists nothing, by the box's name. Neither holds the key."""
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        answers = pool.map(lambda box: ask(box, key, certificates, timeout_s), boxes)
        return {str(box["name"]): answer for box, answer in zip(boxes, answers, strict=True)}


def ask(box: Mapping[str, Any], key: str, certificates: str, timeout_s: float) -> dict[str, Any]:
    """Return what one box lists as {listed}, or {error}."""
    host, _colon, port = str(box["endpoint"]).rpartition(":")
    host = host.strip("[]")
    try:
        if box.get("tls_name"):
            context = ssl.create_default_context(cadata=certificates)
            line: http.client.HTTPConnection = _Named(host, int(port), str(box["tls_name"]), context, timeout_s)
        else:
            line = http.client.HTTPConnection(host, int(port), timeout=timeout_s)
        try:
            line.request("GET", PATH, headers={"Authorization": f"Bearer {key}"} if key else {})
            response = line.getresponse()
            text = response.read(MOST)
        finally:
            line.close()
        if response.status == 401:
            return {"error": "it does not take the edge's key"}
        if response.status != 200:
            return {"error": f"status {response.status}"}
        listed = json.loads(text)
    except (OSError, http.client.HTTPException, ValueError) as error:
        said = (
            f"{getattr(error, 'verify_message', '') or getattr(error, 'strerror', '') or error or type(error).__name__}"
        )
        return {"error": ascii(said.replace(key, "(the key)") if key else said)[1:-1][:SHOWN]}
    entries = listed.get("data") if isinstance(listed, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and entry.get("id") for entry in entries):
        return {"error": "it answers with no list of models"}
    return {"listed": listed}
