# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that CI runs, one step after the other, counted: the quick tier, molecule's scenarios, the end-to-end run."""

from __future__ import annotations

import concurrent.futures
import json
import os
import subprocess
import tempfile
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ansible_collections.gpuserve.fleet.tests.support.lab import bases, engine, images
from ansible_collections.gpuserve.fleet.tests.support.lab.common import CACHE, CHECKOUT, docker_ok
from ansible_collections.gpuserve.fleet.tests.support.lab.failures import Failure, failed_tests, step_failure, told

LOGS = CACHE / "log" / "test"
TIMES = CACHE / "test" / "times.json"
TALLY = CACHE / "test" / "tally"
# Most of a scenario is waiting for its box; with one more than there are cores, tests that watch for seconds came late.
AT_ONCE = max(2, os.cpu_count() or 1)
# Seconds of what takes long, alone on two cores: what is begun last is waited for alone.
LONG_S = {
    "bring-up on doubles": 1100,
    "molecule gateway": 400,
    "molecule upgrade": 360,
    "molecule nvidia_driver": 330,
    "molecule nvidia_container_toolkit": 290,
}
SCREEN = threading.Lock()
# What runs beside the scenarios, by what it is called. The gateway's are run by its scenario.
SUITES = {
    "models from the hub's double": "tests/integration/hub",
    "bring-up on doubles": "tests/integration/bringup",
    "flags through vLLM's parsers": "tests/integration/parsers",
    "the host with real apt": "tests/integration/host",
    "playbooks on this machine": "tests/integration/playbooks",
    "the doubles themselves": "tests/integration/doubles",
    "the rendered stack": "tests/integration/stack",
}
QUICK = ("lint", "types", "unit", "sanity")
PYTEST = ["python", "-m", "pytest", "-v", "-rs", "--override-ini=addopts=--import-mode=importlib"]
NO_PLUGINS = ["-p", "no:pytest-ansible", "-p", "no:cacheprovider"]


@dataclass
class Tally:
    """What passed, failed and was skipped, and how long each step took."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


def scenarios() -> list[str]:
    """Return molecule's scenarios by name."""
    return sorted(path.parent.name for path in (CHECKOUT / "molecule").glob("*/molecule.yml"))


def jobs_of(tally: Tally) -> list[tuple[str, Callable[[], None]]]:
    """Return what is done at once, by name: the quick tier, which needs no box, then the longest."""
    jobs: dict[str, Callable[[], None]] = {
        f"molecule {name}": partial(_step, tally, f"molecule {name}", ["molecule", "test", "-s", name])
        for name in scenarios()
    }
    jobs |= {name: partial(_suite, tally, name, path, False) for name, path in SUITES.items()}
    jobs["quick tier"] = partial(_quick, tally)
    return sorted(jobs.items(), key=lambda job: (job[0] != "quick tier", -LONG_S.get(job[0], 0), job[0]))


def _quick(tally: Tally) -> None:
    for target in QUICK:
        _step(tally, target, ["make", "--no-print-directory", target])


def whole_test() -> bool:
    """Run every step, print what came of it, and tell whether all is well."""
    started = time.monotonic()
    TALLY.unlink(missing_ok=True)
    kind = "warm" if _is_warm() else "cold"
    tally = Tally()
    engine.ensure_engine()
    # Each has boxes of its own.
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for job in [pool.submit(do) for _name, do in jobs_of(tally)]:
            job.result()
    _suite(tally, "end to end", "tests/e2e", True)
    whole = time.monotonic() - started
    _report(tally, kind, whole)
    return tally.failed == 0


def _step(tally: Tally, name: str, command: list[str]) -> None:
    started = time.monotonic()
    log = LOGS / f"{name.replace(' ', '-')}.log"
    done = _logged(command, log)
    seconds = time.monotonic() - started
    with SCREEN:
        tally.seconds[name] = seconds
        if done == 0:
            tally.passed += 1
        else:
            tally.failed += 1
            tally.failures.append(step_failure(name, log))
            _show_the_end_of(log)
        print(f"== {name}: {'ok' if done == 0 else 'FAILED'} in {seconds:.0f} s", flush=True)


def _suite(tally: Tally, name: str, path: str, shown: bool) -> None:
    """Run a folder of tests and count each of them; a long one is shown as it goes, since what it prints is what a user would see."""
    started = time.monotonic()
    junit, log = LOGS / f"{name.replace(' ', '-')}.xml", LOGS / f"{name.replace(' ', '-')}.log"
    junit.parent.mkdir(parents=True, exist_ok=True)
    junit.unlink(missing_ok=True)
    command = [*PYTEST, path, *NO_PLUGINS, f"--junitxml={junit}"]
    # pytest takes away what it thinks other sessions have left: each has a place of its own here, short enough for a socket's path.
    with tempfile.TemporaryDirectory(prefix="gpuserve-") as place:
        command.append(f"--basetemp={place}/t")
        if shown:
            print(f"== {name}", flush=True)
            code = subprocess.run(command, cwd=CHECKOUT, env=_environment(), check=False).returncode
        else:
            code = _logged(command, log)
    seconds = time.monotonic() - started
    with SCREEN:
        tally.seconds[name] = seconds
        broken = failed_tests(name, junit)
        if code != 0 and not broken:
            broken = [step_failure(name, log)]
        tally.failures += broken
        bad = 0
        if junit.exists():
            for suite in ET.parse(junit).getroot().iter("testsuite"):
                total, failed, skipped = (int(suite.get(key, 0)) for key in ("tests", "failures", "skipped"))
                failed += int(suite.get("errors", 0))
                bad += failed
                tally.passed += total - failed - skipped
                tally.skipped += skipped
        tally.failed += max(bad, 1) if code != 0 else bad
        if code != 0 and not shown:
            _show_the_end_of(log)
        print(f"== {name}: {'ok' if code == 0 else 'FAILED'} in {seconds:.0f} s", flush=True)


def _report(tally: Tally, kind: str, whole: float) -> None:
    times = json.loads(TIMES.read_text()) if TIMES.exists() else {}
    if tally.failed == 0:
        times[kind] = round(whole)
        TIMES.parent.mkdir(parents=True, exist_ok=True)
        TIMES.write_text(json.dumps(times) + "\n")
    print()
    for name, seconds in tally.seconds.items():
        print(f"  {seconds:6.0f} s  {name}")
    if tally.failures:
        print(f"\nLogs: {LOGS}")
    other = {"cold": "warm", "warm": "cold"}[kind]
    last = f"; the last {other} run took {times[other]} s" if other in times else ""
    print(f"\n{kind} caches: {whole:.0f} s{last}.")
    skipped = f", {tally.skipped} skipped" if tally.skipped else ""
    closing = [*told(tally.failures), f"{tally.passed} passed, {tally.failed} failed{skipped}"]
    TALLY.parent.mkdir(parents=True, exist_ok=True)
    TALLY.write_text("\n".join(closing) + "\n")
    print("\n".join(closing), flush=True)


def _logged(command: list[str], log: Path) -> int:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as sink:
        return subprocess.run(
            command,
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=_environment(),
            check=False,
        ).returncode


def _show_the_end_of(log: Path) -> None:
    for line in log.read_text(errors="replace").splitlines()[-60:]:
        print(f"   | {line}")


def _environment() -> dict[str, str]:
    # Molecule and ansible-playbook each know their own configuration; a log has no use for colours.
    kept = {name: value for name, value in os.environ.items() if name not in {"ANSIBLE_CONFIG", "MAKEFLAGS", "MFLAGS"}}
    return {
        **kept,
        "GPUSERVE_CACHE": str(CACHE),
        # No step of ours asks the real hub, whether or not this machine reaches it.
        "HF_HUB_OFFLINE": "1",
        "NO_COLOR": "1",
        "ANSIBLE_NOCOLOR": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _is_warm() -> bool:
    """Tell whether an earlier run has filled the caches."""
    return engine.answers() and docker_ok("image", "inspect", bases.host_base("trixie").image) and images.are_there()
