# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A double of replicas that keep a prefix cache: what of a prompt was computed before costs nothing until its first token.

As vLLM's cache: blocks of a fixed number of tokens, each known by all that stands before it, the least recently used go first. A word is a
token here. A replica computes one prompt at a time; tokens of answers come beside it.

python -m tests.bench.gateway.prefix_engine PORT...    one replica of "qwen" at each; GET /_cache tells what it was asked and had
"""

from __future__ import annotations

import asyncio
import json
import sys
import zlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.gpuserve.fleet.tests.support.gateway.engine_stub import Request, State, Stub

BLOCK_TOKENS = 16
# So many tokens a replica computes in a second, and so many blocks it keeps.
PREFILL_TOKENS_PER_S, KEPT_BLOCKS = 10_000, 2_500


@dataclass
class PrefixCache:
    """The blocks of prompts that a replica still has."""

    kept: int = KEPT_BLOCKS
    blocks: OrderedDict[int, None] = field(default_factory=OrderedDict)
    asked: int = 0
    had: int = 0

    def take(self, words: list[str]) -> int:
        """Take a prompt in; return how many of its tokens have to be computed."""
        chain, known, following = 0, 0, True
        for at in range(0, len(words) - len(words) % BLOCK_TOKENS, BLOCK_TOKENS):
            chain = hash((chain, *words[at : at + BLOCK_TOKENS]))
            following = following and chain in self.blocks
            known += following
            self.blocks[chain] = None
            self.blocks.move_to_end(chain)
        while len(self.blocks) > self.kept:
            self.blocks.popitem(last=False)
        self.asked += len(words)
        self.had += known * BLOCK_TOKENS
        return len(words) - known * BLOCK_TOKENS


class Replica(Stub):
    """The stub of an engine, whose first token waits for what its cache has not."""

    def __init__(self) -> None:
        super().__init__(State(model="qwen"))
        self.cache, self.computing = PrefixCache(), asyncio.Lock()
        # What else was asked and is no inference, by path: vllm-router has each replica make tokens of each prompt.
        self.others: dict[str, int] = {}

    async def answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        """Answer one request; what came is told under a path of its own."""
        if request.path == "/_cache":
            self.plain(writer, {"asked": self.cache.asked, "had": self.cache.had, "others": self.others})
            await writer.drain()
            return
        if request.path in ("/health", "/v1/chat/completions"):
            await super().answer(request, writer)
            return
        self.others[request.path] = self.others.get(request.path, 0) + 1
        if request.path == "/tokenize":
            tokens = [zlib.crc32(word.encode()) >> 1 for word in words_of(json.loads(request.body))]
            self.plain(writer, {"count": len(tokens), "max_model_len": 32768, "tokens": tokens, "token_strs": None})
            await writer.drain()
            return
        self.plain(writer, {"detail": "Not Found"}, 404)
        await writer.drain()

    async def stream(
        self, path: str, body: dict[str, Any], writer: asyncio.StreamWriter, extra: dict[str, str]
    ) -> None:
        """Compute the prompt, then send tokens."""
        async with self.computing:
            await asyncio.sleep(self.cache.take(words_of(body)) / PREFILL_TOKENS_PER_S)
        await super().stream(path, body, writer, extra)


def words_of(body: dict[str, Any]) -> list[str]:
    """Return the tokens of a chat."""
    return " ".join(str(message["content"]) for message in body["messages"]).split()


async def main() -> None:
    """Serve a replica at each port."""
    servers = [
        await asyncio.start_server(Replica().serve, "127.0.0.1", int(port), backlog=1024, limit=2**26)
        for port in sys.argv[1:]
    ]
    print(json.dumps({"serving": sys.argv[1:]}), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main())
