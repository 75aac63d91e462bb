# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stub of an engine, for tests of the gateway: it answers in the shapes of vLLM's API without any model.

Runs on the standard library alone. What arrived (path, headers, digest of the body) is told under /_seen.
A stream sends its tokens `stub_gap_ms` apart, each with the time it left. What else a body may ask for: `stub_delay_ms`, `stub_status`,
`stub_headers`, `stub_behind` (so many bytes behind the usage), `stub_pieces` (each event in pieces of so many bytes) and `stub_mode`: die
(hang up after three tokens), garbage (no HTTP).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import os
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

CRLF = b"\r\n"


@dataclass
class State:
    """What one stub is, and what it has seen."""

    model: str
    api_key: str = ""
    healthy: bool = True
    # It refuses what it is asked, as an engine whose queue is full.
    full: bool = False
    aborted: int = 0
    running: int = 0
    # All that came, and chats among it; of what is kept below the oldest goes.
    number: int = 0
    chats: int = 0
    seen: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=200))


@dataclass
class Request:
    """A request, read whole."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """Read one request, or None at the end of the connection."""
    line = await reader.readline()
    if not line:
        return None
    method, path = line.decode("latin-1").split(" ", 2)[:2]
    headers: dict[str, str] = {}
    while (line := await reader.readline()) not in (CRLF, b""):
        name, value = line.decode("latin-1").split(":", 1)
        headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body)


def head(status: int, content_type: str, extra: dict[str, str], length: int | None) -> bytes:
    """Return the head of an answer; without a length it is chunked."""
    lines = [f"HTTP/1.1 {status} Stub", f"Content-Type: {content_type}", *(f"{k}: {v}" for k, v in extra.items())]
    lines.append("Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}")
    return "\r\n".join(lines).encode() + CRLF + CRLF


def chunk(data: str) -> bytes:
    """Return one chunk of a chunked answer."""
    raw = data.encode()
    return f"{len(raw):x}".encode() + CRLF + raw + CRLF


class Stub:
    """One engine."""

    def __init__(self, state: State) -> None:
        self.state = state

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while (request := await read_request(reader)) is not None:
                if request.headers.get("upgrade"):
                    await self.echo(request, reader, writer)
                    break
                await self.answer(request, writer)
                if request.headers.get("connection", "").lower() == "close":
                    break
        except (ConnectionError, asyncio.IncompleteReadError, ValueError):
            pass
        finally:
            writer.close()

    async def echo(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Open a websocket, and send back what comes."""
        self.note(request)
        key = request.headers.get("sec-websocket-key", "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        writer.write("\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept}"]).encode() + CRLF + CRLF)
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()

    def note(self, request: Request) -> None:
        """Keep what is told under /_seen."""
        self.state.number += 1
        self.state.chats += request.path == "/v1/chat/completions"
        self.state.seen.append(
            {
                "method": request.method,
                "path": request.path,
                "headers": request.headers,
                "bytes": len(request.body),
                "sha256": hashlib.sha256(request.body).hexdigest(),
                "text": request.body[:2000].decode("latin-1"),
            }
        )

    def plain(
        self, writer: asyncio.StreamWriter, value: Any, status: int = 200, extra: dict[str, str] | None = None
    ) -> None:
        """Send a JSON answer."""
        body = json.dumps(value).encode()
        writer.write(head(status, "application/json", extra or {}, len(body)) + body)

    async def answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        state, path = self.state, request.path
        if path == "/health":
            self.plain(writer, {}, 200 if state.healthy else 503)
        elif path == "/_set":
            for name, value in json.loads(request.body).items():
                setattr(state, name, value)
            self.plain(writer, {})
        elif path == "/_seen":
            figures = {name: getattr(state, name) for name in ("aborted", "running", "number", "chats")}
            self.plain(writer, {"seen": list(state.seen), **figures})
        else:
            await self.inference(request, writer)
        await writer.drain()

    async def inference(self, request: Request, writer: asyncio.StreamWriter) -> None:
        """Answer what an engine would work on."""
        state = self.state
        self.note(request)
        if state.api_key and request.headers.get("authorization") != f"Bearer {state.api_key}":
            return self.plain(writer, {"error": "Unauthorized"}, 401)
        if state.full:
            return self.plain(writer, {"error": {"message": "queue full", "code": 503}}, 503)
        try:
            body = json.loads(request.body or b"{}")
        except ValueError:
            body = {}
        if not isinstance(body, dict):
            body = {}
        extra = {"X-Stub-Model": state.model, "X-Stub-Saw": request.path, **body.get("stub_headers", {})}
        if body.get("stub_mode") == "garbage":
            writer.write(b"\x00\xffwhat is this\r\n\r\n" * 3)
            writer.close()
            return None
        if body.get("model", state.model) != state.model:
            message = f"The model `{body['model']}` does not exist."
            return self.plain(writer, {"error": {"message": message, "type": "NotFoundError", "code": 404}}, 404, extra)
        state.running += 1
        try:
            if body.get("stream"):
                await self.stream(request.path, body, writer, extra)
            else:
                await asyncio.sleep(float(body.get("stub_delay_ms", 0)) / 1000)
                self.plain(writer, self.whole(request.path, body), int(body.get("stub_status", 200)), extra)
        finally:
            state.running -= 1
        return None

    def whole(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the answer that is no stream."""
        name = self.state.model
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        if path.endswith("/embeddings"):
            data = [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}]
            return {"object": "list", "model": name, "data": data, "usage": usage}
        if path.endswith("/messages"):
            text = [{"type": "text", "text": f"I am {name}."}]
            counts = {"input_tokens": 3, "output_tokens": 2}
            return {"id": "msg_1", "type": "message", "role": "assistant", "model": name, "content": text,
                    "stop_reason": "end_turn", "stop_sequence": None, "usage": counts}  # fmt: skip
        if path.endswith("/chat/completions"):
            choice = {"index": 0, "message": {"role": "assistant", "content": f"I am {name}."}, "finish_reason": "stop"}
            behind = {"prompt_logprobs": "x" * int(body["stub_behind"])} if "stub_behind" in body else {}
            return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": name, "choices": [choice],
                    "usage": usage, **behind}  # fmt: skip
        choice = {"index": 0, "text": f"I am {name}.", "finish_reason": "stop"}
        return {
            "id": "cmpl-1",
            "object": "text_completion",
            "created": 1,
            "model": name,
            "choices": [choice],
            "usage": usage,
        }

    async def event(self, writer: asyncio.StreamWriter, text: str, pieces: int) -> None:
        """Send one event, whole or in pieces."""
        event = f"data: {text}\n\n"
        for at in range(0, len(event), pieces or len(event)):
            writer.write(chunk(event[at : at + pieces] if pieces else event))
            await writer.drain()
            if pieces:
                await asyncio.sleep(0.001)

    async def stream(
        self, path: str, body: dict[str, Any], writer: asyncio.StreamWriter, extra: dict[str, str]
    ) -> None:
        """Send tokens one by one; notice when nobody listens any more."""
        gap_s = float(body.get("stub_gap_ms", 10)) / 1000
        writer.write(head(200, "text/event-stream; charset=utf-8", extra, None))
        try:
            for number in range(int(body.get("max_tokens", 5))):
                if number:
                    await asyncio.sleep(gap_s)
                if number == 3 and body.get("stub_mode") == "die":
                    writer.transport.abort()
                    return
                delta = {"role": "assistant", "content": f"{number} "}
                event = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": self.state.model,
                         "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
                         "stub_sent_ns": time.monotonic_ns()}  # fmt: skip
                await self.event(writer, json.dumps(event), int(body.get("stub_pieces", 0)))
                if writer.transport.is_closing():
                    raise ConnectionResetError
            if (body.get("stream_options") or {}).get("include_usage"):
                usage = {
                    "prompt_tokens": 7,
                    "completion_tokens": number + 1,
                    "prompt_tokens_details": {"cached_tokens": 4},
                }
                told = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": self.state.model,
                        "choices": [], "usage": usage}  # fmt: skip
                await self.event(writer, json.dumps(told), int(body.get("stub_pieces", 0)))
            writer.write(chunk("data: [DONE]\n\n") + chunk(""))
        except ConnectionError:
            self.state.aborted += 1
            raise


async def main() -> None:
    """Serve one stub a NAME=PORT or NAME=/SOCKET given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--api-key", default="", help="the key that every stub asks for")
    parser.add_argument("engines", nargs="+", metavar="NAME=PORT|/SOCKET")
    given = parser.parse_args()
    servers = []
    for engine in given.engines:
        name, port = engine.rsplit("=", 1)
        stub = Stub(State(model=name, api_key=given.api_key))
        if port.startswith("/"):
            servers.append(await asyncio.start_unix_server(stub.serve, port, backlog=4096, limit=2**26))
            os.chmod(port, 0o666)
            continue
        servers.append(await asyncio.start_server(stub.serve, given.address, int(port), backlog=4096, limit=2**26))
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main())
