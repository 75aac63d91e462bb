# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of a benchmark, `vllm bench serve` of the engine's own image: what it is called with, by the model's task and its version.

Engine and gateway are asked by the same client with the same prompts, from the engine's own host: what differs is the gateway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpuserve.fleet.plugins.module_utils._core.benchmark.load import Load

RESULT = "/tmp/benchmark.json"
PERCENTILES = (50, 95, 99)
POOLING = ("embed", "score", "classify")
# Seen in the wheels of 0.10.1.1, 0.10.2, 0.26.0 and 0.33.0: what came between two of them is said to have come with the later.
EMBEDDINGS_SINCE = (0, 10, 2)
INSECURE_SINCE = RERANK_SINCE = WARMUPS_SINCE = (0, 26, 0)
# The same prompts in every run, so that runs compare; different ones in each profile's loads would not.
SEED = 20260101


@dataclass(frozen=True)
class Engine:
    """An engine as its container says it runs."""

    name: str
    container: str
    image: str
    model: str
    args: tuple[str, ...]
    task: str = "generate"
    port: int = 8000
    socket: bool = False
    digest: str = ""
    program: tuple[str, ...] = ("vllm",)

    @property
    def max_model_len(self) -> int:
        """The longest request in tokens; 0 where no flag says it."""
        return int(self.value("--max-model-len") or 0)

    @property
    def host_network(self) -> bool:
        """Whether it listens on the host's own addresses."""
        return "--host" in self.args

    def value(self, flag: str) -> str:
        """Return what follows a flag on its command line, nothing where it is not there."""
        following = self.args[self.args.index(flag) + 1 :] if flag in self.args else ()
        return following[0] if following else ""


def engine_of(inspected: Mapping[str, Any], label: str, task: str = "generate") -> Engine:
    """Return an engine as Docker describes its container."""
    config = inspected.get("Config") or {}
    labels = config.get("Labels") or {}
    command = tuple(str(part) for part in config.get("Cmd") or ())
    port = command[command.index("--port") + 1] if "--port" in command[:-1] else "8000"
    return Engine(
        name=str(labels.get(f"{label}.model", "")),
        container=str(inspected.get("Name", "")).lstrip("/"),
        image=str(config.get("Image", "")),
        model=command[0] if command else "",
        args=command[1:],
        task=task,
        port=int(port) if port.isdigit() else 8000,
        socket=f"{label}.transport" in labels,
        digest=str(labels.get(f"{label}.digest", "")),
        program=_program([str(part) for part in config.get("Entrypoint") or ()]),
    )


def _program(entrypoint: Sequence[str]) -> tuple[str, ...]:
    """What the image calls vLLM, from its entrypoint: behind our own shell, if that comes first, and before `serve`."""
    words = entrypoint[3:] if list(entrypoint[:2]) == ["/bin/sh", "-c"] else entrypoint
    return tuple(words[:-1]) if len(words) > 1 and words[-1] == "serve" else ("vllm",)


def unsupported(engine: Engine, version: Sequence[int], url: str) -> str:
    """Say why this engine can't be asked that way; empty where it can."""
    shown = ".".join(str(number) for number in version)
    since = {"generate": (0, 0, 0), "embed": EMBEDDINGS_SINCE, "score": RERANK_SINCE}.get(engine.task)
    if since is None:
        return f"vLLM's client has no benchmark for the task {engine.task}"
    if tuple(version) < since:
        return f"vLLM {shown}'s client has no benchmark for the task {engine.task}"
    if url.startswith("https:") and tuple(version) < INSECURE_SINCE:
        return f"vLLM {shown}'s client takes no certificate that it does not know"
    return ""


def arguments(engine: Engine, load: Load, url: str, version: Sequence[int]) -> list[str]:
    """Return the client's whole command line, for the gateway at `url` or, without one, for the engine itself."""
    backend, endpoint, dataset = {
        "embed": ("openai-embeddings", "/v1/embeddings", "random"),
        "score": ("vllm-rerank", "/v1/rerank", "random-rerank"),
    }.get(engine.task, ("openai", "/v1/completions", "random"))
    metrics = "e2el" if engine.task in POOLING else "ttft,tpot,itl,e2el"
    args = [
        *(*engine.program, "bench", "serve"),
        *("--backend", backend, "--base-url", url or f"http://127.0.0.1:{engine.port}", "--endpoint", endpoint),
        *("--model", engine.model, "--served-model-name", engine.name, "--tokenizer", engine.model),
        *("--dataset-name", dataset, "--seed", str(SEED), "--random-input-len", str(load.input_tokens)),
        *("--random-output-len", str(max(1, load.output_tokens)), "--random-range-ratio", "0"),
        *("--num-prompts", str(load.requests), "--max-concurrency", str(load.concurrency)),
        # One request before those that count, which waits until the engine answers.
        *("--ready-check-timeout-sec", "60", "--disable-tqdm"),
        *("--percentile-metrics", metrics, "--metric-percentiles", ",".join(map(str, PERCENTILES))),
        *("--save-result", "--save-detailed", "--result-dir", "/tmp", "--result-filename", RESULT.rsplit("/", 1)[1]),
    ]
    if engine.task not in POOLING:
        # Every answer is as long as the next, whatever the model would say.
        args.append("--ignore-eos")
    if "--trust-remote-code" in engine.args:
        args.append("--trust-remote-code")
    if tuple(version) >= WARMUPS_SINCE:
        # As many as are asked at once: what is made for a batch of this size at first use is made before those that count.
        args += ["--num-warmups", str(load.concurrency)]
    return [*args, "--insecure"] if url.startswith("https:") else args
