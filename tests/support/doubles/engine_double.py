# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A double of `vllm serve` 0.26 for hosts without a card: its arguments, log lines, endpoints and exits, and memory in the NVML double.

What it shall hold, how long it shall take and how it shall fail stands in ENGINES/<served model name>.json in the NVML double's folder:

    {"total_bytes": 3221225472,                      what it holds on each of its cards once it is ready, with a cache of
     "kv_cache_bytes": 1073741824,                   these bytes; where it sizes its own, what is left of its share
     "seconds": {"created": 0.2, "loading": 1.0, "measuring": 0.5, "graphs": 0.3},
                                                      for each step, or of it all ("whole"), counted from the process's start
     "held": "loading",                               this step doesn't end while this stands there
     "sleeping": true,                                it says that it was put to sleep
     "fault": {"kind": "oom", "at": "loading", "times": 1}}

Kinds: `oom`, `no_kernel_image`, `gated`, `missing_repository` end the start at that step with vLLM's own lines; `silent` says and does
nothing any more from that step on; `mute` is healthy and never answers a prompt; `dies` ends `after_s` seconds after it is ready.
One of several hosts' (--nnodes) waits for the others before it loads. One without an API (--headless) goes on when the first one has
ended; the first one stays healthy when another has, and makes no token any more.
A request with `double_seconds` has a stream that takes so long.
`times` is how many starts are struck (all where it is not given). A card that is really too full needs no fault: it runs out of memory.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn, UnixStreamServer
from typing import Any, TextIO

VERSION = "0.26.0"
GIB = 1 << 30
MIB = 1 << 20
CONTEXT_BYTES = 500 * MIB
STEPS = ("created", "loading", "measuring", "cache", "graphs")
FOLDER = Path(os.environ.get("NVML_DOUBLE_DIR", "/var/lib/nvml-double"))
# struct flock: type, whence, start, length, pid
FLOCK = "hhqqi4x"

OUT_OF_MEMORY = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate {tried:.2f} GiB. GPU 0 has a total capacity of {total:.2f} GiB of "
    "which {free:.2f} GiB is free."
)
FAULTS = {
    "oom": ["torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."],
    "no_kernel_image": [
        "torch.AcceleratorError: CUDA error: no kernel image is available for execution on the device",
        "CUDA kernel errors might be asynchronously reported at some other API call.",
    ],
    "gated": [
        "huggingface_hub.errors.GatedRepoError: 401 Client Error. (Request ID: Root=1-0)",
        "Access to this model is restricted. You must have access to it and be authenticated to access it.",
    ],
    "missing_repository": [
        "OSError: it is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'",
        "If this is a private repository, make sure to pass a token having permission to this repo.",
    ],
}


class OutOfMemory(Exception):
    """The card has less than was asked for; the text is what torch says then."""


def visible() -> list[str]:
    """The lines of the cards that CDI has given to this container, in their order."""
    lines = (FOLDER / "cards").read_text().splitlines()
    wanted = [value for name, value in sorted(os.environ.items()) if name.startswith("NVML_DOUBLE_VISIBLE_")]
    return [line for line in lines if line.split("\t")[0] in wanted] or lines[:1]


class Card:
    """Memory of one card as this process takes it."""

    def __init__(self, line: str) -> None:
        self._uuid, _name, total, reserved, _capability = line.split("\t")
        self.total = int(total) - int(reserved)
        self.held = 0
        # On the host's network every container has its name, and every engine the same pid.
        self._path = FOLDER / "held" / f"{os.uname().nodename}-{os.getpid()}-{os.urandom(4).hex()}"
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        fcntl.lockf(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._write()

    def free(self) -> int:
        others = 0
        for path in (FOLDER / "held").iterdir():
            # Closing any handle of our own file would drop our lock: that is how these locks are.
            if path != self._path:
                others += self._others(path)
        return self.total - self.held - others

    def _others(self, path: Path) -> int:
        try:
            with path.open("rb") as stream:
                asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
                answer = struct.unpack(FLOCK, fcntl.fcntl(stream, fcntl.F_GETLK, asked))
                uuid, size = stream.read().split()
        except (OSError, ValueError):
            return 0
        return int(size) if answer[0] != fcntl.F_UNLCK and uuid.decode() == self._uuid else 0

    def take(self, size: int) -> None:
        """Hold more, or less; what is not there can't be taken."""
        free = self.free()
        if size > free:
            raise OutOfMemory(OUT_OF_MEMORY.format(tried=size / GIB, total=self.total / GIB, free=max(0, free) / GIB))
        self.held += size
        self._write()

    def _write(self) -> None:
        text = f"{self._uuid} {self.held}\n".ljust(80).encode()
        os.pwrite(self._handle, text, 0)


class Ranks:
    """The cards of an engine that is spread over several: a worker process for each, as vLLM has, that holds what its rank takes."""

    def __init__(self, lines: list[str]) -> None:
        self._workers = [self._worker(line) for line in lines]
        self.total = min(int(answer) for answer in self._ask("total"))

    @staticmethod
    def _worker(line: str) -> tuple[int, int]:
        asks, to_ask = os.pipe()
        answers, to_answer = os.pipe()
        if os.fork() == 0:
            os.close(to_ask)
            with os.fdopen(asks) as asked, os.fdopen(to_answer, "w", buffering=1) as answer:
                serve_rank(Card(line), asked, answer)
            os._exit(0)
        os.close(asks)
        os.close(to_answer)
        return to_ask, answers

    def _ask(self, what: str) -> list[str]:
        for to_ask, _answers in self._workers:
            os.write(to_ask, f"{what}\n".encode())
        return [os.read(answers, 1000).decode().strip() for _to_ask, answers in self._workers]

    def free(self) -> int:
        return min(int(answer) for answer in self._ask("free"))

    def take(self, size: int) -> None:
        for answer in self._ask(f"take {size}"):
            if answer != "taken":
                raise OutOfMemory(answer)


def serve_rank(card: Card, asked: Iterable[str], answer: TextIO) -> None:
    """What a worker does until the engine's first process is gone."""
    for line in asked:
        what, _space, size = line.strip().partition(" ")
        if what == "take":
            try:
                card.take(int(size))
                print("taken", file=answer)
            except OutOfMemory as error:
                print(error, file=answer)
        else:
            print(card.free() if what == "free" else card.total, file=answer)


class Others:
    """The processes of other hosts, joined as by torch's store: at the first host's master port."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.hosts, self.rank, self.port = (
            int((values or ["0"])[0]) for values in (given.nnodes, given.node_rank, given.master_port)
        )
        self.address = (given.master_addr or [""])[0]
        self._lines: list[socket.socket] = []

    def join(self) -> None:
        """Return once all of them are there."""
        if self.hosts < 2:
            return
        if self.rank == 0:
            with socket.create_server(("", self.port)) as server:
                self._lines = [server.accept()[0] for _other in range(self.hosts - 1)]
            return
        while not self._lines:
            try:
                self._lines = [socket.create_connection((self.address, self.port), timeout=5)]
            except OSError:
                time.sleep(0.2)

    def are_there(self) -> bool:
        """Tell whether none of them has ended."""
        for line in self._lines:
            line.setblocking(False)
            try:
                if not line.recv(1):
                    return False
            except BlockingIOError:
                continue
            except OSError:
                return False
        return True


class Engine:
    """One start, and what it serves afterwards."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.name = given.served_model_name[0]
        self.settings = settings_of(self.name)
        self.fault = self._struck()
        self.seconds = {
            "created": 0.1,
            "loading": 0.4,
            "measuring": 0.2,
            "graphs": 0.2,
            **self.settings.get("seconds", {}),
        }
        if "whole" in self.seconds:
            # What its own Python took by now is part of what an engine takes.
            whole = self.seconds.pop("whole") - age_s()
            others = sum(seconds for step, seconds in self.seconds.items() if step != "loading")
            self.seconds["loading"] = max(0.0, whole - others)
        self.others = Others(given)
        self.ready = False
        self.tokens = 0
        self.running = 0

    def _struck(self) -> dict[str, Any]:
        fault: dict[str, Any] = self.settings.get("fault") or {}
        if not fault:
            return {}
        counter = FOLDER / "struck" / self.name
        struck = int(counter.read_text()) if counter.exists() else 0
        if struck >= fault.get("times", struck + 1):
            return {}
        counter.parent.mkdir(exist_ok=True)
        counter.write_text(str(struck + 1))
        return fault

    def start(self) -> None:
        began = time.monotonic()
        say("APIServer", "api_server.py:1977", f"vLLM API server version {VERSION}")
        if self.given.headless:
            say(
                "APIServer",
                "serve.py:216",
                f"Launching vLLM (v{VERSION}) headless multiproc executor, with head node address "
                f"{self.others.address}:{self.others.port} for torch.distributed process group.",
            )
        lines = visible()
        card = Ranks(lines) if len(lines) > 1 else Card(lines[0])
        initial = card.free()
        self._begin("created")
        say(
            "EngineCore",
            "core.py:105",
            f"Initializing a V1 LLM engine (v{VERSION}) with config: model='{self.given.model}'",
        )
        exact = self.given.kv_cache_memory_bytes
        wanted = int(self.given.gpu_memory_utilization * card.total)
        if exact is None and initial < wanted:
            raise ValueError(
                f"Free memory on device cuda:0 ({initial / GIB:.2f}/{card.total / GIB:.2f} GiB) on startup is less than desired GPU "
                f"memory utilization ({self.given.gpu_memory_utilization}, {wanted / GIB:.2f} GiB)."
            )
        total = int(self.settings.get("total_bytes", 3 * GIB))
        graphs = 0 if self.given.enforce_eager else min(300 * MIB, total // 20)
        planned = int(self.settings.get("kv_cache_bytes", exact if exact is not None else total // 3))
        weights = total - CONTEXT_BYTES - graphs - planned
        cache = exact if exact is not None else max(0, wanted - weights - CONTEXT_BYTES)
        card.take(CONTEXT_BYTES)
        self._pass("created")
        self.others.join()
        self._begin("loading")
        say("EngineCore", "gpu_model_runner.py:4012", f"Starting to load model {self.given.model}...")
        for quarter in range(1, 5):
            self._pass("loading", 0.25)
            card.take(weights // 4)
            plain(
                "EngineCore",
                f"Loading safetensors checkpoint shards: {25 * quarter:3d}% Completed | {quarter}/4 [00:00<00:00]",
            )
        say(
            "EngineCore",
            "gpu_model_runner.py:4090",
            f"Model loading took {weights / GIB:.2f} GiB memory and {self.seconds['loading']:.6f} seconds",
        )
        self._begin("measuring")
        if exact is None:
            before = card.free()
            self._pass("measuring")
            if card.free() > before + 64 * MIB:
                raise AssertionError(
                    f"Error in memory profiling. Initial free memory {before / GIB:.2f} GiB, current free memory {card.free() / GIB:.2f} "
                    "GiB. This happens when other processes sharing the same container release GPU memory while vLLM is profiling."
                )
            say("EngineCore", "gpu_worker.py:352", f"Available KV cache memory: {cache / GIB:.2f} GiB")
        else:
            self._pass("measuring")
            say(
                "EngineCore",
                "gpu_worker.py:320",
                f"Initial free memory {initial / GIB:.2f} GiB, reserved {cache / GIB:.2f} GiB memory for KV Cache as specified by "
                "kv_cache_memory_bytes config and skipped memory profiling.",
            )
        self._begin("cache")
        card.take(cache)
        tokens = max(self.given.max_model_len, cache // int(self.settings.get("bytes_per_token", 64 * 1024)))
        say("EngineCore", "kv_cache_utils.py:1305", f"GPU KV cache size: {tokens:,} tokens")
        say(
            "EngineCore",
            "kv_cache_utils.py:1310",
            f"Maximum concurrency for {self.given.max_model_len:,} tokens per request: {tokens / self.given.max_model_len:.2f}x",
        )
        self._begin("graphs")
        if graphs:
            self._pass("graphs")
            card.take(graphs)
            say(
                "EngineCore",
                "gpu_model_runner.py:4980",
                f"Graph capturing finished in {self.seconds['graphs']:.0f} secs, took {graphs / GIB:.2f} GiB",
            )
        took = time.monotonic() - began
        say(
            "EngineCore", "core.py:278", f"init engine (profile, create kv cache, warmup model) took {took:.2f} seconds"
        )
        if self.given.headless:
            return
        say("APIServer", "api_server.py:1405", f"Starting vLLM server on http://0.0.0.0:{self.given.port}")
        self.ready = True
        if self.fault.get("kind") == "dies":
            threading.Timer(float(self.fault.get("after_s", 10)), self._die).start()

    def _begin(self, step: str) -> None:
        if self.fault.get("at") != step:
            return
        kind = self.fault["kind"]
        while kind == "silent":
            time.sleep(3600)
        end(FAULTS[kind])

    def _pass(self, step: str, share: float = 1.0) -> None:
        time.sleep(self.seconds[step] * share)
        while settings_of(self.name).get("held") == step:
            time.sleep(0.1)

    def _die(self) -> None:
        end(["torch.AcceleratorError: CUDA error: an illegal memory access was encountered"])

    # What it serves

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        """Answer a prompt; one that is `mute` never does."""
        self.running += 1
        try:
            while self.fault.get("kind") == "mute" or not self.others.are_there():
                time.sleep(3600)
            count = int(body.get("max_tokens") or 1)
            time.sleep(float(self.settings.get("token_s", 0)) * count)
            self.tokens += count
        finally:
            self.running -= 1
        choice = {"index": 0, "text": " yes" * count, "finish_reason": "length"}
        return {
            "id": "cmpl-1",
            "object": "text_completion",
            "created": 0,
            "model": self.name,
            "choices": [choice],
            "usage": {"prompt_tokens": 1, "completion_tokens": count, "total_tokens": count + 1},
        }

    def metrics(self) -> str:
        label = f'{{engine="0",model_name="{self.name}"}}'
        return (
            f"vllm:num_requests_running{label} {self.running}.0\nvllm:num_requests_waiting{label} 0.0\n"
            f"vllm:generation_tokens_total{label} {self.tokens}.0\n"
        )


class Handler(BaseHTTPRequestHandler):
    """vLLM's endpoints, as far as anybody here asks for them."""

    protocol_version = "HTTP/1.1"
    engine: Engine

    def handle(self) -> None:
        """Answer a connection; one whose client has gone is no error, and leaves no line in the log, as uvicorn's don't."""
        with contextlib.suppress(ConnectionError):
            super().handle()

    def finish(self) -> None:
        """End a connection, gone or not."""
        with contextlib.suppress(ConnectionError):
            super().finish()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: an access log would look like progress."""

    def do_GET(self) -> None:
        if self.path == "/health":
            self._answer(200, b"")
        elif self.path == "/is_sleeping" and settings_of(self.engine.name).get("sleeping"):
            self._json(200, {"is_sleeping": True})
        elif self.path == "/metrics":
            self._answer(200, self.engine.metrics().encode(), "text/plain; version=0.0.4")
        elif self.path == "/v1/models" and self._allowed():
            models = [{"id": name, "object": "model"} for name in self.engine.given.served_model_name]
            self._json(200, {"object": "list", "data": models})
        elif self.path != "/v1/models":
            self._json(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self._allowed():
            return
        if self.path == "/v1/audio/transcriptions":
            heard = b"RIFF" in raw and b'name="model"' in raw
            return self._json(*((200, {"text": ""}) if heard else (400, {"error": {"message": "no sound"}})))
        body = json.loads(raw or b"{}")
        if self.path in ("/v1/completions", "/v1/chat/completions"):
            found = self.engine.complete(body)
            if body.get("stream"):
                events = f"data: {json.dumps(found)}\n\ndata: [DONE]\n\n".encode()
                return self._answer(200, events, "text/event-stream", float(body.get("double_seconds", 0)))
            self._json(200, found)
        elif self.path == "/v1/embeddings":
            self._json(
                200, {"object": "list", "data": [{"index": 0, "embedding": [0.0, 1.0]}], "model": self.engine.name}
            )
        elif self.path in ("/v1/score", "/score"):
            self._json(200, {"object": "list", "data": [{"index": 0, "score": 0.5}], "model": self.engine.name})
        elif self.path in ("/rerank", "/v1/rerank"):
            ranked = [{"index": at, "relevance_score": 0.5} for at in range(len(body.get("documents", [])))]
            self._json(200, {"results": ranked, "model": self.engine.name})
        elif self.path == "/classify":
            self._json(200, {"object": "list", "data": [{"index": 0, "probs": [1.0]}], "model": self.engine.name})
        else:
            self._json(404, {"detail": "Not Found"})

    def _allowed(self) -> bool:
        key = self.engine.given.api_key or os.environ.get("VLLM_API_KEY", "")
        if key and self.headers.get("Authorization") != f"Bearer {key}":
            self._json(401, {"error": "Unauthorized"})
            return False
        return True

    def _json(self, status: int, content: Any) -> None:
        self._answer(status, json.dumps(content).encode(), "application/json")

    def _answer(self, status: int, content: bytes, kind: str = "text/plain", seconds: float = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if seconds:
            # A stream that takes its time: its last bytes come so much later.
            self.wfile.write(content[:-8])
            time.sleep(seconds)
            content = content[-8:]
        self.wfile.write(content)


def age_s() -> float:
    """Seconds since this process was started, by the kernel's count."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return float(Path("/proc/uptime").read_text().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")


def say(process: str, source: str, text: str) -> None:
    """A line as vLLM's logger writes it."""
    plain(process, f"INFO {time.strftime('%m-%d %H:%M:%S')} [{source}] {text}")


def plain(process: str, text: str) -> None:
    print(f"({process} pid={os.getpid()}) {text}", flush=True)


def end(lines: list[str]) -> None:
    """The engine's process has failed: its traceback, then the lines in which the server says so, and the exit status of vLLM."""
    plain("EngineCore", f"ERROR {time.strftime('%m-%d %H:%M:%S')} [core.py:946] EngineCore failed to start.")
    plain("EngineCore", "Traceback (most recent call last):")
    for line in lines:
        plain("EngineCore", line)
    plain("APIServer", "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}")
    os._exit(1)


def settings_of(name: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((FOLDER / "engines" / f"{name}.json").read_text())
    except (OSError, ValueError):
        return {}
    return found


class SocketServer(ThreadingMixIn, UnixStreamServer):
    """The same on a Unix socket: a path that is there already can't be bound, as vLLM can't."""

    daemon_threads = True
    request_queue_size = 2048

    def get_request(self) -> tuple[Any, Any]:
        request, _address = super().get_request()
        return request, ("local", 0)


def parser() -> argparse.ArgumentParser:
    """Return what knows the flags that a stack of ours hands over; any other ends as vLLM's parser ends it."""
    known = argparse.ArgumentParser(prog="vllm serve", usage="vllm serve [model_tag] [options]", allow_abbrev=False)
    known.add_argument("model")
    known.add_argument("--served-model-name", nargs="+", required=True)
    known.add_argument("--host")
    known.add_argument("--port", type=int, default=8000)
    known.add_argument("--uds")
    known.add_argument("--api-key", default="")
    known.add_argument("--max-model-len", type=int, default=2048)
    known.add_argument("--kv-cache-memory-bytes", type=int)
    known.add_argument("--gpu-memory-utilization", type=float, default=0.9)
    known.add_argument("--enforce-eager", action="store_true")
    for name in (
        "--max-num-seqs",
        "--max-num-batched-tokens",
        "--dtype",
        "--kv-cache-dtype",
        "--tensor-parallel-size",
        "--quantization",
        "--load-format",
        "--compilation-config",
        "--cudagraph-capture-sizes",
        "--block-size",
        "--allowed-media-domains",
        "--convert",
        "--cuda-graph-sizes",
        "--distributed-executor-backend",
        "--lora-modules",
        "--master-addr",
        "--master-port",
        "--max-lora-rank",
        "--max-loras",
        "--max-num-queued-reqs",
        "--max-num-queued-tokens",
        "--nnodes",
        "--node-rank",
        "--num-gpu-blocks-override",
        "--pipeline-parallel-size",
        "--revision",
        "--runner",
        "--task",
    ):
        known.add_argument(name, nargs="+")
    for name in (
        "--headless",
        "--trust-remote-code",
        "--enable-prefix-caching",
        "--no-enable-prefix-caching",
        "--disable-log-requests",
        "--enable-lora",
        "--enable-prompt-tokens-details",
    ):
        known.add_argument(name, action="store_true")
    return known


def start(engine: Engine) -> None:
    """Have it ready, or end with vLLM's own lines."""
    try:
        engine.start()
    except OutOfMemory as error:
        end([str(error)])
    except (ValueError, AssertionError) as error:
        end([f"{type(error).__name__}: {error}"])


def main() -> None:
    given = parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    engine = Engine(given)
    if given.headless:
        start(engine)
        while True:
            signal.pause()
    # Bound and not listening until the engine is ready, as vLLM does it: until then nobody is answered.
    Handler.engine = engine
    # As many as uvicorn lets wait.
    ThreadingHTTPServer.request_queue_size = 2048
    server: TCPServer = (
        SocketServer(given.uds, Handler, bind_and_activate=False)
        if given.uds
        else ThreadingHTTPServer((given.host or "0.0.0.0", given.port), Handler, bind_and_activate=False)
    )
    try:
        server.server_bind()
    except OSError as error:
        end([f"OSError: [Errno {error.errno}] {error.strerror}"])
    start(engine)
    server.server_activate()
    print(f"(APIServer pid={os.getpid()}) INFO:     Application startup complete.", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
