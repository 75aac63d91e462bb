# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that CI runs, one step after the other, counted: the quick tier, molecule's scenarios, the end-to-end run."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.gpuserve.fleet.tests.support.lab import bases, engine, images
from ansible_collections.gpuserve.fleet.tests.support.lab.common import CACHE, CHECKOUT, docker_ok
from ansible_collections.gpuserve.fleet.tests.support.lab.failures import (
    Failure,
    failed_tests,
    over_time,
    step_failure,
    told,
)

LOGS = CACHE / "log" / "test"
TIMES = CACHE / "test" / "times.json"
TALLY = CACHE / "test" / "tally"
CODE = CACHE / "test" / "code"
SITE = CHECKOUT / "tests" / "support" / "lab" / "site"
# Begun before all else. The real vLLM takes what processor there is while it starts: what runs beside it had better not watch for seconds.
FIRST = ("end to end", "quick tier")
# A part also waits: for boxes, packages and engines. One part more joins where processors were idle for this share of so many seconds, and
# the real vLLM has ended; begun without a look, one more than there are processors made tests late that watch for seconds.
AT_ONCE = max(2, os.cpu_count() or 1)
IDLE, IDLE_S = 0.2, 20.0
# Seconds of what takes long, on two cores beside another part, as long as no run here has kept its own: what is begun last is waited for
# alone.
LONG_S = {
    "molecule fleet": 900,
    "bring-up on doubles": 745,
    "molecule gateway": 513,
    "molecule default": 464,
    "molecule vllm_stack": 377,
    "playbooks on this machine": 352,
    "molecule nvidia_driver": 301,
    "molecule nvidia_container_toolkit": 292,
    "molecule security": 273,
    "models from the hub's double": 225,
    "molecule airgap": 144,
    "molecule docker_engine_repository": 116,
    "molecule docker_engine": 108,
    "molecule rpm": 78,
    "molecule docker_engine_service": 74,
    "the execution environment": 70,
    "flags through vLLM's parsers": 43,
}
SCREEN = threading.Lock()
# Sessions of the parts at work: a terminal's Ctrl-C reaches none of them.
RUNNING: set[int] = set()
# What runs beside the scenarios, by what it is called. The gateway's are run by its scenario.
SUITES = {
    "models from the hub's double": "tests/integration/hub",
    "bring-up on doubles": "tests/integration/bringup",
    "flags through vLLM's parsers": "tests/integration/parsers",
    "the host with real apt": "tests/integration/host",
    "the execution environment": "tests/integration/environment",
    "playbooks on this machine": "tests/integration/playbooks",
    "the doubles themselves": "tests/integration/doubles",
    "the rendered stack": "tests/integration/stack",
}
QUICK = ("lint", "types", "unit", "sanity")
PYTEST = ["python", "-m", "pytest", "-v", "-rs", "--override-ini=addopts=--import-mode=importlib"]
NO_PLUGINS = ["-p", "no:pytest-ansible"]
# A part that hangs is ended with its name told, and the whole before whoever runs it would end it without a word: CI gives it 90 minutes.
PART_S, WHOLE_S = 2400.0, 80 * 60.0
# What a part that is over its time is given to say where it stands (pytest tells on SIGABRT).
LAST_WORD_S = 5.0
OVER_TIME = 124
# So many parts with failures are tried again: more are no accident of this machine.
AGAIN_AT_MOST = 3


def processors() -> tuple[int, int]:
    """Return for how long processors have been idle, and altogether, since this machine started, in ticks."""
    # The last two count a guest's time once more.
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def idle_share(since: tuple[int, int]) -> float:
    """Return which share of the processors' time has been idle since then: what is idle, one more part at once would use."""
    idle, altogether = (now - then for now, then in zip(processors(), since, strict=True))
    return idle / altogether if altogether else 0.0


@dataclass
class Outcome:
    """What came of one part: how many passed, failed and were skipped, and each that failed."""

    passed: int = 0
    skipped: int = 0
    failures: list[Failure] = field(default_factory=list)


@dataclass
class Tally:
    """What came of each part, how long it took, how to try again what failed in it, and what passed then."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    again: dict[str, Callable[[], Outcome]] = field(default_factory=dict)
    by_chance: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    idle: dict[str, float] = field(default_factory=dict)
    since: tuple[int, int] = field(default_factory=processors)

    def left_s(self) -> float:
        """Seconds that a part which begins now may take."""
        return min(PART_S, self.started + WHOLE_S - time.monotonic())

    @property
    def failures(self) -> list[Failure]:
        """Every failure, part by part."""
        return [failure for outcome in self.outcomes.values() for failure in outcome.failures]


def scenarios() -> list[str]:
    """Return molecule's scenarios by name."""
    return sorted(path.parent.name for path in (CHECKOUT / "molecule").glob("*/molecule.yml"))


def jobs_of(tally: Tally) -> list[tuple[str, Callable[[], None]]]:
    """Return what is done at once, by name: the end-to-end run with the quick tier beside it, then the longest."""
    jobs: dict[str, Callable[[], None]] = {
        f"molecule {name}": partial(_step, tally, f"molecule {name}", ["molecule", "test", "-s", name])
        for name in scenarios()
    }
    jobs |= {name: partial(_suite, tally, name, path, False) for name, path in SUITES.items()}
    jobs["quick tier"] = partial(_quick, tally)
    jobs["end to end"] = partial(_suite, tally, "end to end", "tests/e2e", True)
    expected = LONG_S | _times().get("parts", {})
    return sorted(jobs.items(), key=lambda job: (job[0] not in FIRST, -expected.get(job[0], 0), job[0]))


def _times() -> dict[str, Any]:
    """Return the seconds that runs before have kept: of the whole by its caches, and of each part."""
    kept: dict[str, Any] = json.loads(TIMES.read_text()) if TIMES.exists() else {}
    return kept


def _quick(tally: Tally) -> None:
    for target in QUICK:
        _step(tally, target, ["make", "--no-print-directory", target])


def whole_test() -> bool:
    """Run every step, print what came of it, and tell whether all is well."""
    TALLY.unlink(missing_ok=True)
    kind = "warm" if _is_warm() else "cold"
    tally = Tally()
    CODE.mkdir(parents=True, exist_ok=True)
    engine.ensure_engine()
    # Each has boxes of its own.
    jobs = collections.deque(do for _name, do in jobs_of(tally))
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE + 1) as pool:
        try:
            lanes = [pool.submit(_lane, tally, jobs, at == AT_ONCE) for at in range(AT_ONCE + 1)]
            for lane in concurrent.futures.as_completed(lanes):
                lane.result()
        except BaseException:
            jobs.clear()
            for session in tuple(RUNNING):
                _end(session)
            raise
    try_again(tally)
    whole = time.monotonic() - tally.started
    _report(tally, kind, whole)
    return not tally.failures


def _lane(tally: Tally, jobs: collections.deque[Callable[[], None]], extra: bool) -> None:
    """Do one part after the other; the extra lane begins none before processors are idle."""
    while jobs:
        if extra:
            since = processors()
            time.sleep(IDLE_S)
            if "end to end" not in tally.seconds or idle_share(since) < IDLE:
                continue
        try:
            do = jobs.popleft()
        except IndexError:
            # Another lane has taken the last one meanwhile.
            return
        do()


def _step(tally: Tally, name: str, command: list[str]) -> None:
    do = partial(_step_outcome, tally, name, command)
    _part(tally, name, do, do)


def _suite(tally: Tally, name: str, path: str, shown: bool) -> None:
    _part(
        tally,
        name,
        partial(_suite_outcome, tally, name, path, shown),
        partial(_suite_outcome, tally, name, path, shown, again=True),
    )


def _part(tally: Tally, name: str, do: Callable[[], Outcome], again: Callable[[], Outcome]) -> None:
    started, since = time.monotonic(), processors()
    outcome = do()
    seconds = time.monotonic() - started
    with SCREEN:
        tally.idle[name] = idle_share(since)
        tally.outcomes[name], tally.seconds[name], tally.again[name] = outcome, seconds, again
        print(f"== {name}: {'FAILED' if outcome.failures else 'ok'} in {seconds:.0f} s", flush=True)


def _step_outcome(tally: Tally, name: str, command: list[str]) -> Outcome:
    log, limit_s = _log_of(name), tally.left_s()
    code = _logged(command, log, limit_s)
    if code == 0:
        return Outcome(passed=1)
    _show_the_end_of(log)
    return Outcome(failures=[over_time(name, log, limit_s) if code == OVER_TIME else step_failure(name, log)])


def _suite_outcome(tally: Tally, name: str, path: str, shown: bool, again: bool = False) -> Outcome:
    """Run a folder of tests and count each of them; a long one is shown as it goes, since what it prints is what a user would see."""
    log, limit_s = _log_of(name), tally.left_s()
    junit, cache = log.with_suffix(".xml"), log.with_suffix(".pytest")
    junit.parent.mkdir(parents=True, exist_ok=True)
    junit.unlink(missing_ok=True)
    command = [*PYTEST, path, *NO_PLUGINS, "-o", f"cache_dir={cache}", f"--junitxml={junit}"]
    if again:
        command.append("--last-failed")
    else:
        shutil.rmtree(cache, ignore_errors=True)
    # pytest takes away what it thinks other sessions have left: each has a place of its own here, short enough for a socket's path.
    with tempfile.TemporaryDirectory(prefix="gpuserve-") as place:
        command.append(f"--basetemp={place}/t")
        if shown:
            print(f"== {name}", flush=True)
            log.unlink(missing_ok=True)
            code = _ended(subprocess.Popen(command, cwd=CHECKOUT, env=_environment(), start_new_session=True), limit_s)
        else:
            code = _logged(command, log, limit_s)
    outcome = Outcome(failures=failed_tests(name, junit))
    if junit.exists():
        for suite in ET.parse(junit).getroot().iter("testsuite"):
            total, failed, errors, skipped = (
                int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")
            )
            outcome.passed += total - failed - errors - skipped
            outcome.skipped += skipped
    if code == OVER_TIME:
        outcome.failures = [over_time(name, log, limit_s)]
    if code != 0:
        outcome.failures = outcome.failures or [step_failure(name, log)]
        if not shown:
            _show_the_end_of(log)
    return outcome


def try_again(tally: Tally) -> None:
    """Try once more, alone, what failed beside other work. What passes then is named, since it is a fault that shows by chance.

    The quick tier is the same each time, and many failures are no chance: neither is tried again.
    """
    failed = [name for name, outcome in tally.outcomes.items() if outcome.failures]
    if len(failed) > AGAIN_AT_MOST or set(failed) & set(QUICK):
        return
    for name in failed:
        outcome = tally.outcomes[name]
        print(f"== {name}: what failed is tried once more, alone", flush=True)
        second = tally.again[name]()
        left = {failure.name for failure in second.failures}
        tally.by_chance += [failure.name for failure in outcome.failures if failure.name not in left]
        outcome.passed += second.passed
        outcome.failures = second.failures


def _report(tally: Tally, kind: str, whole: float) -> None:
    times = _times()
    if not tally.failures:
        times[kind] = round(whole)
        times["parts"] = {name: round(seconds) for name, seconds in tally.seconds.items()}
        times["parts"]["quick tier"] = sum(times["parts"].get(target, 0) for target in QUICK)
        TIMES.parent.mkdir(parents=True, exist_ok=True)
        TIMES.write_text(json.dumps(times) + "\n")
    print("\n  seconds, and the processors' idle share meanwhile:")
    for name, seconds in tally.seconds.items():
        print(f"  {seconds:6.0f} s {tally.idle.get(name, 0):4.0%}  {name}")
    print(f"  {sum(tally.seconds.values()):6.0f} s {idle_share(tally.since):4.0%}  together")
    if tally.failures or tally.by_chance:
        print(f"\nLogs: {LOGS}")
    other = {"cold": "warm", "warm": "cold"}[kind]
    last = f"; the last {other} run took {times[other]} s" if other in times else ""
    print(f"\n{kind} caches: {whole:.0f} s{last}.")
    passed, skipped = (sum(getattr(one, key) for one in tally.outcomes.values()) for key in ("passed", "skipped"))
    closing = [
        *told(tally.failures),
        *(f"Failed beside other work and passed alone: {name}" for name in tally.by_chance),
        f"{passed} passed, {len(tally.failures)} failed{f', {skipped} skipped' if skipped else ''}",
    ]
    TALLY.parent.mkdir(parents=True, exist_ok=True)
    TALLY.write_text("\n".join(closing) + "\n")
    print("\n".join(closing), flush=True)


def _log_of(name: str) -> Path:
    return LOGS / f"{name.replace(' ', '-')}.log"


def _logged(command: list[str], log: Path, limit_s: float) -> int:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as sink:
        process = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            # The quick tier sends no modules.
            env=_environment(plain=command[0] == "make"),
            start_new_session=True,
        )
        return _ended(process, limit_s)


def _ended(process: subprocess.Popen[bytes], limit_s: float) -> int:
    """Wait for a part as long as it may take, and end it with all that it started where it takes longer."""
    RUNNING.add(process.pid)
    try:
        return process.wait(max(0, limit_s))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LAST_WORD_S)
        return OVER_TIME
    finally:
        # A part has a session of its own; what it left running would keep boxes and ports from the others.
        RUNNING.discard(process.pid)
        _end(process.pid)
        process.wait()


def _end(session: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(session, signal.SIGKILL)


def _show_the_end_of(log: Path) -> None:
    for line in log.read_text(errors="replace").splitlines()[-60:]:
        print(f"   | {line}")


def _environment(plain: bool = False) -> dict[str, str]:
    # Molecule and ansible-playbook each know their own configuration; a log has no use for colours.
    unwanted = {"ANSIBLE_CONFIG", "MAKEFLAGS", "MFLAGS", "QUICK", "PYTHONDONTWRITEBYTECODE"}
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    # What is compiled of a module is kept, on this machine and in boxes: see site/sitecustomize.py.
    keeps_code = {
        "GPUSERVE_LAB_CODE": str(CODE),
        "PYTHONPATH": os.pathsep.join([str(SITE), *filter(None, [kept.get("PYTHONPATH")])]),
    }
    return {
        **kept,
        **({} if plain else keeps_code),
        "GPUSERVE_CACHE": str(CACHE),
        # No step of ours asks the real hub, whether or not this machine reaches it.
        "HF_HUB_OFFLINE": "1",
        "NO_COLOR": "1",
        "ANSIBLE_NOCOLOR": "1",
        # As Ansible has it, less -C: boxes are on this machine, and what is sent to them is packed already.
        "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=60s",
        # Hundreds of processes read the same sources; what they compile lies outside the checkout.
        "PYTHONPYCACHEPREFIX": str(CACHE / "pycache"),
    }


def _is_warm() -> bool:
    """Tell whether an earlier run has filled the caches."""
    return engine.answers() and docker_ok("image", "inspect", bases.host_base("trixie").image) and images.are_there()
