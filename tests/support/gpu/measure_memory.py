# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start real vLLM servers on a real GPU and write down what NVML shows for each.

Reads a JSON file {"configs": {name: config.json}, "files": {name: what its processor needs}, "rows": [{model, dtype,
max_model_len, ...}]} and writes the same
with "measured" filled in, the shape of tests/data/measurements. Weights are random (--load-format dummy): memory
doesn't depend on their values. Needs only a Python that can import vllm, pynvml and tokenizers; no network. What sees
and hears needs the transformers that its vLLM was made for (of 0.26: 5.13, where 5.17 has lost a class of Pixtral's),
and soundfile, soxr, av and num2words.

    python3 measure_memory.py rows.json out.json --parallel 8

As many servers run on each card as --parallel and its memory allow; a row with tensor_parallel_size 2 takes a place on
two cards; rows for more cards than there are stay unmeasured. A row's "site" is a folder with another release of vLLM.

Figures per row: weights_gib_logged and kv_tokens_logged (the engine's log), process_gib_when_healthy (at the first
/health 200), process_gib_after_load (64 requests of up to 400 prompt tokens, 32 new ones), process_gib_after_saturation
(prompts of twice max_num_batched_tokens at once, then max_num_seqs short ones sampled with temperature, top_p and
top_k), process_gib_after_pictures (where the row has "max_pixels": 16 questions about a square of so many, 8 at once).
Process figures are NVML's for the server's process tree, in GiB; over several cards they are those of the card with
most. torch_*_gib are PyTorch's allocator in that process at the end: what NVML shows besides torch_reserved_gib is
the CUDA context, loaded kernels, graphs and libraries. The engine's own figure for CUDA graphs is left out: it is a
difference of the whole card's memory, and neighbours start meanwhile.
"""

from __future__ import annotations

import argparse
import base64
import concurrent.futures
import http.client
import json
import math
import os
import random
import re
import signal
import statistics
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import pynvml

GIB = 2**30
POOLING_PATHS = {"embed": "/v1/embeddings", "classify": "/classify"}
SOUND_S, SOUND_HZ = 30, 16000
# Asked about at once; twice as many in all.
PICTURES = 8
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


# Loaded by every Python of a server by its name; a thread writes down what PyTorch's allocator counts.
WATCHER = """
import json, os, sys, threading, time
def watch():
    while True:
        time.sleep(1)
        torch = sys.modules.get("torch")
        try:
            if torch is None or not torch.cuda.is_initialized():
                continue
            stats = torch.cuda.memory_stats()
            kept = {k: stats.get(k, 0) for k in ("reserved_bytes.all.current", "allocated_bytes.all.current",
                    "allocated_bytes.all.peak", "reserved_bytes.all.peak", "inactive_split_bytes.all.current")}
            path = os.path.join(os.environ["TORCH_STATS_DIR"], f"{os.getpid()}.json")
            with open(path + ".new", "w") as sink:
                json.dump(kept, sink)
            os.replace(path + ".new", path)
        except Exception:
            pass
if os.environ.get("TORCH_STATS_DIR"):
    threading.Thread(target=watch, daemon=True).start()
"""


def gpu_processes(pid: int) -> dict[int, dict[int, int]]:
    """Bytes by card and process of a server's process tree."""
    tree = process_tree(pid)
    found: dict[int, dict[int, int]] = {}
    for index in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        processes = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
        held = {p.pid: p.usedGpuMemory or 0 for p in processes if p.pid in tree}
        if held:
            found[index] = held
    return found


def process_gib(pid: int) -> float:
    return round(max((sum(held.values()) for held in gpu_processes(pid).values()), default=0) / GIB, 3)


def torch_gib(pid: int, stats: Path) -> dict[str, float]:
    """PyTorch's own count in the process that holds most, from its last probe."""
    held = {p: size for card in gpu_processes(pid).values() for p, size in card.items()}
    if not held:
        return {}
    path = stats / f"{max(held, key=lambda p: held[p])}.json"
    if not path.exists():
        return {}
    seen = json.loads(path.read_text())
    return {
        f"torch_{name}_gib": round(seen[key] / GIB, 3)
        for name, key in (
            ("reserved", "reserved_bytes.all.current"),
            ("allocated", "allocated_bytes.all.current"),
            ("allocated_peak", "allocated_bytes.all.peak"),
            ("reserved_peak", "reserved_bytes.all.peak"),
            ("inactive_split", "inactive_split_bytes.all.current"),
        )
    }


def request(
    port: int,
    path: str,
    body: dict[str, Any] | bytes | None = None,
    kind: str = "application/json",
    timeout_s: float = 120,
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        if body is None:
            connection.request("GET", path)
        else:
            sent = body if isinstance(body, bytes) else json.dumps(body).encode()
            connection.request("POST", path, sent, {"Content-Type": kind})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def noise() -> bytes:
    """Return as much sound as an encoder takes at once, as a WAV file."""
    data = random.randbytes(2 * SOUND_S * SOUND_HZ)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, SOUND_HZ, 2 * SOUND_HZ, 2, 16)
    return (
        struct.pack("<4sI4s", b"RIFF", 36 + len(data), b"WAVE") + form + struct.pack("<4sI", b"data", len(data)) + data
    )


def multipart(fields: dict[str, str], sound: bytes) -> tuple[bytes, str]:
    """Return a form with a file of sound, and its content type."""
    mark = f"part-{random.getrandbits(64):x}"
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="noise.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    return "".join(
        [*parts, head]
    ).encode() + sound + f"\r\n--{mark}--\r\n".encode(), f"multipart/form-data; boundary={mark}"


def picture(side: int) -> str:
    """Return a picture of one colour (PNG), another one each time, as a data address."""
    rows = (b"\0" + random.randbytes(3) * side) * side
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    drawn = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + drawn).decode()


class Server:
    def __init__(self, row: dict[str, Any], model_dir: Path, port: int, log: Path, cards: list[int]) -> None:
        self.row, self.port, self.log, self.name = row, port, log, model_dir.name
        self.stats = log.parent.parent / "stats"
        flags = [
            *("--max-model-len", str(row["max_model_len"])),
            *("--max-num-seqs", str(row["max_num_seqs"])),
            *("--max-num-batched-tokens", str(row["max_num_batched_tokens"])),
            *("--dtype", row["dtype"]),
            *("--kv-cache-memory-bytes", str(row["kv_cache_memory_bytes"])),
            *("--gpu-memory-utilization", "0.01"),
            *(["--enforce-eager"] if row["enforce_eager"] else []),
            *("--tensor-parallel-size", str(row.get("tensor_parallel_size", 1))),
            *row["extra_args"],
        ]
        environment = {
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_USE_FLASHINFER_SAMPLER": "0",
            "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
            "CUDA_VISIBLE_DEVICES": ",".join(map(str, cards)),
            "TORCH_STATS_DIR": str(self.stats),
            "PYTHONPATH": ":".join(
                [str(self.stats), *([row["site"]] if row.get("site") else []), os.environ.get("PYTHONPATH", "")]
            ),
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
        if self.row.get("task") == "transcribe":
            form, kind = multipart(
                {"model": self.name, "language": "en", **{k: str(v) for k, v in sampling.items()}}, noise()
            )
            try:
                return request(self.port, "/v1/audio/transcriptions", form, kind)[0] == 200
            except OSError:
                return False
        # Every prompt is another one: of equal ones the prefix cache would leave nothing to compute.
        prompt = random.choices(range(3, 490), k=prompt_tokens)
        body = {"model": self.name, "prompt": prompt, "max_tokens": new_tokens, "ignore_eos": True, **sampling}
        path = "/v1/completions"
        if self.row.get("task") in POOLING_PATHS:
            body, path = {"model": self.name, "input": prompt}, POOLING_PATHS[self.row["task"]]
        try:
            return request(self.port, path, body)[0] == 200
        except OSError:
            return False

    def see(self, side: int) -> bool:
        """Ask about a picture of so many pixels a side."""
        parts = [{"type": "image_url", "image_url": {"url": picture(side)}}, {"type": "text", "text": "w3 w4"}]
        body = {"model": self.name, "messages": [{"role": "user", "content": parts}], "max_tokens": 4}
        try:
            return request(self.port, "/v1/chat/completions", body)[0] == 200
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
        if row.get("max_pixels"):
            side = math.isqrt(row["max_pixels"])
            with concurrent.futures.ThreadPoolExecutor(PICTURES) as pool:
                seen = sum(pool.map(self.see, [side] * 2 * PICTURES))
            figures["requests_failed"] += 2 * PICTURES - seen
            figures["process_gib_after_pictures"] = process_gib(self.process.pid)
        time.sleep(2.5)
        figures.update(torch_gib(self.process.pid, self.stats))
        if self.process.poll() is not None:
            return {"failed": f"ended with {self.process.returncode} under load"}
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


def write_model(folder: Path, config: dict[str, Any], extra: dict[str, Any] | None = None) -> None:
    """Write a config.json and a tokenizer of 500 words: what vLLM needs beside weights that it makes up itself.

    extra: a multimodal model's special words ("words", numbered from 500 up) and the files of its processor ("files").
    """
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    special = (extra or {}).get("words", [])
    words = {"<unk>": 0, "<s>": 1, "</s>": 2, **{f"w{i}": i for i in range(3, 500)}}
    words |= {word: 500 + at for at, word in enumerate(special)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(special)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    for name, content in (extra or {}).get("files", {}).items():
        (folder / name).write_text(json.dumps(content))


class Room:
    """What is left of each card for further servers; a row's expected_gib is what it will take of each of its cards."""

    def __init__(self, cards: int, at_once: int, card_gib: float) -> None:
        self.left_gib, self.places = dict.fromkeys(range(cards), card_gib), dict.fromkeys(range(cards), at_once)
        self.changed = threading.Condition()

    def take(self, row: dict[str, Any]) -> list[int]:
        """Wait for cards with room for a row; those that most servers may still come to first."""
        size, wanted = row.get("expected_gib", 20), row.get("tensor_parallel_size", 1)
        with self.changed:
            while True:
                fitting = [card for card in self.left_gib if self.left_gib[card] >= size and self.places[card]]
                if len(fitting) >= wanted:
                    break
                self.changed.wait()
            chosen = sorted(fitting, key=lambda card: (-self.places[card], -self.left_gib[card]))[:wanted]
            self._move(chosen, -size, -1)
        return sorted(chosen)

    def give(self, row: dict[str, Any], cards: list[int]) -> None:
        with self.changed:
            self._move(cards, row.get("expected_gib", 20), 1)
            self.changed.notify_all()

    def _move(self, cards: list[int], size_gib: float, places: int) -> None:
        for card in cards:
            self.left_gib[card] += size_gib
            self.places[card] += places


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--parallel", type=int, default=6, help="servers at a time on each card; give each two cores")
    parser.add_argument("--card-gib", type=float, default=75, help="what the servers of one card may take together")
    parser.add_argument("--budget-s", type=float, default=540, help="what has not been measured by then is left")
    parser.add_argument("--start-timeout-s", type=float, default=240)
    parser.add_argument("--work", type=Path, default=Path("/tmp/measure-memory"))
    options = parser.parse_args()

    pynvml.nvmlInit()
    end = time.monotonic() + options.budget_s
    data = json.loads(options.rows.read_text())
    for name, config in data["configs"].items():
        write_model(options.work / "models" / name, config, data.get("files", {}).get(name))
    for folder in ("logs", "stats"):
        (options.work / folder).mkdir(exist_ok=True)
    (options.work / "stats" / "sitecustomize.py").write_text(WATCHER)
    cards = pynvml.nvmlDeviceGetCount()
    name = pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(0))
    data["machine"] = {"cards": cards, "card": name, "driver": pynvml.nvmlSystemGetDriverVersion()}
    room, written, running = Room(cards, options.parallel, options.card_gib), threading.Lock(), []
    took_s: list[float] = [60.0]

    def run(index: int, row: dict[str, Any]) -> None:
        chosen = room.take(row)
        began = time.monotonic()
        try:
            # One that would not come to its end is not begun.
            if began + statistics.median(took_s) > end:
                return
            log = options.work / "logs" / f"{index}.log"
            server = Server(row, options.work / "models" / row["model"], 18000 + index, log, chosen)
            running.append(server)
            try:
                measured = server.measure(options.start_timeout_s)
            finally:
                server.stop()
            if time.monotonic() > end:
                return
            took_s.append(time.monotonic() - began)
            with written:
                row["measured"] = measured
                print(json.dumps({"row": {k: v for k, v in row.items() if k != "measured"}, **measured}), flush=True)
                options.out.write_text(json.dumps(data, indent=1) + "\n")
        finally:
            room.give(row, chosen)

    todo = [
        (index, row)
        for index, row in enumerate(data["rows"])
        if not row.get("measured") and row.get("tensor_parallel_size", 1) <= cards
    ]
    with concurrent.futures.ThreadPoolExecutor(cards * options.parallel) as pool:
        jobs = [pool.submit(run, index, row) for index, row in todo]
        done, late = concurrent.futures.wait(jobs, timeout=max(1, end - time.monotonic()))
        if late:
            for server in running:
                server.stop()
    for job in done:
        job.result()
    left = sum(1 for _index, row in todo if not row.get("measured"))
    print(f"{len(todo) - left} of {len(todo)} rows measured", flush=True)


if __name__ == "__main__":
    main()
