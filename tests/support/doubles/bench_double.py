#!/usr/bin/python3
# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands for `vllm bench serve` in the image of the engine's double: it really asks, and what it measures is what came.

Prompts are counted and not made of tokens, and an answer comes in one piece, so that there is no time between tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


def ask(given: argparse.Namespace, _number: int) -> dict[str, Any]:
    """Ask once; return when, how long it took, and how many tokens came, or the error."""
    body = {"model": given.served_model_name, "prompt": "a " * given.random_input_len, "stream": True}
    request = urllib.request.Request(
        given.base_url + given.endpoint,
        json.dumps({**body, "max_tokens": given.random_output_len}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', '')}"},
    )
    wall, began = time.time(), time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=600) as answer:
            events = answer.read().decode().splitlines()
        first = json.loads(next(line for line in events if line.startswith("data: {"))[len("data: ") :])
    except (OSError, ValueError, StopIteration) as error:
        return {"start": wall, "took": 0.0, "tokens": 0, "error": str(error) or type(error).__name__}
    took = time.monotonic() - began
    return {"start": wall, "took": took, "tokens": int(first["usage"]["completion_tokens"]), "error": ""}


def is_ready(given: argparse.Namespace) -> bool:
    """Ask until there is an answer, as long as the real client is told to: what leads to the engine begins beside it."""
    end = time.monotonic() + given.ready_check_timeout_sec
    while error := ask(given, 0)["error"]:
        if time.monotonic() > end:
            print(f"ValueError: the endpoint is not ready: {error}", file=sys.stderr)
            return False
        time.sleep(0.1)
    return True


def main() -> int:
    """Ask as many times as is asked for, and leave the result in a file."""
    if sys.argv[1:3] != ["bench", "serve"]:
        print("a double of vLLM's client: it knows `vllm bench serve` alone", file=sys.stderr)
        return 2
    known = argparse.ArgumentParser()
    for name in ("--base-url", "--endpoint", "--served-model-name", "--result-dir", "--result-filename"):
        known.add_argument(name, required=True)
    for name in ("--num-prompts", "--max-concurrency", "--random-input-len", "--random-output-len", "--num-warmups"):
        known.add_argument(name, type=int, default=0)
    known.add_argument("--ready-check-timeout-sec", type=float, default=0)
    given, _others = known.parse_known_args(sys.argv[3:])
    if not is_ready(given):
        return 1
    with ThreadPoolExecutor(given.max_concurrency) as pool:
        list(pool.map(lambda number: ask(given, number), range(given.num_warmups)))
        began = time.monotonic()
        answers = list(pool.map(lambda number: ask(given, number), range(given.num_prompts)))
        duration = time.monotonic() - began
    whole = [one for one in answers if not one["error"]]
    result = {
        "duration": duration,
        "completed": len(whole),
        "total_input_tokens": given.random_input_len * len(whole),
        "total_output_tokens": sum(one["tokens"] for one in whole),
        "ttfts": [one["took"] for one in answers],
        "itls": [[] for _one in answers],
        "errors": [one["error"] for one in answers],
        "start_times": [one["start"] for one in answers],
    }
    Path(given.result_dir, given.result_filename).write_text(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
