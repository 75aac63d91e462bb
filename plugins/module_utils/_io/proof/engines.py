# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines asked for tokens, at their own endpoints or through the gateway: how many a second, how soon, and up to what they hold."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import statistics
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._io.gateway.stream import connection_to
from ansible_collections.gpuserve.fleet.plugins.module_utils._io.rollout.engine_http import (
    SocketConnection,
    has_foreign_listener,
)

PATH, CHAT = "/v1/completions", "/v1/chat/completions"
TIMEOUT_S = 180.0
# Token ids that every tokenizer has.
IDS = range(3, 490)
REQUESTS, AT_ONCE, PROMPT_TOKENS, NEW_TOKENS = 64, 16, 128, 128
FIRST_TOKENS = 24
UNIX = "unix:"


@dataclass(frozen=True)
class Way:
    """Where requests go: an engine's endpoint (`unix:/PATH` or `HOST:PORT`) or a gateway's address, and the key that is asked for there."""

    where: str
    key: str = ""

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection that is not open yet."""
        if self.where.startswith(UNIX):
            return SocketConnection(self.where.removeprefix(UNIX), TIMEOUT_S)
        if "://" in self.where:
            return connection_to(urllib.parse.urlsplit(self.where), TIMEOUT_S)
        host, _colon, port = self.where.rpartition(":")
        if has_foreign_listener(int(port)):
            # A port is no identity: another account's process gets no key.
            raise ConnectionRefusedError(f"another account listens at {self.where}")
        return http.client.HTTPConnection(host, int(port), timeout=TIMEOUT_S)

    def ask(self, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """Return the status of an answer and its content; 0 where nothing answers."""
        try:
            with contextlib.closing(self.connect()) as connection:
                self._send(connection, path, body)
                answer = connection.getresponse()
                text = answer.read()
        except (OSError, http.client.HTTPException):
            return 0, None
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, None

    def first_token_s(self, model: str) -> float | None:
        """Return the seconds to the first piece of a stream; None where none came."""
        body = {"model": model, "prompt": prompt(PROMPT_TOKENS), "max_tokens": 2, "ignore_eos": True, "stream": True}
        try:
            with contextlib.closing(self.connect()) as connection:
                # A client keeps its connection: what it costs to open one is not the gateway's.
                connection.connect()
                began = time.perf_counter()
                self._send(connection, PATH, body)
                answer = connection.getresponse()
                first = answer.readline()
                seconds = time.perf_counter() - began
                return seconds if answer.status == 200 and first.startswith(b"data:") else None
        except (OSError, http.client.HTTPException):
            return None

    def _send(self, connection: http.client.HTTPConnection, path: str, body: dict[str, Any] | None) -> None:
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        connection.request(
            "POST" if body is not None else "GET", path, None if body is None else json.dumps(body), headers
        )


@dataclass(frozen=True)
class Engine:
    """One model that makes tokens: its name, its own endpoint, and what it takes at once."""

    name: str
    way: Way
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int

    def rate(self) -> dict[str, Any]:
        """Return tokens a second of requests of 128 and 128 tokens, 16 at once."""
        room = max(2, self.max_model_len - 8)
        given, new = min(PROMPT_TOKENS, room // 2), min(NEW_TOKENS, room // 2)
        at_once = min(AT_ONCE, self.max_num_seqs)
        self._complete(given, new)
        began = time.perf_counter()
        tokens = self._many(REQUESTS, at_once, given, new)
        rate = round(sum(tokens) / (time.perf_counter() - began), 1)
        return {"at_once": at_once, "requests": REQUESTS, "failed": tokens.count(0), "tokens_per_s": rate}

    def saturate(self) -> dict[str, int]:
        """Ask for the most that it takes: prompts that fill its largest batch twice, then as many sampled answers as it has sequences."""
        length = max(1, min(self.max_model_len - 40, 2048))
        prompts = max(1, 2 * self.max_num_batched_tokens // length)
        tokens = self._many(prompts, min(prompts, 64), length, 4)
        tokens += self._many(self.max_num_seqs, self.max_num_seqs, 16, 24, temperature=0.8, top_p=0.9, top_k=40)
        return {"requests": len(tokens), "failed": tokens.count(0)}

    def first_tokens(self, gateway: Way | None) -> dict[str, Any]:
        """Return the median time to the first token at the engine and through the gateway, asked in turns."""
        ways = [self.way, *([gateway] if gateway else [])]
        for way in ways:
            way.first_token_s(self.name)
        seconds: list[list[float]] = [[] for _way in ways]
        failed = 0
        for _turn in range(FIRST_TOKENS):
            for way, times in zip(ways, seconds, strict=True):
                took = way.first_token_s(self.name)
                failed += took is None
                times.extend([] if took is None else [took])
        medians = [round(statistics.median(times) * 1000, 3) if times else None for times in seconds]
        direct, through = medians[0], medians[1] if gateway else None
        added = round(through - direct, 3) if through is not None and direct is not None else None
        return {"engine_p50_ms": direct, "gateway_p50_ms": through, "added_p50_ms": added, "failed": failed}

    def _complete(self, given: int, new: int, **sampling: Any) -> int:
        """Return the new tokens of one request; 0 where it failed."""
        # Every prompt is another one: of equal ones the prefix cache would leave nothing to compute.
        body = {"model": self.name, "prompt": prompt(given), "max_tokens": new, "ignore_eos": True, **sampling}
        status, content = self.way.ask(PATH, body)
        usage = content.get("usage") if isinstance(content, dict) else None
        return int(usage.get("completion_tokens", 0)) if status == 200 and isinstance(usage, dict) else 0

    def _many(self, count: int, at_once: int, given: int, new: int, **sampling: Any) -> list[int]:
        with ThreadPoolExecutor(at_once) as pool:
            jobs = [pool.submit(self._complete, given, new, **sampling) for _each in range(count)]
            return [job.result() for job in jobs]


def prompt(tokens: int) -> list[int]:
    """Return a prompt that nobody asked before."""
    return random.choices(IDS, k=tokens)


def answer(way: Way, model: str, question: str) -> str:
    """Return what a model says to a question; empty where it says nothing."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": 48,
        "temperature": 0,
    }
    status, content = way.ask(CHAT, body)
    try:
        return str(content["choices"][0]["message"]["content"]).strip() if status == 200 else ""
    except (KeyError, IndexError, TypeError):
        return ""
