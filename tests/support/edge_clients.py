# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clients that ask an edge, and count what came back."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

KEY = "key-of-a-client-of-the-edge"
# Streams ask by this name, plain requests by the model's own.
ALIAS = "Qwen/Qwen2.5-3B-Instruct"
# What a stream takes, and how long a client waits between two requests.
STREAM_S = 3
PAUSE_S = 0.2


@dataclass
class Clients:
    """Clients that ask an edge until it is enough; what came back is counted, "lost" what was no whole answer."""

    address: str
    answers: Counter[str] = field(default_factory=Counter)
    enough: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def asking(self, plain: int, streams: int) -> Iterator[None]:
        """Ask by so many threads each until the block is over."""
        kinds = [False] * plain + [True] * streams
        threads = [threading.Thread(target=self.ask, args=(stream,)) for stream in kinds]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.enough.set()
            for thread in threads:
                thread.join(120)

    def ask(self, stream: bool) -> None:
        """Ask on and on."""
        while not self.enough.is_set():
            self.answers[self._answer(stream)] += 1
            # It is not the edge's speed that is measured.
            time.sleep(PAUSE_S)

    def _answer(self, stream: bool) -> str:
        line = http.client.HTTPConnection(self.address, 8000, timeout=90)
        body: dict[str, Any] = {"model": ALIAS if stream else "qwen", "messages": [], "max_tokens": 4}
        body |= {"stream": True, "double_seconds": STREAM_S} if stream else {}
        try:
            line.request("POST", "/v1/chat/completions", json.dumps(body), {"Authorization": f"Bearer {KEY}"})
            answer = line.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            return f"lost: {error!r}"
        finally:
            line.close()
        whole = answer.status == 200 and (b"[DONE]" in text if stream else b'"choices"' in text)
        return ("stream" if stream else "plain") if whole else f"lost: {answer.status} {text[:120]!r}"

    @property
    def lost(self) -> list[str]:
        """What was no whole answer."""
        return [said for said, number in self.answers.items() if said.startswith("lost") for _at in range(number)]
