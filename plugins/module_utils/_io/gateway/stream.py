# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One token of one model, as a stream, on the way that clients come."""

from __future__ import annotations

import http.client
import json
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterable

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.errors import fail

END = b"[DONE]"
PAUSE_S = 1.0
PATH = "/v1/completions"
# What a screen gets to see of an answer, and what is read of one at most.
SHOWN, MOST = 200, 1024 * 1024


def connection_to(url: urllib.parse.SplitResult, timeout_s: float) -> http.client.HTTPConnection:
    """Return a connection, not open yet, to the gateway of this very host."""
    host, port = url.hostname or "127.0.0.1", url.port
    if url.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=timeout_s)
    # The name in the certificate is not the address that we ask at, which is our own host's.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)


def prove(stream: Callable[[str], Stream], models: Iterable[str], timeout_s: float) -> dict[str, float]:
    """Return how long each model took to stream a token; a FleetError names the first that streams none."""
    seconds: dict[str, float] = {}
    for model in models:
        began = time.monotonic()
        asked = stream(model)
        if not asked.proved_within(timeout_s):
            fail(
                "gateway_prove",
                f"{model} streams no token through the gateway ({asked.answer}).",
                "Its engine does on its own port, so look at `docker logs gpuserve-gateway`.",
            )
        seconds[model] = round(time.monotonic() - began, 3)
    return seconds


class Stream:
    """A model asked for a token until it streams one. answer is what came last, without the key that was sent."""

    def __init__(self, url: str, model: str, key: str) -> None:
        self.url = urllib.parse.urlsplit(url)
        self.model = model
        self.key = key
        self.answer = "it was not asked"

    def proved_within(self, timeout_s: float) -> bool:
        """Ask until it streams to its end, or time is over."""
        end = time.monotonic() + timeout_s
        while True:
            left = max(1.0, end - time.monotonic())
            if self._ask(left):
                return True
            if time.monotonic() + PAUSE_S > end:
                return False
            time.sleep(PAUSE_S)

    def _ask(self, timeout_s: float) -> bool:
        connection = connection_to(self.url, timeout_s)
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        # A prompt of token ids is one for every model.
        body = json.dumps({"model": self.model, "prompt": [1], "max_tokens": 1, "stream": True})
        try:
            connection.request("POST", PATH, body, headers)
            response = connection.getresponse()
            text = response.read(MOST)
        except (OSError, http.client.HTTPException) as error:
            self.answer = self._without_key(f"{type(error).__name__}: {error}")
            return False
        finally:
            connection.close()
        self.answer = self._without_key(f"{response.status}: {text.decode(errors='replace').strip()}")
        return response.status == 200 and END in text

    def _without_key(self, text: str) -> str:
        return ascii(text.replace(self.key, "(the key)") if self.key else text)[1:-1][:SHOWN]
