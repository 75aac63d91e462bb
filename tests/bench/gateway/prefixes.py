# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What choosing a replica by its prefix cache gives: the gateway's least busy and sticky choices, and vllm-router behind the gateway.

python -m tests.bench.gateway.prefixes    a table, the last line as JSON

Three replicas are doubles that keep a prefix cache. Clients ask about long texts, each text again and again with other questions: all texts
fit into the caches of all replicas together, and into none alone. The gateway is what the role renders; vllm-router comes from PyPI.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.gpuserve.fleet.tests.bench.gateway import clients
from ansible_collections.gpuserve.fleet.tests.bench.gateway.measure import (
    BASE,
    HERE,
    installed,
    nginx,
    program,
    wait_for,
)
from ansible_collections.gpuserve.fleet.tests.support.gateway.render import render
from ansible_collections.gpuserve.fleet.tests.support.lab import bases
from ansible_collections.gpuserve.fleet.tests.support.lab.common import LabError, locked, say

REPLICAS = (18121, 18122, 18123)
ROUTER, GATEWAY, METRICS = 18124, 18125, 18126
# By vllm-router's default a replica with up to 64 requests more than another is asked on.
ROUTERS = {
    "vllm-router behind": [],
    "vllm-router behind, balanced soon": ["--balance-abs-threshold", "2", "--balance-rel-threshold", "1.1"],
}
WAYS = ("least busy", "sticky by a header", *ROUTERS)
TEXTS, TEXT_TOKENS, QUESTION_TOKENS, ANSWER_TOKENS, TOKEN_MS = 24, 4_000, 32, 20, 10
CLIENTS, REQUESTS = 8, 480
# How often each text is asked about: all alike, or one of them as often as all others together.
LOADS = ("even", "skewed")
PACKAGE = "ansible_collections.gpuserve.fleet.tests.bench.gateway"


@dataclass(frozen=True)
class Found:
    """What one way gave."""

    first_s: list[float]
    # For all requests.
    seconds: float
    # Of the prompts' tokens those that a cache had, and those that the busiest replica was asked.
    had: float
    busiest: float


def order(load: str) -> list[int]:
    """Return which text each request is about; the same with each run."""
    chance = random.Random(20261126)
    weights = [TEXTS - 1 if load == "skewed" and at == 0 else 1 for at in range(TEXTS)]
    return chance.choices(range(TEXTS), weights, k=REQUESTS)


async def asked(port: int, texts: list[int]) -> list[float]:
    """Ask about texts, several clients at once; return the seconds to each first token."""
    waiting = list(enumerate(texts))[::-1]
    took: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        while waiting:
            number, text = waiting.pop()
            words = [f"text{text}word{at}" for at in range(TEXT_TOKENS)]
            question = [f"question{number}word{at}" for at in range(QUESTION_TOKENS)]
            messages = [{"role": "system", "content": " ".join(words)}, {"role": "user", "content": " ".join(question)}]
            body: dict[str, object] = {"model": "qwen", "messages": messages, "stream": True}
            body |= {"max_tokens": ANSWER_TOKENS, "stub_gap_ms": TOKEN_MS}
            data = clients.request(body).replace(b"\r\n", f"\r\nX-Session: text{text}\r\n".encode(), 1)
            begun = time.perf_counter()
            writer.write(data)
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head.split(b"\r\n", 1)[0]:
                raise LabError(f"port {port} answered {head[:200]!r}")
            await reader.readuntil(b"data: {")
            took.append(time.perf_counter() - begun)
            await reader.readuntil(b"data: [DONE]\n\n")
            # The end of a chunked answer.
            await reader.readuntil(b"0\r\n\r\n")
        writer.close()

    await asyncio.gather(*(client() for _at in range(CLIENTS)))
    return took


@contextlib.contextmanager
def way(name: str, image: str, folder: Path) -> Iterator[None]:
    """Have fresh replicas, and a gateway before them that chooses in this way."""
    behind = name in ROUTERS
    endpoints = [f"127.0.0.1:{port}" for port in ((ROUTER,) if behind else REPLICAS)]
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "met").mkdir()
    variables = yaml.safe_load((HERE / "gateway-vars.yml").read_text(encoding="utf-8"))
    variables |= {
        "gateway_port": GATEWAY,
        "gateway_metrics_address": f"127.0.0.1:{METRICS}",
        "gateway_models": [{"name": "qwen", "endpoints": endpoints, "max_num_seqs": 256}],
        "gateway_sticky": "X-Session" if name == "sticky by a header" else "",
    }
    render(variables, folder)
    with contextlib.ExitStack() as stack:
        replicas: list[str | Path] = [sys.executable, "-m", f"{PACKAGE}.prefix_engine", *map(str, REPLICAS)]
        stack.enter_context(program(replicas, folder / "replicas.log"))
        for port in REPLICAS:
            wait_for(port, "/health")
        if behind:
            urls = [f"http://127.0.0.1:{port}" for port in REPLICAS]
            argv: list[str | Path] = [
                installed("vllm-router"),
                "--host",
                "127.0.0.1",
                "--port",
                str(ROUTER),
                "--worker-urls",
                *urls,
            ]
            argv += [
                "--policy",
                "cache_aware",
                "--prometheus-port",
                str(ROUTER + 5),
                "--log-level",
                "warning",
                *ROUTERS[name],
            ]
            stack.enter_context(program(argv, folder / "router.log"))
            wait_for(ROUTER, "/health")
        stack.enter_context(nginx(image, "gateway-prefixes", folder, "nginx.conf"))
        wait_for(GATEWAY, "/livez")
        yield


def measure(name: str, load: str, image: str, folder: Path) -> Found:
    """Return what one way gives with one load, from empty caches."""
    with way(name, image, folder):
        begun = time.perf_counter()
        took = asyncio.run(asked(GATEWAY, order(load)))
        seconds = time.perf_counter() - begun
        told = [cache(port) for port in REPLICAS]
    whole = sum(one["asked"] for one in told)
    return Found(took, seconds, sum(one["had"] for one in told) / whole, max(one["asked"] for one in told) / whole)


def cache(port: int) -> dict[str, int]:
    """Return what a replica was asked, and what its cache had."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/_cache", timeout=10) as answer:
        told: dict[str, int] = json.load(answer)
    return told


def main() -> None:
    """Measure and tell."""
    found: dict[tuple[str, str], Found] = {}
    try:
        image = bases.ensure_base(BASE)
        with locked("bench-gateway"), tempfile.TemporaryDirectory(prefix="gpuserve-bench-") as made:
            Path(made).chmod(0o755)
            for load in LOADS:
                for at, name in enumerate(WAYS):
                    say(f"{name}, {load}")
                    found[load, name] = measure(name, load, image, Path(made, f"{load}-{at}"))
    except LabError as error:
        raise SystemExit(f"make bench-prefixes: {error}") from None
    print(
        "| load | chosen by | first token, median | p95 | requests/s | prompt tokens from a cache | at the busiest replica |"
    )
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    answer: dict[str, Any] = {"bench": "prefixes"}
    for (load, name), one in found.items():
        middle, high = statistics.median(one.first_s) * 1e3, statistics.quantiles(one.first_s, n=20)[-1] * 1e3
        figures = f"{middle:.0f} ms | {high:.0f} ms | {REQUESTS / one.seconds:.1f} | {one.had:.0%} | {one.busiest:.0%}"
        print(f"| {load} | {name} | {figures} |")
        answer[f"{load}, {name}, first token ms"] = round(middle)
    print(f"{os.cpu_count()} cores, load {', '.join(f'{load:.1f}' for load in os.getloadavg())} at the end.")
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
