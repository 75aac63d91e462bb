# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the gateway adds to a request: beside nothing, beside nginx as a plain proxy, beside LiteLLM's proxy. All on one machine, in turns.

Plain nginx logs each request to its container's log, as its image does and as the gateway does. How much it does without any log is said
beside it ("silent").

python -m tests.bench.gateway.measure    a table, the last line as JSON

nginx (with Lua) and wrk are Debian's, in one image of the lab on the host's network; the gateway's configuration is what the role
renders. LiteLLM comes from PyPI into a venv of its own. Turns are short and take each other's place, so that whatever else the machine
does hits all of them alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.gpuserve.fleet.tests.bench.gateway import abuse, clients
from ansible_collections.gpuserve.fleet.tests.support.gateway.render import render
from ansible_collections.gpuserve.fleet.tests.support.lab import bases
from ansible_collections.gpuserve.fleet.tests.support.lab.common import (
    CACHE,
    CHECKOUT,
    LabError,
    docker,
    key_of,
    labels,
    locked,
    run,
    say,
)

BASE = bases.Base(
    "bench", "trixie", ("nginx", "libnginx-mod-http-lua", "lua-cjson", "wrk", "ca-certificates"), systemd=False
)
HERE = Path(__file__).resolve().parent
# Where each is asked; the engine's double is "direct". The second is where it streams.
PORTS = {
    "direct": (18101, 18104),
    "silent": (18107, 18109),
    "plain": (18102, 18106),
    "gateway": (18103, 18103),
    "uncounted": (18110, 18110),
    "sockets": (18112, 18112),
    "litellm": (18105, 18105),
}
FAST = ("direct", "silent", "plain", "gateway", "uncounted", "sockets")
# Without a word that is not said: LiteLLM would fetch a list of prices first.
QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "NO_PROXY": "*"}
ROUNDS, SECONDS = 5, 3.0
# The gateway without its counting of what clients used: what that costs is the difference.
NO_USAGE = """\
local usage = {}
function usage.asked_for() return {} end
function usage.look(_, chunk) return chunk end
function usage.account() end
function usage.spent() end
function usage.metrics() end
function usage.watch() end
function usage.leave() end
return usage
"""
MANY, MINUTE = 1000, 60
# Gateways beside the one that is measured have folders of their own below its.
VARIANTS = ("uncounted", "sockets")
# Where the engine's double listens on a socket, too: how the default transport meets it.
MET = "/run/met"


def installed(name: str) -> Path:
    """Return a program of PyPI, installed once into an environment of its own: by requirements/NAME.txt."""
    lock = CHECKOUT / "requirements" / f"{name}.txt"
    venv = CACHE / f"venv-{name}-{key_of(lock.read_text(), sys.version)}"
    with locked(name):
        if not (venv / ".ready").exists():
            say(f"installing {name} into a venv of its own (once, about a minute)")
            run([sys.executable, "-m", "venv", "--clear", venv])
            pip: list[str | Path] = [venv / "bin" / "pip", "install", "-q", "--disable-pip-version-check", "-r", lock]
            run(pip, log=CACHE / "log" / f"pip-{name}.log", timeout_s=1200)
            (venv / ".ready").touch()
    return venv / "bin" / name


def wait_for(port: int, path: str) -> None:
    """Wait until something answers."""
    end = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2)
            return
        except OSError as error:
            if time.monotonic() > end:
                raise LabError(f"Nothing good answers on port {port} of the bench: {error}.") from None
            time.sleep(0.3)


@contextlib.contextmanager
def nginx(image: str, name: str, folder: Path, config: str) -> Iterator[int]:
    """Run nginx in a container as the role runs the gateway's, and hand over the number of its first process."""
    container = f"gpuserve-bench-{name}"
    docker("rm", "--force", container, check=False)
    may = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true", "--user", "61800:61800"]
    more = [
        "--tmpfs",
        "/tmp:mode=1777",
        "--volume",
        f"{folder}:/bench:ro",
        "--volume",
        f"{folder}:/etc/gpuserve/live:ro",
        "--volume",
        f"{folder.parent if folder.name in VARIANTS else folder}/met:{MET}",
    ]
    logs = ["--log-driver", "json-file", "--log-opt", "max-size=50m", "--log-opt", "max-file=5"]
    command = [
        "nginx",
        "-c",
        f"/etc/gpuserve/live/{config}",
        *(["-g", "daemon off;"] if name.startswith(("gateway", "uncounted", "sockets")) else []),
    ]
    docker("run", "--detach", "--name", container, "--network", "host", *labels(), *may, *more, *logs, image, *command)
    try:
        yield int(docker("inspect", "--format", "{{.State.Pid}}", container))
    finally:
        docker("rm", "--force", container, check=False)


@contextlib.contextmanager
def program(argv: list[str | Path], log: Path) -> Iterator[int]:
    """Run a program as long as it is needed."""
    with log.open("w") as sink:
        env = {**os.environ, **QUIET, "HOME": str(log.parent)}
        running = subprocess.Popen([str(part) for part in argv], stdout=sink, stderr=sink, env=env)
        try:
            yield running.pid
        finally:
            running.terminate()
            running.wait(30)


def family(pid: int) -> list[int]:
    """Return a process and what it started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in family(int(child)))]


def memory_mib(pid: int) -> float:
    """Return what a program holds in memory; what its processes share counts once (PSS), where the kernel tells."""
    total = 0
    for one in family(pid):
        try:
            text = Path(f"/proc/{one}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
        except PermissionError:
            text = Path(f"/proc/{one}/status").read_text()
            total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS:"))
    return total / 1024


def work_us(pid: int) -> float:
    """Return the processor time that a program has had, in microseconds."""
    return sum(int(Path(f"/proc/{one}/schedstat").read_text().split()[0]) for one in family(pid)) / 1e3


def wrk(port: int, seconds: float) -> tuple[float, int]:
    """Ask as fast as it goes; return the requests a second, and how many they were."""
    argv = [
        "wrk",
        "-t1",
        "-c16",
        f"-d{seconds:.0f}s",
        "-s",
        "/bench/chat.lua",
        f"http://127.0.0.1:{port}/v1/chat/completions",
    ]
    text = docker("exec", "gpuserve-bench-direct", *argv)
    if "Non-2xx" in text:
        raise LabError(f"Port {port} of the bench refused requests: {text}")
    words = text.split()
    return float(words[words.index("Requests/sec:") + 1]), int(words[words.index("requests") - 1])


def paced(names: tuple[str, ...], rate: float, rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """Send requests at a rate to each in turn; return the middle and the 99th of a hundred in milliseconds.

    Each is the middle of the turns': a single turn that the machine's other work hit would be all that the 99th of the whole shows.
    """
    took: dict[str, list[list[float]]] = {name: [] for name in names}
    for _round in range(rounds):
        for name in names:
            took[name].append(asyncio.run(clients.steady(PORTS[name][0], rate, seconds)))

    def middle(turns: list[list[float]], percent: int) -> float:
        return statistics.median(statistics.quantiles(times, n=100)[percent - 1] for times in turns) * 1e3

    return {name: {"p50": middle(turns, 50), "p99": middle(turns, 99)} for name, turns in took.items()}


def most(pids: dict[str, int]) -> dict[str, dict[str, float]]:
    """Ask each as fast as it goes, in turn; return the middle of the turns' requests a second, and what one costs its processes."""
    rates: dict[str, list[float]] = {name: [] for name in FAST}
    costs: dict[str, list[float]] = {name: [] for name in FAST}
    for _round in range(ROUNDS):
        for name in FAST:
            before = work_us(pids[name])
            rate, number = wrk(PORTS[name][0], SECONDS)
            rates[name].append(rate)
            costs[name].append((work_us(pids[name]) - before) / number)
    found = {name: {"rps": statistics.median(rates[name]), "us": statistics.median(costs[name])} for name in FAST}
    for name in ("plain", "silent"):
        over = [gateway / other for gateway, other in zip(rates["gateway"], rates[name], strict=True)]
        found["gateway"][f"over_{name}"] = statistics.median(over)
    over = [socket / port for socket, port in zip(rates["sockets"], rates["gateway"], strict=True)]
    found["sockets"]["over_gateway"] = statistics.median(over)
    return found


def many_streams(pid: int) -> dict[str, float]:
    """Hold a thousand streams through the gateway for a minute; return how many were lost and what memory did meanwhile."""
    held: list[float] = []

    async def watch() -> None:
        while True:
            await asyncio.sleep(5)
            held.append(memory_mib(pid))

    async def both() -> int:
        watching = asyncio.create_task(watch())
        lost = await clients.streams(PORTS["gateway"][1], MANY, MINUTE)
        watching.cancel()
        return lost

    lost = asyncio.run(both())
    # The first sample may fall into the opening of the streams, the last into their end.
    return {"lost": lost, "first": held[1], "last": held[-2]}


def rows(found: dict[str, Any]) -> list[list[str]]:
    """Return the table."""

    def row(title: str, each: Callable[[str], str], names: tuple[str, ...] = (*FAST, "litellm")) -> list[str]:
        return [title, *(each(name) if name in names else "" for name in PORTS)]

    table = [
        [
            "",
            "direct",
            "nginx, no log",
            "plain nginx",
            "gateway",
            "gateway, usage uncounted",
            "gateway, engine on a socket",
            "LiteLLM",
        ]
    ]
    for rate, by_name in found["paced"].items():
        for which in ("p50", "p99"):
            at_rate = tuple(name for name in PORTS if name in by_name)
            table.append(
                row(f"{which} at {rate:.0f} requests/s, ms", lambda n, b=by_name, w=which: f"{b[n][w]:.3f}", at_rate)  # type: ignore[misc]
            )
    table.append(row("most requests/s", lambda name: f"{found['most'][name]['rps']:,.0f}"))
    table.append(row("processor time a request, µs", lambda name: f"{found['most'][name]['us']:.0f}"))
    table.append(row("time to the first token, ms", lambda name: f"{found['first'][name]:.3f}", tuple(found["first"])))
    table.append(row("memory, MiB", lambda name: f"{found['memory'][name]:.0f}", ("plain", "gateway", "litellm")))
    return table


def measure() -> dict[str, Any]:
    """Set everything up, measure, take it down."""
    image = bases.ensure_base(BASE)
    program_of_litellm = installed("litellm")
    stub = CHECKOUT / "tests" / "support" / "gateway" / "engine_stub.py"
    found: dict[str, Any] = {"paced": {}, "first": {}, "memory": {}}
    with tempfile.TemporaryDirectory(prefix="gpuserve-bench-") as made, contextlib.ExitStack() as stack:
        folder = Path(made)
        folder.chmod(0o755)
        variables = yaml.safe_load((HERE / "gateway-vars.yml").read_text(encoding="utf-8"))
        render(variables, folder)
        for file in ("engine.conf", "plain.conf", "chat.lua"):
            (folder / file).write_bytes((HERE / file).read_bytes())
        # The same without a log, on ports of its own.
        text = (
            (folder / "plain.conf")
            .read_text()
            .replace("/dev/stdout combined", "off")
            .replace("plain.pid", "silent.pid")
        )
        (folder / "silent.conf").write_text(text.replace("18102", "18107").replace("18106", "18109"))
        uncounted = folder / "uncounted"
        uncounted.mkdir()
        uncounted.chmod(0o755)
        render({**variables, "gateway_port": 18110, "gateway_metrics_address": "127.0.0.1:18111"}, uncounted)
        (uncounted / "usage.lua").write_text(NO_USAGE)
        sockets = folder / "sockets"
        met = folder / "met"
        for place, mode in ((sockets, 0o755), (met, 0o777)):
            place.mkdir()
            place.chmod(mode)
        models = [{**model, "endpoints": [f"unix:{MET}/engine.sock"]} for model in variables["gateway_models"][:1]]
        there = {"gateway_port": 18112, "gateway_metrics_address": "127.0.0.1:18113", "gateway_models": models}
        render({**variables, **there}, sockets)
        pids = {
            "direct": stack.enter_context(nginx(image, "direct", folder, "engine.conf")),
            "silent": stack.enter_context(nginx(image, "silent", folder, "silent.conf")),
            "plain": stack.enter_context(nginx(image, "plain", folder, "plain.conf")),
            "gateway": stack.enter_context(nginx(image, "gateway", folder, "nginx.conf")),
            "uncounted": stack.enter_context(nginx(image, "uncounted", uncounted, "nginx.conf")),
            "sockets": stack.enter_context(nginx(image, "sockets", sockets, "nginx.conf")),
        }
        stack.enter_context(program([sys.executable, stub, "slow=18104"], folder / "stub.log"))
        for port, path in (
            (18101, "/"),
            (18102, "/"),
            (18107, "/"),
            (18104, "/health"),
            (18103, "/livez"),
            (18110, "/livez"),
            (18112, "/livez"),
        ):
            wait_for(port, path)
        for rate in (500, 1000):
            say(f"{rate} requests/s to each in turn")
            found["paced"][rate] = paced(("direct", "plain", "gateway", "sockets"), rate, ROUNDS, SECONDS)
        say("as many requests/s as go")
        found["most"] = most(pids)
        say(f"{MANY} streams for {MINUTE} s")
        found["streams"] = many_streams(pids["gateway"])
        say("bodies of 31 MB beside streams, and forty of a key that may send two")
        found["worst_body_gap_ms"] = abuse.worst_gap_ms(PORTS["gateway"][0])
        found["abuse_peak_mib"] = abuse.peak_mib(PORTS["gateway"][0], pids["gateway"], memory_mib)
        found["memory"] = {name: memory_mib(pids[name]) for name in ("plain", "gateway")}
        say("LiteLLM")
        argv: list[str | Path] = [
            program_of_litellm,
            "--config",
            HERE / "litellm.yml",
            "--host",
            "127.0.0.1",
            "--port",
            "18105",
        ]
        with program(argv, folder / "litellm.log") as pid:
            wait_for(18105, "/health/liveliness")
            wrk(PORTS["litellm"][0], SECONDS)
            before = work_us(pid)
            sustained, number = wrk(PORTS["litellm"][0], 2 * SECONDS)
            found["most"]["litellm"] = {"rps": sustained, "us": (work_us(pid) - before) / number}
            # At its most it would only show its queue: half of that is a load that it sustains.
            found["litellm_rate"] = int(sustained / 2)
            found["paced"][found["litellm_rate"]] = paced(
                ("direct", "gateway", "litellm"), found["litellm_rate"], 2, 2 * SECONDS
            )
            found["memory"]["litellm"] = memory_mib(pid)
            say("streams to each in turn, to their first tokens")
            firsts: dict[str, list[float]] = {name: [] for name in PORTS if name not in ("silent", *VARIANTS)}
            for _round in range(ROUNDS):
                for name in firsts:
                    firsts[name] += asyncio.run(clients.first_tokens(PORTS[name][1], 50))
            found["first"] = {name: statistics.median(times) * 1e3 for name, times in firsts.items()}
    return found


def main() -> None:
    """Measure and tell."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A thousand streams have two ends on this machine.
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard > 0 else max(soft, 65536), hard))
    try:
        with locked("bench-gateway"):
            found = measure()
    except LabError as error:
        raise SystemExit(f"make bench-gateway: {error}") from None
    table = rows(found)
    table.insert(1, ["---", *["---:"] * (len(table[0]) - 1)])
    print("\n".join(f"| {' | '.join(line)} |" for line in table))
    streams, thousand, slow = found["streams"], found["paced"][1000], found["paced"][found["litellm_rate"]]
    print(f"{MANY} streams through the gateway for {MINUTE} s: {streams['lost']:.0f} lost, ", end="")
    print(f"memory {streams['first']:.1f} MiB early, {streams['last']:.1f} MiB late.")
    print(f"Of nginx without a log the gateway reaches {found['most']['gateway']['over_silent']:.2f}.")
    print(f"{os.cpu_count()} cores, load {', '.join(f'{load:.1f}' for load in os.getloadavg())} at the end.")
    result = {
        "bench": "gateway",
        "added_p50_ms": round(thousand["gateway"]["p50"] - thousand["direct"]["p50"], 3),
        "added_p99_ms": round(thousand["gateway"]["p99"] - thousand["direct"]["p99"], 3),
        "rps_over_plain_nginx": round(found["most"]["gateway"]["over_plain"], 2),
        "sockets_rps_over_ports": round(found["most"]["sockets"]["over_gateway"], 2),
        "sockets_added_p50_ms": round(thousand["sockets"]["p50"] - thousand["direct"]["p50"], 3),
        "litellm_added_p50_ms": round(slow["litellm"]["p50"] - slow["direct"]["p50"], 3),
        "added_ttft_ms": round(found["first"]["gateway"] - found["first"]["direct"], 3),
        "streams_lost": int(streams["lost"]),
        "worst_body_gap_ms": round(found["worst_body_gap_ms"], 1),
        "abuse_peak_mib": round(found["abuse_peak_mib"], 1),
        "usage_added_us": round(found["most"]["gateway"]["us"] - found["most"]["uncounted"]["us"], 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
