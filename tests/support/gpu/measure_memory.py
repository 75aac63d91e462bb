# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start real vLLM servers on a real GPU and write down what NVML shows for each.

Reads a JSON file {"configs": {name: config.json}, "rows": [{model, dtype, max_model_len, ...}]} and writes the same
with "measured" filled in, the shape of tests/data/measurements. Weights are random (--load-format dummy): memory
doesn't depend on their values. Needs only a Python that can import vllm, pynvml and tokenizers; no network.

    python3 measure_memory.py rows.json out.json --parallel 8

Figures per row: weights_gib_logged and kv_tokens_logged (the engine's log), process_gib_when_healthy (at the first
/health 200), process_gib_after_load (64 requests of up to 400 prompt tokens, 32 new ones),
process_gib_after_saturation (prompts of twice max_num_batched_tokens at once, then max_num_seqs short ones sampled
with temperature, top_p and top_k). Process figures are NVML's for the server's process tree, in GiB. The engine's own
figure for CUDA graphs is left out: it is a difference of the whole card's memory, and neighbours start meanwhile.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pynvml

GIB = 2**30
LOG_FIGURES = {
    "weights_gib_logged": r"Model loading took ([\d.]+) GiB",
    "kv_tokens_logged": r"KV cache size: ([\d,]+) tokens",
    "attention_backend": r"Using (\S+) attention backend",
}


def process_tree(pid: int) -> set[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    tree, stack = {pid}, [pid]
    while stack:
        for child in children.get(stack.pop(), []):
            if child not in tree:
                tree.add(child)
                stack.append(child)
    return tree


def process_gib(pid: int) -> float:
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    tree = process_tree(pid)
    used = [p.usedGpuMemory or 0 for p in pynvml.nvmlDeviceGetComputeRunningProcesses(handle) if p.pid in tree]
    return round(sum(used) / GIB, 3)


def request(port: int, path: str, body: dict[str, Any] | None = None, timeout_s: float = 120) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        if body is None:
            connection.request("GET", path)
        else:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class Server:
    def __init__(self, row: dict[str, Any], model_dir: Path, port: int, log: Path) -> None:
        self.row, self.port, self.log, self.name = row, port, log, model_dir.name
        flags = [
            *("--max-model-len", str(row["max_model_len"])),
            *("--max-num-seqs", str(row["max_num_seqs"])),
            *("--max-num-batched-tokens", str(row["max_num_batched_tokens"])),
            *("--dtype", row["dtype"]),
            *("--kv-cache-memory-bytes", str(row["kv_cache_memory_bytes"])),
            *("--gpu-memory-utilization", "0.01"),
            *(["--enforce-eager"] if row["enforce_eager"] else []),
            *row["extra_args"],
        ]
        environment = {
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_USE_FLASHINFER_SAMPLER": "0",
            "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
            **row.get("env", {}),
        }
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model_dir)),
                *("--served-model-name", self.name, "--load-format", "dummy", "--port", str(port)),
                *flags,
            ],
            stdout=log.open("w"),
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )

    def wait_healthy(self, timeout_s: float) -> bool:
        while time.monotonic() - self.started < timeout_s:
            if self.process.poll() is not None:
                return False
            try:
                if request(self.port, "/health", timeout_s=3)[0] == 200:
                    return True
            except OSError:
                time.sleep(0.5)
        return False

    def complete(self, prompt_tokens: int, new_tokens: int, **sampling: Any) -> bool:
        # Every prompt is another one: of equal ones the prefix cache would leave nothing to compute.
        prompt = random.choices(range(3, 490), k=prompt_tokens)
        body = {"model": self.name, "prompt": prompt, "max_tokens": new_tokens, "ignore_eos": True, **sampling}
        try:
            return request(self.port, "/v1/completions", body)[0] == 200
        except OSError:
            return False

    def many(self, count: int, at_once: int, prompt_tokens: list[int], new_tokens: int, **sampling: Any) -> int:
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            done = [
                pool.submit(self.complete, prompt_tokens[i % len(prompt_tokens)], new_tokens, **sampling)
                for i in range(count)
            ]
            return sum(future.result() for future in done)

    def measure(self, timeout_s: float) -> dict[str, Any]:
        row = self.row
        healthy = self.wait_healthy(timeout_s)
        seconds = round(time.monotonic() - self.started, 2)
        text = self.log.read_text(errors="replace")
        if not healthy:
            errors = [line for line in text.splitlines() if "Error" in line]
            return {"failed": (errors or text.splitlines()[-3:] or ["no output"])[0][-300:]}
        figures: dict[str, Any] = {}
        for key, pattern in LOG_FIGURES.items():
            found = re.findall(pattern, text)
            if found:
                value = found[-1].replace(",", "")
                figures[key] = value if key == "attention_backend" else float(value)
        figures["seconds_to_healthy"] = seconds
        figures["process_gib_when_healthy"] = process_gib(self.process.pid)
        longest = row["max_model_len"] - 40
        lengths = [min(n, longest) for n in (400, 60, 200, 320, 120)]
        answered = self.many(64, min(32, row["max_num_seqs"]), lengths, 32)
        figures["process_gib_after_load"] = process_gib(self.process.pid)
        tokens = 2 * row["max_num_batched_tokens"]
        prompts = max(1, tokens // min(longest, 2048))
        answered += self.many(prompts, min(prompts, 64), [min(longest, 2048)], 4)
        at_once = row["max_num_seqs"]
        answered += self.many(at_once, at_once, [16], 24, temperature=0.8, top_p=0.9, top_k=40)
        figures["process_gib_after_saturation"] = process_gib(self.process.pid)
        figures["requests_failed"] = 64 + prompts + at_once - answered
        return figures

    def stop(self) -> None:
        for sign, patience_s in ((signal.SIGTERM, 20), (signal.SIGKILL, 10)):
            if self.process.poll() is not None:
                break
            os.killpg(self.process.pid, sign)
            try:
                self.process.wait(patience_s)
            except subprocess.TimeoutExpired:
                continue


def write_model(folder: Path, config: dict[str, Any]) -> None:
    """A config.json and a tokenizer of 500 words: what vLLM needs beside weights that it makes up itself."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    words = {"<unk>": 0, "<s>": 1, "</s>": 2, **{f"w{i}": i for i in range(3, 500)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--parallel", type=int, default=6, help="servers at a time; give each two cores")
    parser.add_argument("--budget-s", type=float, default=540, help="start no further wave past this many seconds")
    parser.add_argument("--start-timeout-s", type=float, default=200)
    parser.add_argument("--work", type=Path, default=Path("/tmp/measure-memory"))
    options = parser.parse_args()

    pynvml.nvmlInit()
    began = time.monotonic()
    data = json.loads(options.rows.read_text())
    for name, config in data["configs"].items():
        write_model(options.work / "models" / name, config)
    (options.work / "logs").mkdir(exist_ok=True)
    todo = [row for row in data["rows"] if not row.get("measured")]
    slowest_wave_s = 0.0
    for start in range(0, len(todo), options.parallel):
        if time.monotonic() - began + slowest_wave_s > options.budget_s:
            print(f"stopping here, {len(todo) - start} rows are left", flush=True)
            break
        wave_began = time.monotonic()
        servers = [
            Server(
                row,
                options.work / "models" / row["model"],
                18000 + index,
                options.work / "logs" / f"{start + index}.log",
            )
            for index, row in enumerate(todo[start : start + options.parallel])
        ]
        try:
            with concurrent.futures.ThreadPoolExecutor(len(servers)) as pool:
                for server, measured in zip(
                    servers, pool.map(lambda s: s.measure(options.start_timeout_s), servers), strict=True
                ):
                    server.row["measured"] = measured
                    print(
                        json.dumps({"row": {k: v for k, v in server.row.items() if k != "measured"}, **measured}),
                        flush=True,
                    )
        finally:
            for server in servers:
                server.stop()
        options.out.write_text(json.dumps(data, indent=1) + "\n")
        slowest_wave_s = max(slowest_wave_s, time.monotonic() - wave_began)


if __name__ == "__main__":
    main()
