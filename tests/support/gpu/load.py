# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask the engines of a stack for tokens, and read what NVML shows for each. Prints one line of JSON an engine; bounded by its counts.

    load.py bytes                what each holds, by card
    load.py throughput           64 requests of 128 + 128 tokens, 16 at once, one engine after the other; then what each holds
    load.py saturate             prompts that fill max_num_batched_tokens twice, all at once, then max_num_seqs sampled ones; then the same

Every prompt is another one: of equal ones the prefix cache would leave nothing to compute. The engines are found by their containers'
labels; needs docker, and pynvml in Python.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import http.client
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pynvml

AT_ONCE, COUNT, PROMPT_TOKENS, NEW_TOKENS = 16, 64, 128, 128
# The tokenizer that measure_memory.py writes knows words up to here.
VOCABULARY = range(3, 490)


class Engine:
    """One running engine of the stack."""

    def __init__(self, container: str) -> None:
        found = json.loads(subprocess.check_output(["docker", "inspect", container]))[0]
        labels, self._command = found["Config"]["Labels"], found["Config"]["Cmd"]
        self.name, self.port = labels["fleet.gpuserve.model"], int(labels["fleet.gpuserve.port"])
        self._pid = int(found["State"]["Pid"])

    def setting(self, flag: str) -> int:
        return int(self._command[self._command.index(flag) + 1])

    def complete(self, prompt_tokens: int, new_tokens: int, **sampling: Any) -> int:
        """New tokens of one request; 0 where it failed."""
        prompt = random.choices(VOCABULARY, k=prompt_tokens)
        body = {"model": self.name, "prompt": prompt, "max_tokens": new_tokens, "ignore_eos": True, **sampling}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            return int(json.loads(text)["usage"]["completion_tokens"]) if answer.status == 200 else 0
        except OSError:
            return 0
        finally:
            connection.close()

    def many(self, count: int, at_once: int, prompt_tokens: int, new_tokens: int, **sampling: Any) -> list[int]:
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            jobs = [pool.submit(self.complete, prompt_tokens, new_tokens, **sampling) for _each in range(count)]
            return [job.result() for job in jobs]

    def throughput(self) -> dict[str, Any]:
        self.complete(PROMPT_TOKENS, NEW_TOKENS)
        began = time.perf_counter()
        tokens = self.many(COUNT, AT_ONCE, PROMPT_TOKENS, NEW_TOKENS)
        rate = round(sum(tokens) / (time.perf_counter() - began), 1)
        return {"at_once": AT_ONCE, "requests": COUNT, "failed": tokens.count(0), "tokens_per_s": rate}

    def saturate(self) -> dict[str, Any]:
        length = min(self.setting("--max-model-len") - 40, 2048)
        prompts = max(1, 2 * self.setting("--max-num-batched-tokens") // length)
        at_once = self.setting("--max-num-seqs")
        tokens = self.many(prompts, min(prompts, 64), length, 4)
        tokens += self.many(at_once, at_once, 16, 24, temperature=0.8, top_p=0.9, top_k=40)
        return {"requests": len(tokens), "failed": tokens.count(0)}

    def held(self) -> dict[str, int]:
        """Bytes on each card that any of its processes is on, by NVML; the card by its index."""
        tree, found = process_tree(self._pid), {}
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            processes = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
            used = sum(int(process.usedGpuMemory or 0) for process in processes if process.pid in tree)
            if used:
                found[str(index)] = used
        return found


def process_tree(pid: int) -> set[int]:
    found, open_pids = set(), [pid]
    while open_pids:
        found.add(parent := open_pids.pop())
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                open_pids += [int(child) for child in task.read_text().split()]
            except OSError:
                continue
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["bytes", "throughput", "saturate"])
    options = parser.parse_args()
    pynvml.nvmlInit()
    listed = ["docker", "ps", "--quiet", "--filter", "label=fleet.gpuserve.model"]
    engines = [Engine(container) for container in subprocess.check_output(listed, text=True).split()]
    for engine in sorted(engines, key=lambda one: one.port):
        asked = {} if options.what == "bytes" else getattr(engine, options.what)()
        print(json.dumps({"model": engine.name, **asked, "bytes": engine.held()}), flush=True)
    return 0 if engines else 1


if __name__ == "__main__":
    sys.exit(main())
