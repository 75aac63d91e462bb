# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Output tokens a second of each engine: 16 requests at once, 128 prompt and 128 new tokens. Bounded by its count."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import random
import time

ENGINES = {"tinyllama": 8001, "qwen": 8002, "yi": 8003}
AT_ONCE, COUNT, PROMPT_TOKENS, NEW_TOKENS = 16, 64, 128, 128


def one(port: int, model: str) -> int:
    """New tokens of one request; 0 where it failed."""
    prompt = random.choices(range(3, 490), k=PROMPT_TOKENS)
    body = {"model": model, "prompt": prompt, "max_tokens": NEW_TOKENS, "ignore_eos": True}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        return int(json.loads(text)["usage"]["completion_tokens"]) if answer.status == 200 else 0
    except OSError:
        return 0
    finally:
        connection.close()


def main() -> None:
    for model, port in ENGINES.items():
        one(port, model)
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            began = time.perf_counter()
            tokens = sum(pool.map(lambda _number, p=port, m=model: one(p, m), range(COUNT)))
            rate = round(tokens / (time.perf_counter() - began), 1)
        print(json.dumps({"model": model, "at_once": AT_ONCE, "requests": COUNT, "tokens_per_s": rate}), flush=True)


if __name__ == "__main__":
    main()
