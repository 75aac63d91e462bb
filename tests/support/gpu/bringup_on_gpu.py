# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vllm_stack role with real Docker, CDI and a real vLLM on a card, the rest of which is held so that a 32 GB card is left.

    bringup_on_gpu.sh PART...      the parts, in the order given; then a line of JSON of all that is known by now

    warm       all three at once with cold compile caches, which it fills (about 3 minutes)
    parallel   all three at once, warm; then once more, where nothing may change (2 minutes)
    alone      the slowest alone, warm (2 minutes)
    serial     strictly one after the other, warm (4 minutes)
    load       NVML beside the plan when ready, after load and after saturating prompts; tokens a second with graphs, and
               eager as in the guide with the same KV cache (5 minutes)
    fault      a foreign process takes 8 GiB between the gate and the start of all three (3 minutes)
    cards      yi over two cards, the others on one each (3 minutes; needs two)
    summary    nothing but the line

Each part leaves its figures in RESULTS (/tmp/bringup-on-gpu) as it goes: a later call, or one after an interruption, adds to them.
COPY_TO=FOLDER copies them there after every step. A part that failed says so, and the next one is tried.

Needs, prepared: dockerd with CDI on, each card as nvidia.com/gpu=INDEX and by UUID, the engine's image, vLLM's packages in /tmp/site,
/tmp/models/NAME with config.json and a tokenizer, ansible on the PATH, the modules' environment in /opt/gpuserve/venv.
HOLDER= (empty) leaves the whole card, ENGINE_SITE names another folder than /tmp/site.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = Path(os.environ.get("RESULTS", "/tmp/bringup-on-gpu"))
SITE = os.environ.get("ENGINE_SITE", "/tmp/site")
# What is left of the card: an RTX 5090's own.
LEAVE_MIB = 32113
TAKE_MIB = 8192
SLOWEST = "yi"
STACK = Path("/opt/gpuserve/stack")
STATE = Path("/var/lib/gpuserve")
TASK = "gpuserve.fleet.vllm_stack : Start the engines and prove each by a token]"
Figures = dict[str, Any]


class Failed(Exception):
    """A part did not go as it should; the text says what was seen."""


def say(text: str) -> None:
    print(text, flush=True)


class Kept:
    """What is known by now, on disk after every step."""

    def __init__(self) -> None:
        RESULTS.mkdir(parents=True, exist_ok=True)
        self._path = RESULTS / "results.json"
        self.parts: dict[str, Figures] = json.loads(self._path.read_text()) if self._path.exists() else {}

    def keep(self, part: str, **figures: Any) -> None:
        self.parts[part] = {**self.parts.get(part, {}), **figures}
        self._path.write_text(json.dumps(self.parts, indent=1) + "\n")
        say(f"   {part}: {json.dumps(figures)[:2000]}")
        if os.environ.get("COPY_TO"):
            shutil.copytree(RESULTS, os.environ["COPY_TO"], dirs_exist_ok=True)


class HostMemory:
    """The least that the host had to give while something ran, against what it had before."""

    def __enter__(self) -> HostMemory:
        self._first = self._least = self._read()
        self._over = threading.Event()
        self._sampler = threading.Thread(target=self._sample)
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._sampler.join()

    def _sample(self) -> None:
        while not self._over.wait(0.5):
            self._least = min(self._least, self._read())

    @staticmethod
    def _read() -> int:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        return int(found.group(1)) * 1024 if found else 0

    @property
    def taken_bytes(self) -> int:
        return self._first - self._least


class Played:
    """A run of the playbook: shown as it comes without what is as always, and kept whole in NAME.log."""

    def __init__(self, name: str, wanted: Callable[[str], None] = lambda line: None, **settings: str) -> None:
        command = ["ansible-playbook", "-i", str(HERE / "bringup_inventory.yml"), str(HERE / "bringup_on_gpu.yml")]
        environment = {
            **os.environ,
            **settings,
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "PYTHONUNBUFFERED": "1",
        }
        began = time.monotonic()
        self.lines: list[str] = []
        with (
            HostMemory() as memory,
            subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            ) as process,
            (RESULTS / f"{name}.log").open("w") as log,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                log.write(f"{time.monotonic() - began:8.2f} {line}")
                log.flush()
                self.lines.append(line.rstrip("\n"))
                if line.startswith("  localhost  "):
                    say(line.rstrip())
                wanted(line)
        self.code, self.text = process.returncode, "\n".join(self.lines)
        self.host_bytes = memory.taken_bytes

    def good(self) -> Played:
        if self.code != 0:
            raise Failed(self.failure.get("msg") or self.text[-3000:])
        return self

    @property
    def ready_s(self) -> float:
        """Seconds until the last first token, from the module's start."""
        return float(self.result["all_ready_s"])

    @property
    def models(self) -> dict[str, Figures]:
        return {model["name"]: model for model in self.result["models"]}

    @property
    def result(self) -> Figures:
        found = re.search(r'"RESULT (\{.*\})"$', self.text, re.MULTILINE)
        if found is None:
            raise Failed(f"no result: {self.text[-2000:]}")
        result: Figures = json.loads(json.loads(f'"{found.group(1)}"'))
        return result

    @property
    def changed(self) -> int:
        return int(re.findall(r"changed=(\d+)", self.text)[-1])

    @property
    def failure(self) -> Figures:
        line = next((line for line in self.lines if line.startswith("fatal: ")), "{}")
        found: Figures = json.loads(line[line.index("{") :])
        return found

    @property
    def live(self) -> list[str]:
        return [line.removeprefix("  localhost  ") for line in self.lines if line.startswith("  localhost  ")]


def starts(played: Played) -> Figures:
    """What a start is reported with."""
    keys = ("ready_s", "planned_bytes", "measured_bytes", "kv_cache_tokens", "max_concurrency", "timeline", "cards")
    models = {name: {key: model.get(key) for key in keys} for name, model in played.models.items()}
    return {"all_ready_s": played.ready_s, "host_bytes": played.host_bytes, "models": models}


def asked(what: str) -> dict[str, Figures]:
    """What load.py says of each engine."""
    command = [sys.executable, str(HERE / "load.py"), what]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": SITE}, capture_output=True, text=True, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode != 0:
        raise Failed(f"load.py {what}: {done.stdout} {done.stderr[-1000:]}")
    return {row.pop("model"): row for row in rows}


def down() -> None:
    """No engine is left. What earlier starts measured stays: the next plan is made from it."""
    ids = subprocess.check_output(["docker", "ps", "-aq", "--filter", "label=fleet.gpuserve.stack=gpuserve"], text=True)
    if ids.split():
        subprocess.run(["docker", "rm", "-f", *ids.split()], stdout=subprocess.DEVNULL, check=True)
    shutil.rmtree(STACK, ignore_errors=True)
    for name in ("state.json", "report.json", "journal.json"):
        (STATE / name).unlink(missing_ok=True)


class Holder:
    """Another process that holds memory of a card."""

    def __init__(self, *arguments: str) -> None:
        environment = {**os.environ, "PYTHONPATH": SITE, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        self.process = subprocess.Popen(
            [sys.executable, HERE / "hold_memory.py", *arguments], env=environment, stdout=subprocess.PIPE, text=True
        )
        with (RESULTS / "holders").open("a") as pids:
            pids.write(f"{self.process.pid}\n")
        self.wait_for("ready" if "--when" in arguments else "holding")

    def wait_for(self, word: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(word):
                return line.strip()
        raise Failed("hold_memory.py ended: is torch there, and the card?")

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def end_left_over() -> None:
    """An interrupted call of this script may have left what it held memory with."""
    path = RESULTS / "holders"
    for pid in path.read_text().split() if path.exists() else []:
        command = Path("/proc", pid, "cmdline")
        if command.exists() and b"hold_memory.py" in command.read_bytes():
            os.kill(int(pid), signal.SIGKILL)
    path.unlink(missing_ok=True)


# The parts


def warm(kept: Kept) -> None:
    down()
    shutil.rmtree(STATE / "cache" / "vllm", ignore_errors=True)
    # The first plan is to come from the formula alone.
    (STATE / "calibration.json").unlink(missing_ok=True)
    kept.keep("warm", **starts(Played("warm").good()))


def parallel(kept: Kept) -> None:
    down()
    kept.keep("parallel", **starts(Played("parallel").good()))
    kept.keep("parallel", second_run_changed=Played("again").good().changed)


def alone(kept: Kept) -> None:
    down()
    kept.keep("alone", **starts(Played("alone", ONLY=SLOWEST).good()))


def serial(kept: Kept) -> None:
    down()
    kept.keep("serial", **starts(Played("serial", MODE="serial").good()))


def load(kept: Kept) -> None:
    # What serves already is kept as it is.
    models = Played("load").good().models
    plan = {name: {key: model[key] for key in ("planned_bytes", "measured_bytes")} for name, model in models.items()}
    kept.keep("load", plan=plan, ready=asked("bytes"))
    kept.keep("load", graphs=asked("throughput"))
    kept.keep("load", saturated=asked("saturate"))
    down()
    kept.keep("load", eager_ready_s=Played("eager", EAGER="true").good().ready_s)
    kept.keep("load", eager=asked("throughput"))


def fault(kept: Kept) -> None:
    down()
    trigger = RESULTS / "take"
    trigger.unlink(missing_ok=True)
    foreign_process = Holder("--take-mib", str(TAKE_MIB), "--when", str(trigger))
    began = time.monotonic()
    took: dict[str, float] = {}

    def strike(line: str) -> None:
        # The gates of all three have passed by now: they are asked in one probe.
        if " starts: " in line and not trigger.exists():
            trigger.touch()
            took["after_s"] = round(time.monotonic() - began, 1)

    try:
        played = Played("fault", strike)
    finally:
        foreign_process.end()
    if played.code == 0:
        raise Failed("all models started beside it: there was room for everything")
    failure = played.failure
    if "failures" not in failure:
        raise Failed(failure.get("msg") or played.text[-2000:])
    say(f"   what the user reads:\n{os.linesep.join(played.live)}\n{failure['msg']}")
    rows = [
        {key: one.get(key) for key in ("name", "id", "cause", "after_s", "noticed_s")} for one in failure["failures"]
    ]
    kept.keep("fault", live=played.live, msg=failure["msg"], failures=rows, serving=failure["serving"], took=took)
    again = Played("fault-again").good()
    kept.keep("fault", serving_after_the_next_run=sorted(again.models), next_run_s=again.ready_s)


def cards(kept: Kept) -> None:
    if card_count() < 2:
        raise Failed("there is one card only")
    down()
    second = Holder("--leave-mib", str(LEAVE_MIB), "--card", "1") if holds() else None
    try:
        kept.keep("cards", **starts(Played("cards", TENSOR_PARALLEL="2").good()), ready=asked("bytes"))
        kept.keep("cards", throughput=asked("throughput"))
        kept.keep("cards", saturated=asked("saturate"))
        kept.keep("cards", second_run_changed=Played("cards-again", TENSOR_PARALLEL="2").good().changed)
    finally:
        down()
        if second:
            second.end()


def holds() -> bool:
    return os.environ.get("HOLDER", "yes") != ""


def card_names() -> list[str]:
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    return subprocess.check_output(query, text=True).splitlines()


def card_count() -> int:
    return len(card_names())


def summary(kept: Kept) -> Figures:
    """All that is known by now, as one flat line; None for what no part has measured yet."""
    parts = kept.parts
    seconds = {
        part: parts.get(part, {}).get("all_ready_s") for part in ("warm", "parallel", "alone", "serial", "cards")
    }
    told = parts.get("load", {})

    def ratio(above: float | None, below: float | None) -> float | None:
        return round(above / below, 3) if above and below else None

    def total(part: str) -> dict[str, int]:
        return {name: sum(row["bytes"].values()) for name, row in told.get(part, {}).items()}

    first = {name: model["planned_bytes"] for name, model in parts.get("warm", {}).get("models", {}).items()}
    rates = {
        part: {name: row["tokens_per_s"] for name, row in told.get(part, {}).items()} for part in ("graphs", "eager")
    }
    return {
        "bench": "bringup_on_gpu",
        "card": kept.parts.get("machine", {}).get("cards"),
        **{f"{part}_s": value for part, value in seconds.items()},
        "parallel_over_slowest": ratio(seconds["parallel"], seconds["alone"]),
        "parallel_over_serial": ratio(seconds["parallel"], seconds["serial"]),
        "second_run_changed": parts.get("parallel", {}).get("second_run_changed"),
        "host_bytes": {part: parts.get(part, {}).get("host_bytes") for part in seconds},
        "bytes": {
            "planned_first": first,
            "planned": {name: row["planned_bytes"] for name, row in told.get("plan", {}).items()},
            "ready": total("ready"),
            "after_load": total("graphs"),
            "saturated": total("saturated"),
            "eager_after_load": total("eager"),
        },
        "tokens_per_s": rates,
        "graphs_over_eager": {name: ratio(rate, rates["eager"].get(name)) for name, rate in rates["graphs"].items()},
        "fault": {key: parts.get("fault", {}).get(key) for key in ("msg", "failures", "serving")},
        "cards": {
            key: parts.get("cards", {}).get(key)
            for key in ("models", "ready", "throughput", "saturated", "second_run_changed")
        },
        "failed": {part: figures["failed"] for part, figures in parts.items() if "failed" in figures},
    }


PARTS: dict[str, Callable[[Kept], None]] = {
    "warm": warm,
    "parallel": parallel,
    "alone": alone,
    "serial": serial,
    "load": load,
    "fault": fault,
    "cards": cards,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=[*PARTS, "summary"], metavar="PART")
    parts = [part for part in parser.parse_args().parts if part != "summary"]
    kept = Kept()
    if parts:
        kept.keep("machine", cards=card_names(), cores=os.cpu_count(), held_to_mib=LEAVE_MIB if holds() else None)
        work(kept, parts)
    print(json.dumps(summary(kept)))
    return 1 if any("failed" in kept.parts.get(part, {}) for part in parts) else 0


def work(kept: Kept, parts: list[str]) -> None:
    end_left_over()
    down()
    # A call that is ended by its time limit leaves no engine either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    holder = Holder("--leave-mib", str(LEAVE_MIB)) if holds() else None
    try:
        for part in parts:
            began = time.monotonic()
            kept.parts.pop(part, None)
            say(f"== {part}")
            try:
                PARTS[part](kept)
            except (Failed, KeyError, ValueError, OSError, subprocess.SubprocessError) as error:
                kept.keep(part, failed=f"{type(error).__name__}: {error}"[:3000])
            say(f"   {part}: {time.monotonic() - began:.0f} s in all")
    finally:
        down()
        if holder:
            holder.end()


if __name__ == "__main__":
    sys.exit(main())
