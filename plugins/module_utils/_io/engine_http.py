# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP to an engine on loopback: is it healthy, does it name its model, does it generate."""

from __future__ import annotations

import http.client
import json
from typing import Any


class Engine:
    """One engine's endpoints. Every transport error reads as "not yet"."""

    def __init__(self, port: int, model: str, api_key: str = "") -> None:
        self._port = port
        self._model = model
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"

    def health(self) -> int | None:
        """The status of /health; None while nothing answers."""
        answer = self._ask("GET", "/health", None, 5)
        return answer[0] if answer else None

    def names_model(self) -> bool:
        """Whether /v1/models has the model."""
        answer = self._ask("GET", "/v1/models", None, 5)
        if answer is None or answer[0] != 200:
            return False
        data = answer[1].get("data") if isinstance(answer[1], dict) else None
        return any(isinstance(entry, dict) and entry.get("id") == self._model for entry in data or [])

    def generates(self, timeout_s: float) -> tuple[bool, str]:
        """Whether one token comes back, and what the engine says where it refuses to make one."""
        # A prompt of token ids is one for every model: a text can be nothing at all to a tokenizer, and is then refused.
        body = {"model": self._model, "prompt": [1], "max_tokens": 1, "temperature": 0}
        return self._proof("/v1/completions", body, "choices", timeout_s)

    def embeds(self, timeout_s: float) -> tuple[bool, str]:
        """Whether one embedding comes back, for engines that generate nothing."""
        return self._proof("/v1/embeddings", {"model": self._model, "input": [1]}, "data", timeout_s)

    def _proof(self, path: str, body: dict[str, Any], key: str, timeout_s: float) -> tuple[bool, str]:
        answer = self._ask("POST", path, body, timeout_s)
        if answer is None:
            return False, ""
        status, content = answer
        found = content if isinstance(content, dict) else {}
        if 400 <= status < 500:
            error = found.get("error") or found
            message = error.get("message") if isinstance(error, dict) else None
            return False, f"{status} {message or 'without a reason'}"
        return status == 200 and bool(found.get(key)), ""

    def _ask(self, method: str, path: str, body: dict[str, Any] | None, timeout_s: float) -> tuple[int, Any] | None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=timeout_s)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), self._headers)
            answer = connection.getresponse()
            text = answer.read()
            try:
                return answer.status, json.loads(text)
            except ValueError:
                return answer.status, None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
