# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measure what a bring-up costs beyond its engines: doubles that take 20, 25 and 30 s, on a simulated box with real Docker.

alone      each engine by itself, from the task's line at the terminal to the one that says that all is ready
parallel   all three at once, over the slowest alone
serial     one after the other, over the sum of the three alone; the table has it over what they are set to take, 75 s, too
no-op      the module where four models serve and nothing is to be done, SSH included
calm       2,000 made-up worlds in which nothing befalls anybody: how many fail, and the longest that a model is without a server, over its
           own start and drain
polling    processor time of the module on the target while it waits, of one core: the median of three windows of 5 s
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from ansible_collections.gpuserve.fleet.tests.support import bringup
from ansible_collections.gpuserve.fleet.tests.support.bringup import MODELS, Play, Stack
from ansible_collections.gpuserve.fleet.tests.support.lab import boxes
from ansible_collections.gpuserve.fleet.tests.support.lab.common import LabError, say
from ansible_collections.gpuserve.fleet.tests.support.worlds.kinds import calm_world
from ansible_collections.gpuserve.fleet.tests.support.worlds.run import run

BOX = "bench-bringup"
TASK = "gpuserve.fleet.vllm_stack : Start the engines and prove each by a token"
SECONDS = {"tinyllama": 20.0, "qwen": 25.0, "yi": 30.0}
FOURTH = {
    "name": "small",
    "model": "Qwen/Qwen2.5-0.5B-Instruct",
    "port": 8004,
    "max_model_len": 1024,
    "max_num_seqs": 8,
}
NO_OPS = 5
CALM_WORLDS = 2000
WINDOWS, WINDOW_S = 3, 5


def whole(play: Play) -> float:
    """Seconds that the bring-up's task took, as somebody at the terminal counts them."""
    if play.code != 0:
        raise LabError(f"A run did not end well: {play.text[-3000:]}")
    began = next(at for at, line in play.lines if TASK in line)
    return next(at for at, line in play.lines if at > began and line.startswith("TASK [")) - began


def ready(play: Play) -> float:
    """Seconds until somebody at the terminal reads that all is ready."""
    if play.code != 0 or "all ready in" not in play.text:
        raise LabError(f"A run did not end well: {play.text[-3000:]}")
    return play.at("all ready in") - play.at(TASK)


def fresh(stack: Stack) -> None:
    stack.clear()
    for name, seconds in SECONDS.items():
        stack.engine(name, seconds={"whole": seconds, "created": 1.0, "measuring": 1.0, "graphs": 1.0})


def polled(stack: Stack, play: Play) -> float:
    """Processor time of the module's process for each second of its wait, in per cent."""
    play.wait_for("yi         starts:")
    time.sleep(3)
    shares = []
    for _window in range(WINDOWS):
        first, began = used(stack), time.monotonic()
        time.sleep(WINDOW_S)
        # A process that is gone meanwhile is one of an earlier run; one that is new is counted whole.
        seconds = sum(ticks - first.get(pid, 0.0) for pid, ticks in used(stack).items())
        shares.append(100 * seconds / (time.monotonic() - began))
    # Compose's own seconds come to the module's account when it ends, all in one window: that is starting an engine, and no waiting.
    return statistics.median(shares)


def used(stack: Stack) -> dict[str, float]:
    """Processor seconds by process."""
    # With the shells that wait for its lines: each is gone soon, and counted by the connection's process that waited for it.
    script = "for pid in $(pgrep -f '[A]nsiballZ_bringup') $(pgrep -f '[s]shd.*@notty'); do cut -d' ' -f1,14-17 /proc/$pid/stat; done"
    rows = [row.split() for row in stack.run("sh", "-c", script).splitlines()]
    return {pid: sum(int(number) for number in ticks) / os.sysconf("SC_CLK_TCK") for pid, *ticks in rows}


def main() -> int:
    """Run it all and print a table, then one line of JSON."""
    # With it off, a task's line is held back until its first result: what is timed from it would have ended then.
    os.environ["ANSIBLE_DISPLAY_SKIPPED_HOSTS"] = "1"
    with tempfile.TemporaryDirectory(prefix="gpuserve-bench-") as folder:
        try:
            figures = calm()
            figures |= measure(bringup.make(BOX, Path(folder)))
        except LabError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
        finally:
            boxes.down(BOX)
    failed, gap = figures["calm_worlds_failed"], figures["longest_gap_over_start"]
    print(f"  calm worlds that failed: {failed:.0f}; longest gap {gap:.2f} of its own start and drain")
    print(json.dumps({"bench": "bringup", **figures}))
    return 0


def calm() -> dict[str, float]:
    """What the state machine does in worlds in which nothing befalls anybody."""
    say(f"{CALM_WORLDS} calm worlds")
    reports = [run(calm_world(seed)) for seed in range(CALM_WORLDS)]
    gaps = [report.gap_over_start for report in reports]
    return {
        "calm_worlds_failed": sum(1 for report in reports if report.failed),
        "longest_gap_over_start": round(max(gaps), 3),
    }


def measure(stack: Stack) -> dict[str, float]:
    # These take longer over a quarter of their weights than the tests' hanging ones are given.
    stack.variables.update(vllm_stack_stall_timeout_s=600, vllm_stack_phase_limits_s={})
    stack.clear()
    # The first run of a box makes its Python environment; that is not what is measured.
    if stack.play(vllm_stack_models=MODELS[:1]).code != 0:
        raise LabError("The stack's first run did not end well.")
    alone = {}
    for model in MODELS:
        fresh(stack)
        say(f"{model['name']} alone")
        alone[model["name"]] = ready(stack.play(vllm_stack_models=[model]))
    fresh(stack)
    say("all three at once")
    play, reader = stack.playing()
    found: list[float] = []
    sampler = threading.Thread(target=lambda: found.append(polled(stack, play)))
    sampler.start()
    reader.join()
    sampler.join()
    parallel = ready(play)
    fresh(stack)
    say("one after the other")
    serial = ready(stack.play(vllm_stack_mode="serial"))
    say("nothing to do, four models")
    four = [*MODELS, FOURTH]
    stack.sizes["small"] = {"total_bytes": 3 << 29, "kv_cache_bytes": 0}
    for name in stack.sizes:
        stack.engine(name)
    if stack.play(vllm_stack_models=four).code != 0:
        raise LabError("The fourth model did not start.")
    idle = [whole(stack.play(vllm_stack_models=four)) for _run in range(NO_OPS)]
    slowest, together, total = max(alone.values()), sum(alone.values()), sum(SECONDS.values())
    print(f"\n  alone {', '.join(f'{seconds:.1f}' for seconds in alone.values())} s; all three {parallel:.1f} s")
    shares = (
        f"{serial / together:.3f} of the three alone, {serial / total:.3f} of the {total:.0f} s they are set to take"
    )
    print(f"  one after the other {serial:.1f} s: {shares}")
    print(
        f"  nothing to do, four models: {', '.join(f'{seconds:.2f}' for seconds in idle)} s; polling {found[0]:.2f} % of one core\n"
    )
    return {
        "parallel_over_slowest": round(parallel / slowest, 3),
        "serial_over_sum": round(serial / together, 3),
        "noop_s": round(statistics.median(idle), 2),
        "poll_cpu_percent": round(found[0], 2),
    }


if __name__ == "__main__":
    sys.exit(main())
