# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP to an engine on loopback: is it healthy, does it name its model, does it generate, what is it at."""

from __future__ import annotations

import http.client
import json
import re
from typing import Any

_FIGURE = re.compile(
    r"^vllm:(num_requests_running|num_requests_waiting|generation_tokens_total)(?:\{[^}]*\})?\s+(\S+)", re.M
)


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
        found = _json(answer[1])
        data = found.get("data") if isinstance(found, dict) else None
        return any(isinstance(entry, dict) and entry.get("id") == self._model for entry in data or [])

    def generates(self, timeout_s: float) -> tuple[bool, str]:
        """Whether one token comes back, and what the engine says where it refuses to make one."""
        # A prompt of token ids is one for every model: a text can be nothing at all to a tokenizer, and is then refused.
        body = {"model": self._model, "prompt": [1], "max_tokens": 1, "temperature": 0}
        return self._proof("/v1/completions", body, "choices", timeout_s)

    def embeds(self, timeout_s: float) -> tuple[bool, str]:
        """Whether one embedding comes back, for engines that generate nothing."""
        return self._proof("/v1/embeddings", {"model": self._model, "input": [1]}, "data", timeout_s)

    def figures(self) -> dict[str, float]:
        """Requests running and waiting, and tokens generated since its start; empty where /metrics does not answer."""
        answer = self._ask("GET", "/metrics", None, 5)
        if answer is None or answer[0] != 200:
            return {}
        found: dict[str, float] = {}
        for name, value in _FIGURE.findall(answer[1].decode(errors="replace")):
            found[name] = found.get(name, 0.0) + float(value)
        return found

    def requests(self) -> int | None:
        """Requests that it is at, or that wait in it; None where it does not say, as with --disable-log-stats."""
        figures = self.figures()
        if "num_requests_running" not in figures:
            return None
        return int(figures["num_requests_running"] + figures.get("num_requests_waiting", 0))

    def sleeps(self) -> bool:
        """Whether it was put to sleep; engines without that endpoint never are."""
        answer = self._ask("GET", "/is_sleeping", None, 5)
        found = _json(answer[1]) if answer and answer[0] == 200 else None
        return isinstance(found, dict) and found.get("is_sleeping") is True

    def _proof(self, path: str, body: dict[str, Any], key: str, timeout_s: float) -> tuple[bool, str]:
        answer = self._ask("POST", path, body, timeout_s)
        if answer is None:
            return False, ""
        status, content = answer[0], _json(answer[1])
        found = content if isinstance(content, dict) else {}
        if 400 <= status < 500:
            error = found.get("error") or found
            message = error.get("message") if isinstance(error, dict) else None
            return False, f"{status} {message or 'without a reason'}"
        return status == 200 and bool(found.get(key)), ""

    def _ask(self, method: str, path: str, body: dict[str, Any] | None, timeout_s: float) -> tuple[int, bytes] | None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=timeout_s)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), self._headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
